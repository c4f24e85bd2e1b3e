/* etcdserverpb.Auth. Most goes into the log as it came. Passwords do not: they are hashed or compared on a worker first.
 *
 *	Authenticate   linearizable look at the user -> compare (worker) -> log -> the auth revision moved meanwhile? again
 *	               -> JWT: sign (worker) -> answer
 *	UserAdd, UserChangePassword   linearizable look at the caller -> hash (worker) -> log
 *
 * bcrypt takes some 50 ms: each io actor has one password under way at a time and a bounded line behind it, so a flood of them
 * slows nobody else down and is refused at the end of the line. The server gives them threads of their own, which are nice. */
#include <openssl/crypto.h>
#include <sys/resource.h>

#include "api/api_impl.h"
#include "auth/password.h"
#include "obs/log.h"
#include "pb/pbc.h"

enum { PASSWORDS_WAITING_MAX = 256, RETRIES_MAX = 16, HASH_SIZE_MAX = 128 };

struct login {
	struct list link;               /* in io->passwords while it waits */
	struct api_rpc *rpc;
	api_step *next;
	bool running;
	struct buf name, password;
	struct buf request;             /* UserAdd, UserChangePassword: what of it goes into the log */
	char hash[HASH_SIZE_MAX + 1];   /* stored one, or the one made */
	size_t hash_size;
	uint8_t salt[AUTH_SALT_SIZE];
	uint64_t revision;
	int cost, retries;
	err_t err;
	bool compare, matches;
	struct buf token;
	int64_t now_s;
};

static void wipe(struct buf *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->room);
	buf_fini(b);
}

static struct login *login_new(struct api_rpc *r)
{
	struct login *l = NEW(struct login);

	l->rpc = r;
	list_init(&l->link);
	buf_init(&l->name, 1 << 24);
	buf_init(&l->password, 1 << 24);
	buf_init(&l->request, 1 << 24);
	buf_init(&l->token, 1 << 16);
	r->state = l;
	return l;
}

static void login_drop(struct api_rpc *r)
{
	struct login *l = r->state;

	if (!l)
		return;
	wipe(&l->password);
	buf_fini(&l->name);
	buf_fini(&l->request);
	buf_fini(&l->token);
	OPENSSL_cleanse(l->hash, sizeof(l->hash));
	mem_free(l);
	r->state = NULL;
}

/* ---- one password at a time ---- */

enum { NICE = 10 };

static bool password_work(struct job *j)
{
	struct api_rpc *r = CONTAINER_OF(j, struct api_rpc, job);
	struct login *l = r->state;

	if (r->io->api->opts.passwords)         /* this thread does nothing else */
		setpriority(PRIO_PROCESS, 0, NICE);
	if (l->compare)
		l->matches = auth_password_matches(buf_slice(&l->password), slice_of(l->hash, l->hash_size));
	else
		l->err = auth_password_hash(buf_slice(&l->password), l->cost, l->salt, l->hash);
	return true;
}

static void passwords_go(struct api_io *io);

static void password_done(struct api_rpc *r)
{
	struct login *l = r->state;

	if (l->err)
		api_fail(r, l->err);
	else
		l->next(r);
}

static void passwords_go(struct api_io *io)
{
	struct login *l;

	if (io->password_runs || list_empty(&io->passwords))
		return;
	l = CONTAINER_OF(io->passwords.next, struct login, link);
	list_remove(&l->link);
	io->passwords_waiting--;
	io->password_runs = l->running = true;
	api_job_on(l->rpc, io->api->opts.passwords, password_work, password_done);
}

/* The job of a call is back, also of one whose client has gone. */
void api_job_was_password(struct api_rpc *r)
{
	struct login *l = r->row->drop == login_drop ? r->state : NULL;

	if (!l || !l->running)
		return;
	l->running = false;
	r->io->password_runs = false;
	passwords_go(r->io);
}

static void password_queue(struct api_rpc *r, api_step *next)
{
	struct login *l = r->state;
	struct api_io *io = r->io;

	if (io->passwords_waiting >= PASSWORDS_WAITING_MAX) {
		api_fail(r, ERR_TOO_MANY_REQUESTS);
		return;
	}
	l->next = next;
	list_push_back(&io->passwords, &l->link);
	io->passwords_waiting++;
	passwords_go(io);
}

static void login_stop(struct api_rpc *r)
{
	struct login *l = r->state;

	if (!l || list_empty(&l->link))
		return;
	list_remove(&l->link);
	r->io->passwords_waiting--;
}

/* ---- Authenticate ---- */

