/* One global epoch per domain; each thread has a slot per domain with the epoch it entered at, or 0.
 *
 *   I1  a slot is published before the reader loads a pointer (seq_cst store, then load)
 *   I2  what is retired in epoch e is freed when every slot is 0 or > e
 *
 * retire() stamps with the current epoch and reclaim() advances it, so a reader that entered later cannot have
 * seen the pointer: the writer swapped it before the epoch moved. */
#include "base/epoch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/mem.h"

enum { SLOTS_MAX = 256, DOMAINS_MAX = 4096 };

struct slot {
	_Alignas(64) _Atomic uint64_t epoch;
};

struct retired {
	void *p;
	epoch_free_fn *fn;
	uint64_t epoch;
};

struct epoch_domain {
	unsigned id;
	_Atomic uint64_t epoch;
	struct slot slots[SLOTS_MAX];
	struct retired *queue;          /* ring */
	size_t head, count, room;
};

static pthread_mutex_t ids_lock = PTHREAD_MUTEX_INITIALIZER;
static bool thread_ids[SLOTS_MAX];
static _Atomic int slots_end;                   /* no slot from here on was ever used */
static bool domain_ids[DOMAINS_MAX];
static pthread_key_t thread_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static __thread int my_slot = -1;
static __thread uint8_t my_depth[DOMAINS_MAX];

static void slot_release(void *arg)
{
	pthread_mutex_lock(&ids_lock);
	thread_ids[(intptr_t)arg - 1] = false;
	pthread_mutex_unlock(&ids_lock);
}

static void key_make(void)
{
	ASSERT(pthread_key_create(&thread_key, slot_release) == 0);
}

static int id_take(bool *ids, int count)
{
	int found = -1;

	pthread_mutex_lock(&ids_lock);
	for (int i = 0; i < count && found < 0; i++)
		if (!ids[i]) {
			ids[i] = true;
			found = i;
		}
	pthread_mutex_unlock(&ids_lock);
	ASSERT(found >= 0);
	return found;
}

static void slots_grow(int end)
{
	int old = atomic_load(&slots_end);

	while (old < end && !atomic_compare_exchange_weak(&slots_end, &old, end))
		;
}

static int slot_mine(void)
{
	if (UNLIKELY(my_slot < 0)) {
		pthread_once(&once, key_make);
		my_slot = id_take(thread_ids, SLOTS_MAX);
		slots_grow(my_slot + 1);
		pthread_setspecific(thread_key, (void *)(intptr_t)(my_slot + 1));
	}
	return my_slot;
}

struct epoch_domain *epoch_domain_new(void)
{
	struct epoch_domain *d = aligned_alloc(64, (sizeof(*d) + 63) & ~(size_t)63);

	ASSERT(d);
	memset(d, 0, sizeof(*d));
	d->id = (unsigned)id_take(domain_ids, DOMAINS_MAX);
	atomic_init(&d->epoch, 1);
	return d;
}

static void free_front(struct epoch_domain *d)
{
	struct retired *r = &d->queue[d->head];

	d->head = (d->head + 1) % d->room;
	d->count--;
	r->fn(r->p);
}

void epoch_domain_free(struct epoch_domain *d)
{
	if (!d)
		return;
	for (int i = 0; i < SLOTS_MAX; i++)
		ASSERT(atomic_load(&d->slots[i].epoch) == 0);
	while (d->count)
		free_front(d);
	pthread_mutex_lock(&ids_lock);
	domain_ids[d->id] = false;
	pthread_mutex_unlock(&ids_lock);
	mem_free(d->queue);
	free(d);
}

void epoch_enter(struct epoch_domain *d)
{
	int slot = slot_mine();

	ASSERT(my_depth[d->id] < UINT8_MAX);
	if (my_depth[d->id]++ == 0)
		atomic_store(&d->slots[slot].epoch, atomic_load(&d->epoch));    /* I1 */
}

void epoch_leave(struct epoch_domain *d)
{
	ASSERT(my_depth[d->id] > 0);
	if (--my_depth[d->id] == 0)
		atomic_store_explicit(&d->slots[my_slot].epoch, 0, memory_order_release);
}

void epoch_retire(struct epoch_domain *d, void *p, epoch_free_fn *fn)
{
	if (d->count == d->room) {
		size_t room = d->room ? d->room * 2 : 64;
		struct retired *q = mem_alloc(room * sizeof(*q));

		for (size_t i = 0; i < d->count; i++)
			q[i] = d->queue[(d->head + i) % d->room];
		mem_free(d->queue);
		d->queue = q;
		d->room = room;
		d->head = 0;
	}
	d->queue[(d->head + d->count++) % d->room] = (struct retired){p, fn, atomic_load(&d->epoch)};
}

size_t epoch_reclaim(struct epoch_domain *d)
{
	uint64_t oldest = UINT64_MAX;
	int end;

	if (!d->count)
		return 0;
	atomic_fetch_add(&d->epoch, 1);
	end = atomic_load(&slots_end);
	for (int i = 0; i < end; i++) {
		uint64_t e = atomic_load(&d->slots[i].epoch);

		if (e && e < oldest)
			oldest = e;
	}
	while (d->count && d->queue[d->head].epoch < oldest)
		free_front(d);
	return d->count;
}
