/* Changes of membership: an operator that adds, promotes and removes members and moves the leadership, one request at a time, at whatever
 * member there is. What it does not hear of may have happened all the same; the members themselves say what they are. */
#include "world.h"

#include <stdio.h>

enum admin_kind { ADMIN_NONE, ADMIN_ADD, ADMIN_PROMOTE, ADMIN_REMOVE, ADMIN_MOVE, ADMIN_UPDATE, ADMIN_DOWNGRADE };

static const struct call_handler handler;

/* The membership as the member sees it that has applied most. */
static void list_members(struct world *w, struct buf *out)
{
	uint64_t applied = 0;

	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];
		const struct publication *p;

		if (!s->node)
			continue;
		p = node_view(s->node);
		if (p->applied_index >= applied && p->members->size) {
			applied = p->applied_index;
			buf_clear(out);
			buf_put_slice(out, blob_slice(p->members));
		}
		node_leave(s->node);
	}
}

struct listed {
	uint64_t id;
	struct slice url, other_url;
	bool is_learner;
};

/* Member {ID 1, name 2, peerURLs 3, clientURLs 4, isLearner 5} */
static struct listed member_of(struct slice s)
{
	struct pb_reader r = pb_reader_of(s);
	struct listed m = {0};
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number == 1)
			m.id = f.value;
		else if (f.number == 3 && !m.url.size)
			m.url = f.bytes;                /* they are sorted: the site's, then perhaps its other one */
		else if (f.number == 3)
			m.other_url = f.bytes;
		else if (f.number == 5)
			m.is_learner = f.value;
	}
	return m;
}

static bool find(struct world *w, const char *url, struct listed *out)
{
	struct buf b;
	struct pb_reader r;
	struct pb_field f;
	bool found = false;

	buf_init(&b, 1 << 20);
	list_members(w, &b);
	r = pb_reader_of(buf_slice(&b));
	while (!found && pb_next(&r, &f)) {
		*out = member_of(f.bytes);
		found = slice_eq(out->url, slice_str(url));
	}
	buf_fini(&b);
	return found;
}

char *members_initial_cluster(struct site *s)
{
	struct world *w = s->w;
	char *text = mem_strdup("");
	struct buf b;
	struct pb_reader r;
	struct pb_field f;

	buf_init(&b, 1 << 20);
	list_members(w, &b);
	r = pb_reader_of(buf_slice(&b));
	while (pb_next(&r, &f)) {
		struct listed m = member_of(f.bytes);

		for (unsigned i = 0; i < w->site_count; i++) {
			char *longer;

			if (!slice_eq(m.url, slice_str(w->sites[i].url)))
				continue;
			longer = mem_printf("%s%s%s=%s", text, text[0] ? "," : "", w->sites[i].name, w->sites[i].url);
			mem_free(text);
			text = longer;
			if (!m.other_url.size)
				continue;
			longer = mem_printf("%s,%s=%s", text, w->sites[i].name, w->sites[i].other_url);
			mem_free(text);
			text = longer;
		}
	}
	buf_fini(&b);
	return text;
}

/* ---- requests ---- */

static void ask(struct world *w, struct site *at, enum admin_kind kind, struct site *target)
{
	static const enum rpc methods[] = {[ADMIN_ADD] = RPC_MEMBER_ADD, [ADMIN_PROMOTE] = RPC_MEMBER_PROMOTE,
					   [ADMIN_REMOVE] = RPC_MEMBER_REMOVE, [ADMIN_MOVE] = RPC_MOVE_LEADER,
					   [ADMIN_UPDATE] = RPC_MEMBER_UPDATE, [ADMIN_DOWNGRADE] = RPC_DOWNGRADE};
	struct buf b;

	buf_init(&b, 1024);
	if (kind == ADMIN_ADD) {
		pb_put_bytes(&b, 1, slice_str(target->url));
		pb_put_uint(&b, 2, chance(w, 60));              /* isLearner */
	} else if (kind == ADMIN_DOWNGRADE) {
		pb_put_uint(&b, 1, draw(w, 3));                 /* validate, enable, cancel */
		pb_put_bytes(&b, 2, SLICE_LIT("3.6.0"));
	} else {
		pb_put_uint(&b, 1, target->member_id);
	}
	if (kind == ADMIN_UPDATE) {
		pb_put_bytes(&b, 2, slice_str(target->url));
		if (chance(w, 50))
			pb_put_bytes(&b, 2, slice_str(target->other_url));
	}
	w->admin.kind = kind;
	w->admin.target = target;
	w->admin.until_ns = now_ns(w) + 10 * S;
	w->admin.call = call_begin(at, methods[kind], buf_slice(&b), &handler, w);
	buf_fini(&b);
}

