/* endpoint status, hashkv: each endpoint is asked by a client of its own, one after the other. */
#include <inttypes.h>

#include "ctl/ctl_impl.h"

static const char *yes_no(bool b)
{
	return b ? "true" : "false";
}

/* [{"Endpoint":"…","Status":{…}}]; no endpoint answered: null. */
static void list_json(struct ctl *c, const char *key, const char *const *eps, const ProtobufCMessage *const *messages,
		      size_t count)
{
	struct out_json j = {.out = &c->out};

	if (!count) {
		put(c, "null\n");
		return;
	}
	out_json_open(&j, '[');
	for (size_t i = 0; i < count; i++) {
		out_json_open(&j, '{');
		out_json_key(&j, "Endpoint");
		out_json_str(&j, slice_str(eps[i]));
		out_json_key(&j, key);
		json_message(&j, messages[i]);
		out_json_close(&j, '}');
	}
	out_json_close(&j, ']');
	put(c, "\n");
}

/* Asks every endpoint; messages[i] belongs to eps[i]; those that failed are told on stderr and left out, *failed is why the last of
 * them did, or NULL. */
static int ask_all(struct ctl *c, enum rpc rpc, const ProtobufCMessage *req, const char *what, const char ***eps,
		   const ProtobufCMessage ***messages, size_t *count, const char **failed)
{
	struct endpoints all;
	int code = ctl_setup(c);

	if (!code)
		code = ctl_cluster(c, &all);
	if (code)
		return code;
	*eps = arena_alloc_array(&c->arena, all.count + 1, sizeof(**eps));
	*messages = arena_alloc_array(&c->arena, all.count + 1, sizeof(**messages));
	*count = 0;
	*failed = NULL;
	for (size_t i = 0; i < all.count; i++) {
		code = ctl_connect_to(c, &all.at[i], 1);
		if (code)
			return code;
		if (ctl_call(c, rpc, req, 0, &(*messages)[*count])) {
			(*eps)[(*count)++] = all.at[i];
			continue;
		}
		*failed = ctl_call_error(c);
		fprintf(stderr, "Failed to get the %s of endpoint %s (%s)\n", what, all.at[i], *failed);
	}
	return EXIT_OK;
}

/* --- status --- */

enum { STATUS_COLUMNS = 16 };

static void status_row(struct out_table *t, const char *ep, const Etcdserverpb__StatusResponse *r)
{
	const Etcdserverpb__DowngradeInfo *d = r->downgradeinfo;
	uint64_t member = r->header ? r->header->member_id : 0;
	char size[TEXT_BYTES_SIZE];
	struct buf errors;

	buf_init(&errors, 1 << 20);
	for (size_t i = 0; i < r->n_errors; i++)
		buf_printf(&errors, "%s%s", i ? ", " : "", r->errors[i]);
	out_table_cell(t, "%s", ep);
	out_table_cell(t, "%" PRIx64, member);
	out_table_cell(t, "%s", r->version);
	out_table_cell(t, "%s", r->storageversion);
	out_table_cell(t, "%s", text_bytes(size, (uint64_t)r->dbsize));
	out_table_cell(t, "%s", text_bytes(size, (uint64_t)r->dbsizeinuse));
	out_table_cell(t, "%" PRId64 "%%", r->dbsize ? 100 - r->dbsizeinuse * 100 / r->dbsize : 100);
	out_table_cell(t, "%s", text_bytes(size, (uint64_t)r->dbsizequota));
	out_table_cell(t, "%s", yes_no(r->leader == member));
	out_table_cell(t, "%s", yes_no(r->islearner));
	out_table_cell(t, "%" PRIu64, r->raftterm);
	out_table_cell(t, "%" PRIu64, r->raftindex);
	out_table_cell(t, "%" PRIu64, r->raftappliedindex);
	out_table_cell_slice(t, buf_slice(&errors));
	out_table_cell(t, "%s", d ? d->targetversion : "");
	out_table_cell(t, "%s", yes_no(d && d->enabled));
	buf_fini(&errors);
}

