/* put, get, del. The readers of flags and operands also serve the lines of a txn. */
#include <unistd.h>

#include "ctl/ctl_impl.h"

static const struct slice zero_key = {(const uint8_t *)"\0", 1};

struct slice prefix_end(struct ctl *c, struct slice prefix)
{
	size_t size = prefix.size;
	uint8_t *end;

	while (size && prefix.data[size - 1] == 0xff)
		size--;
	if (!size)
		return zero_key;
	end = arena_alloc(&c->arena, size);
	ASSERT(end);
	memcpy(end, prefix.data, size);
	end[size - 1]++;
	return slice_of(end, size);
}

/* All of stdin, as it is. */
static struct slice read_stdin(struct ctl *c)
{
	struct slice out = {NULL, 0};
	struct buf b;
	ssize_t n;

	buf_init(&b, SIZE_MAX / 2);
	do {
		uint8_t *at = buf_add(&b, 64 * 1024);

		n = read(STDIN_FILENO, at, 64 * 1024);
		b.size -= n > 0 ? (size_t)(64 * 1024 - n) : 64 * 1024;
	} while (n > 0);
	if (b.size)
		ASSERT(arena_copy(&c->arena, buf_slice(&b), &out));
	buf_fini(&b);
	return out;
}

int put_request(struct ctl *c, Etcdserverpb__PutRequest *r)
{
	static const char need[] = "put command needs 1 argument and input from stdin or 2 arguments";
	struct why why;

	if (!c->arg_count)
		return ctl_fail(EXIT_ARGS, need);
	r->ignore_value = c->o.ignore_value;
	r->ignore_lease = c->o.ignore_lease;
	r->prev_kv = c->o.prev_kv;
	if (r->ignore_value && c->arg_count > 1)
		return ctl_fail(EXIT_ARGS, "put command needs only 1 argument when 'ignore-value' is set");
	r->key = pb_binary(ctl_arg(c, 0));
	if (!r->ignore_value) {
		struct slice value = c->arg_count > 1 ? ctl_arg(c, 1) : read_stdin(c);

		if (!value.size && c->arg_count < 2)
			return ctl_fail(EXIT_ARGS, need);
		r->value = pb_binary(value);
	}
	if (ctl_parse_int(c->o.lease, 16, &r->lease, &why))
		return ctl_fail(EXIT_ARGS, "bad lease ID (%s), expecting ID in Hex", why.text);
	return 0;
}

RUN(put)
{
	struct ctl *c = cli->user;
	Etcdserverpb__PutRequest req = ETCDSERVERPB__PUT_REQUEST__INIT;
	Etcdserverpb__PutResponse *resp;
	int code = put_request(c, &req);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_PUT, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	return out_put(c, resp);
}

int parse_serializable(struct ctl *c, protobuf_c_boolean *out)
{
	const char *s = c->o.consistency;

	*out = !strcmp(s, "s");
	if (*out || !strcmp(s, "l"))
		return 0;
	return ctl_fail(EXIT_FEATURE, "unknown consistency flag %s", ctl_quoted(c, slice_str(s)));
}

/* Index in names of what the flag says, in any case; "" is the preset. -1: none. */
static int choice(const char *text, const char *const *names, int preset)
{
	if (!text[0])
		return preset;
	for (int i = 0; names[i]; i++) {
		if (!strcasecmp(names[i], text))
			return i;
	}
	return -1;
}

static int read_sort(struct ctl *c, Etcdserverpb__RangeRequest *r)
{
	static const char *const orders[] = {"NONE", "ASCEND", "DESCEND", NULL};
	static const char *const targets[] = {"KEY", "VERSION", "CREATE", "MODIFY", "VALUE", NULL};
	int order = choice(c->o.order, orders, 0);
	int target = choice(c->o.sort_by, targets, 0);

	if (order < 0 || (!order && c->o.order[0]))
		return ctl_fail(EXIT_FEATURE, "bad sort order %s", c->o.order);
	if (target < 0)
		return ctl_fail(EXIT_FEATURE, "bad sort target %s", c->o.sort_by);
	/* Keys come in ascending order by themselves. */
	if (target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY &&
	    order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND)
		order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE;
	r->sort_order = (Etcdserverpb__RangeRequest__SortOrder)order;
	r->sort_target = (Etcdserverpb__RangeRequest__SortTarget)target;
	return 0;
}

/* --prefix and --from-key of get and del; an empty key stands for all of them. */
static void read_range(struct ctl *c, ProtobufCBinaryData *key, ProtobufCBinaryData *end)
{
	bool prefix = c->o.prefix;

	if (!prefix && !c->o.from_key)
		return;
	*end = pb_binary(prefix && key->len ? prefix_end(c, pb_slice(*key)) : zero_key);
	if (!key->len)
		*key = pb_binary(zero_key);
}

static int check_range(struct ctl *c, ProtobufCBinaryData *end)
{
	if (c->arg_count < 2)
		return 0;
	if (c->o.prefix || c->o.from_key)
		return ctl_fail(EXIT_ARGS,
				"too many arguments, only accept one argument when `--prefix` or `--from-key` is set");
	*end = pb_binary(ctl_arg(c, 1));
	return 0;
}