static void login_check(struct api_rpc *r);

static void token_reply(struct api_rpc *r)
{
	struct login *l = r->state;

	if (l->err) {
		api_fail(r, l->err);
		return;
	}
	pb_put_bytes(&r->call.resp, 2, buf_slice(&l->token));
	api_step_reply(r);
}

static bool sign_work(struct job *j)
{
	struct api_rpc *r = CONTAINER_OF(j, struct api_rpc, job);
	struct login *l = r->state;

	l->err = jwt_sign(r->io->api->opts.jwt, buf_slice(&l->name), l->revision, l->now_s, &l->token);
	return true;
}

/* The password was compared with what the store held at that revision. */
static void login_applied(struct api_rpc *r)
{
	struct login *l = r->state;
	uint64_t revision;

	if (r->call.err) {
		api_fail(r, r->call.err);
		return;
	}
	revision = node_view(r->io->node)->auth->revision;
	node_leave(r->io->node);
	if (revision != l->revision && l->retries++ < RETRIES_MAX) {
		LOG_INFO("revision when password checked became stale; retrying");
		buf_clear(&r->call.resp);
		login_check(r);
	} else if (revision != l->revision) {
		api_fail(r, ERR_AUTH_OLD_REVISION);
	} else if (r->io->api->opts.token_kind == TOKEN_JWT) {
		l->now_s = node_wall_ns(r->io->node) / 1000000000;
		api_job(r, sign_work, token_reply);
	} else {
		api_step_reply(r);
	}
}

static void login_refuse(struct api_rpc *r, err_t err)
{
	struct login *l = r->state;

	if (err == ERR_AUTH_FAILED)
		LOG_WARN("invalid authentication was requested", LOG_SLICE("user", buf_slice(&l->name)),
			 LOG_STR("error", "auth: authentication failed, invalid user ID or password"));
	else if (err == ERR_NO_PASSWORD_USER)
		LOG_WARN("invalid authentication was requested", LOG_SLICE("user", buf_slice(&l->name)), LOG_ERR(err));
	api_fail(r, err);
}

/* InternalAuthenticateRequest {name 1, simple_token 3} */
static void login_compared(struct api_rpc *r)
{
	struct login *l = r->state;
	uint8_t random[64];
	char prefix[TOKEN_PREFIX_SIZE];
	struct buf body;

	if (!l->matches) {
		LOG_INFO("invalid password", LOG_SLICE("user-name", buf_slice(&l->name)));
		login_refuse(r, ERR_AUTH_FAILED);
		return;
	}
	buf_init(&body, 1 << 24);
	pb_put_bytes(&body, 1, buf_slice(&l->name));
	if (r->io->api->opts.token_kind == TOKEN_SIMPLE) {
		node_random(r->io->node, random, sizeof(random));
		token_prefix(random, prefix);
		pb_put_bytes(&body, 3, slice_of(prefix, sizeof(prefix)));
	}
	api_propose(r, REQ_AUTHENTICATE, buf_slice(&body), login_applied);
	buf_fini(&body);
}

static void login_check(struct api_rpc *r)
{
	struct login *l = r->state;
	const struct publication *p;
	struct slice hash = {0};
	err_t err = r->call.err;

	if (!err) {
		p = node_view(r->io->node);
		err = auth_password_of(p->auth, buf_slice(&l->name), &hash);
		if (!err && hash.size > HASH_SIZE_MAX)
			err = ERR_AUTH_FAILED;          /* no bcrypt text */
		l->revision = p->auth->revision;
		l->hash_size = hash.size;
		if (!err && hash.size)
			memcpy(l->hash, hash.data, hash.size);
		node_leave(r->io->node);
	}
	if (err)
		login_refuse(r, err);
	else
		password_queue(r, login_compared);
}

/* Strings, last one wins. */
static void strings_read(struct slice body, struct slice out[5])
{
	struct pb_reader rd = pb_reader_of(body);
	struct pb_field f;

	while (pb_next(&rd, &f))
		if (f.wire == PB_BYTES && f.number < 5)
			out[f.number] = f.bytes;
}

/* The request's bytes have the password in them. */
static void body_wipe(struct blob *take_b)
{
	if (atomic_load(&take_b->refs) == 1)
		OPENSSL_cleanse(take_b->data, take_b->size);
	blob_unref(take_b);
}

