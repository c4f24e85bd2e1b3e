#include "ctl/mutex.h"

#include <inttypes.h>

/* --- the key --- */

static Etcdserverpb__Compare created_at(struct slice key, int64_t revision)
{
	Etcdserverpb__Compare m = ETCDSERVERPB__COMPARE__INIT;

	m.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL;
	m.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
	m.key = pb_binary(key);
	m.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
	m.create_revision = revision;
	return m;
}

/* Puts the key unless it is there. */
static int enter(struct turn *t, const char *value)
{
	Etcdserverpb__Compare absent = created_at(t->key, 0), *compares[] = {&absent};
	Etcdserverpb__PutRequest put_it = ETCDSERVERPB__PUT_REQUEST__INIT;
	Etcdserverpb__RangeRequest get_it = ETCDSERVERPB__RANGE_REQUEST__INIT;
	Etcdserverpb__RequestOp then = ETCDSERVERPB__REQUEST_OP__INIT, other = ETCDSERVERPB__REQUEST_OP__INIT;
	Etcdserverpb__RequestOp *thens[] = {&then}, *others[] = {&other};
	Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
	Etcdserverpb__TxnResponse *resp;

	put_it.key = get_it.key = pb_binary(t->key);
	put_it.value = pb_binary(slice_str(value));
	put_it.lease = t->session.id;
	then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
	then.request_put = &put_it;
	other.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
	other.request_range = &get_it;
	txn.compare = compares;
	txn.success = thens;
	txn.failure = others;
	txn.n_compare = txn.n_success = txn.n_failure = 1;
	if (!ctl_call(t->c, RPC_TXN, &txn.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(t->c, EXIT_ERROR, "", "");
	t->revision = t->got_revision = resp->header ? resp->header->revision : 0;
	return 0;
}

int turn_begin(struct turn *t, struct ctl *c, const char *name, const char *value, int64_t ttl)
{
	int code;

	*t = (struct turn){.c = c};
	code = session_begin(&t->session, c, ttl);
	if (code)
		return code;
	signals_begin(&t->signals, c);
	t->prefix = slice_str(ctl_copy(c, "%s/", name));
	t->key = slice_str(ctl_copy(c, "%s/%" PRIx64, name, (uint64_t)t->session.id));
	code = enter(t, value);
	if (code)
		turn_end(t);
	return code;
}

int turn_leave(struct turn *t)
{
	Etcdserverpb__Compare ours = created_at(t->key, t->revision), *compares[] = {&ours};
	Etcdserverpb__DeleteRangeRequest delete_it = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	Etcdserverpb__RequestOp then = ETCDSERVERPB__REQUEST_OP__INIT, *thens[] = {&then};
	Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
	Etcdserverpb__TxnResponse *resp;

	signals_ignore(&t->signals);
	delete_it.key = pb_binary(t->key);
	then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
	then.request_delete_range = &delete_it;
	txn.compare = compares;
	txn.success = thens;
	txn.n_compare = txn.n_success = 1;
	if (!ctl_call(t->c, RPC_TXN, &txn.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(t->c, EXIT_ERROR, "", "");
	return 0;
}

void turn_end(struct turn *t)
{
	signals_end(&t->signals);
	session_end(&t->session);
}

/* --- waiting --- */

static bool range_one(struct ctl *c, struct slice prefix, Etcdserverpb__RangeRequest__SortOrder order,
		      int64_t max_create, Etcdserverpb__RangeResponse **resp)
{
	Etcdserverpb__RangeRequest req = ETCDSERVERPB__RANGE_REQUEST__INIT;

	req.key = pb_binary(prefix);
	req.range_end = pb_binary(prefix_end(c, prefix));
	req.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE;
	req.sort_order = order;
	req.limit = 1;
	req.max_create_revision = max_create;
	return ctl_call(c, RPC_RANGE, &req.base, CTL_NO_TIMEOUT, resp);
}

bool first_created(struct ctl *c, struct slice prefix, Etcdserverpb__RangeResponse **resp)
{
	return range_one(c, prefix, ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND, 0, resp);
}

struct deletion {
	bool done;
	bool gone;
	struct client_status error;
};

static void on_response(struct client_watch *w, void *user, struct slice body)
{
	struct deletion *d = user;
	Etcdserverpb__WatchResponse *r;
	struct arena a;

	arena_init(&a, 1 << 26);
	if (!pb_unpack(&a, &etcdserverpb__watch_response__descriptor, body, &r)) {
		for (size_t i = 0; i < r->n_events; i++) {
			if (r->events[i]->type == MVCCPB__EVENT__EVENT_TYPE__DELETE)
				d->gone = d->done = true;
		}
	}
	arena_fini(&a);
}

static void on_end(struct client_watch *w, void *user, const struct client_status *s)
{
	struct deletion *d = user;

	d->error = *s;
	d->done = true;
}

/* Until the key is deleted; 0, exit code, or -1 after a signal. */
static int wait_deleted(struct turn *t, struct slice key, int64_t revision)
{
	static const struct client_watch_events events = {on_response, on_end};
	struct client_watch_opts o = {.key = key, .start_revision = revision};
	struct deletion d = {0};
	struct client_watch *w = client_watch_open(t->c->client, &o, &events, &d);
	bool done = client_wait(t->c->client, &d.done, 0);

	client_watch_close(w);
	if (!done)
		return -1;
	if (d.gone)
		return 0;
	t->c->status = d.error;
	return ctl_call_failed(t->c, EXIT_ERROR, "", "");
}

static int interrupted(struct turn *t)
{
	int code = turn_leave(t);

	return code ? code : ctl_fail(EXIT_ERROR, "context canceled");
}

int turn_wait(struct turn *t)
{
	for (;;) {
		Etcdserverpb__RangeResponse *before;
		struct slice key;
		int code;

		if (!range_one(t->c, t->prefix, ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND, t->revision - 1,
			       &before))
			return t->signals.came ? interrupted(t) : ctl_call_failed(t->c, EXIT_ERROR, "", "");
		if (!before->n_kvs) {
			t->got_revision = before->header ? before->header->revision : t->got_revision;
			return 0;
		}
		/* Its bytes are those of the response: the next call would take them. */
		ASSERT(arena_copy(&t->c->arena, pb_slice(before->kvs[0]->key), &key));
		code = wait_deleted(t, key, before->header ? before->header->revision : 0);
		if (code < 0)
			return interrupted(t);
		if (code)
			return code;
	}
}

int turn_print(struct turn *t, const char *missing)
{
	Etcdserverpb__RangeRequest req = ETCDSERVERPB__RANGE_REQUEST__INIT;
	Etcdserverpb__RangeResponse *resp;
	int code;

	req.key = pb_binary(t->key);
	if (!ctl_call(t->c, RPC_RANGE, &req.base, CTL_NO_TIMEOUT, &resp))
		return t->signals.came ? interrupted(t) : ctl_call_failed(t->c, EXIT_ERROR, "", "");
	if (missing && !resp->n_kvs)
		return ctl_fail(EXIT_ERROR, "%s", missing);
	code = out_get(t->c, resp);
	ctl_flush(t->c);
	return code;
}

bool turn_hold(struct turn *t)
{
	while (!t->session.over && !t->signals.came)
		client_wait(t->c->client, &t->session.over, 0);
	return t->signals.came;
}
