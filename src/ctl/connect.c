/* From flags to a client that is logged in. The order is upstream's, for which error comes first is part of what
 * scripts see: variables, endpoints, TLS flags, password, output format, TLS files, login. */
#include "ctl/ctl_impl.h"

static void print_value(const struct cli_flag *f, const void *field)
{
	char text[TEXT_DURATION_SIZE];

	switch (f->kind) {
	case CLI_TEXT:
		fprintf(stderr, "%s", *(const char *const *)field);
		break;
	case CLI_LIST:
		fprintf(stderr, "[%s]", *(const char *const *)field);
		break;
	case CLI_BOOL:
		fprintf(stderr, "%s", *(const bool *)field ? "true" : "false");
		break;
	case CLI_DURATION:
		fprintf(stderr, "%s", text_duration(text, *(const int64_t *)field));
		break;
	default:
		fprintf(stderr, "%lld", *(const long long *)field);
	}
}

/* Upstream shows passwords and tokens here; what is printed to find a fault is what people send each other. */
static bool print_hidden(const struct cli_flag *f, const char *text)
{
	bool is_user = !strcmp(f->name, "user");
	const char *colon = is_user ? strchr(text, ':') : NULL;

	if (is_user && colon)
		fprintf(stderr, "%.*s:(hidden)", (int)(colon - text), text);
	else if (!strcmp(f->name, "password") || !strcmp(f->name, "auth-jwt-token"))
		fprintf(stderr, "%s", *text ? "(hidden)" : "");
	else
		return false;
	return true;
}

/* --debug */
static void print_settings(struct ctl *c)
{
	for (size_t i = 0; i < ctl_global_flag_count; i++) {
		const struct cli_flag *f = &ctl_global_flags[i];

		fprintf(stderr, "ETCDCTL_");
		for (const char *at = f->name; *at; at++)
			fputc(*at == '-' ? '_' : *at - ('a' - 'A'), stderr);
		fputc('=', stderr);
		if (f->kind != CLI_TEXT || !print_hidden(f, *(const char *const *)((const char *)&c->o + f->offset)))
			print_value(f, (const char *)&c->o + f->offset);
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

void ctl_user(struct ctl *c, const char *name, const char *password_flag, const char *prompt, const char **user,
	      const char **password)
{
	const char *colon = strchr(name, ':');

	*user = name;
	*password = password_flag;
	if (!name[0] || (*password)[0])
		return;
	if (colon) {
		*user = ctl_copy(c, "%.*s", (int)(colon - name), name);
		*password = colon + 1;
	} else {
		*password = ctl_ask(c, prompt);
	}
}

static int check_files(struct ctl *c)
{
	static const char *const names[] = {"cert", "key", "cacert"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		const struct cli_flag *f = cli_flag_find(&c->cli, names[i]);

		if (cli_is_set(&c->cli, names[i]) && !**(const char *const *)((const char *)&c->o + f->offset))
			return ctl_fail(EXIT_ARGS, "empty string is passed to --%s option", names[i]);
	}
	return 0;
}

static int read_format(struct ctl *c)
{
	return out_format_parse(c->o.write_out, &c->format) ? 0 : ctl_fail(EXIT_FEATURE, "unsupported output format");
}

static int read_opts(struct ctl *c, struct client_opts *o)
{
	int code = check_files(c);

	*o = (struct client_opts){
	    .endpoints = c->endpoints.at,
	    .endpoint_count = c->endpoints.count,
	    .dial_timeout_ms = ms_of(c->o.dial_timeout),
	    .keepalive_time_ms = ms_of(c->o.keepalive_time),
	    .keepalive_timeout_ms = ms_of(c->o.keepalive_timeout),
	    .send_bytes_max = (uint32_t)c->o.max_request_bytes,
	    .recv_bytes_max = (uint32_t)c->o.max_recv_bytes,
	    .token = c->o.auth_jwt_token,
	    .tls = {.cert = c->o.cert,
		    .key = c->o.key,
		    .cacert = c->o.cacert,
		    .skip_verify = c->o.insecure_skip_tls_verify},
	};
	if (!c->o.insecure_discovery)
		o->tls.server_name = c->o.discovery_srv;
	o->tls.on = !c->o.insecure_transport || o->tls.skip_verify || o->tls.cert[0] || o->tls.key[0] ||
		    o->tls.cacert[0] || (o->tls.server_name && o->tls.server_name[0]);
	if (!code && !o->token[0])
		ctl_user(c, c->o.user, c->o.password, "Password: ", &o->user, &o->password);
	return code;
}

int ctl_setup(struct ctl *c)
{
	int code = c->is_set_up ? 0 : ctl_env(c);

	if (code || c->is_set_up)
		return code;
	if (c->o.debug)
		print_settings(c);
	if (c->o.discovery_srv[0])
		code = ctl_discover(c, &c->endpoints);
	if (!code && !c->endpoints.count) /* also where the records name none that is secure */
		split_list(c, c->o.endpoints, true, &c->endpoints);
	if (!code)
		code = read_opts(c, &c->opts);
	if (!code)
		code = read_format(c);
	c->is_set_up = !code;
	return code;
}

static bool login(struct ctl *c, struct client *client, const struct client_opts *o)
{
	if (o->user && o->password && !(slice_is_utf8(slice_str(o->user)) && slice_is_utf8(slice_str(o->password))))
		return ctl_not_utf8(c);
	return client_login(client, o->dial_timeout_ms, &c->status);
}

int ctl_client_try(struct ctl *c, const struct client_opts *o, struct client **out, const char **why_text)
{
	struct why why;
	struct client *client;
	err_t err;

	*out = NULL;
	if (!c->loop_open) {
		uv_loop_init(&c->loop);
		c->loop_open = true;
	}
	err = client_new(&c->loop, o, &why, &client);
	if (err) {
		*why_text = ctl_copy(c, "%s", why.text);
		return o->endpoint_count && err != ERR_TOO_LARGE ? EXIT_ARGS : EXIT_CONNECTION;
	}
	if (!login(c, client, o)) {
		ctl_explain(c, client);
		ctl_client_close(c, client);
		*why_text = ctl_call_error(c);
		return EXIT_CONNECTION;
	}
	*out = client;
	return 0;
}

int ctl_client_from(struct ctl *c, const struct client_opts *o, struct client **out)
{
	const char *why;
	int code = ctl_client_try(c, o, out, &why);

	return code ? ctl_fail(code, "%s", why) : 0;
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

void ctl_handle_free(uv_handle_t *h)
{
	mem_free(h);
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

	if (!c->o.cluster) {
		split_list(c, c->o.endpoints, false, out);
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
