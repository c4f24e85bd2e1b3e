/* txn: a transaction from lines of stdin. */
#include <unistd.h>

#include "ctl/ctl_impl.h"

enum { LIST_MAX = 100000 }; /* of one branch; the server's own bound is far lower */

/* A line without its end and the blanks around it; 0, or the exit code at the end of input. */
static int next_line(struct ctl *c, const char **out)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n = getline(&line, &room, stdin);
	bool whole = n > 0 && line[n - 1] == '\n';

	if (whole)
		*out = ctl_copy(c, "%s", trim_line(line));
	free(line);
	return whole ? 0 : ctl_fail(EXIT_INPUT, "EOF");
}

/* --- compares: target("key") op "value" --- */

struct words {
	const char *target;
	const char *key, *op, *value;
	unsigned found; /* of key, op, value */
};

static const char *quoted_word(struct ctl *c, const char **at)
{
	const char *out = NULL;
	struct buf b;

	while (**at == ' ' || **at == '\t')
		++*at;
	buf_init(&b, SIZE_MAX / 2);
	if (read_quoted(at, &b))
		out = ctl_copy(c, "%.*s", SLICE_ARG(buf_slice(&b)));
	buf_fini(&b);
	return out;
}

static void take_apart(struct ctl *c, const char *paren, struct words *w)
{
	const char *at = paren + 1, *op;
	size_t op_size;

	w->key = quoted_word(c, &at);
	if (!w->key)
		return;
	w->found = 1;
	if (*at++ != ')' || (*at != ' ' && *at != '\t') || !read_word(&at, &op, &op_size))
		return;
	w->op = ctl_copy(c, "%.*s", (int)op_size, op);
	w->found = 2;
	w->value = quoted_word(c, &at);
	w->found += w->value != NULL;
}

enum target { TARGET_VERSION, TARGET_CREATE, TARGET_MOD, TARGET_VALUE, TARGET_LEASE, TARGET_NONE };

static enum target target_of(const char *name)
{
	static const struct {
		const char *name;
		enum target target;
	} names[] = {
	    {"ver", TARGET_VERSION},   {"version", TARGET_VERSION}, {"c", TARGET_CREATE},
	    {"create", TARGET_CREATE}, {"m", TARGET_MOD},           {"mod", TARGET_MOD},
	    {"val", TARGET_VALUE},     {"value", TARGET_VALUE},     {"lease", TARGET_LEASE},
	};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (!strcmp(names[i].name, name))
			return names[i].target;
	}
	return TARGET_NONE;
}

static bool set_operand(Etcdserverpb__Compare *m, enum target t, const char *value)
{
	struct why why;
	int64_t n = 0;

	if (t == TARGET_VALUE) {
		m->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
		m->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
		m->value = pb_binary(slice_str(value));
		return true;
	}
	/* Leases are in hexadecimal everywhere else; upstream's client has no compare of them that works. */
	if (ctl_parse_int(value, t == TARGET_LEASE ? 16 : 10, &n, &why))
		return false;
	switch (t) {
	case TARGET_CREATE:
		m->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
		m->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
		m->create_revision = n;
		break;
	case TARGET_MOD:
		m->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
		m->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
		m->mod_revision = n;
		break;
	case TARGET_LEASE:
		m->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE;
		m->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE;
		m->lease = n;
		break;
	default:
		m->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION;
		m->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
		m->version = n;
	}
	return true;
}

static int result_of(const char *op)
{
	static const char *const ops[] = {"=", ">", "<", "!="}; /* by number of the enum */

	for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
		if (!strcmp(ops[i], op))
			return (int)i;
	}
	return -1;
}

static int parse_compare(struct ctl *c, const char *line, Etcdserverpb__Compare *m)
{
	const char *paren = strchr(line, '(');
	struct words w = {.key = "", .op = "", .value = ""};
	enum target target;

	if (!paren)
		return ctl_fail(EXIT_INPUT, "malformed comparison: %s", line);
	w.target = ctl_copy(c, "%.*s", (int)(paren - line), line);
	take_apart(c, paren, &w);
	if (w.found < 3)
		return ctl_fail(EXIT_INPUT, "malformed comparison: %s; got %s(%s) %s %s", line, w.target,
				ctl_quoted(c, slice_str(w.found ? w.key : "")), w.op, ctl_quoted(c, slice_str("")));
	target = target_of(w.target);
	if (target == TARGET_NONE)
		return ctl_fail(EXIT_INPUT, "malformed comparison: %s (unknown target %s)", line, w.target);
	if (!set_operand(m, target, w.value))
		return ctl_fail(EXIT_INPUT, "invalid txn compare request: %s", line);
	if (result_of(w.op) < 0)
		return ctl_fail(EXIT_INPUT, "malformed comparison: %s (unknown operator %s)", line, w.op);
	m->result = (Etcdserverpb__Compare__CompareResult)result_of(w.op);
	m->key = pb_binary(slice_str(w.key));
	return 0;
}

