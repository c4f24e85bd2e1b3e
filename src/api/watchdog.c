/* What time does to calls that only wait: a client that takes nothing any more while its call holds pages or a revision is cut, and
 * streams that asked for a leader (hasleader) end when there is none for three election timeouts, as upstream's monitor does. The
 * timer runs only while there is such a call. */
#include "api/api_impl.h"

enum { TICK_MS_MAX = 1000, LEADERLESS_ELECTIONS = 3, ELECTION_MS_PRESET = 1000 };

#define STALL_NS (API_STALL_S * UINT64_C(1000000000))

static uint64_t election_ns(const struct api_io *io)
{
	uint32_t ms = io->api->opts.election_ms;

	return (ms ? ms : ELECTION_MS_PRESET) * UINT64_C(1000000);
}

static bool wants_leader(const struct api_rpc *r)
{
	return r->meta.has_leader && !r->row->any_leader && rpc_methods[r->method].stream != RPC_UNARY;
}

static void set(struct api_io *io)
{
	timer_set(&io->tick, MIN(election_ns(io), TICK_MS_MAX * UINT64_C(1000000)));
}

void api_watchdog_init(struct api_io *io)
{
	timer_init(&io->tick, io->actor, API_MSG_TICK);
}

void api_watchdog_wake(struct api_rpc *r)
{
	if ((wants_leader(r) || r->blocked_ns) && !r->io->tick.slot && !r->io->tick.queued)
		set(r->io);
}

void api_blocked(struct api_rpc *r)
{
	r->blocked_ns = api_now(r);
	api_watchdog_wake(r);
}

struct moment {
	uint64_t now_ns;
	bool leaderless;
	bool *more;                     /* out: there are calls to look at again */
};

static err_t verdict(const struct api_rpc *r, const void *arg)
{
	const struct moment *m = arg;

	if (r->blocked_ns && m->now_ns - r->blocked_ns > STALL_NS)
		return ERR_TIMEOUT;
	if (m->leaderless && wants_leader(r))
		return ERR_NO_LEADER;
	*m->more |= r->blocked_ns || wants_leader(r);
	return OK;
}

void api_watchdog_tick(struct api_io *io)
{
	const struct publication *p = node_view(io->node);
	bool has_leader = p->leader != 0, more = false;
	struct moment m = {.now_ns = sched_now_ns(actor_sched(io->actor)), .more = &more};

	node_leave(io->node);
	if (has_leader)
		io->leaderless_since_ns = 0;
	else if (!io->leaderless_since_ns)
		io->leaderless_since_ns = m.now_ns;
	m.leaderless = io->leaderless_since_ns && m.now_ns - io->leaderless_since_ns >= LEADERLESS_ELECTIONS * election_ns(io);
	api_end_some(io, verdict, &m);
	if (more)
		set(io);
	else
		io->leaderless_since_ns = 0;
}
