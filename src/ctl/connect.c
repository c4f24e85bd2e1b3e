/* From flags to a client that is logged in. The order is upstream's, for which error comes first is part of what scripts
 * see: variables, endpoints, TLS flags, password, output format, TLS files, login. */
#include "ctl/ctl_impl.h"

static void print_value(FILE *out, const struct ctl_value *v)
{
	char text[TEXT_DURATION_SIZE];

	if (v->flag->kind == FLAG_DURATION)
		fprintf(out, "%s", text_duration(text, v->number));
	else if (v->flag->kind == FLAG_LIST)
		fprintf(out, "[%s]", v->text);
	else if (v->flag->kind == FLAG_BOOL)
		fprintf(out, "%s", v->boolean ? "true" : "false");
	else
		fprintf(out, "%s", v->text);
}

/* --debug. The rows of the global table are in order of names. */
static void print_settings(struct ctl *c)
{
	for (const struct ctl_flag *f = ctl_global_flags; f->name; f++) {
		fprintf(stderr, "ETCDCTL_");
		for (const char *at = f->name; *at; at++)
			fputc(*at == '-' ? '_' : *at - ('a' - 'A'), stderr);
		fputc('=', stderr);
		print_value(stderr, flags_find(&c->flags, f->name, strlen(f->name)));
		fputc('\n', stderr);
	}
}

static void split_list(struct ctl *c, const char *text, bool trim, struct endpoints *out)
{
	size_t max = 1;

	for (const char *at = text; *at; at++)
		max += *at == ',';
	out->count = 0;
	out->at = arena_alloc_array(&c->arena, max, sizeof(*out->at));
	ASSERT(out->at);
	for (const char *at = text; *text; at += strcspn(at, ",") + 1) {
		size_t size = strcspn(at, ",");
		const char *end = at + size;
		const char *start = at;

		while (trim && size && (*start == ' ' || *start == '\t'))
			start++, size--;
		while (trim && size && (start[size - 1] == ' ' || start[size - 1] == '\t'))
			size--;
		out->at[out->count++] = ctl_copy(c, "%.*s", (int)size, start);
		if (!*end)
			break;
	}
}

int ctl_user(struct ctl *c, const char *user_flag, const char *password_flag, const char *prompt, const char **user,
	     const char **password)
{
	const char *name = ctl_str(c, user_flag);
	const char *colon = strchr(name, ':');

	*user = name;
	*password = ctl_str(c, password_flag);
	if (!name[0] || (*password)[0])
		return 0;
	if (colon) {
		*user = ctl_copy(c, "%.*s", (int)(colon - name), name);
		*password = colon + 1;
		return 0;
	}
	return ctl_ask(c, prompt, password) ? 0 : ctl_fail(EXIT_ERROR, "EOF");
}

static int check_files(struct ctl *c)
{
	static const char *const names[] = {"cert", "key", "cacert"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (ctl_changed(c, names[i]) && !ctl_str(c, names[i])[0])
			return ctl_fail(EXIT_ARGS, "empty string is passed to --%s option", names[i]);
	}
	return 0;
}

static int read_format(struct ctl *c)
{
	static const char *const names[] = {"simple", "fields", "json", "protobuf", "table"};

	c->hex = ctl_bool(c, "hex");
	for (c->format = 0; c->format < FORMAT_BAD; c->format++) {
		if (!strcmp(ctl_str(c, "write-out"), names[c->format]))
			return 0;
	}
	return ctl_fail(EXIT_FEATURE, "unsupported output format");
}

