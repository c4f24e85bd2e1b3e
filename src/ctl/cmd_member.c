/* member add, list, promote, remove, update. */
#include <inttypes.h>
#include <strings.h>

#include "ctl/ctl_impl.h"

/* The URLs of --peer-urls. */
static char **split_urls(struct ctl *c, size_t *count)
{
	char *text = ctl_copy(c, "%s", c->o.peer_urls);
	char **out = arena_alloc_array(&c->arena, strlen(text) + 1, sizeof(*out));
	char *comma;

	*count = 0;
	do {
		comma = strchr(text, ',');
		if (comma)
			*comma = '\0';
		out[(*count)++] = text;
		text = comma + 1;
	} while (comma);
	return out;
}

/* What upstream's client looks at before it asks (client/pkg/types.NewURLs). */
static int check_url(const char *url)
{
	const char *rest = strstr(url, "://"), *host, *colon;
	size_t scheme = rest ? (size_t)(rest - url) : 0, host_size;

	if ((scheme == 4 && !strncmp(url, "unix", 4)) || (scheme == 5 && !strncmp(url, "unixs", 5)))
		return 0;
	if (!((scheme == 4 && !strncmp(url, "http", 4)) || (scheme == 5 && !strncmp(url, "https", 5))))
		return ctl_fail(EXIT_ERROR, "URL scheme must be http, https, unix, or unixs: %s", url);
	host = rest + 3;
	host_size = strcspn(host, "/?#");
	colon = memrchr(host, ':', host_size);
	if (!colon || (host[0] != '[' && memchr(host, ':', host_size) != colon) || (host[0] == '[' && colon[-1] != ']'))
		return ctl_fail(EXIT_ERROR, "URL address does not have the form \"host:port\": %s", url);
	if (host[host_size] == '/')
		return ctl_fail(EXIT_ERROR, "URL must not contain a path: %s", url);
	return 0;
}

static int check_urls(struct ctl *c, char *const *urls, size_t count)
{
	int code = 0;

	for (size_t i = 0; i < count && !code; i++)
		code = check_url(trim_line(ctl_copy(c, "%s", urls[i])));
	return code;
}

static int member_of(struct ctl *c, uint64_t *id)
{
	struct why why;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "member ID is not provided");
	if (ctl_parse_uint(c->args[0], 16, id, &why))
		return ctl_fail(EXIT_ARGS, "bad member ID arg (%s), expecting ID in Hex", why.text);
	return 0;
}

/* --- json with ids in hexadecimal: a shape of its own --- */

static void hex_key(struct out_json *j, const char *name, uint64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIx64, id);
	out_json_key(j, name);
	out_json_str(j, slice_str(text));
}

static void hex_header(struct out_json *j, const Etcdserverpb__ResponseHeader *h)
{
	out_json_key(j, "header");
	out_json_open(j, '{');
	hex_key(j, "cluster_id", h->cluster_id);
	hex_key(j, "member_id", h->member_id);
	if (h->revision) {
		out_json_key(j, "revision");
		out_json_int(j, h->revision);
	}
	if (h->raft_term) {
		out_json_key(j, "raft_term");
		out_json_uint(j, h->raft_term);
	}
	out_json_close(j, '}');
}

static void url_list(struct out_json *j, const char *name, char *const *urls, size_t count)
{
	if (!count)
		return;
	out_json_key(j, name);
	out_json_open(j, '[');
	for (size_t i = 0; i < count; i++)
		out_json_str(j, slice_str(urls[i]));
	out_json_close(j, ']');
}

static void hex_member(struct out_json *j, const Etcdserverpb__Member *m)
{
	out_json_open(j, '{');
	hex_key(j, "ID", m->id);
	if (m->name[0]) {
		out_json_key(j, "name");
		out_json_str(j, slice_str(m->name));
	}
	url_list(j, "peerURLs", m->peerurls, m->n_peerurls);
	url_list(j, "clientURLs", m->clienturls, m->n_clienturls);
	if (m->islearner) {
		out_json_key(j, "isLearner");
		out_json_bool(j, true);
	}
	out_json_close(j, '}');
}

