/* Clients: one call at a time each, of all kinds, to any member; what comes back is checked at once. */
#include "world.h"

#include <stdio.h>

enum { MESSAGE_MAX = 64 << 20, BODY_MAX = 1 << 20 };

static const struct call_handler handler;

/* ---- requests ---- */

static struct slice some_key(struct world *w, char out[8])
{
	snprintf(out, 8, "k%u", (unsigned)draw(w, w->k.keys));
	return slice_str(out);
}

/* key 1, range_end 2. */
static void put_range(struct world *w, struct buf *b, unsigned range_percent)
{
	char key[8], end[8];

	some_key(w, key);
	pb_put_bytes(b, 1, slice_str(key));
	if (!chance(w, range_percent))
		return;
	switch (draw(w, 3)) {
	case 0:
		some_key(w, end);
		if (w->k.rights && strcmp(key, end) >= 0)       /* nothing: what is asked of rights then is another matter */
			strcpy(end, "l");
		pb_put_bytes(b, 2, slice_str(end));
		break;
	case 1: pb_put_bytes(b, 2, SLICE_LIT("l")); break;
	default: pb_put_bytes(b, 2, slice_of("", 1)); break;
	}
}

static int64_t some_rev(struct world *w)
{
	int64_t rev = w->model.twin.rev, back = 1 + (int64_t)draw(w, 60);

	return chance(w, 10) ? rev + (int64_t)draw(w, 5) : MAX(rev - back, 1);
}

static void range_body(struct world *w, struct buf *b)
{
	put_range(w, b, 50);
	if (chance(w, 30))
		pb_put_uint(b, 3, 1 + draw(w, 5));              /* limit */
	if (chance(w, 25))
		pb_put_uint(b, 4, (uint64_t)some_rev(w));       /* revision */
	if (chance(w, 15)) {
		pb_put_uint(b, 5, draw(w, 3));                  /* sort_order */
		pb_put_uint(b, 6, draw(w, 5));                  /* sort_target */
	}
	if (chance(w, 10))
		pb_put_uint(b, 8, 1);                           /* keys_only */
	if (chance(w, 10))
		pb_put_uint(b, 9, 1);                           /* count_only */
	if (chance(w, 5))
		pb_put_uint(b, 10 + (uint32_t)draw(w, 4), (uint64_t)some_rev(w));
}

static int64_t some_lease(struct client *c)
{
	int64_t l = c->leases[draw(c->w, ARRAY_COUNT(c->leases))];

	return l ? l : c->leases[0];
}

static void put_body(struct client *c, struct buf *b, unsigned key)
{
	struct world *w = c->w;
	uint8_t value[20008];
	size_t size = 8 + draw(w, w->k.value_bytes_max - 7);
	char text[8];

	snprintf(text, sizeof(text), "k%u", key);
	pb_put_bytes(b, 1, slice_str(text));
	if (chance(w, 3)) {
		pb_put_uint(b, 5, 1);                           /* ignore_value */
	} else {
		memset(value, 'v', size);
		w->next_value++;
		memcpy(value, &w->next_value, 8);
		pb_put_bytes(b, 2, slice_of(value, size));
	}
	if (chance(w, 15))
		pb_put_uint(b, 3, (uint64_t)some_lease(c));
	else if (chance(w, 3))
		pb_put_uint(b, 6, 1);                           /* ignore_lease */
	pb_put_uint(b, 4, chance(w, 20));                       /* prev_kv */
}

static void compare_body(struct world *w, struct buf *b)
{
	static const uint32_t unions[] = {4, 5, 6, 7, 8};
	unsigned target = (unsigned)draw(w, 4);
	char key[8];

	pb_put_uint(b, 1, draw(w, 4));                          /* result */
	pb_put_uint(b, 2, target);
	pb_put_bytes(b, 3, some_key(w, key));
	if (target == 3)
		pb_put_bytes(b, 7, slice_of(&w->next_value, 8));
	else
		pb_put_uint(b, unions[target], target ? (uint64_t)some_rev(w) : draw(w, 5));
	if (chance(w, 15))
		pb_put_bytes(b, 64, SLICE_LIT("l"));            /* range_end */
}

static void txn_body(struct client *c, struct buf *b, unsigned depth, bool writes);

