/* The registry: rows are fixed, series are added, cells are per thread.
 *
 *	series id  ->  { row, label values, first cell, gauge value }
 *	thread     ->  chunks of CHUNK_CELLS cells, made when first counted in
 *
 * A counter has one cell, a histogram one per bucket, one for +Inf and one for the sum. Only its thread writes
 * a cell (load, add, store, all relaxed); a scrape reads all of them under the lock that thread start and end
 * take too. A thread that ends adds its cells to `retired`. */
#include <pthread.h>
#include <stdatomic.h>

#include "obs/metric_impl.h"

#define CHUNK_CELLS 512
#define CELLS_MAX (256 * CHUNK_CELLS)
#define CHUNKS (CELLS_MAX / CHUNK_CELLS)
#define SCRAPE_HOOKS_MAX 16
#define HASH_SLOTS 4096
#define LOST UINT32_MAX                 /* a series beyond the limits: counts are dropped */

#define NS 1ull
#define US (1000 * NS)
#define MS (1000 * US)
#define PER_S 1000000000
#define PER_MS 1000000
#define PLAIN 1
#define EXP(first, n, unit) {first, n, unit, NULL}

static const uint64_t grpc_bounds[] = {5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS,
				       1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS};
#define BUCKETS_GRPC {5 * MS, ARRAY_COUNT(grpc_bounds), PER_S, grpc_bounds}

const struct metric_row metric_rows[METRIC__COUNT] = {
#define COUNTER(symbol, name, labels, help) {name, METRIC_COUNTER, labels, help, {0}},
#define GAUGE(symbol, name, labels, help) {name, METRIC_GAUGE, labels, help, {0}},
#define READING(symbol, name, help) {name, METRIC_READING, "", help, {0}},
#define HISTOGRAM(symbol, name, labels, buckets, help) {name, METRIC_HISTOGRAM, labels, help, buckets},
#include "obs/metric_rows.h"
#undef COUNTER
#undef GAUGE
#undef READING
#undef HISTOGRAM
};

struct chunk {
	_Atomic uint64_t cells[CHUNK_CELLS];
};

struct thread_cells {
	_Atomic(struct chunk *) chunks[CHUNKS];
	struct thread_cells *next;
};

struct series {
	enum metric row;
	bool shown;
	char *names;
	size_t names_size;
	uint32_t hash_next;             /* series with the same hash; 0 = end */
	uint32_t cell;
	_Atomic uint64_t gauge;         /* bits of a double */
};

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	pthread_key_t key;
	struct thread_cells *threads;
	uint64_t *retired;
	struct series *series;          /* METRIC_SERIES_MAX of them, never moved */
	_Atomic uint32_t series_count;
	uint32_t cell_count;
	uint32_t hash[HASH_SLOTS];      /* labelled series by row and names; 0 = none */
	uint32_t row_count[METRIC__COUNT];
	struct {
		void (*read)(void *arg);
		void *arg;
	} hooks[SCRAPE_HOOKS_MAX];
	size_t hook_count;
} reg = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static _Thread_local struct thread_cells *my_cells;

uint64_t metric_bound(const struct metric_buckets *b, size_t i)
{
	return b->bounds ? b->bounds[i] : b->first << i;
}

size_t metric_bucket(const struct metric_buckets *b, uint64_t value)
{
	size_t i = 0;

	if (!b->bounds) {
		uint64_t firsts = value / b->first + (value % b->first != 0);

		i = firsts <= 1 ? 0 : (size_t)(64 - __builtin_clzll(firsts - 1));
		return MIN(i, b->count);
	}
	while (i < b->count && value > b->bounds[i])
		i++;
	return i;
}

static uint32_t cells_of(enum metric row)
{
	switch (metric_rows[row].type) {
	case METRIC_COUNTER:
		return 1;
	case METRIC_HISTOGRAM:
		return metric_rows[row].buckets.count + 2;
	default:
		return 0;
	}
}

static uint32_t *slot_of(enum metric row, const char *names, size_t size)
{
	uint64_t h = 0xcbf29ce484222325u + row;         /* FNV-1a */

	for (size_t i = 0; i < size; i++)
		h = (h ^ (uint8_t)names[i]) * 0x100000001b3u;
	return &reg.hash[(h >> 32) % HASH_SLOTS];
}

/* Lock held. take_names is NULL for a row without labels. */
static uint32_t add_series(enum metric row, char *take_names, size_t names_size)
{
	uint32_t id = atomic_load(&reg.series_count);
	struct series *s = &reg.series[id];

	s->row = row;
	s->shown = true;
	s->names = take_names;
	s->names_size = names_size;
	if (take_names) {
		uint32_t *slot = slot_of(row, take_names, names_size);

		s->hash_next = *slot;
		*slot = id;
	}
	s->cell = reg.cell_count;
	reg.cell_count += cells_of(row);
	reg.row_count[row]++;
	atomic_store(&reg.series_count, id + 1);
	return id;
}