static void status_fields(struct ctl *c, const char *ep, const Etcdserverpb__StatusResponse *r)
{
	const Etcdserverpb__DowngradeInfo *d = r->downgradeinfo;

	fields_header(c, r->header);
	out_field_quoted(&c->out, "Version", slice_str(r->version));
	out_field_quoted(&c->out, "StorageVersion", slice_str(r->storageversion));
	out_field(&c->out, "DBSize", "%" PRId64, r->dbsize);
	out_field(&c->out, "DBSizeInUse", "%" PRId64, r->dbsizeinuse);
	out_field(&c->out, "DBSizeQuota", "%" PRId64, r->dbsizequota);
	out_field(&c->out, "Leader", "%" PRIu64, r->leader);
	out_field(&c->out, "IsLearner", "%s", yes_no(r->islearner));
	out_field(&c->out, "RaftIndex", "%" PRIu64, r->raftindex);
	out_field(&c->out, "RaftTerm", "%" PRIu64, r->raftterm);
	out_field(&c->out, "RaftAppliedIndex", "%" PRIu64, r->raftappliedindex);
	put(c, "\"Errors\" : [");
	for (size_t i = 0; i < r->n_errors; i++)
		put(c, "%s%s", i ? " " : "", r->errors[i]);
	put(c, "]\n");
	out_field_quoted(&c->out, "Endpoint", slice_str(ep));
	out_field_quoted(&c->out, "DowngradeTargetVersion", slice_str(d ? d->targetversion : ""));
	out_field(&c->out, "DowngradeEnabled", "%s", yes_no(d && d->enabled));
	put(c, "\n");
}

RUN(endpoint_status)
{
	static const char *const titles[STATUS_COLUMNS] = {
	    "endpoint",
	    "ID",
	    "version",
	    "storage version",
	    "db size",
	    "in use",
	    "percentage not in use",
	    "quota",
	    "is leader",
	    "is learner",
	    "raft term",
	    "raft index",
	    "raft applied index",
	    "errors",
	    "downgrade target version",
	    "downgrade enabled",
	};
	struct ctl *c = cli->user;
	Etcdserverpb__StatusRequest req = ETCDSERVERPB__STATUS_REQUEST__INIT;
	const ProtobufCMessage **messages;
	const char **eps;
	size_t count;
	const char *failed;
	struct out_table *t;
	int code = ask_all(c, RPC_STATUS, &req.base, "status", &eps, &messages, &count, &failed);

	if (code)
		return code;
	if (c->format == OUT_PROTOBUF)
		return out_unsupported("protobuf");
	if (c->format == OUT_JSON)
		list_json(c, "Status", eps, messages, count);
	t = out_table_new(titles, STATUS_COLUMNS);
	for (size_t i = 0; i < count; i++) {
		status_row(t, eps[i], (const void *)messages[i]);
		if (c->format == OUT_FIELDS)
			status_fields(c, eps[i], (const void *)messages[i]);
	}
	if (c->format == OUT_SIMPLE)
		out_table_lines(t, &c->out);
	else if (c->format == OUT_TABLE)
		out_table_box(t, &c->out);
	out_table_free(t);
	return failed ? EXIT_ERROR : EXIT_OK;
}

/* --- hashkv --- */

static void hashkv_fields(struct ctl *c, const char *ep, const Etcdserverpb__HashKVResponse *r)
{
	fields_header(c, r->header);
	out_field_quoted(&c->out, "Endpoint", slice_str(ep));
	out_field(&c->out, "Hash", "%u", r->hash);
	out_field(&c->out, "HashRevision", "%" PRId64, r->hash_revision);
	put(c, "\n");
}

RUN(endpoint_hashkv)
{
	static const char *const titles[] = {"endpoint", "hash", "hash revision"};
	struct ctl *c = cli->user;
	Etcdserverpb__HashKVRequest req = ETCDSERVERPB__HASH_KVREQUEST__INIT;
	const ProtobufCMessage **messages;
	const char **eps;
	size_t count;
	const char *failed;
	struct out_table *t;
	int code;

	req.revision = c->o.rev;
	code = ask_all(c, RPC_HASH_KV, &req.base, "hash", &eps, &messages, &count, &failed);
	if (code)
		return code;
	if (c->format == OUT_PROTOBUF)
		return out_unsupported("protobuf");
	if (c->format == OUT_JSON)
		list_json(c, "HashKV", eps, messages, count);
	t = out_table_new(titles, ARRAY_COUNT(titles));
	for (size_t i = 0; i < count; i++) {
		const Etcdserverpb__HashKVResponse *r = (const void *)messages[i];

		out_table_cell(t, "%s", eps[i]);
		out_table_cell(t, "%u", r->hash);
		out_table_cell(t, "%" PRId64, r->hash_revision);
		if (c->format == OUT_FIELDS)
			hashkv_fields(c, eps[i], r);
	}
	if (c->format == OUT_SIMPLE)
		out_table_lines(t, &c->out);
	else if (c->format == OUT_TABLE)
		out_table_box(t, &c->out);
	out_table_free(t);
	return failed ? ctl_fail(EXIT_ERROR, "%s", failed) : EXIT_OK;
}