/* used: keys that an earlier operation of the branch puts. */
static void op_body(struct client *c, struct buf *b, unsigned depth, bool writes, uint32_t *used)
{
	struct world *w = c->w;
	uint64_t dice = writes ? draw(w, 100) : 99;
	unsigned key = (unsigned)draw(w, w->k.keys);
	size_t mark;

	if (dice < 50 && !(*used & 1u << key)) {
		*used |= 1u << key;
		mark = pb_begin(b, 2);
		put_body(c, b, key);
	} else if (dice < 60) {
		mark = pb_begin(b, 3);
		put_range(w, b, 10);
		pb_put_uint(b, 3, chance(w, 30));               /* prev_kv */
	} else if (dice < 65 && depth < 2) {
		mark = pb_begin(b, 4);
		txn_body(c, b, depth + 1, writes);
	} else {
		mark = pb_begin(b, 1);
		range_body(w, b);
	}
	pb_end(b, mark);
}

static void txn_body(struct client *c, struct buf *b, unsigned depth, bool writes)
{
	struct world *w = c->w;
	uint64_t n = draw(w, 3);
	size_t mark;

	for (uint64_t i = 0; i < n; i++) {
		mark = pb_begin(b, 1);
		compare_body(w, b);
		pb_end(b, mark);
	}
	for (uint32_t branch = 2; branch <= 3; branch++) {
		uint32_t used = 0;

		n = draw(w, 4);
		for (uint64_t i = 0; i < n; i++) {
			mark = pb_begin(b, branch);
			op_body(c, b, depth, writes, &used);
			pb_end(b, mark);
		}
	}
}

static void alarm_off_body(struct world *w, struct buf *b)
{
	pb_put_uint(b, 1, 2);
	pb_put_uint(b, 2, w->model.nospace.at[0]);
	pb_put_uint(b, 3, ALARM_NOSPACE);
}

static void lease_question(struct client *c, struct op *op, struct buf *b)
{
	op->lease = some_lease(c);
	pb_put_uint(b, 1, (uint64_t)op->lease);
}

/* Drawn operations may turn out to be reads only; the empty txn counts as serializable. */
static void txn_kind(struct world *w, struct op *op, const struct buf *b)
{
	struct txn_req q;

	ASSERT(txn_req_parse(&w->model.arena, buf_slice(b), &q) == OK);
	op->in_log = !txn_req_is_read_only(&q);
	op->linearizable = op->in_log || !mvcc_txn_is_serializable(&q);
	arena_reset(&w->model.arena);
}

static void kv_request(struct client *c, struct op *op, struct buf *b)
{
	struct world *w = c->w;
	uint64_t dice = draw(w, 100);

	op->linearizable = op->in_log = true;
	if (dice < 45) {
		op->method = RPC_PUT;
		put_body(c, b, (unsigned)draw(w, w->k.keys));
	} else if (dice < 53) {
		op->method = RPC_DELETE_RANGE;
		put_range(w, b, 15);
		pb_put_uint(b, 3, chance(w, 30));
	} else if (dice < 68) {
		op->method = RPC_TXN;
		txn_body(c, b, 0, chance(w, 80));
		txn_kind(w, op, b);
	} else if (dice < 71) {
		op->method = RPC_COMPACT;
		pb_put_uint(b, 1, (uint64_t)(chance(w, 20) ? w->model.twin.rev + (int64_t)draw(w, 3) : some_rev(w)));
		pb_put_uint(b, 2, chance(w, 30));               /* physical */
	} else {
		op->method = chance(w, 85) ? RPC_RANGE : RPC_RANGE_STREAM;
		op->in_log = false;
		if (op->method == RPC_RANGE)
			range_body(w, b);
		else
			put_range(w, b, 80);
		op->linearizable = !chance(w, 20);
		pb_put_uint(b, 7, !op->linearizable);
	}
}

static void put_name(struct world *w, struct buf *b, uint32_t field, char kind)
{
	char name[3] = {kind, (char)('0' + draw(w, 4)), 0};

	pb_put_bytes(b, field, w->k.rights && chance(w, 15) ? SLICE_LIT("root") : slice_str(name));
}

/* The permission for a key: its end is drawn, or the one that rights.h wants. */
static void put_permission(struct world *w, struct buf *b, uint32_t field)
{
	struct slice end;
	char key[8];

	some_key(w, key);
	pb_put_bytes(b, field, slice_str(key));
	end = w->k.rights ? rights_end((unsigned)(key[1] - '0')) : chance(w, 40) ? SLICE_LIT("l") : (struct slice){0};
	if (end.size)
		pb_put_bytes(b, field + 1, end);
}