/* Every form but simple (and what a list has besides): true, and the code. */
static bool print_other(struct ctl *c, const ProtobufCMessage *m, const Etcdserverpb__ResponseHeader *h,
			const Etcdserverpb__Member *one, Etcdserverpb__Member *const *members, size_t count, int *code)
{
	struct out_json j = {.out = &c->out};
	bool done;

	if (c->format != OUT_JSON || !c->o.hex) {
		if (c->format == OUT_FIELDS) {
			*code = out_unsupported("fields");
			return true;
		}
		*code = out_plain(c, m, h, &done);
		return done;
	}
	*code = EXIT_OK;
	out_json_open(&j, '{');
	hex_header(&j, h);
	if (one) {
		out_json_key(&j, "member");
		hex_member(&j, one);
	}
	out_json_key(&j, "members");
	out_json_open(&j, '[');
	for (size_t i = 0; i < count; i++)
		hex_member(&j, members[i]);
	out_json_close(&j, ']');
	out_json_close(&j, '}');
	put(c, "\n");
	return true;
}

/* --- add --- */

static int add_operands(struct ctl *c)
{
	const char *text = "too many arguments";

	if (!c->arg_count)
		return ctl_fail(EXIT_ARGS, "member name not provided");
	if (c->arg_count == 1)
		return c->o.peer_urls[0] ? 0 : ctl_fail(EXIT_ARGS, "member peer urls not provided");
	for (size_t i = 0; i < c->arg_count; i++) {
		if (!strncasecmp(c->args[i], "http", 4))
			text = ctl_copy(c, "%s, did you mean --peer-urls=%s", text, c->args[i]);
	}
	return ctl_fail(EXIT_ARGS, "%s", text);
}

/* What the new member has to be started with. */
static void print_settings(struct ctl *c, const Etcdserverpb__MemberAddResponse *r)
{
	struct buf cluster;

	buf_init(&cluster, SIZE_MAX / 2);
	for (size_t i = 0; i < r->n_members; i++) {
		const Etcdserverpb__Member *m = r->members[i];

		for (size_t k = 0; k < m->n_peerurls; k++)
			buf_printf(&cluster, "%s%s=%s", cluster.size ? "," : "",
				   m->id == r->member->id ? c->args[0] : m->name, m->peerurls[k]);
	}
	put(c, "\nETCD_NAME=%s\n", ctl_quoted(c, ctl_arg(c, 0)));
	put(c, "ETCD_INITIAL_CLUSTER=%s\n", ctl_quoted(c, buf_slice(&cluster)));
	put(c, "ETCD_INITIAL_ADVERTISE_PEER_URLS=%s\n", ctl_quoted(c, slice_str(c->o.peer_urls)));
	put(c, "ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n");
	buf_fini(&cluster);
}