static void on_message(void *arg, struct sim_call *c, struct slice message)
{
}

static void on_end(void *arg, struct sim_call *c, err_t err, bool lost)
{
	struct world *w = arg;

	w->admin.call = NULL;
	if (!err && !lost)
		*(w->admin.kind == ADMIN_MOVE ? &w->count.transfers : &w->count.member_changes) += 1;
}

static const struct call_handler handler = {on_message, on_end};

static void add(struct world *w)
{
	struct site *at = site_random(w), *s;

	if (!at || w->site_count == SITES_MAX)
		return;
	s = site_new(w);
	s->joined = true;
	ask(w, at, ADMIN_ADD, s);
}

static struct site *some_member(struct world *w)
{
	struct site *s = &w->sites[draw(w, w->site_count)];

	return s->exists && !s->removed ? s : NULL;
}

static void promote(struct world *w)
{
	struct site *at = site_random(w);

	for (unsigned i = 0; at && i < w->site_count; i++) {
		struct listed m;

		if (w->sites[i].exists && find(w, w->sites[i].url, &m) && m.is_learner) {
			ask(w, at, ADMIN_PROMOTE, &w->sites[i]);
			return;
		}
	}
}

static unsigned member_count(struct world *w)
{
	unsigned count = 0;
	struct listed m;

	for (unsigned i = 0; i < w->site_count; i++)
		count += find(w, w->sites[i].url, &m);
	return count;
}

/* The operator waits until the cluster has its version: whoever joins before is refused as incompatible, by etcd too. */
static bool has_version(struct site *s)
{
	bool has = node_view(s->node)->cluster_version[0];

	node_leave(s->node);
	return has;
}

void members_step(struct world *w)
{
	struct site *at = site_random(w), *target = some_member(w);

	if (w->admin.call && now_ns(w) > w->admin.until_ns) {
		call_drop(w->admin.call);
		w->admin.call = NULL;
	}
	if (w->admin.call || !at || !has_version(at))
		return;
	switch (draw(w, w->site_count == 1 ? 1 : 7)) {
	case 0:
		add(w);
		break;
	case 1:
		if (target && member_count(w) > 2)
			ask(w, at, ADMIN_REMOVE, target);
		break;
	case 2:
	case 3:
		promote(w);
		break;
	case 4:
		if (target)
			ask(w, at, ADMIN_UPDATE, target);
		break;
	case 5:
		ask(w, at, ADMIN_DOWNGRADE, at);
		break;
	default:
		if (target && site_leader(w))
			ask(w, site_leader(w), ADMIN_MOVE, target);
	}
}

void members_start_joined(struct world *w)
{
	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];
		struct listed m;

		if (!s->joined || s->exists || s->removed || !find(w, s->url, &m))
			continue;
		s->member_id = m.id;
		if (!site_start(s))
			site_end(s, true);
	}
}

/* Who is no member any more, and did not hear of it, is taken away. */
void members_settle(struct world *w)
{
	if (w->admin.call)
		call_drop(w->admin.call);
	w->admin.call = NULL;
	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];
		struct listed m;

		if (s->removed || find(w, s->url, &m))
			continue;
		if (s->node)
			site_end(s, false);
		s->removed = true;
		s->exists = false;
	}
}
