/* What the agent asks of etcd: the local member's /metrics, which need no password and are served without a leader, and gRPC
 * for the rest. Each call has a client of its own: they are few, and no connection is kept over a change of members. */
#include <stdio.h>

#include "pb/pbc.h"
#include "pod/agent.h"
#include "rpc.pb-c.h"

enum { RESPONSE_MAX = 4 * 1024 * 1024 };

/* --- /metrics --- */

static bool open_local(struct agent *a)
{
	char url[POD_URL_SIZE];
	struct https_opts o = {.url = url, .ca_file = a->cfg.cacert, .cert_file = a->cfg.cert, .key_file = a->cfg.key,
			       .skip_verify = a->cfg.skip_verify};

	config_client_url(&a->cfg, a->cfg.ordinal, url);
	return a->local || !https_open(&o, NULL, &a->local);
}

/* The value of an unlabelled metric; -1: it is not there. */
static double metric(const char *text, const char *name)
{
	size_t size = strlen(name);

	for (const char *at = text; at && *at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, name, size) && at[size] == ' ')
			return strtod(at + size, NULL);
	}
	return -1;
}

void members_local(struct agent *a)
{
	struct https_request r = {.method = "GET", .path = "/metrics", .timeout_ms = 2000, .body_size_max = RESPONSE_MAX};
	struct https_answer answer;
	const char *text;

	a->answers = a->has_leader = a->is_leader = false;
	if (!open_local(a) || https_do(a->local, &r, &answer, NULL))
		return;
	buf_put_byte(&answer.body, '\0');
	text = (const char *)answer.body.data;
	if (answer.status == 200 && !buf_failed(&answer.body)) {
		a->answers = metric(text, "etcd_server_has_leader") >= 0;
		a->has_leader = metric(text, "etcd_server_has_leader") > 0;
		a->is_leader = a->has_leader && metric(text, "etcd_server_is_leader") > 0;
		a->is_learner = metric(text, "etcd_server_is_learner") > 0;
	}
	https_answer_fini(&answer);
}

/* --- gRPC --- */

static void close_client(struct agent *a, struct client *c)
{
	client_free(c);
	uv_run(&a->loop, UV_RUN_DEFAULT);
}

static bool ask_with(struct agent *a, const char *url, const char *token, enum rpc rpc, const ProtobufCMessage *request, unsigned timeout_ms,
		     void *out, struct client_status *st)
{
	const char *endpoints[] = {url};
	struct client_opts o = {.endpoints = endpoints, .endpoint_count = 1, .token = token && token[0] ? token : NULL, .recv_bytes_max = RESPONSE_MAX,
				.tls = {.cert = a->cfg.cert, .key = a->cfg.key, .cacert = a->cfg.cacert, .skip_verify = a->cfg.skip_verify}};
	struct client_call_opts call = {.timeout_ms = timeout_ms};
	struct buf body, response;
	struct why why = {0};
	struct client *c;
	bool ok;

	memset(st, 0, sizeof(*st));
	st->code = GRPC_UNAVAILABLE;
	if (client_new(&a->loop, &o, &why, &c)) {
		snprintf(st->text, sizeof(st->text), "%.500s", why.text);
		return false;
	}
	buf_init(&body, RESPONSE_MAX);
	buf_init(&response, RESPONSE_MAX);
	pb_pack(request, &body);
	ok = client_unary(c, rpc, buf_slice(&body), &call, &response, st);
	if (!ok && st->is_local && client_trouble(c)[0])
		snprintf(st->text, sizeof(st->text), "%.500s", client_trouble(c));
	if (ok && out && pb_unpack(&a->arena, rpc_methods[rpc].response, buf_slice(&response), out)) {
		ok = false;
		st->code = GRPC_INTERNAL;
	}
	explicit_bzero(body.data, body.size);
	buf_fini(&body);
	buf_fini(&response);
	close_client(a, c);
	return ok;
}

bool members_login(struct agent *a, const char *url, const char *password, struct client_status *st)
{
	Etcdserverpb__AuthenticateRequest request = ETCDSERVERPB__AUTHENTICATE_REQUEST__INIT;
	Etcdserverpb__AuthenticateResponse *response;

	request.name = (char *)"root";
	request.password = (char *)password;
	if (!ask_with(a, url, NULL, RPC_AUTHENTICATE, &request.base, LOGIN_MS, &response, st))
		return false;
	snprintf(a->token, sizeof(a->token), "%s", strlen(response->token) < sizeof(a->token) ? response->token : "");
	return true;
}

static bool wants_login(const struct client_status *st)
{
	switch (client_error_row(st)) {
	case ERR_INVALID_AUTH_TOKEN:
	case ERR_USER_EMPTY:
	case ERR_AUTH_OLD_REVISION:
		return true;
	default:
		return false;
	}
}

/* The password that worked, then the one that is wanted: a change may have been another agent's. */
static bool login(struct agent *a, const char *url, struct client_status *st)
{
	if (!a->password[0] && !a->wanted[0])
		return false;
	if (a->password[0] && members_login(a, url, a->password, st))
		return true;
	if (!strcmp(a->password, a->wanted) || !a->wanted[0] || !members_login(a, url, a->wanted, st)) {
		a->password_told |= client_error_row(st) == ERR_AUTH_FAILED; /* password_rotate says so */
		return false;
	}
	memcpy(a->password, a->wanted, sizeof(a->password));
	return true;
}

