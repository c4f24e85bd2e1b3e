/* lease grant, revoke, timetolive, list, keep-alive. */
#include <inttypes.h>

#include "ctl/session.h"

/* The id of the only operand. */
static int lease_of(struct ctl *c, const char *need, int64_t *id)
{
	struct why why;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "%s", need);
	if (ctl_parse_int(c->args[0], 16, id, &why))
		return ctl_fail(EXIT_ARGS, "bad lease ID arg (%s), expecting ID in Hex", why.text);
	return 0;
}

/* Lease responses are flat: the header's fields, then their own. */
static void flat_json_open(struct out_json *j, const Etcdserverpb__ResponseHeader *h)
{
	out_json_open(j, '{');
	if (h)
		json_fields(j, &h->base);
}

/* Text forms and json are the caller's; false for the others: a table is refused, and in protobuf upstream's client has
 * nothing but the header. */
static bool is_text_or_json(struct ctl *c, const Etcdserverpb__ResponseHeader *h, int *code)
{
	*code = EXIT_OK;
	if (c->format == OUT_TABLE)
		*code = out_unsupported("table");
	else if (c->format == OUT_PROTOBUF && h)
		out_protobuf(c, &h->base);
	return c->format != OUT_TABLE && c->format != OUT_PROTOBUF;
}

/* --- grant --- */

static void print_grant(struct ctl *c, const Etcdserverpb__LeaseGrantResponse *r)
{
	struct out_json j = {.out = &c->out};

	if (c->format == OUT_FIELDS) {
		fields_header(c, r->header);
		fields_id(c, "ID", (uint64_t)r->id, true);
		out_field(&c->out, "TTL", "%" PRId64, r->ttl);
	} else if (c->format == OUT_JSON) {
		flat_json_open(&j, r->header);
		out_json_key(&j, "ID");
		out_json_int(&j, r->id);
		out_json_key(&j, "TTL");
		out_json_int(&j, r->ttl);
		out_json_key(&j, "Error");
		out_json_str(&j, slice_str(r->error));
		out_json_close(&j, '}');
		put(c, "\n");
	} else {
		put(c, "lease %016" PRIx64 " granted with TTL(%" PRId64 "s)\n", (uint64_t)r->id, r->ttl);
	}
}

RUN(lease_grant)
{
	struct ctl *c = cli->user;
	Etcdserverpb__LeaseGrantRequest req = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
	Etcdserverpb__LeaseGrantResponse *resp;
	struct why why;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "lease grant command needs TTL argument");
	if (ctl_parse_int(c->args[0], 10, &req.ttl, &why))
		return ctl_fail(EXIT_ARGS, "bad TTL (%s)", why.text);
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_LEASE_GRANT, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "failed to grant lease (", ")");
	if (is_text_or_json(c, resp->header, &code))
		print_grant(c, resp);
	return code;
}

/* --- revoke --- */

RUN(lease_revoke)
{
	struct ctl *c = cli->user;
	Etcdserverpb__LeaseRevokeRequest req = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
	Etcdserverpb__LeaseRevokeResponse *resp;
	bool done;
	int code = lease_of(c, "lease revoke command needs 1 argument", &req.id);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_LEASE_REVOKE, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "failed to revoke lease (", ")");
	code = out_plain(c, &resp->base, resp->header, &done);
	if (!done)
		put(c, "lease %016" PRIx64 " revoked\n", (uint64_t)req.id);
	return code;
}

/* --- timetolive --- */

static void ttl_json(struct ctl *c, const Etcdserverpb__LeaseTimeToLiveResponse *r)
{
	struct out_json j = {.out = &c->out};

	flat_json_open(&j, r->header);
	out_json_key(&j, "id");
	out_json_int(&j, r->id);
	out_json_key(&j, "ttl");
	out_json_int(&j, r->ttl);
	out_json_key(&j, "granted-ttl");
	out_json_int(&j, r->grantedttl);
	out_json_key(&j, "keys");
	if (!r->n_keys)
		out_json_null(&j);
	else
		out_json_open(&j, '[');
	for (size_t i = 0; i < r->n_keys; i++)
		out_json_base64(&j, pb_slice(r->keys[i]));
	if (r->n_keys)
		out_json_close(&j, ']');
	out_json_close(&j, '}');
	put(c, "\n");
}

static void ttl_simple(struct ctl *c, const Etcdserverpb__LeaseTimeToLiveResponse *r)
{
	if (r->grantedttl == 0 && r->ttl == -1) {
		put(c, "lease %016" PRIx64 " already expired\n", (uint64_t)r->id);
		return;
	}
	put(c, "lease %016" PRIx64 " granted with TTL(%" PRId64 "s), remaining(%" PRId64 "s)", (uint64_t)r->id,
	    r->grantedttl, r->ttl);
	if (c->o.keys) {
		put(c, ", attached keys([");
		for (size_t i = 0; i < r->n_keys; i++) {
			put(c, i ? " " : "");
			buf_put_slice(&c->out, pb_slice(r->keys[i]));
		}
		put(c, "])");
	}
	put(c, "\n");
}