static void fold(void *arg)
{
	struct thread_cells *t = arg;

	pthread_mutex_lock(&reg.lock);
	for (size_t i = 0; i < CHUNKS; i++) {
		struct chunk *c = atomic_load(&t->chunks[i]);

		for (size_t k = 0; c && k < CHUNK_CELLS; k++)
			reg.retired[i * CHUNK_CELLS + k] += atomic_load(&c->cells[k]);
		mem_free(c);
	}
	for (struct thread_cells **p = &reg.threads; *p; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			break;
		}
	}
	pthread_mutex_unlock(&reg.lock);
	mem_free(t);
}

/* Series of rows without labels get the row's own number, so that METRIC_X can be used as a series. Labelled
 * rows have their number too, never shown. */
static void start(void)
{
	reg.series = NEW_ARRAY(struct series, METRIC_SERIES_MAX);
	reg.retired = NEW_ARRAY(uint64_t, CELLS_MAX);
	for (int row = 0; row < METRIC__COUNT; row++) {
		uint32_t id = add_series((enum metric)row, NULL, 0);

		reg.series[id].shown = !metric_rows[row].labels[0];
	}
	if (pthread_key_create(&reg.key, fold))
		fatal("no thread key left for metrics");
}

static struct thread_cells *cells_of_thread(void)
{
	if (LIKELY(my_cells != NULL))
		return my_cells;
	pthread_once(&reg.once, start);
	my_cells = NEW(struct thread_cells);
	pthread_mutex_lock(&reg.lock);
	my_cells->next = reg.threads;
	reg.threads = my_cells;
	pthread_mutex_unlock(&reg.lock);
	pthread_setspecific(reg.key, my_cells);
	return my_cells;
}

static void count(uint32_t cell, uint64_t n)
{
	_Atomic(struct chunk *) *slot = &cells_of_thread()->chunks[cell / CHUNK_CELLS];
	struct chunk *c = atomic_load_explicit(slot, memory_order_relaxed);
	_Atomic uint64_t *p;

	if (UNLIKELY(!c)) {
		c = NEW(struct chunk);
		atomic_store_explicit(slot, c, memory_order_release);
	}
	p = &c->cells[cell % CHUNK_CELLS];
	atomic_store_explicit(p, atomic_load_explicit(p, memory_order_relaxed) + n, memory_order_relaxed);
}

static struct series *series_of(uint32_t id, enum metric_type a, enum metric_type b)
{
	struct series *s;

	if (UNLIKELY(!my_cells))
		pthread_once(&reg.once, start);
	if (id == LOST)
		return NULL;
	ASSERT(id < atomic_load_explicit(&reg.series_count, memory_order_acquire));
	s = &reg.series[id];
	ASSERT(metric_rows[s->row].type == a || metric_rows[s->row].type == b);
	return s;
}

void metric_add(uint32_t id, uint64_t n)
{
	struct series *s = series_of(id, METRIC_COUNTER, METRIC_COUNTER);

	if (s)
		count(s->cell, n);
}

void metric_observe_many(uint32_t id, uint64_t value, uint64_t n)
{
	struct series *s = series_of(id, METRIC_HISTOGRAM, METRIC_HISTOGRAM);
	const struct metric_buckets *b;

	if (!s)
		return;
	b = &metric_rows[s->row].buckets;
	count(s->cell + (uint32_t)metric_bucket(b, value), n);
	count(s->cell + b->count + 1, value * n);
}

void metric_observe(uint32_t id, uint64_t value)
{
	metric_observe_many(id, value, 1);
}