static bool ask(struct agent *a, const char *url, enum rpc rpc, const ProtobufCMessage *request, unsigned timeout_ms, void *out,
		struct client_status *st)
{
	if (ask_with(a, url, a->token, rpc, request, timeout_ms, out, st))
		return true;
	if (!wants_login(st))
		return false;
	a->token[0] = '\0';
	return login(a, url, st) && ask_with(a, url, a->token, rpc, request, timeout_ms, out, st);
}

bool members_list(struct agent *a, const char *url, unsigned timeout_ms, struct members_seen *out)
{
	Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
	Etcdserverpb__MemberListResponse *r;
	struct client_status st;

	request.linearizable = true;
	memset(out, 0, sizeof(*out));
	if (!ask(a, url, RPC_MEMBER_LIST, &request.base, timeout_ms, &r, &st) || !r->header || r->n_members > POD_MEMBERS_MAX)
		return false;
	out->cluster_id = r->header->cluster_id;
	out->count = r->n_members;
	for (size_t i = 0; i < r->n_members; i++) {
		const Etcdserverpb__Member *m = r->members[i];

		out->at[i] = (struct pod_member){.id = m->id, .is_started = m->name[0], .is_learner = m->islearner};
		snprintf(out->at[i].url, sizeof(out->at[i].url), "%s", m->n_peerurls ? m->peerurls[0] : "");
		snprintf(out->names[i], sizeof(out->names[i]), "%s", m->name);
		snprintf(out->client_urls[i], sizeof(out->client_urls[i]), "%s", m->n_clienturls ? m->clienturls[0] : "");
	}
	return true;
}

bool members_of_others(struct agent *a, struct members_seen *out)
{
	for (int o = 0; o < POD_PLACES_MAX; o++) {
		char url[POD_URL_SIZE];

		if (o == a->cfg.ordinal || !a->world.places[o].has_pod || a->stopping)
			continue;
		config_client_url(&a->cfg, o, url);
		if (members_list(a, url, OTHERS_MS, out))
			return true;
	}
	return false;
}

bool members_status(struct agent *a, const char *url, uint64_t id, uint64_t leader_id, uint64_t *raft_index)
{
	Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
	Etcdserverpb__StatusResponse *r;
	struct client_status st;

	/* A learner cannot log anybody in: the token is the leader's. One that came by a snapshot has not applied that login: the token is dropped, so
	 * that the next question to the leader makes another, which the learner applies too. */
	if (!url[0])
		return false;
	if (!ask_with(a, url, a->token, RPC_STATUS, &request.base, 1000, &r, &st)) {
		if (wants_login(&st))
			a->token[0] = '\0';
		return false;
	}
	if (!r->header)
		return false;
	*raft_index = r->raftindex;
	return r->header->member_id == id && r->leader == leader_id;
}

static bool change(struct agent *a, const char *url, enum rpc rpc, const ProtobufCMessage *request, void *out, char why[CLIENT_ERROR_SIZE])
{
	struct client_status st;
	bool ok = ask(a, url, rpc, request, 2 * CALL_MS, out, &st);

	if (!ok)
		client_error(why, &st);
	return ok;
}

bool members_do(struct agent *a, const struct pod_action *act, uint64_t *id, char why[CLIENT_ERROR_SIZE])
{
	Etcdserverpb__MemberAddRequest add = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
	Etcdserverpb__MemberRemoveRequest remove = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
	Etcdserverpb__MemberUpdateRequest update = ETCDSERVERPB__MEMBER_UPDATE_REQUEST__INIT;
	Etcdserverpb__MemberPromoteRequest promote = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
	Etcdserverpb__MoveLeaderRequest move = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
	char *urls[] = {(char *)act->url};
	char url[POD_URL_SIZE];
	Etcdserverpb__MemberAddResponse *added;

	config_client_url(&a->cfg, a->cfg.ordinal, url);
	switch (act->verb) {
	case POD_ADD:
		add.peerurls = urls;
		add.n_peerurls = 1;
		add.islearner = true;
		if (!change(a, url, RPC_MEMBER_ADD, &add.base, &added, why))
			return false;
		*id = added->member ? added->member->id : 0;
		return true;
	case POD_REMOVE:
		remove.id = act->member_id;
		return change(a, url, RPC_MEMBER_REMOVE, &remove.base, NULL, why);
	case POD_UPDATE:
		update.id = act->member_id;
		update.peerurls = urls;
		update.n_peerurls = 1;
		return change(a, url, RPC_MEMBER_UPDATE, &update.base, NULL, why);
	case POD_PROMOTE:
		promote.id = act->member_id;
		return change(a, url, RPC_MEMBER_PROMOTE, &promote.base, NULL, why);
	case POD_MOVE_LEADER:
		move.targetid = act->member_id;
		return change(a, url, RPC_MOVE_LEADER, &move.base, NULL, why);
	case POD_BIND:
	case POD_NOTHING:
		break;
	}
	UNREACHABLE();
}

bool members_set_password(struct agent *a, const char *from, const char *to, struct client_status *st)
{
	Etcdserverpb__AuthUserChangePasswordRequest request = ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
	char url[POD_URL_SIZE];

	config_client_url(&a->cfg, a->cfg.ordinal, url);
	if (!members_login(a, url, from, st))
		return false;
	request.name = (char *)"root";
	request.password = (char *)to;
	return ask(a, url, RPC_USER_CHANGE_PASSWORD, &request.base, LOGIN_MS, NULL, st);
}
