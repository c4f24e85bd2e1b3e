#include "ctl/load.h"

#include <math.h>
#include <unistd.h>

#include "base/rng.h"
#include "pb/wire.h"

enum { TICK_MS = 1, BAR_WIDTH = 40 };

struct load;

struct worker {
	struct load *load;
	struct client *client;
	uint64_t start_ns;
	bool busy;
};

struct load {
	struct ctl *c;
	const struct load_opts *o;
	struct load_result *r;
	struct worker *workers;
	size_t next; /* worker that is asked first for the next put */
	size_t busy;
	uint64_t begun_ns, issued;
	double sum_s, squares_s;
	bool stopping, done;
	bool over; /* what ends now does so because we close */
	uv_timer_t *timer;
	struct rng rng;
	uint64_t shown;
};

static double seconds_since(uint64_t ns)
{
	return (double)(uv_hrtime() - ns) / 1e9;
}

static void count_error(struct load *l, const struct client_status *s)
{
	struct load_result *r = l->r;
	char text[CLIENT_ERROR_SIZE];
	size_t i = 0;

	client_error(text, s);
	while (i < r->error_count && strcmp(r->errors[i].text, text))
		i++;
	if (i == LOAD_ERRORS_MAX)
		i--; /* the last row stands for all that do not fit */
	else if (i == r->error_count)
		r->errors[r->error_count++].text = ctl_copy(l->c, "%s", text);
	r->errors[i].count++;
}

static void put_next(struct load *l);

static void on_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct worker *w = user;
	struct load *l = w->load;
	double took = seconds_since(w->start_ns);

	w->busy = false;
	l->busy--;
	if (l->over)
		return;
	if (s->code == GRPC_OK) {
		l->r->ok++;
		l->sum_s += took;
		l->squares_s += took * took;
		l->r->slowest_s = MAX(l->r->slowest_s, took);
	} else {
		count_error(l, s);
	}
	if (!l->o->puts_per_s)
		put_next(l);
	l->done = l->stopping && !l->busy;
}

static void put_by(struct worker *w)
{
	static const struct client_events events = {NULL, on_end};
	struct load *l = w->load;
	uint64_t noise = rng_next(&l->rng);
	struct buf key, value, body;

	buf_init(&key, SIZE_MAX / 2);
	buf_init(&value, SIZE_MAX / 2);
	buf_init(&body, SIZE_MAX / 2);
	buf_put_slice(&key, slice_str(l->o->prefix));
	memset(buf_add(&key, l->o->key_size), 0, l->o->key_size);
	memcpy(key.data + key.size - l->o->key_size, &noise, sizeof(noise));
	/* A key is any bytes, a value too. */
	memset(buf_add(&value, l->o->value_size), 0, l->o->value_size);
	pb_put_bytes(&body, 1, buf_slice(&key));
	pb_put_bytes(&body, 2, buf_slice(&value));
	w->busy = true;
	w->start_ns = uv_hrtime();
	l->busy++;
	l->issued++;
	client_start(w->client, RPC_PUT, buf_slice(&body), NULL, &events, w);
	buf_fini(&key);
	buf_fini(&value);
	buf_fini(&body);
}

static void put_next(struct load *l)
{
	for (size_t i = 0; i < l->o->clients; i++) {
		struct worker *w = &l->workers[(l->next + i) % l->o->clients];

		if (w->busy)
			continue;
		if (l->stopping)
			return;
		if (l->o->puts && l->issued == l->o->puts) {
			l->stopping = true;
			return;
		}
		l->next = (l->next + i + 1) % l->o->clients;
		put_by(w);
		return;
	}
}

static void show(struct load *l, uint64_t now, uint64_t all)
{
	int filled = all ? (int)(now * BAR_WIDTH / all) : 0;

	if (!isatty(STDERR_FILENO) || now == l->shown)
		return;
	l->shown = now;
	fprintf(stderr, "\r[%.*s%*s] %llu of %llu%s", filled,
		"========================================", BAR_WIDTH - filled, "", (unsigned long long)now,
		(unsigned long long)all, now == all ? "\n" : "");
}

static void on_tick(uv_timer_t *t)
{
	struct load *l = t->data;
	double passed = seconds_since(l->begun_ns);

	if (l->o->seconds) {
		show(l, MIN((uint64_t)passed, l->o->seconds), l->o->seconds);
		l->stopping |= passed >= (double)l->o->seconds;
	} else {
		show(l, l->r->ok * 100 / MAX(l->o->puts, (uint64_t)1), 100);
	}
	while (!l->stopping && l->o->puts_per_s && (double)l->issued < passed * (double)l->o->puts_per_s) {
		uint64_t before = l->issued;

		put_next(l);
		if (l->issued == before)
			break; /* all are busy */
	}
	l->done = l->stopping && !l->busy;
}

static int open_workers(struct load *l)
{
	l->workers = arena_alloc_array(&l->c->arena, l->o->clients, sizeof(*l->workers));
	ASSERT(l->workers);
	for (size_t i = 0; i < l->o->clients; i++) {
		int code = ctl_client_from(l->c, &l->c->opts, &l->workers[i].client);

		l->workers[i].load = l;
		if (code)
			return code;
	}
	return 0;
}

static void finish(struct load *l)
{
	struct load_result *r = l->r;
	double n = (double)MAX(r->ok, (uint64_t)1);

	r->seconds = seconds_since(l->begun_ns);
	r->mean_s = l->sum_s / n;
	r->stddev_s = sqrt(MAX(l->squares_s / n - r->mean_s * r->mean_s, 0.0));
}

int load_run(struct ctl *c, struct signals *signals, const struct load_opts *o, struct load_result *r)
{
	struct load l = {.c = c, .o = o, .r = r};
	int code;

	*r = (struct load_result){0};
	rng_init(&l.rng, uv_hrtime());
	code = open_workers(&l);
	if (!code) {
		l.timer = NEW(uv_timer_t);
		uv_timer_init(&c->loop, l.timer);
		l.timer->data = &l;
		l.begun_ns = uv_hrtime();
		uv_timer_start(l.timer, on_tick, 0, TICK_MS);
		for (size_t i = 0; i < o->clients && !o->puts_per_s; i++)
			put_next(&l);
		r->interrupted = !client_wait(c->client, &l.done, 0);
		finish(&l);
		uv_close((uv_handle_t *)l.timer, ctl_handle_free);
	}
	signals_ignore(signals);
	l.over = true;
	for (size_t i = 0; l.workers && i < o->clients; i++)
		ctl_client_close(c, l.workers[i].client);
	return code;
}