static int read_bounds(int64_t low, int64_t high, const char *name, int64_t *min, int64_t *max)
{
	*min = MAX(low, (int64_t)0);
	*max = MAX(high, (int64_t)0);
	if (high <= 0 || low <= high)
		return 0;
	return ctl_fail(EXIT_FEATURE, "getMin%s(=%lld) > getMax%s(=%lld)", name, (long long)low, name, (long long)high);
}

int get_request(struct ctl *c, Etcdserverpb__RangeRequest *r)
{
	int code;

	if (!c->arg_count)
		return ctl_fail(EXIT_ARGS,
				"get command needs one argument as key and an optional argument as range_end");
	if (c->o.prefix && c->o.from_key)
		return ctl_fail(EXIT_ARGS, "`--prefix` and `--from-key` cannot be set at the same time, choose one");
	if (c->o.keys_only && c->o.count_only)
		return ctl_fail(EXIT_ARGS,
				"`--keys-only` and `--count-only` cannot be set at the same time, choose one");
	code = parse_serializable(c, &r->serializable);
	if (!code)
		code = check_range(c, &r->range_end);
	if (!code)
		code = read_sort(c, r);
	if (code)
		return code;
	r->key = pb_binary(ctl_arg(c, 0));
	read_range(c, &r->key, &r->range_end);
	r->limit = c->o.limit;
	r->revision = MAX(c->o.rev, (int64_t)0);
	r->keys_only = c->o.keys_only;
	r->count_only = c->o.count_only;
	code = read_bounds(c->o.min_create_rev, c->o.max_create_rev, "CreateRev", &r->min_create_revision,
			   &r->max_create_revision);
	return code ? code
		    : read_bounds(c->o.min_mod_rev, c->o.max_mod_rev, "ModRev", &r->min_mod_revision,
				  &r->max_mod_revision);
}

/* RangeStream: rows in parts, the last one with header, count and more. */
static bool range_stream(struct ctl *c, const Etcdserverpb__RangeRequest *req, Etcdserverpb__RangeResponse **out)
{
	struct client_call_opts opts = {.timeout_ms = MAX(ms_of(c->o.command_timeout), (uint64_t)1)};
	struct client_stream *s;
	struct buf whole;
	bool ok = true;

	buf_clear(&c->request);
	pb_pack(&req->base, &c->request);
	buf_init(&whole, SIZE_MAX / 2);
	s = client_open(c->client, RPC_RANGE_STREAM, buf_slice(&c->request), &opts);
	while (client_recv(s, 0, &c->response, &c->status) == CLIENT_MESSAGE) {
		Etcdserverpb__RangeStreamResponse *part;

		ok = !pb_unpack(&c->arena, &etcdserverpb__range_stream_response__descriptor, buf_slice(&c->response),
				&part);
		if (!ok)
			break;
		/* Encoded messages one after the other are one message with all their rows. */
		if (part->range_response)
			pb_pack(&part->range_response->base, &whole);
	}
	client_stream_close(s);
	ok = ok && c->status.code == GRPC_OK;
	if (ok) {
		struct slice bytes;

		ASSERT(arena_copy(&c->arena, buf_slice(&whole), &bytes));
		ok = !pb_unpack(&c->arena, &etcdserverpb__range_response__descriptor, bytes, out);
	}
	buf_fini(&whole);
	return ok;
}

RUN(get)
{
	struct ctl *c = cli->user;
	Etcdserverpb__RangeRequest req = ETCDSERVERPB__RANGE_REQUEST__INIT;
	Etcdserverpb__RangeResponse *resp;
	int code = get_request(c, &req);
	bool ok;

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	ok = c->o.stream ? range_stream(c, &req, &resp) : ctl_call(c, RPC_RANGE, &req.base, 0, &resp);
	if (!ok)
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (req.count_only && c->format != OUT_FIELDS)
		return ctl_fail(EXIT_ARGS, "--count-only is only for `--write-out=fields`");
	c->value_only = c->o.print_value_only;
	if (c->value_only && c->format != OUT_SIMPLE)
		return ctl_fail(EXIT_ARGS, "print-value-only is only for `--write-out=simple`");
	return out_get(c, resp);
}

static void warn_range(struct ctl *c)
{
	fprintf(stderr,
		"Warning: Keys between %s and %s will be deleted. Please interrupt the command within next 2 seconds "
		"to cancel. "
		"You can provide `--range` flag to avoid the delay.\n",
		ctl_quoted(c, ctl_arg(c, 0)), ctl_quoted(c, ctl_arg(c, 1)));
	sleep(2);
}

int del_request(struct ctl *c, Etcdserverpb__DeleteRangeRequest *r)
{
	int code;

	if (!c->arg_count || c->arg_count > 2)
		return ctl_fail(EXIT_ARGS,
				"del command needs one argument as key and an optional argument as range_end");
	if (c->o.prefix && c->o.from_key)
		return ctl_fail(EXIT_ARGS, "`--prefix` and `--from-key` cannot be set at the same time, choose one");
	code = check_range(c, &r->range_end);
	if (code)
		return code;
	if (c->arg_count > 1 && !c->o.range)
		warn_range(c);
	r->key = pb_binary(ctl_arg(c, 0));
	r->prev_kv = c->o.prev_kv;
	read_range(c, &r->key, &r->range_end);
	return 0;
}

RUN(del)
{
	struct ctl *c = cli->user;
	Etcdserverpb__DeleteRangeRequest req = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	Etcdserverpb__DeleteRangeResponse *resp;
	int code = del_request(c, &req);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_DELETE_RANGE, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	return out_del(c, resp);
}