static int read_opts(struct ctl *c, struct client_opts *o)
{
	int code = check_files(c);

	*o = (struct client_opts){
		.endpoints = c->endpoints.at,
		.endpoint_count = c->endpoints.count,
		.dial_timeout_ms = ctl_ms(c, "dial-timeout"),
		.keepalive_time_ms = ctl_ms(c, "keepalive-time"),
		.keepalive_timeout_ms = ctl_ms(c, "keepalive-timeout"),
		.send_bytes_max = (uint32_t)ctl_int(c, "max-request-bytes"),
		.recv_bytes_max = (uint32_t)ctl_int(c, "max-recv-bytes"),
		.token = ctl_str(c, "auth-jwt-token"),
		.tls = {.cert = ctl_str(c, "cert"),
			.key = ctl_str(c, "key"),
			.cacert = ctl_str(c, "cacert"),
			.skip_verify = ctl_bool(c, "insecure-skip-tls-verify")},
	};
	if (!ctl_bool(c, "insecure-discovery"))
		o->tls.server_name = ctl_str(c, "discovery-srv");
	o->tls.on = !ctl_bool(c, "insecure-transport") || o->tls.skip_verify || o->tls.cert[0] || o->tls.key[0] ||
		    o->tls.cacert[0] || (o->tls.server_name && o->tls.server_name[0]);
	if (!code && !o->token[0])
		code = ctl_user(c, "user", "password", "Password: ", &o->user, &o->password);
	return code;
}

int ctl_setup(struct ctl *c)
{
	int code = c->is_set_up ? 0 : ctl_env(c);

	if (code || c->is_set_up)
		return code;
	if (ctl_bool(c, "debug"))
		print_settings(c);
	if (ctl_str(c, "discovery-srv")[0])
		code = ctl_discover(c, &c->endpoints);
	else
		split_list(c, ctl_str(c, "endpoints"), true, &c->endpoints);
	if (!code)
		code = read_opts(c, &c->opts);
	if (!code)
		code = read_format(c);
	c->is_set_up = !code;
	return code;
}

int ctl_client_from(struct ctl *c, const struct client_opts *o, struct client **out)
{
	struct why why;
	struct client *client;
	err_t err;

	if (!c->loop_open) {
		uv_loop_init(&c->loop);
		c->loop_open = true;
	}
	err = client_new(&c->loop, o, &why, &client);
	if (err)
		return ctl_fail(o->endpoint_count ? EXIT_ARGS : EXIT_CONNECTION, "%s", why.text);
	if (!client_login(client, o->dial_timeout_ms, &c->status)) {
		ctl_explain(c, client);
		ctl_client_close(c, client);
		return ctl_call_failed(c, EXIT_CONNECTION, "", "");
	}
	*out = client;
	return 0;
}

int ctl_connect(struct ctl *c)
{
	int code = ctl_setup(c);

	return code ? code : ctl_client_from(c, &c->opts, &c->client);
}

int ctl_connect_to(struct ctl *c, const char *const *endpoints, size_t count)
{
	struct client_opts o = c->opts;

	o.endpoints = endpoints;
	o.endpoint_count = count;
	ctl_client_close(c, c->client);
	c->client = NULL;
	return ctl_client_from(c, &o, &c->client);
}

void ctl_client_close(struct ctl *c, struct client *client)
{
	if (!client)
		return;
	client_free(client);
	uv_run(&c->loop, UV_RUN_NOWAIT);
}

int ctl_cluster(struct ctl *c, struct endpoints *out)
{
	Etcdserverpb__MemberListRequest req = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
	Etcdserverpb__MemberListResponse *resp;
	size_t count = 0;
	int code;

	if (!ctl_bool(c, "cluster")) {
		split_list(c, ctl_str(c, "endpoints"), false, out);
		return 0;
	}
	code = ctl_client_from(c, &c->opts, &c->client);
	if (code)
		return EXIT_ERROR;
	req.linearizable = true;
	if (!ctl_call(c, RPC_MEMBER_LIST, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "failed to fetch endpoints from etcd cluster member list: ", "");
	for (size_t i = 0; i < resp->n_members; i++)
		count += resp->members[i]->n_clienturls;
	out->count = 0;
	out->at = arena_alloc_array(&c->arena, count + 1, sizeof(*out->at));
	for (size_t i = 0; i < resp->n_members; i++) {
		for (size_t j = 0; j < resp->members[i]->n_clienturls; j++)
			out->at[out->count++] = resp->members[i]->clienturls[j];
	}
	return 0;
}