/* {name 1, password 2} */
static void authenticate_message(struct api_rpc *r, struct blob *take_body)
{
	struct slice f[5] = {{0}};
	struct login *l;
	err_t err = pb_validate(rpc_methods[r->method].request, blob_slice(take_body));

	if (err) {
		body_wipe(take_body);
		api_fail(r, err);
		return;
	}
	l = login_new(r);
	l->compare = true;
	strings_read(blob_slice(take_body), f);
	buf_put_slice(&l->name, f[1]);
	buf_put_slice(&l->password, slice_of(f[2].data, MIN(f[2].size, AUTH_PASSWORD_SIZE_MAX)));        /* no more is compared */
	body_wipe(take_body);
	r->call.err = OK;
	api_linearizable(r, login_check);
}

const struct api_row authenticate_row = {.name = "Authenticate", .message = authenticate_message, .stop = login_stop, .drop = login_drop};

/* ---- UserAdd, UserChangePassword ---- */

static void hashed(struct api_rpc *r)
{
	struct login *l = r->state;
	char text[AUTH_HASH_TEXT_SIZE + 1];
	bool add = r->method == RPC_USER_ADD;

	auth_hash_encode(slice_of(l->hash, AUTH_HASH_SIZE), text);
	pb_put_bytes(&l->request, add ? 4 : 3, slice_str(text));
	api_propose(r, add ? REQ_USER_ADD : REQ_USER_CHANGE_PASSWORD, buf_slice(&l->request), api_step_reply);
}

/* Behind a linearizable read: apply would refuse it in the same words, but a stranger's request is not worth a hash. */
static void hash_begin(struct api_rpc *r)
{
	struct login *l = r->state;
	err_t err = r->call.err ? r->call.err : api_permit_now(r);

	if (err) {
		api_fail(r, err);
		return;
	}
	l->cost = (int)r->io->api->opts.bcrypt_cost;
	if (l->cost < AUTH_COST_MIN || l->cost > AUTH_COST_MAX)
		l->cost = AUTH_COST_DEFAULT;
	node_random(r->io->node, l->salt, sizeof(l->salt));
	password_queue(r, hashed);
}

/* UserAdd {name 1, password 2, options 3, hashedPassword 4}: hashed unless options say no password. ChangePassword {name 1, password 2,
 * hashedPassword 3}: an empty one is not hashed, and then a hash that the client sent counts, as upstream has it. */
static void password_message(struct api_rpc *r, struct blob *take_body)
{
	struct slice f[5] = {{0}};
	struct buf options;
	struct pb_reader rd;
	struct pb_field g;
	struct login *l;
	bool add = r->method == RPC_USER_ADD, no_password = false;
	err_t err = pb_validate(rpc_methods[r->method].request, blob_slice(take_body));

	buf_init(&options, 1 << 24);
	l = login_new(r);
	if (!err) {
		strings_read(blob_slice(take_body), f);
		pb_put_bytes(&l->request, 1, f[1]);
		rd = pb_reader_of(blob_slice(take_body));
		while (add && pb_next(&rd, &g))
			if (g.number == 3 && g.wire == PB_BYTES) {
				buf_put_slice(&options, g.bytes);
				pb_put_bytes_always(&l->request, 3, g.bytes);
			}
		err = auth_options_no_password(buf_slice(&options), &no_password);
		buf_put_slice(&l->password, f[2]);
		if (!err && !add && !f[2].size)
			pb_put_bytes(&l->request, 3, f[3]);
	}
	buf_fini(&options);
	body_wipe(take_body);
	r->call.err = OK;
	if (!err && l->password.size > AUTH_PASSWORD_SIZE_MAX && !no_password)
		err = ERR_PASSWORD_TOO_LONG;
	if (err)
		api_fail(r, err);
	else if (add ? !no_password : l->password.size > 0)
		api_linearizable(r, hash_begin);
	else
		api_propose(r, (enum internal_field)rpc_methods[r->method].log_field, buf_slice(&l->request), api_step_reply);
}

const struct api_row user_add_row = {.name = "UserAdd", .message = password_message, .stop = login_stop, .drop = login_drop};
const struct api_row user_change_password_row = {.name = "UserChangePassword", .message = password_message, .stop = login_stop,
	.drop = login_drop};

/* ---- the others ---- */

static void log_message(struct api_rpc *r, struct blob *take_body)
{
	const struct rpc_method *m = &rpc_methods[r->method];
	err_t err = pb_validate(m->request, blob_slice(take_body));

	if (err)
		api_fail(r, err);
	else
		api_propose(r, (enum internal_field)m->log_field, blob_slice(take_body), api_step_reply);
	blob_unref(take_body);
}

const struct api_row auth_log_row = {.name = "Auth", .message = log_message};
