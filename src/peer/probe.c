/* Probes: GET /raft/probing every probe_ms, for the round trip time and the other clock. No effect on anything but
 * metrics and log. Two per peer, as upstream: one on a connection of its own each time, one that keeps it.
 *
 *	waiting ──timer──> asking ──answer, error, timer──> waiting */
#include <stdio.h>
#include <time.h>

#include "env/env.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "peer/peer_impl.h"

#define DRIFT_NS_MAX INT64_C(1000000000)
#define TELL_HEALTHY_MS 30000
#define TELL_UNHEALTHY_MS 5000

/* --- the answer. Pure. --- */

/* The text behind "key": in a flat object without escapes; NULL: none. */
static const char *member_value(const char *json, const char *key)
{
	char quoted[24];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	at = strstr(json, quoted);
	if (!at)
		return NULL;
	at += strlen(quoted);
	at += strspn(at, " \t\r\n");
	if (*at != ':')
		return NULL;
	return at + 1 + strspn(at + 1, " \t\r\n");
}

/* "2026-11-24T20:05:43.733671694Z", "…+01:00" */
static bool parse_time(const char *s, int64_t *wall_ns)
{
	struct tm tm = {0};
	int n = 0, hours = 0, minutes = 0;
	int64_t nanos = 0, unit = 100000000, offset;
	char zone;

	if (sscanf(s, "\"%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
		    &n) < 6 || n == 0)
		return false;
	s += n;
	if (*s == '.') {
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			nanos += (*s - '0') * unit;
	}
	zone = *s;
	if (zone != 'Z' && ((zone != '+' && zone != '-') || sscanf(s + 1, "%2d:%2d", &hours, &minutes) != 2))
		return false;
	offset = (hours * 3600 + minutes * 60) * (zone == '-' ? -1 : 1);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*wall_ns = ((int64_t)timegm(&tm) - offset) * 1000000000 + nanos;
	return true;
}

bool probe_parse(struct slice body, bool *ok, int64_t *wall_ns)
{
	char text[256];
	const char *value;

	if (body.size >= sizeof(text) || body.size == 0 || body.data[0] != '{')
		return false;
	memcpy(text, body.data, body.size);
	text[body.size] = 0;
	value = member_value(text, "OK");
	if (!value)
		return false;
	*ok = strncmp(value, "true", 4) == 0;
	value = member_value(text, "Now");
	return value && parse_time(value, wall_ns);
}

/* --- results --- */

static void tell(struct probe *b)
{
	uint64_t now = set_now_ms(b->peer->set);

	if (now - b->told_ms < (b->healthy ? TELL_HEALTHY_MS : TELL_UNHEALTHY_MS))
		return;
	b->told_ms = now;
	if (!b->healthy)
		LOG_WARN("prober detected unhealthy status", LOG_STR("round-tripper-name", b->name),
			LOG_STR("remote-peer-id", b->peer->id_text), LOG_DURATION("rtt", (int64_t)b->rtt_ns),
			LOG_STR("error", b->error));
	else if (b->clock_ns > DRIFT_NS_MAX || b->clock_ns < -DRIFT_NS_MAX)
		LOG_WARN("prober found high clock drift", LOG_STR("round-tripper-name", b->name),
			LOG_STR("remote-peer-id", b->peer->id_text), LOG_DURATION("clock-drift", b->clock_ns),
			LOG_DURATION("rtt", (int64_t)b->rtt_ns));
}

static void failed(struct probe *b, const char *why)
{
	b->healthy = false;
	snprintf(b->error, sizeof(b->error), "%s", why);
	b->url_at++;
	tell(b);
}

static void succeeded(struct probe *b, int64_t wall_ns)
{
	uint64_t rtt = set_now_ns(b->peer->set) - b->asked_ns;
	int64_t drift = env_wall_ns() - wall_ns - (int64_t)(rtt / 2);

	b->rtt_ns = b->rtt_ns ? (b->rtt_ns * 7 + rtt) / 8 : rtt;
	b->clock_ns = b->healthy ? (b->clock_ns * 7 + drift) / 8 : drift;
	b->healthy = true;
	if (!b->keep_alive)
		atomic_store(&b->peer->rtt_ns, b->rtt_ns);
	metric_observe(b->rtt_series, b->rtt_ns);
	tell(b);
}

/* --- asking --- */

static void wait(struct probe *b)
{
	struct peer_set *s = b->peer->set;

	b->asking = false;
	net_timer_set(s->loop, &b->timer, set_now_ms(s) + s->cfg.timing.probe_ms);
}

static void drop(struct probe *b)
{
	struct http1_conn *c = b->conn;

	b->conn = NULL;
	http1_close(c);
}

static void idle_closed(void *arg)
{
	drop(arg);
}

static void on_response(void *owner, unsigned status)
{
	((struct probe *)owner)->status = status;
}

static void on_body(void *owner, struct slice data)
{
	struct probe *b = owner;
	size_t n = MIN(data.size, sizeof(b->body) - b->body_size);

	memcpy(b->body + b->body_size, data.data, n);
	b->body_size += (uint32_t)n;
}

static void on_end(void *owner, err_t err, const char *why)
{
	struct probe *b = owner;
	int64_t wall_ns;
	bool ok;

	if (!err && b->keep_alive && http1_reusable(b->conn))
		http1_idle(b->conn, idle_closed, b);
	else
		drop(b);
	if (err)
		failed(b, why);
	else if (b->status != 200 || !probe_parse(slice_of(b->body, b->body_size), &ok, &wall_ns) || !ok)
		failed(b, "unexpected answer");
	else
		succeeded(b, wall_ns);
	wait(b);
}

static void ask(struct probe *b)
{
	static const struct http1_events events = {on_response, on_body, NULL, on_end};
	struct http1_request r = {.method = "GET", .path = "/raft/probing"};
	struct peer *p = b->peer;
	struct peer_set *s = p->set;

	b->asking = true;
	b->status = 0;
	b->body_size = 0;
	b->asked_ns = set_now_ns(s);
	net_timer_set(s->loop, &b->timer, set_now_ms(s) + s->cfg.timing.dial_ms + s->cfg.timing.stall_ms);
	if (!b->conn)
		b->conn = http1_open(&s->client, &p->urls.at[b->url_at % p->urls.count]);
	http1_request(b->conn, &r, &events, b);
}

static void timer_fired(struct net_timer *t)
{
	struct probe *b = CONTAINER_OF(t, struct probe, timer);

	if (!b->asking) {
		ask(b);
		return;
	}
	drop(b);
	failed(b, "i/o timeout");
	wait(b);
}

void probe_init(struct probe *b, struct peer *p, const char *name, bool keep_alive)
{
	*b = (struct probe){.peer = p, .name = name, .keep_alive = keep_alive};
	net_timer_init(&b->timer, timer_fired);
	b->rtt_series = metric_series(METRIC_NETWORK_PEER_ROUND_TRIP_TIME_SECONDS, (const char *[]){p->id_text});
}

void probe_start(struct probe *b)
{
	b->told_ms = set_now_ms(b->peer->set);
	wait(b);
}

void probe_fini(struct probe *b)
{
	net_timer_cancel(b->peer->set->loop, &b->timer);
	drop(b);
}
