/* What the connections of one loop share: pools, the loop's credit from the process budget, who waits for more. */
#include <time.h>

#include "env/env.h"
#include "http/http_impl.h"

#define CREDIT_STEP (1u << 20) /* taken from the budget at a time, so that its counter is rarely touched */
#define RETRY_MS 10            /* another loop may have given bytes back */

struct http_budget {
	_Atomic int64_t left;
	uint64_t size;
};

struct http_budget *http_budget_new(uint64_t size_bytes)
{
	struct http_budget *b = NEW(struct http_budget);

	ASSERT(size_bytes <= INT64_MAX);
	b->size = size_bytes;
	atomic_init(&b->left, (int64_t)size_bytes);
	return b;
}

void http_budget_free(struct http_budget *b)
{
	if (!b)
		return;
	ASSERT(atomic_load(&b->left) == (int64_t)b->size);
	mem_free(b);
}

uint64_t http_budget_left(const struct http_budget *b)
{
	return (uint64_t)atomic_load(&b->left);
}

static bool budget_take(struct http_budget *b, uint64_t size)
{
	int64_t left = atomic_load(&b->left);

	do {
		if (left < (int64_t)size)
			return false;
	} while (!atomic_compare_exchange_weak(&b->left, &left, left - (int64_t)size));
	return true;
}

static void credit_return(struct http_io *io)
{
	if (io->budget)
		atomic_fetch_add(&io->budget->left, (int64_t)io->credit);
	io->credit = 0;
}

bool io_charge(struct http_io *io, struct http_budget *b, uint64_t size)
{
	if (!b)
		return true;
	if (io->budget != b) { /* services of one process share one budget; another one is a test's */
		credit_return(io);
		io->budget = b;
	}
	if (io->credit < size) {
		uint64_t step = MAX(size - io->credit, CREDIT_STEP);

		if (budget_take(b, step))
			io->credit += step;
		else if (budget_take(b, size - io->credit))
			io->credit = size;
		else
			return false;
	}
	io->credit -= size;
	return true;
}

void io_discharge(struct http_io *io, struct http_budget *b, uint64_t size)
{
	if (!b)
		return;
	if (io->budget != b) {
		atomic_fetch_add(&b->left, (int64_t)size);
		return;
	}
	io->credit += size;
	if (io->credit > 2 * CREDIT_STEP) {
		atomic_fetch_add(&b->left, (int64_t)(io->credit - CREDIT_STEP));
		io->credit = CREDIT_STEP;
	}
}

static void retry_waiting(struct net_timer *t)
{
	io_grant_waiting(CONTAINER_OF(t, struct http_io, retry));
}

static bool try_grant(struct http_io *io, struct req *r)
{
	struct http_conn *c = r->pub.conn;

	if (c->reserved_bytes && c->reserved_bytes + r->reserve_wanted > c->svc->limits.conn_reserve_bytes_max)
		return false;
	if (!io_charge(io, c->svc->budget, r->reserve_wanted))
		return false;
	c->reserved_bytes += r->reserve_wanted;
	r->reserved = r->reserve_wanted;
	r->reserve_wanted = 0;
	c->ops->window(r, r->reserved);
	return true;
}

/* First come, first served; one that its connection's own limit holds back does not hold up other connections. */
void io_grant_waiting(struct http_io *io)
{
	struct list granted;

	list_init(&granted);
	LIST_EACH_SAFE (it, &io->waiting) {
		struct req *r = CONTAINER_OF(it, struct req, waiting);

		if (!try_grant(io, r))
			continue;
		list_remove(&r->waiting);
		list_push_back(&granted, &r->waiting);
	}
	while (!list_empty(&granted)) {
		struct req *r = CONTAINER_OF(granted.next, struct req, waiting);

		list_remove(&r->waiting);
		r->pub.handler->on_reserved(&r->pub);
	}
	if (!list_empty(&io->waiting) && io->loop)
		net_timer_set(io->loop, &io->retry, http_io_now_ms(io) + RETRY_MS);
}

bool http_reserve(struct http_req *pub, size_t size)
{
	struct req *r = req_of(pub);
	struct http_io *io = pub->conn->io;

	ASSERT(!r->reserved && !r->reserve_wanted);
	if (size == 0)
		return true;
	r->reserve_wanted = size;
	if (try_grant(io, r))
		return true;
	list_push_back(&io->waiting, &r->waiting);
	if (io->loop && !io->retry.slot)
		net_timer_set(io->loop, &io->retry, http_io_now_ms(io) + RETRY_MS);
	return false;
}