static int read_compares(struct ctl *c, Etcdserverpb__TxnRequest *txn)
{
	VEC(Etcdserverpb__Compare *) list = {0};
	int code = 0;

	while (!code) {
		Etcdserverpb__Compare *m;
		const char *line;

		code = next_line(c, &line);
		if (code || !line[0])
			break;
		m = pb_new(&c->arena, &etcdserverpb__compare__descriptor);
		code = parse_compare(c, line, m);
		VEC_PUSH(&list, m);
	}
	txn->compare = list.at;
	txn->n_compare = list.count;
	return code;
}

/* --- operations: lines of put, get, del with their flags --- */

static int fill_op(struct ctl *c, const char *name, Etcdserverpb__RequestOp *op)
{
	if (!strcmp(name, "put")) {
		op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
		op->request_put = pb_new(&c->arena, &etcdserverpb__put_request__descriptor);
		return put_request(c, op->request_put);
	}
	if (!strcmp(name, "get")) {
		op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
		op->request_range = pb_new(&c->arena, &etcdserverpb__range_request__descriptor);
		return get_request(c, op->request_range);
	}
	op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
	op->request_delete_range = pb_new(&c->arena, &etcdserverpb__delete_range_request__descriptor);
	return del_request(c, op->request_delete_range);
}

/* The command of the line is parsed in place of the one of the program for a moment. */
static int parse_op(struct ctl *c, const char *line, Etcdserverpb__RequestOp *op)
{
	struct ctl_options whole = c->o;
	const char **words, **argv;
	size_t count;
	struct buf out, err;
	struct cli cli;
	int code;

	if (!split_words(c, line, &words, &count))
		return ctl_fail(EXIT_INPUT, "invalid syntax");
	if (count < 2)
		return ctl_fail(EXIT_INPUT, "invalid txn compare request: %s", line);
	argv = arena_alloc_array(&c->arena, count + 2, sizeof(*argv));
	argv[0] = "txn";
	memcpy(argv + 1, words, count * sizeof(*argv));
	buf_init(&out, SIZE_MAX / 2);
	buf_init(&err, SIZE_MAX / 2);
	if (cli_parse(&ctl_txn_program, (int)count + 1, argv, &c->o, &cli, &out, &err) && cli.depth > 1) {
		c->args = cli.args;
		c->arg_count = cli.arg_count;
		code = fill_op(c, cli.command->name, op);
	} else {
		code = ctl_fail(EXIT_INPUT, "invalid txn request: %s", line);
	}
	c->o = whole;
	c->args = NULL;
	c->arg_count = 0;
	cli_fini(&cli);
	buf_fini(&out);
	buf_fini(&err);
	return code;
}

static int read_ops(struct ctl *c, Etcdserverpb__RequestOp ***out, size_t *count)
{
	VEC(Etcdserverpb__RequestOp *) list = {0};
	int code = 0;

	while (!code && list.count < LIST_MAX) {
		Etcdserverpb__RequestOp *op;
		const char *line;

		code = next_line(c, &line);
		if (code || !line[0])
			break;
		op = pb_new(&c->arena, &etcdserverpb__request_op__descriptor);
		code = parse_op(c, line, op);
		VEC_PUSH(&list, op);
	}
	*out = list.at;
	*count = list.count;
	return code;
}

static void heading(struct ctl *c, bool interactive, const char *text)
{
	if (interactive)
		put(c, "%s\n", text);
	ctl_flush(c);
}

RUN(txn)
{
	struct ctl *c = cli->user;
	bool interactive = c->o.interactive;
	Etcdserverpb__TxnRequest req = ETCDSERVERPB__TXN_REQUEST__INIT;
	Etcdserverpb__TxnResponse *resp;
	int code;

	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "txn command does not accept argument");
	code = ctl_connect(c);
	if (code)
		return code;
	heading(c, interactive, "compares:");
	code = read_compares(c, &req);
	if (!code) {
		heading(c, interactive, "success requests (get, put, del):");
		code = read_ops(c, &req.success, &req.n_success);
	}
	if (!code) {
		heading(c, interactive, "failure requests (get, put, del):");
		code = read_ops(c, &req.failure, &req.n_failure);
	}
	if (code)
		goto out;
	if (ctl_call(c, RPC_TXN, &req.base, CTL_NO_TIMEOUT, &resp))
		code = out_txn(c, resp);
	else
		code = ctl_call_failed(c, EXIT_ERROR, "", "");
out:
	mem_free(req.compare);
	mem_free(req.success);
	mem_free(req.failure);
	return code;
}

RUN(compaction)
{
	struct ctl *c = cli->user;
	Etcdserverpb__CompactionRequest req = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
	Etcdserverpb__CompactionResponse *resp;
	struct why why;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "compaction command needs 1 argument");
	if (ctl_parse_int(c->args[0], 10, &req.revision, &why))
		return ctl_fail(EXIT_ERROR, "%s", why.text);
	req.physical = c->o.physical;
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_COMPACT, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	put(c, "compacted revision %lld\n", (long long)req.revision);
	return EXIT_OK;
}