/* A step on the way to authentication that is on, or off again. */
static bool rights_request(struct world *w, struct op *op, struct buf *b)
{
	static const enum rpc methods[] = {RPC_AUTH_ENABLE, RPC_AUTH_DISABLE, RPC_USER_ADD, RPC_USER_GRANT_ROLE};
	uint64_t dice = draw(w, 100);

	if (!w->k.rights || dice >= 40)
		return false;
	op->method = methods[dice < 20 ? 0 : dice < 22 ? 1 : dice < 30 ? 2 : 3];
	if (op->method == RPC_USER_ADD || op->method == RPC_USER_GRANT_ROLE)
		pb_put_bytes(b, 1, SLICE_LIT("root"));
	if (op->method == RPC_USER_GRANT_ROLE)
		pb_put_bytes(b, 2, SLICE_LIT("root"));
	return true;
}

/* Users and roles: all that the log changes. Where the model has no rights, what became of them is compared in the end (check.c). */
static void auth_request(struct client *c, struct op *op, struct buf *b)
{
	static const enum rpc methods[] = {RPC_USER_ADD, RPC_USER_DELETE, RPC_USER_GRANT_ROLE, RPC_USER_REVOKE_ROLE, RPC_ROLE_ADD, RPC_ROLE_ADD,
					   RPC_ROLE_DELETE, RPC_ROLE_GRANT_PERMISSION, RPC_ROLE_GRANT_PERMISSION, RPC_ROLE_REVOKE_PERMISSION};
	struct world *w = c->w;
	bool drawn = rights_request(w, op, b);
	size_t mark;

	op->in_log = op->linearizable = w->k.rights;
	if (!drawn) {
		op->method = methods[draw(w, ARRAY_COUNT(methods))];
		put_name(w, b, 1, op->method >= RPC_ROLE_ADD ? 'r' : 'u');
	}
	switch (op->method) {
	case RPC_USER_ADD:
		mark = pb_begin(b, 3);
		pb_put_uint(b, 1, 1);                           /* no_password: no bcrypt */
		if (w->k.rights)
			pb_put_uint(b, MODEL_TAG_FIELD, c->op);
		pb_end(b, mark);
		break;
	case RPC_USER_GRANT_ROLE:
	case RPC_USER_REVOKE_ROLE:
		if (!drawn)
			put_name(w, b, 2, 'r');
		break;
	case RPC_ROLE_GRANT_PERMISSION:
		mark = pb_begin(b, 2);
		pb_put_uint(b, 1, draw(w, 3));
		put_permission(w, b, 2);
		pb_end(b, mark);
		break;
	case RPC_ROLE_REVOKE_PERMISSION:
		put_permission(w, b, 2);
		break;
	default:
		break;
	}
}

static void other_request(struct client *c, struct op *op, struct buf *b)
{
	struct world *w = c->w;
	uint64_t dice = draw(w, 100);

	if (chance(w, w->k.rights ? 50 : 15)) {
		auth_request(c, op, b);
		return;
	}
	if (w->model.nospace.count && chance(w, 50)) {
		op->method = RPC_ALARM;
		op->in_log = op->linearizable = true;
		alarm_off_body(w, b);
	} else if (dice < 25) {
		op->method = RPC_LEASE_GRANT;
		op->in_log = op->linearizable = true;
		op->lease = (int64_t)c->op;
		pb_put_uint(b, 1, 1 + draw(w, 8));
		pb_put_uint(b, 2, (uint64_t)op->lease);
	} else if (dice < 70 && c->leases[0]) {
		op->method = RPC_LEASE_KEEP_ALIVE;
		lease_question(c, op, b);
	} else if (dice < 75 && c->leases[0]) {
		op->method = RPC_LEASE_REVOKE;
		op->in_log = op->linearizable = true;
		lease_question(c, op, b);
	} else if (dice < 80 && c->leases[0]) {
		op->method = RPC_LEASE_TIME_TO_LIVE;
		lease_question(c, op, b);
		pb_put_uint(b, 2, 1);
	} else if (dice < 83) {
		op->method = RPC_DEFRAGMENT;
	} else if (dice < 90) {
		op->method = RPC_HASH_KV;
		pb_put_uint(b, 1, chance(w, 50) ? (uint64_t)some_rev(w) : 0);
	} else if (dice < 92) {
		op->method = RPC_SNAPSHOT;
	} else if (dice < 95) {
		op->method = RPC_LEASE_LEASES;
	} else {
		op->method = RPC_STATUS;
	}
}

/* ---- life of a call ---- */

static size_t op_new(struct world *w)
{
	if (w->op_count == w->op_room) {
		w->op_room = w->op_room * 2 + 64;
		w->ops = mem_realloc(w->ops, w->op_room * sizeof(*w->ops));
	}
	w->ops[w->op_count] = (struct op){.start_ns = now_ns(w), .rev_floor = w->rev_floor, .index_floor = w->index_floor,
					  .compact_floor = w->compact_floor};
	VEC_PUSH(&w->model.results, (struct model_result){0});
	return w->op_count++;
}

