/* Intrusive doubly linked list with a sentinel head. Pure. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>

#include "base/mem.h"

struct list {
	struct list *prev;
	struct list *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert(struct list *prev, struct list *n, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

static inline void list_push_back(struct list *head, struct list *n)
{
	list_insert(head->prev, n, head);
}

static inline void list_push_front(struct list *head, struct list *n)
{
	list_insert(head, n, head->next);
}

/* n is initialised afterwards, so removing twice is harmless. */
static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define LIST_EACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* it may be removed in the body */
#define LIST_EACH_SAFE(it, head) \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

#endif