static uint64_t bits_of(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static double of_bits(uint64_t bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

void metric_set(uint32_t id, double value)
{
	struct series *s = series_of(id, METRIC_GAUGE, METRIC_READING);

	if (s)
		atomic_store_explicit(&s->gauge, bits_of(value), memory_order_relaxed);
}

void metric_move(uint32_t id, double delta)
{
	struct series *s = series_of(id, METRIC_GAUGE, METRIC_GAUGE);
	uint64_t old;

	if (!s)
		return;
	old = atomic_load_explicit(&s->gauge, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&s->gauge, &old, bits_of(of_bits(old) + delta)))
		;
}

/* The values one behind the other, each with its NUL, cut at a bound. */
static char *join_names(enum metric row, const char *const *values, size_t *size)
{
	char *names = mem_alloc(METRIC_LABELS_MAX * (METRIC_LABEL_SIZE_MAX + 1)), *p = names;
	size_t n = 1;

	for (const char *l = metric_rows[row].labels; *l; l++)
		n += *l == ',';
	ASSERT(n <= METRIC_LABELS_MAX);
	for (size_t i = 0; i < n; i++) {
		size_t len = strnlen(values[i], METRIC_LABEL_SIZE_MAX);

		memcpy(p, values[i], len);
		p[len] = '\0';
		p += len + 1;
	}
	*size = (size_t)(p - names);
	return names;
}

/* Lock held. 0: there is none. */
static uint32_t find_series(enum metric row, const char *names, size_t size)
{
	uint32_t id = *slot_of(row, names, size);

	while (id && (reg.series[id].row != row || reg.series[id].names_size != size || memcmp(reg.series[id].names, names, size) != 0))
		id = reg.series[id].hash_next;
	return id;
}

uint32_t metric_series(enum metric row, const char *const *values)
{
	size_t size;
	char *names;
	uint32_t id;

	ASSERT(row < METRIC__COUNT && metric_rows[row].labels[0]);
	pthread_once(&reg.once, start);
	names = join_names(row, values, &size);
	pthread_mutex_lock(&reg.lock);
	id = find_series(row, names, size);
	if (id) {
		reg.series[id].shown = true;
		mem_free(names);
	} else if (atomic_load(&reg.series_count) == METRIC_SERIES_MAX || reg.row_count[row] > METRIC_SERIES_MAX_EACH ||
		   reg.cell_count + cells_of(row) > CELLS_MAX) {
		mem_free(names);
		id = LOST;
	} else {
		id = add_series(row, mem_realloc(names, size), size);
	}
	pthread_mutex_unlock(&reg.lock);
	return id;
}

void metric_drop(uint32_t id)
{
	struct series *s = series_of(id, METRIC_GAUGE, METRIC_GAUGE);

	if (!s)
		return;
	pthread_mutex_lock(&reg.lock);
	s->shown = false;
	atomic_store(&s->gauge, bits_of(0));
	pthread_mutex_unlock(&reg.lock);
}

void metric_on_scrape(void (*read)(void *arg), void *arg)
{
	pthread_mutex_lock(&reg.lock);
	ASSERT(reg.hook_count < SCRAPE_HOOKS_MAX);
	reg.hooks[reg.hook_count].read = read;
	reg.hooks[reg.hook_count++].arg = arg;
	pthread_mutex_unlock(&reg.lock);
}

void metric_off_scrape(void (*read)(void *arg), void *arg)
{
	pthread_mutex_lock(&reg.lock);
	for (size_t i = 0; i < reg.hook_count; i++) {
		if (reg.hooks[i].read == read && reg.hooks[i].arg == arg) {
			reg.hooks[i] = reg.hooks[--reg.hook_count];
			break;
		}
	}
	pthread_mutex_unlock(&reg.lock);
}

/* Lock held. */
static uint64_t total(uint32_t cell)
{
	uint64_t sum = reg.retired[cell];

	for (struct thread_cells *t = reg.threads; t; t = t->next) {
		struct chunk *c = atomic_load_explicit(&t->chunks[cell / CHUNK_CELLS], memory_order_acquire);

		if (c)
			sum += atomic_load_explicit(&c->cells[cell % CHUNK_CELLS], memory_order_relaxed);
	}
	return sum;
}

static void view_of(const struct series *s, struct metric_view *v)
{
	v->row = s->row;
	v->names = s->names;
	switch (metric_rows[s->row].type) {
	case METRIC_COUNTER:
		v->value = (double)total(s->cell);
		break;
	case METRIC_HISTOGRAM: {
		uint32_t n = metric_rows[s->row].buckets.count;

		for (uint32_t i = 0; i <= n; i++) {
			v->buckets[i] = total(s->cell + i);
			v->value += (double)v->buckets[i];
		}
		v->sum = total(s->cell + n + 1);
		break;
	}
	default:
		v->value = of_bits(atomic_load_explicit(&s->gauge, memory_order_relaxed));
	}
}

struct metric_view *metric_collect(size_t *count_out)
{
	struct metric_view *views;
	size_t n = 0;

	pthread_once(&reg.once, start);
	pthread_mutex_lock(&reg.lock);
	for (size_t i = 0; i < reg.hook_count; i++)
		reg.hooks[i].read(reg.hooks[i].arg);
	views = NEW_ARRAY(struct metric_view, atomic_load(&reg.series_count));
	for (uint32_t id = 0; id < atomic_load(&reg.series_count); id++) {
		if (reg.series[id].shown)
			view_of(&reg.series[id], &views[n++]);
	}
	pthread_mutex_unlock(&reg.lock);
	*count_out = n;
	return views;
}

double metric_value(uint32_t id)
{
	struct metric_view v = {0};

	pthread_once(&reg.once, start);
	pthread_mutex_lock(&reg.lock);
	ASSERT(id < atomic_load(&reg.series_count));
	view_of(&reg.series[id], &v);
	pthread_mutex_unlock(&reg.lock);
	return v.value;
}
