/* Epochs: readers on any thread use what one writer published, without a lock; what the writer replaced is
 * freed when no reader can still see it.
 *
 *	epoch_enter(d);  p = atomic_load(&published); ... read, do not keep pointers ...  epoch_leave(d);
 *	writer: old = swap(&published, new); epoch_retire(d, old, free_fn); ... epoch_reclaim(d);
 *
 * enter/leave: any thread, not nested deeper than 255; a slice of work, never a wait. retire and reclaim:
 * the writer's actor only (one writer for a domain). Limit: 256 threads at a time; slots return on thread exit. */
#ifndef BASE_EPOCH_H
#define BASE_EPOCH_H

#include <stddef.h>

struct epoch_domain;

struct epoch_domain *epoch_domain_new(void);
void epoch_domain_free(struct epoch_domain *d);      /* runs what is left; no reader may be inside */
void epoch_enter(struct epoch_domain *d);
void epoch_leave(struct epoch_domain *d);
typedef void epoch_free_fn(void *p);
void epoch_retire(struct epoch_domain *d, void *p, epoch_free_fn *fn);
/* Frees what no reader sees any more; returns how many wait on. Cheap; call once a batch. */
size_t epoch_reclaim(struct epoch_domain *d);

#endif