RUN(member_add)
{
	struct ctl *c = cli->user;
	Etcdserverpb__MemberAddRequest req = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
	Etcdserverpb__MemberAddResponse *resp;
	int code = add_operands(c);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	req.peerurls = split_urls(c, &req.n_peerurls);
	req.islearner = c->o.learner;
	code = check_urls(c, req.peerurls, req.n_peerurls);
	if (code)
		return code;
	if (!ctl_call(c, RPC_MEMBER_ADD, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (!resp->member || !resp->header)
		return ctl_fail(EXIT_ERROR, "the server's answer has no member in it");
	if (print_other(c, &resp->base, resp->header, resp->member, resp->members, resp->n_members, &code))
		return code;
	put(c, "Member %16" PRIx64 " added%sto cluster %16" PRIx64 "\n", resp->member->id,
	    resp->member->islearner ? " as learner " : " ", resp->header->cluster_id);
	print_settings(c, resp);
	return EXIT_OK;
}

/* --- the rest --- */

RUN(member_remove)
{
	struct ctl *c = cli->user;
	Etcdserverpb__MemberRemoveRequest req = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
	Etcdserverpb__MemberRemoveResponse *resp;
	int code = member_of(c, &req.id);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_MEMBER_REMOVE, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (!print_other(c, &resp->base, resp->header, NULL, resp->members, resp->n_members, &code))
		put(c, "Member %16" PRIx64 " removed from cluster %16" PRIx64 "\n", req.id, resp->header->cluster_id);
	return code;
}

RUN(member_update)
{
	struct ctl *c = cli->user;
	Etcdserverpb__MemberUpdateRequest req = ETCDSERVERPB__MEMBER_UPDATE_REQUEST__INIT;
	Etcdserverpb__MemberUpdateResponse *resp;
	int code = member_of(c, &req.id);

	if (!code && !c->o.peer_urls[0])
		code = ctl_fail(EXIT_ARGS, "member peer urls not provided");
	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	req.peerurls = split_urls(c, &req.n_peerurls);
	code = check_urls(c, req.peerurls, req.n_peerurls);
	if (code)
		return code;
	if (!ctl_call(c, RPC_MEMBER_UPDATE, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (!print_other(c, &resp->base, resp->header, NULL, resp->members, resp->n_members, &code))
		put(c, "Member %16" PRIx64 " updated in cluster %16" PRIx64 "\n", req.id, resp->header->cluster_id);
	return code;
}

RUN(member_promote)
{
	struct ctl *c = cli->user;
	Etcdserverpb__MemberPromoteRequest req = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
	Etcdserverpb__MemberPromoteResponse *resp;
	int code = member_of(c, &req.id);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_MEMBER_PROMOTE, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (!print_other(c, &resp->base, resp->header, NULL, resp->members, resp->n_members, &code))
		put(c, "Member %16" PRIx64 " promoted in cluster %16" PRIx64 "\n", req.id, resp->header->cluster_id);
	return code;
}

/* --- list --- */

static const char *joined(struct ctl *c, char *const *urls, size_t count)
{
	const char *out = "";

	for (size_t i = 0; i < count; i++)
		out = i ? ctl_copy(c, "%s,%s", out, urls[i]) : urls[i];
	return out;
}

static void list_fields(struct ctl *c, const Etcdserverpb__MemberListResponse *r)
{
	fields_header(c, r->header);
	for (size_t i = 0; i < r->n_members; i++) {
		const Etcdserverpb__Member *m = r->members[i];

		fields_id(c, "ID", m->id, false);
		out_field_quoted(&c->out, "Name", slice_str(m->name));
		for (size_t k = 0; k < m->n_peerurls; k++)
			out_field_quoted(&c->out, "PeerURL", slice_str(m->peerurls[k]));
		for (size_t k = 0; k < m->n_clienturls; k++)
			out_field_quoted(&c->out, "ClientURL", slice_str(m->clienturls[k]));
		out_field(&c->out, "IsLearner", "%s", m->islearner ? "true" : "false");
		put(c, "\n");
	}
}

static void list_table(struct ctl *c, const Etcdserverpb__MemberListResponse *r)
{
	static const char *const titles[] = {"ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"};
	struct out_table *t = out_table_new(titles, ARRAY_COUNT(titles));

	for (size_t i = 0; i < r->n_members; i++) {
		const Etcdserverpb__Member *m = r->members[i];

		out_table_cell(t, "%" PRIx64, m->id);
		out_table_cell(t, "%s", m->name[0] ? "started" : "unstarted");
		out_table_cell(t, "%s", m->name);
		out_table_cell(t, "%s", joined(c, m->peerurls, m->n_peerurls));
		out_table_cell(t, "%s", joined(c, m->clienturls, m->n_clienturls));
		out_table_cell(t, "%s", m->islearner ? "true" : "false");
	}
	if (c->format == OUT_TABLE)
		out_table_box(t, &c->out);
	else
		out_table_lines(t, &c->out);
	out_table_free(t);
}

RUN(member_list)
{
	struct ctl *c = cli->user;
	Etcdserverpb__MemberListRequest req = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
	Etcdserverpb__MemberListResponse *resp;
	protobuf_c_boolean serializable;
	int code = parse_serializable(c, &serializable);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	req.linearizable = !serializable;
	if (!ctl_call(c, RPC_MEMBER_LIST, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (c->format == OUT_FIELDS)
		list_fields(c, resp);
	else if (c->format == OUT_TABLE ||
		 !print_other(c, &resp->base, resp->header, NULL, resp->members, resp->n_members, &code))
		list_table(c, resp);
	return code;
}