static void later(struct client *c)
{
	struct world *w = c->w;

	c->call = NULL;
	if (w->quiet)
		return;
	c->go.kind = W_CLIENT_GO;
	world_post(w, &c->go, draw(w, w->k.think_ns));
}

static void set_give_up(struct client *c)
{
	struct world *w = c->w;

	c->give_up_ns = now_ns(w) + S + draw(w, 12 * S);
	if (c->give_up_set)
		return;
	c->give_up_set = true;
	c->give_up.kind = W_CLIENT_GIVE_UP;
	world_post(w, &c->give_up, c->give_up_ns - now_ns(w));
}

void client_give_up(struct client *c)
{
	struct world *w = c->w;

	c->give_up_set = false;
	if (!c->call)
		return;
	if (now_ns(w) < c->give_up_ns) {        /* it was for an earlier call */
		c->give_up_set = true;
		world_post(w, &c->give_up, c->give_up_ns - now_ns(w));
		return;
	}
	w->ops[c->op].end_ns = now_ns(w);
	w->count.lost++;
	call_drop(c->call);
	later(c);
}

void client_go(struct client *c)
{
	struct world *w = c->w;
	struct site *s = &w->sites[draw(w, w->site_count)];
	struct op *op;
	struct buf b;

	if (w->quiet || !s->exists) {
		later(c);
		return;
	}
	buf_init(&b, BODY_MAX);
	c->op = op_new(w);
	op = &w->ops[c->op];
	if (chance(w, 80))
		kv_request(c, op, &b);
	else
		other_request(c, op, &b);
	op->who = !w->k.rights ? RIGHTS_NOBODY : chance(w, 50) ? RIGHTS_ROOT : (unsigned)draw(w, RIGHTS_NOBODY + 1);
	w->model.results.at[c->op].who = op->who;
	if (op->in_log && op->method != RPC_LEASE_GRANT)
		pb_put_uint(&b, MODEL_TAG_FIELD, c->op);
	ASSERT(!buf_failed(&b));
	op->body = blob_copy(buf_slice(&b));
	op->site_floor = s->rev_seen;
	op->life = s->life;
	buf_clear(&c->message);
	c->call = call_begin(s, op->method, buf_slice(&b), &handler, c);
	call_as(c->call, op->who);
	if (w->k.slow_readers && chance(w, 40) && !w->healed)
		call_slow_parts(c->call, 1 + draw(w, 400 * MS));
	set_give_up(c);
	buf_fini(&b);
}

static void lease_note(struct client *c, const struct op *op, err_t err)
{
	if (op->method == RPC_LEASE_GRANT && !err) {
		c->leases[draw(c->w, ARRAY_COUNT(c->leases))] = op->lease;
		c->leases[0] = op->lease;
	}
}

static void on_end(void *arg, struct sim_call *call, err_t err, bool lost)
{
	struct client *c = arg;
	struct world *w = c->w;
	struct op *op = &w->ops[c->op];

	op->end_ns = now_ns(w);
	if (lost) {
		w->count.lost++;
	} else {
		*(err ? &w->count.failed : &w->count.answered) += 1;
		check_answer(w, call_site(call), op, c->op, buf_slice(&c->message), err);
		lease_note(c, op, err);
	}
	later(c);
}

static void on_message(void *arg, struct sim_call *call, struct slice message)
{
	struct client *c = arg;

	/* Messages of a stream are gathered as one: that is how protobuf merges them. */
	if (c->w->ops[c->op].method != RPC_SNAPSHOT)
		buf_put_slice(&c->message, message);
	if (c->w->ops[c->op].method == RPC_LEASE_KEEP_ALIVE) {
		call_drop(call);        /* one answer is enough */
		on_end(c, call, OK, false);
	}
}

static const struct call_handler handler = {on_message, on_end};

void clients_start(struct world *w)
{
	op_new(w);                      /* tag 0 is nobody's */
	for (unsigned i = 0; i < w->k.clients; i++) {
		w->clients[i] = (struct client){.w = w, .id = i};
		buf_init(&w->clients[i].message, MESSAGE_MAX);
		later(&w->clients[i]);
	}
	for (unsigned i = 0; i < w->k.watchers; i++) {
		w->watchers[i] = (struct watcher_client){.w = w, .id = i};
		w->watchers[i].go.kind = W_WATCHER_GO;
		world_post(w, &w->watchers[i].go, draw(w, S));
	}
}
