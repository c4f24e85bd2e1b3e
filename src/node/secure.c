/* A cluster that shall not be served open: the member is ready only once authentication is enabled, and sees to it that it will be.
 *
 *	leader, no role root      -> RoleAdd root
 *	leader, no user root      -> UserAdd root with the hash that the member was given
 *	leader, root without root -> UserGrantRole
 *	leader, all there         -> AuthEnable
 *	enabled                   -> the hash is forgotten, client ports open
 *
 * One proposal at a time, each chosen by what is applied, so it does not matter who else does the same, what was there before, or how
 * often it is begun: apply refuses the second of two. A follower waits, and acts (through the leader) only if there has been a leader for
 * PATIENCE_S and nothing came of it: one that was not told to, or that is not of this project. */
#include <openssl/crypto.h>

#include "auth/password.h"
#include "node/node_impl.h"

enum { PATIENCE_S = 5, SAY_EVERY_S = 5 };

#define SECOND_NS UINT64_C(1000000000)

static const struct slice root = {(const uint8_t *)"root", 4};

void node_secure(struct node *n, const char hash[AUTH_HASH_SIZE + 1])
{
	ASSERT(!n->core);
	if (auth_state(n->auth)->enabled)
		return;
	n->secure.hash = mem_alloc(AUTH_HASH_TEXT_SIZE + 1);
	auth_hash_encode(slice_of(hash, AUTH_HASH_SIZE), n->secure.hash);
	n->secure.waits = true;
}

bool node_secured(const struct node *n)
{
	return !n->secure.waits;
}

void core_secure_forget(struct node *n)
{
	if (n->secure.hash)
		OPENSSL_cleanse(n->secure.hash, AUTH_HASH_TEXT_SIZE);
	mem_free(n->secure.hash);
	n->secure.hash = NULL;
}

/* What is missing first: the request's body is appended, its name for the log returned. */
static const char *missing(const struct node *n, enum internal_field *field, struct buf *body)
{
	if (auth_role_get(n->auth, root, NULL)) {
		*field = REQ_ROLE_ADD;
		pb_put_bytes(body, 1, root);
		return "role root";
	}
	if (auth_user_get(n->auth, root, NULL)) {
		*field = REQ_USER_ADD;
		pb_put_bytes(body, 1, root);
		pb_put_bytes(body, 4, slice_str(n->secure.hash));
		return "user root";
	}
	if (!auth_has_role(auth_state(n->auth), root, root)) {
		*field = REQ_USER_GRANT_ROLE;
		pb_put_bytes(body, 1, root);
		pb_put_bytes(body, 2, root);
		return "role root of user root";
	}
	*field = REQ_AUTH_ENABLE;
	return "authentication";
}

static void propose_missing(struct node *n)
{
	enum internal_field field;
	const char *what;
	struct buf body;

	buf_init(&body, 1024);
	what = missing(n, &field, &body);
	ASSERT(!buf_failed(&body));
	LOG_INFO("a root password was given; making what is missing", LOG_STR("missing", what), LOG_HEX("local-member-id", n->member_id));
	n->secure.asked = true;
	core_own_propose(n, OWN_SECURE, field, buf_slice(&body), 0);
	OPENSSL_cleanse(body.data, body.size);
	buf_fini(&body);
}

static bool may_act(const struct node *n, uint64_t now_ns)
{
	if (n->stopping || n->secure.asked || n->lead == RAFT_NONE)
		return false;
	return n->role == RAFT_LEADER ? n->applied_own_term : now_ns - n->secure.led_since_ns >= PATIENCE_S * SECOND_NS;
}

static void say(struct node *n, uint64_t now_ns)
{
	if (now_ns - n->secure.said_ns < SAY_EVERY_S * SECOND_NS)
		return;
	n->secure.said_ns = now_ns;
	LOG_WARN("authentication is not enabled yet; client ports stay closed", LOG_HEX("local-member-id", n->member_id),
		 LOG_STR("waiting-for", n->lead == RAFT_NONE ? "a leader (is a quorum of the members up?)" : "the leader to enable it"));
}

/* Between batches, never while an entry is applied: what is enabled here has been published. */
void core_secure_tick(struct node *n, uint64_t now_ns)
{
	if (!n->secure.waits)
		return;
	if (auth_state(n->auth)->enabled) {
		LOG_INFO("authentication is enabled, as the root password asks for", LOG_HEX("local-member-id", n->member_id),
			 LOG_UINT("auth-revision", auth_state(n->auth)->revision));
		core_secure_forget(n);
		n->secure.waits = false;
		core_ready_tell(n);
		return;
	}
	if (!n->secure.said_ns)
		n->secure.said_ns = now_ns;
	if (n->lead == RAFT_NONE)
		n->secure.led_since_ns = now_ns;
	if (may_act(n, now_ns))
		propose_missing(n);
	say(n, now_ns);
}

void core_secure_answer(struct node *n, err_t err)
{
	n->secure.asked = false;
	if (err && !n->stopping && !auth_state(n->auth)->enabled)
		LOG_WARN("could not make what a root password asks for; trying again", LOG_ERR(err));
	else
		core_secure_tick(n, core_now(n));
}

void core_ready_tell(struct node *n)
{
	if (!n->is_ready || n->secure.waits || n->ready_told)
		return;
	n->ready_told = true;
	if (n->cfg.hooks.ready)
		n->cfg.hooks.ready(n->cfg.hooks.arg);
}
