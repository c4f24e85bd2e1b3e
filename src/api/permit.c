/* Who calls, and whether they may: the identity from the call's token, then the rule of the method's row (pb/methods_rows.h). What
 * goes through the log is judged when it is applied; here is what this member answers itself. Everything is judged in the publication
 * that is read, so a right that was taken away and a value written after it never meet. */
#include <openssl/crypto.h>

#include "api/api_impl.h"
#include "base/crc.h"
#include "obs/log.h"

#define BEARER SLICE_LIT("Bearer ")

enum { JWTS_KEPT = 64 };

/* A JWT that this io actor has verified: the signature is not computed again for each request. */
struct jwt_kept {
	char *text;
	size_t size;
	struct jwt_claims claims;
};

void api_token_keep(struct api_rpc *r)
{
	struct slice t = r->meta.token;

	/* A call's own calls may outlive the connection (api/lock.c deletes the key of who has gone). */
	if (r->meta.common_name.size && !arena_copy(&r->arena, r->meta.common_name, &r->meta.common_name))
		r->meta.common_name = (struct slice){0};
	if (!r->meta.has_token)
		return;
	if (slice_has_prefix(t, BEARER))
		t = slice_of(t.data + BEARER.size, t.size - BEARER.size);
	if (t.size > JWT_SIZE_MAX || !arena_copy(&r->arena, t, &r->meta.token))
		r->meta.token = (struct slice){0};      /* no valid one is that long */
}

static void be(struct api_rpc *r, struct slice user, uint64_t revision)
{
	buf_clear(&r->who_name);
	buf_put_slice(&r->who_name, user);
	r->who = (struct auth_id){buf_slice(&r->who_name), revision};
}

static err_t simple_token(struct api_rpc *r, const struct publication *p)
{
	struct tokens *t = node_tokens(r->io->node);
	struct slice user;
	uint64_t index;

	if (!t || !token_parse(r->meta.token, &index) || !tokens_find(t, r->meta.token, api_now(r), &user))
		return ERR_INVALID_AUTH_TOKEN;
	be(r, user, p->auth->revision);
	return OK;
}

static void kept_clear(struct jwt_kept *k)
{
	mem_free(k->text);
	mem_free(k->claims.user);
	*k = (struct jwt_kept){0};
}

void api_jwts_free(struct api_io *io)
{
	for (size_t i = 0; io->jwts && i < JWTS_KEPT; i++)
		kept_clear(&io->jwts[i]);
	mem_free(io->jwts);
}

/* Two of them have lines of their own. */
static void jwt_refused(const struct why *why)
{
	if (!strncmp(why->text, "failed ", strlen("failed ")))
		LOG_WARN(why->text);
	else
		LOG_WARN("failed to parse a JWT token", LOG_WHY(why));
}

static err_t jwt_token(struct api_rpc *r)
{
	struct api_io *io = r->io;
	struct slice t = r->meta.token;
	int64_t now_s = node_wall_ns(io->node) / 1000000000;
	struct jwt_kept *k;
	struct jwt_claims claims;
	struct why why;
	err_t err;

	if (!io->jwts)
		io->jwts = NEW_ARRAY(struct jwt_kept, JWTS_KEPT);
	k = &io->jwts[hash64(0, t.data, t.size) % JWTS_KEPT];
	if (!k->text || k->size != t.size || CRYPTO_memcmp(k->text, t.data, t.size) != 0 || now_s >= k->claims.expires_s) {
		err = jwt_verify(io->api->opts.jwt, t, now_s, &why, &claims);
		if (err) {
			jwt_refused(&why);
			return err;
		}
		kept_clear(k);
		k->text = mem_alloc(t.size);
		memcpy(k->text, t.data, t.size);
		k->size = t.size;
		k->claims = claims;
	}
	be(r, slice_of(k->claims.user, k->claims.user_size), k->claims.revision);
	return OK;
}

static err_t token(struct api_rpc *r, const struct publication *p)
{
	switch (r->io->api->opts.token_kind) {
	case TOKEN_SIMPLE: return simple_token(r, p);
	case TOKEN_JWT: return jwt_token(r);
	case TOKEN_NONE: break;
	}
	return ERR_INVALID_AUTH_TOKEN;
}