RUN(lease_timetolive)
{
	struct ctl *c = cli->user;
	Etcdserverpb__LeaseTimeToLiveRequest req = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
	Etcdserverpb__LeaseTimeToLiveResponse *resp;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "lease timetolive command needs lease ID as argument");
	/* The id is looked at after the client is there, as upstream does. */
	code = ctl_connect(c);
	if (!code)
		code = lease_of(c, "", &req.id);
	if (code)
		return code;
	req.keys = c->o.keys;
	if (!ctl_call(c, RPC_LEASE_TIME_TO_LIVE, &req.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_CONNECTION, "", "");
	if (!is_text_or_json(c, resp->header, &code))
		return code;
	if (c->format == OUT_JSON) {
		ttl_json(c, resp);
	} else if (c->format == OUT_FIELDS) {
		fields_header(c, resp->header);
		fields_id(c, "ID", (uint64_t)resp->id, true);
		out_field(&c->out, "TTL", "%" PRId64, resp->ttl);
		out_field(&c->out, "GrantedTTL", "%" PRId64, resp->grantedttl);
		for (size_t i = 0; i < resp->n_keys; i++)
			out_field_quoted(&c->out, "Key", pb_slice(resp->keys[i]));
	} else {
		ttl_simple(c, resp);
	}
	return EXIT_OK;
}

/* --- list --- */

static void list_json(struct ctl *c, const Etcdserverpb__LeaseLeasesResponse *r)
{
	struct out_json j = {.out = &c->out};

	flat_json_open(&j, r->header);
	out_json_key(&j, "leases");
	out_json_open(&j, '[');
	for (size_t i = 0; i < r->n_leases; i++) {
		out_json_open(&j, '{');
		out_json_key(&j, "id");
		out_json_int(&j, r->leases[i]->id);
		out_json_close(&j, '}');
	}
	out_json_close(&j, ']');
	out_json_close(&j, '}');
	put(c, "\n");
}

RUN(lease_list)
{
	struct ctl *c = cli->user;
	Etcdserverpb__LeaseLeasesRequest req = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
	Etcdserverpb__LeaseLeasesResponse *resp;
	int code = ctl_connect(c);

	if (code)
		return code;
	if (!ctl_call(c, RPC_LEASE_LEASES, &req.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_CONNECTION, "", "");
	if (!is_text_or_json(c, resp->header, &code))
		return code;
	if (c->format == OUT_JSON) {
		list_json(c, resp);
		return EXIT_OK;
	}
	if (c->format == OUT_FIELDS)
		fields_header(c, resp->header);
	else
		put(c, "found %zu leases\n", resp->n_leases);
	for (size_t i = 0; i < resp->n_leases; i++) {
		if (c->format == OUT_FIELDS)
			fields_id(c, "ID", (uint64_t)resp->leases[i]->id, true);
		else
			put(c, "%016" PRIx64 "\n", (uint64_t)resp->leases[i]->id);
	}
	return EXIT_OK;
}

/* --- keep-alive --- */

static int print_keep_alive(struct ctl *c, const Etcdserverpb__LeaseKeepAliveResponse *r)
{
	struct out_json j = {.out = &c->out};
	int code;

	if (!is_text_or_json(c, r->header, &code)) {
		ctl_flush(c);
		return code;
	}
	if (c->format == OUT_JSON) {
		flat_json_open(&j, r->header);
		out_json_key(&j, "ID");
		out_json_int(&j, r->id);
		out_json_key(&j, "TTL");
		out_json_int(&j, r->ttl);
		out_json_close(&j, '}');
		put(c, "\n");
	} else if (c->format == OUT_FIELDS) {
		fields_header(c, r->header);
		fields_id(c, "ID", (uint64_t)r->id, true);
		out_field(&c->out, "TTL", "%" PRId64, r->ttl);
	} else {
		put(c, "lease %016" PRIx64 " keepalived with TTL(%" PRId64 ")\n", (uint64_t)r->id, r->ttl);
	}
	ctl_flush(c);
	return EXIT_OK;
}

RUN(lease_keep_alive)
{
	struct ctl *c = cli->user;
	struct session s;
	int64_t id;
	int code = lease_of(c, "lease keep-alive command needs lease ID as argument", &id);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	session_join(&s, c, id);
	for (;;) {
		const Etcdserverpb__LeaseKeepAliveResponse *r;
		enum session_event e = session_next(&s, &r);

		if (e == SESSION_RENEWED)
			code = print_keep_alive(c, r);
		if (e != SESSION_RENEWED || code || c->o.once) {
			if (e == SESSION_FAILED)
				code = ctl_call_failed(c, EXIT_CONNECTION, "", "");
			else if (e == SESSION_LOST && c->o.once)
				code = ctl_fail(EXIT_CONNECTION, "etcdserver: requested lease not found");
			else if (e == SESSION_LOST && c->format == OUT_SIMPLE)
				put(c, "lease %016" PRIx64 " expired or revoked.\n", (uint64_t)id);
			break;
		}
	}
	session_end(&s);
	return code;
}