void http_unreserve(struct http_req *pub)
{
	struct req *r = req_of(pub);
	struct http_conn *c = pub->conn;

	list_remove(&r->waiting);
	r->reserve_wanted = 0;
	if (!r->reserved)
		return;
	io_discharge(c->io, c->svc->budget, r->reserved);
	c->reserved_bytes -= r->reserved;
	r->reserved = 0;
	c->ops->window(r, 0);
	if (!list_empty(&c->io->waiting) && c->io->loop)
		net_timer_set(c->io->loop, &c->io->retry, http_io_now_ms(c->io));
}

struct http_io *http_io_new(struct net_loop *loop, void *user)
{
	struct http_io *io = NEW(struct http_io);

	io->loop = loop;
	io->user = user;
	list_init(&io->conns);
	list_init(&io->waiting);
	list_init(&io->req_pool);
	net_timer_init(&io->retry, retry_waiting);
	return io;
}

void http_io_free(struct http_io *io)
{
	if (!io)
		return;
	ASSERT(list_empty(&io->conns));
	while (!list_empty(&io->req_pool)) {
		struct list *n = io->req_pool.next;

		list_remove(n);
		mem_free(CONTAINER_OF(n, struct req, node));
	}
	credit_return(io);
	chunk_pool_fini(&io->chunks);
	h2_shared_free(io->h2_shared);
	mem_free(io->scratch);
	mem_free(io);
}

void *http_io_user(struct http_io *io)
{
	return io->user;
}

struct net_loop *http_io_loop(struct http_io *io)
{
	return io->loop;
}

uint64_t http_io_now_ms(struct http_io *io)
{
	return io->loop ? net_loop_now_ms(io->loop) : io->now_ms;
}

void http_io_set_now(struct http_io *io, uint64_t now_ms)
{
	ASSERT(!io->loop);
	io->now_ms = now_ms;
	io_grant_waiting(io);
}

size_t http_io_conns(const struct http_io *io)
{
	return io->conn_count;
}

/* The Date header, made once a second; without a loop (tests) the epoch. */
const char *io_date(struct http_io *io)
{
	int64_t s = io->loop ? env_wall_ns() / 1000000000 : 0;
	time_t t = (time_t)s;
	struct tm tm;

	if (s != io->date_s || !io->date[0]) {
		io->date_s = s;
		gmtime_r(&t, &tm);
		strftime(io->date, sizeof(io->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return io->date;
}

void http_limits_default(struct http_limits *l)
{
	*l = (struct http_limits){
	    .header_bytes_max = 64 << 10,
	    .header_count_max = 256,
	    .streams_max = UINT32_MAX,
	    .streams_open_max = 65536,
	    .stream_window_bytes = 65535,
	    .conn_window_bytes = 1 << 20,
	    .conn_reserve_bytes_max = 64 << 20,
	    .stream_out_bytes_max = 256 << 10,
	    .conn_out_bytes_max = 1 << 20,
	    .unread_streams_max = 1000,
	    .resets_burst = 2000,
	    .resets_per_s = 200,
	    .controls_burst = 10000,
	    .controls_per_s = 1000,
	    .header_timeout_ms = 30000,
	    .idle_timeout_ms = 0,
	    .ping_min_ms = 5000,
	    .ping_interval_ms = 2 * 3600 * 1000,
	    .ping_timeout_ms = 20000,
	};
}

void bucket_init(struct bucket *b, uint32_t burst, uint64_t now_ms)
{
	b->tokens_milli = (uint64_t)burst * 1000;
	b->at_ms = now_ms;
}

bool bucket_take(struct bucket *b, uint32_t burst, uint32_t per_s, uint64_t now_ms)
{
	if (now_ms > b->at_ms) { /* one token a second is one thousandth a millisecond */
		uint64_t elapsed_ms = MIN(now_ms - b->at_ms, 1000000);

		b->tokens_milli = MIN(b->tokens_milli + elapsed_ms * per_s, (uint64_t)burst * 1000);
		b->at_ms = now_ms;
	}
	if (b->tokens_milli < 1000)
		return false;
	b->tokens_milli -= 1000;
	return true;
}
