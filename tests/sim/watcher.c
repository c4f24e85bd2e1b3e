/* Watch clients: one watch each, carried from stream to stream and from member to member; check_watch says whether what comes is what is
 * owed. */
#include "world.h"

#include <stdio.h>

static const struct call_handler handler;

static void later(struct watcher_client *c, uint64_t ns)
{
	c->call = NULL;
	world_post(c->w, &c->go, draw(c->w, ns) + 1);
}

static void choose(struct watcher_client *c)
{
	struct world *w = c->w;
	int64_t rev = w->model.twin.rev, back = (int64_t)draw(w, 100);

	*c = (struct watcher_client){.w = w, .id = c->id, .go.kind = W_WATCHER_GO};
	c->key_size = (size_t)snprintf(c->key, sizeof(c->key), "k%u", (unsigned)draw(w, w->k.keys));
	if (chance(w, 60)) {
		c->key_size = 1;                        /* "k" .. */
		c->end_size = 1;
		c->end[0] = chance(w, 50) ? 'l' : 0;
	} else if (chance(w, 30)) {
		c->key[1] = '0';
		c->end_size = (size_t)snprintf(c->end, sizeof(c->end), "k%u", 1 + (unsigned)draw(w, w->k.keys));
	}
	c->prev_kv = chance(w, 30);
	c->no_put = chance(w, 5);
	c->no_delete = chance(w, 5);
	c->progress_notify = chance(w, 30);
	switch (draw(w, 4)) {
	case 0: c->start = 0; break;
	case 1: c->start = rev + 1 + (int64_t)draw(w, 20); break;
	default: c->start = MAX(1, rev - back); break;
	}
}

static void create_body(const struct watcher_client *c, struct buf *b)
{
	size_t mark = pb_begin(b, 1);

	pb_put_bytes(b, 1, slice_of(c->key, c->key_size));
	pb_put_bytes(b, 2, slice_of(c->end, c->end_size));
	pb_put_uint(b, 3, (uint64_t)c->start);
	pb_put_uint(b, 4, c->progress_notify);
	if (c->no_put)
		pb_put_uint_always(b, 5, 0);
	if (c->no_delete)
		pb_put_uint_always(b, 5, 1);
	pb_put_uint(b, 6, c->prev_kv);
	pb_put_uint(b, 8, 1);                           /* fragment */
	pb_end(b, mark);
}

static void progress_request(struct watcher_client *c)
{
	struct buf b;

	buf_init(&b, 64);
	pb_end(&b, pb_begin(&b, 3));
	call_send(c->call, buf_slice(&b));
	buf_fini(&b);
}

static void open_stream(struct watcher_client *c)
{
	struct world *w = c->w;
	struct buf b;

	if (c->begun) {
		c->start = c->next;                     /* resume */
	} else {
		choose(c);
		c->next = c->start;
		c->at = model_event_from(&w->model, c->start);
		c->begun = c->start != 0;
	}
	c->created = false;
	c->until_ns = now_ns(w) + S + draw(w, 20 * S);
	c->site = &w->sites[draw(w, w->site_count)];
	if (!c->site->exists || !c->site->node) {
		later(c, S / 2);
		return;
	}
	buf_init(&b, 4096);
	create_body(c, &b);
	c->call = call_begin(c->site, RPC_WATCH, buf_slice(&b), &handler, c);
	if (chance(w, 30))
		progress_request(c);            /* while it still catches up */
	if (w->k.slow_readers && chance(w, 50) && !w->healed)
		call_slow(c->call, 2 + (unsigned)draw(w, 20), draw(w, 300 * MS));
	buf_fini(&b);
}

void watcher_go(struct watcher_client *c)
{
	struct world *w = c->w;

	if (w->closing)
		return;
	if (!c->call) {
		open_stream(c);
	} else if (now_ns(w) > c->until_ns && !w->quiet) {
		call_drop(c->call);
		if (chance(w, 30))
			c->begun = false;       /* and another watch */
		later(c, S);
		return;
	} else if (c->created && chance(w, 30)) {
		progress_request(c);
	}
	if (c->call)
		world_post(w, &c->go, draw(w, 2 * S));
}

static void on_message(void *arg, struct sim_call *call, struct slice message)
{
	struct watcher_client *c = arg;

	check_watch(c, message);
	if (!c->begun && c->created) {          /* cancelled by compaction: the watch is over */
		call_drop(c->call);
		c->call = NULL;
	}
}

/* The stream ended; watcher_go opens the next one. */
static void on_end(void *arg, struct sim_call *call, err_t err, bool lost)
{
	((struct watcher_client *)arg)->call = NULL;
}

static const struct call_handler handler = {on_message, on_end};

void watchers_stop(struct world *w)
{
	w->closing = true;
	for (unsigned i = 0; i < w->k.watchers; i++) {
		if (w->watchers[i].call)
			call_drop(w->watchers[i].call);
		w->watchers[i].call = NULL;
	}
}
