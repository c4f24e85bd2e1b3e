/* Private to src/lease. */
#ifndef LEASE_LEASE_INL_H
#define LEASE_LEASE_INL_H

#include "base/list.h"
#include "lease/lease.h"

/* A key that hangs on a lease. */
struct lease_item {
	struct lease *lease;
	uint32_t hash;
	uint32_t pos; /* in lease->items */
	uint32_t size;
	uint8_t key[];
};

/* Two heaps hold leases: by the time of the next revocation, and by the time of the next checkpoint. */
enum lease_clock { CLOCK_EXPIRY, CLOCK_CHECKPOINT, CLOCK_COUNT };

struct lease {
	int64_t id;
	int64_t ttl_s;
	int64_t remaining_s;         /* from a checkpoint; 0 = none */
	uint64_t expiry_ns;          /* LEASE_NEVER_NS unless primary */
	uint64_t at_ns[CLOCK_COUNT]; /* when the heap gives it out; for expiry: expiry_ns, later the retry */
	uint32_t pos[CLOCK_COUNT];   /* in the heap + 1; 0 = not in it */
	struct list due;             /* waits to be proposed */
	struct lease_item **items;
	uint32_t item_count;
	uint32_t item_room;
};

/* Open addressing, linear probing, at most 2/3 full; deletion moves back what follows. */
struct lease_map {
	struct lease **at;
	size_t room;
	size_t count;
};

struct item_map {
	struct lease_item **at;
	size_t room;
	size_t count;
};

struct lease_heap {
	enum lease_clock clock;
	VEC(struct lease *) list;
};

struct lessor {
	struct lessor_config cfg;
	struct lease_map leases;
	struct item_map items;
	uint64_t item_bytes;
	struct lease_heap heaps[CLOCK_COUNT];
	struct list due;
	size_t due_count;
	size_t in_flight;
	bool primary;
	uint64_t round_ns; /* the next round is not before */
	uint64_t granted, revoked, renewed, expired;
};

struct lease *lessor_find(const struct lessor *l, int64_t id);
/* All leases in no meaningful order: for (i = 0; i < l->leases.room; i++) if ((le = l->leases.at[i])). */

/* attach.c */
void items_init(struct lessor *l);
void items_fini(struct lessor *l);
/* Out of the map; the item is the caller's. */
void items_take(struct lessor *l, struct lease_item *it);

/* expiry.c */
void heap_put(struct lessor *l, enum lease_clock c, struct lease *le, uint64_t at_ns); /* moves it if it is there */
void heap_remove(struct lessor *l, enum lease_clock c, struct lease *le);
/* Full time from now: TTL, or what a checkpoint left. Primary only. */
void lease_restart(struct lessor *l, struct lease *le, uint64_t now_ns, uint64_t extend_ns);
void lease_schedule_checkpoint(struct lessor *l, struct lease *le, uint64_t now_ns);
/* Leaves heaps and the due list. */
void lease_unschedule(struct lessor *l, struct lease *le);

#endif