err_t api_who(struct api_rpc *r, const struct publication *p)
{
	char fingerprint[TOKEN_FINGERPRINT_SIZE + 1];
	err_t err;

	r->who = (struct auth_id){0};
	if (!p->auth->enabled)
		return OK;
	if (r->meta.as_root) {
		be(r, SLICE_LIT("root"), p->auth->revision);
		return OK;
	}
	if (!r->meta.has_token) {
		/* One without a name is a user whom nobody knows, not nobody. */
		if (r->io->api->opts.certificates_name_users && r->meta.has_certificate && !r->meta.from_gateway)
			be(r, r->meta.common_name, p->auth->revision);
		return OK;
	}
	err = token(r, p);
	if (err && log_enabled(LOG_LEVEL_WARN)) {
		token_fingerprint(r->meta.token, fingerprint);
		LOG_WARN("invalid auth token", LOG_STR("token-fingerprint", fingerprint));
	}
	return err;
}

err_t api_still_may(const struct api_rpc *r, const struct publication *p)
{
	return r->who.revision && r->who.revision != p->auth->revision ? ERR_AUTH_OLD_REVISION : OK;
}

/* ---- a token that this member has not heard of yet ---- */

bool api_token_ahead(struct api_rpc *r)
{
	struct node *n = r->io->node;
	const struct publication *p;
	struct slice user;
	uint64_t index;
	bool ahead;

	if (!r->meta.has_token || r->io->api->opts.token_kind != TOKEN_SIMPLE || !token_parse(r->meta.token, &index))
		return false;
	p = node_view(n);
	ahead = p->auth->enabled && index >= p->applied_index && !tokens_find(node_tokens(n), r->meta.token, api_now(r), &user);
	node_leave(n);
	return ahead && !node_lone_leader(n);
}

/* ---- the rules ---- */

typedef err_t permit_fn(const struct api_rpc *r, const struct auth_state *s);

static err_t anybody(const struct api_rpc *r, const struct auth_state *s)
{
	return OK;
}

static err_t any_user(const struct api_rpc *r, const struct auth_state *s)
{
	return auth_check_user(s, &r->who);
}

static err_t root(const struct api_rpc *r, const struct auth_state *s)
{
	return auth_check_admin(s, &r->who);
}

static err_t range(const struct api_rpc *r, const struct auth_state *s)
{
	return auth_check_range(s, &r->who, r->range.key, r->range.range_end, AUTH_READ);
}

/* One that only reads: the others go through the log. */
static err_t txn(const struct api_rpc *r, const struct auth_state *s)
{
	return auth_check_txn(s, &r->who, NULL, &r->txn);
}

static err_t alarm(const struct api_rpc *r, const struct auth_state *s)
{
	struct pb_reader rd = pb_reader_of(r->asked);
	struct pb_field f;
	uint64_t action = 0;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			action = f.value;
	return (int32_t)action == 0 ? any_user(r, s) : root(r, s);
}

/* at_apply: src/apply/auth.c and kv.c; at_core: src/node/auth.c. */
#define at_apply anybody
#define at_core any_user

static permit_fn *const permits[] = {
	[PERM_PUBLIC] = anybody,
	[PERM_USER] = any_user,
	[PERM_ROOT] = root,
	[PERM_RANGE] = range,
	[PERM_PUT] = at_apply,
	[PERM_DELETE] = at_apply,
	[PERM_TXN] = txn,
	[PERM_WATCH] = range,
	[PERM_LEASE_REVOKE] = any_user, /* and its keys at_apply */
	[PERM_LEASE_KEEP_ALIVE] = at_core,
	[PERM_LEASE_TTL] = at_core,
	[PERM_LEASE_LIST] = at_core,
	[PERM_ALARM] = alarm,
	[PERM_USER_GET] = at_apply,
	[PERM_ROLE_GET] = at_apply,
	[PERM_BY_PARTS] = anybody,      /* each part is asked */
};

_Static_assert(ARRAY_COUNT(permits) == PERM__COUNT, "each permission has its function");

err_t api_permit(struct api_rpc *r, const struct publication *p)
{
	enum rpc_permission perm = rpc_methods[r->method].permission;
	err_t err = perm == PERM_PUBLIC ? OK : api_who(r, p);

	return err ? err : permits[perm](r, p->auth);
}

err_t api_permit_now(struct api_rpc *r)
{
	err_t err = api_permit(r, node_view(r->io->node));

	node_leave(r->io->node);
	return err;
}

err_t api_token_admin(struct api_io *io, struct slice token)
{
	struct api_rpc r = {.io = io, .meta = {.has_token = token.size > 0, .token = token}};
	const struct publication *p;
	err_t err;

	if (slice_has_prefix(token, BEARER))
		r.meta.token = slice_of(token.data + BEARER.size, token.size - BEARER.size);
	buf_init(&r.who_name, 1 << 16);
	p = node_view(io->node);
	err = api_who(&r, p);
	if (!err)
		err = auth_check_admin(p->auth, &r.who);
	node_leave(io->node);
	buf_fini(&r.who_name);
	return err;
}
