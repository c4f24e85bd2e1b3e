/* endpoint health, status, hashkv: each endpoint is asked by a client of its own. */
#include <inttypes.h>

#include "ctl/ctl_impl.h"

static int each_endpoint(struct ctl *c, struct endpoints *eps)
{
	int code = ctl_setup(c);

	return code ? code : ctl_cluster(c, eps);
}

/* --- status --- */

struct ep_status {
	const char *ep;
	const Etcdserverpb__StatusResponse *r;
};

enum { STATUS_COLUMNS = 16 };

static const char *yes_no(bool b)
{
	return b ? "true" : "false";
}

static void status_cells(struct ctl *c, const struct ep_status *s, const char **cell)
{
	const Etcdserverpb__StatusResponse *r = s->r;
	uint64_t member = r->header ? r->header->member_id : 0;
	const Etcdserverpb__DowngradeInfo *d = r->downgradeinfo;
	char size[TEXT_BYTES_SIZE];
	const char *errors = "";

	for (size_t i = 0; i < r->n_errors; i++)
		errors = i ? ctl_copy(c, "%s, %s", errors, r->errors[i]) : r->errors[i];
	cell[0] = s->ep;
	cell[1] = ctl_copy(c, "%" PRIx64, member);
	cell[2] = r->version;
	cell[3] = r->storageversion;
	cell[4] = ctl_copy(c, "%s", text_bytes(size, (uint64_t)r->dbsize));
	cell[5] = ctl_copy(c, "%s", text_bytes(size, (uint64_t)r->dbsizeinuse));
	cell[6] = ctl_copy(c, "%" PRId64 "%%", r->dbsize ? 100 - r->dbsizeinuse * 100 / r->dbsize : 100);
	cell[7] = ctl_copy(c, "%s", text_bytes(size, (uint64_t)r->dbsizequota));
	cell[8] = yes_no(r->leader == member);
	cell[9] = yes_no(r->islearner);
	cell[10] = ctl_copy(c, "%" PRIu64, r->raftterm);
	cell[11] = ctl_copy(c, "%" PRIu64, r->raftindex);
	cell[12] = ctl_copy(c, "%" PRIu64, r->raftappliedindex);
	cell[13] = errors;
	cell[14] = d ? d->targetversion : "";
	cell[15] = yes_no(d && d->enabled);
}

static void print_rows(const char *const *cells, size_t columns, size_t rows)
{
	for (size_t r = 0; r < rows; r++) {
		for (size_t i = 0; i < columns; i++)
			printf("%s%s", i ? ", " : "", cells[r * columns + i]);
		printf("\n");
	}
}

static void status_fields(struct ctl *c, const struct ep_status *s)
{
	const Etcdserverpb__StatusResponse *r = s->r;

	fields_header(c, r->header);
	fields_quoted("Version", slice_str(r->version));
	fields_quoted("StorageVersion", slice_str(r->storageversion));
	printf("\"DBSize\" : %" PRId64 "\n\"DBSizeInUse\" : %" PRId64 "\n\"DBSizeQuota\" : %" PRId64 "\n", r->dbsize, r->dbsizeinuse,
	       r->dbsizequota);
	printf("\"Leader\" : %" PRIu64 "\n\"IsLearner\" : %s\n", r->leader, yes_no(r->islearner));
	printf("\"RaftIndex\" : %" PRIu64 "\n\"RaftTerm\" : %" PRIu64 "\n\"RaftAppliedIndex\" : %" PRIu64 "\n\"Errors\" : [", r->raftindex,
	       r->raftterm, r->raftappliedindex);
	for (size_t i = 0; i < r->n_errors; i++)
		printf("%s%s", i ? " " : "", r->errors[i]);
	printf("]\n");
	fields_quoted("Endpoint", slice_str(s->ep));
	fields_quoted("DowngradeTargetVersion", slice_str(r->downgradeinfo ? r->downgradeinfo->targetversion : ""));
	printf("\"DowngradeEnabled\" : %s\n\n", yes_no(r->downgradeinfo && r->downgradeinfo->enabled));
}

/* [{"Endpoint":"…","Status":{…}}]; no endpoint answered: null. */
static void list_json(const char *key, const char *const *eps, const ProtobufCMessage *const *messages, size_t count)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	buf_printf(&b, count ? "[" : "null");
	for (size_t i = 0; i < count; i++) {
		buf_printf(&b, i ? ",{\"Endpoint\":" : "{\"Endpoint\":");
		json_string(&b, slice_str(eps[i]));
		buf_printf(&b, ",\"%s\":", key);
		json_message(&b, messages[i]);
		buf_put_byte(&b, '}');
	}
	buf_printf(&b, count ? "]" : "");
	json_print(&b);
}

static int print_status(struct ctl *c, const struct ep_status *list, size_t count)
{
	static const char *const titles[STATUS_COLUMNS] = {
		"endpoint", "ID", "version", "storage version", "db size", "in use", "percentage not in use", "quota", "is leader",
		"is learner", "raft term", "raft index", "raft applied index", "errors", "downgrade target version",
		"downgrade enabled",
	};
	const char **cells = arena_alloc_array(&c->arena, count * STATUS_COLUMNS + 1, sizeof(*cells));
	const char **eps = arena_alloc_array(&c->arena, count + 1, sizeof(*eps));
	const ProtobufCMessage **messages = arena_alloc_array(&c->arena, count + 1, sizeof(*messages));

	for (size_t i = 0; i < count; i++) {
		status_cells(c, &list[i], cells + i * STATUS_COLUMNS);
		eps[i] = list[i].ep;
		messages[i] = &list[i].r->base;
		if (c->format == FORMAT_FIELDS)
			status_fields(c, &list[i]);
	}
	if (c->format == FORMAT_SIMPLE)
		print_rows(cells, STATUS_COLUMNS, count);
	else if (c->format == FORMAT_TABLE)
		table_print(titles, STATUS_COLUMNS, cells, count);
	else if (c->format == FORMAT_JSON)
		list_json("Status", eps, messages, count);
	else if (c->format == FORMAT_PROTOBUF)
		return out_unsupported(c, "protobuf");
	return EXIT_OK;
}

int run_endpoint_status(struct ctl *c)
{
	Etcdserverpb__StatusRequest req = ETCDSERVERPB__STATUS_REQUEST__INIT;
	struct endpoints eps;
	struct ep_status *list;
	size_t count = 0;
	int code = each_endpoint(c, &eps), failed = EXIT_OK;

	if (code)
		return code;
	list = arena_alloc_array(&c->arena, eps.count + 1, sizeof(*list));
	for (size_t i = 0; i < eps.count; i++) {
		Etcdserverpb__StatusResponse *resp;

		code = ctl_connect_to(c, &eps.at[i], 1);
		if (code)
			return code;
		if (!ctl_call(c, RPC_STATUS, &req.base, 0, &resp)) {
			fflush(stdout);
			fprintf(stderr, "Failed to get the status of endpoint %s (%s)\n", eps.at[i], ctl_call_error(c));
			failed = EXIT_ERROR;
			continue;
		}
		list[count++] = (struct ep_status){eps.at[i], resp};
	}
	code = print_status(c, list, count);
	return code ? code : failed;
}
