/* Requests about users, roles and logging in. Field numbers: proto/rpc.proto, proto/raft_internal.proto. What needs role root was
 * refused before (apply.c); questions are asked only if somebody waits for the answer. */
#include "apply/apply_impl.h"
#include "auth/password.h"
#include "base/crc.h"

enum { FIELDS_MAX = 4 };

/* The length-delimited fields 1 to 4 of a request. A message that occurs twice is merged by reading both parts as one. */
struct fields {
	struct slice at[FIELDS_MAX + 1];
	bool given[FIELDS_MAX + 1];
};

static err_t append(struct apply_in *in, struct slice *s, struct slice more)
{
	uint8_t *both = arena_alloc(&in->a->arena, s->size + more.size);

	if (!both)
		return ERR_MALFORMED;
	if (s->size)
		memcpy(both, s->data, s->size);
	if (more.size)
		memcpy(both + s->size, more.data, more.size);
	*s = slice_of(both, s->size + more.size);
	return OK;
}

/* message: the number that is a message, text: bits of those that must be UTF-8. */
static err_t fields_read(struct apply_in *in, uint32_t message, unsigned text, struct fields *out)
{
	struct pb_reader r = pb_reader_of(in->body);
	struct pb_field f;
	err_t err = OK;

	*out = (struct fields){0};
	while (!err && pb_next(&r, &f)) {
		if (f.wire != PB_BYTES || f.number > FIELDS_MAX)
			continue;
		if (text >> f.number & 1 && !slice_is_utf8(f.bytes))
			err = ERR_MALFORMED;
		else if (f.number == message && out->given[f.number])
			err = append(in, &out->at[f.number], f.bytes);
		else
			out->at[f.number] = f.bytes;
		out->given[f.number] = true;
	}
	return err || r.failed ? ERR_MALFORMED : OK;
}

#define TEXT(n) (1u << (n))

/* Nothing but the header is answered. */
static err_t done(struct apply_in *in, err_t err)
{
	if (err)
		return err;
	apply_header(in);
	in->out->effects |= APPLY_AUTH;
	return OK;
}

err_t apply_auth_enable(struct apply_in *in)
{
	err_t err = auth_enable(in->a->auth);

	if (!err && in->a->tokens)
		tokens_enable(in->a->tokens);
	return done(in, err);
}

err_t apply_auth_disable(struct apply_in *in)
{
	if (auth_disable(in->a->auth) && in->a->tokens)
		tokens_disable(in->a->tokens);
	return done(in, OK);
}

err_t apply_auth_status(struct apply_in *in)
{
	const struct auth_state *s = auth_state(in->a->auth);

	pb_put_uint(in->resp, 2, s->enabled);
	pb_put_uint(in->resp, 3, s->revision);
	apply_header(in);
	return OK;
}

/* {name 1, password 2 (empty), simple_token 3}. The password was compared before this was proposed. A JWT is signed by who asked. */
err_t apply_authenticate(struct apply_in *in)
{
	struct fields f;
	struct buf text;
	err_t err = fields_read(in, 0, TEXT(1) | TEXT(2) | TEXT(3), &f);

	if (err)
		return err;
	err = auth_check_login(auth_state(in->a->auth), f.at[1]);
	if (!err && in->a->token_kind == TOKEN_NONE)
		err = ERR_AUTH_FAILED;
	if (err)
		return err;
	if (in->a->token_kind == TOKEN_SIMPLE) {
		buf_init(&text, 1 << 20);
		tokens_add(in->a->tokens, f.at[1], f.at[3], in->index - 1, in->a->now_ns, &text);
		if (in->resp)
			pb_put_bytes(in->resp, 2, buf_slice(&text));
		buf_fini(&text);
	}
	apply_header(in);
	return OK;
}

/* The hash that a request carries: base64 of it, or, in entries of versions before 3.5, the password itself. There every member hashed
 * with a salt of its own; here the salt follows from the entry. False: upstream's "no password user". */
static bool hash_of(struct apply_in *in, struct slice password, struct slice text, struct slice *hash)
{
	uint8_t salt[AUTH_SALT_SIZE], *out = arena_alloc(&in->a->arena, MAX(text.size, AUTH_HASH_SIZE + 1));

	*hash = (struct slice){0};
	if (!out)
		return false;
	if (password.size && !text.size) {
		be64_put(salt, hash64(in->id_number, in->body.data, in->body.size));
		be64_put(salt + 8, hash64(~in->id_number, in->body.data, in->body.size));
		if (auth_password_hash(password, in->a->bcrypt_cost, salt, (char *)out))
			return false;
		*hash = slice_of(out, AUTH_HASH_SIZE);
		return true;
	}
	hash->data = out;
	return auth_hash_decode(text, out, &hash->size) == OK;
}

/* {name 1, password 2, options 3, hashedPassword 4} */
err_t apply_user_add(struct apply_in *in)
{
	struct auth_new_user u = {0};
	struct fields f;
	err_t err = fields_read(in, 3, TEXT(1) | TEXT(2) | TEXT(4), &f);

	if (err)
		return err;
	u.name = f.at[1];
	u.options = f.at[3];
	u.hash_bad = !hash_of(in, f.at[2], f.at[4], &u.hash);
	return done(in, auth_user_add(in->a->auth, &u));
}

err_t apply_user_delete(struct apply_in *in)
{
	struct fields f;
	err_t err = fields_read(in, 0, TEXT(1), &f);

	if (err)
		return err;
	err = auth_user_delete(in->a->auth, f.at[1]);
	if (!err && in->a->tokens)
		tokens_drop_user(in->a->tokens, f.at[1]);
	return done(in, err);
}

/* {name 1, password 2, hashedPassword 3} */
err_t apply_user_change_password(struct apply_in *in)
{
	struct slice hash;
	struct fields f;
	bool bad;
	err_t err = fields_read(in, 0, TEXT(1) | TEXT(2) | TEXT(3), &f);

	if (err)
		return err;
	bad = !hash_of(in, f.at[2], f.at[3], &hash);
	err = auth_user_change_password(in->a->auth, f.at[1], hash, bad);
	if (!err && in->a->tokens)
		tokens_drop_user(in->a->tokens, f.at[1]);
	return done(in, err);
}

err_t apply_user_get(struct apply_in *in)
{
	struct fields f;
	err_t err = fields_read(in, 0, TEXT(1), &f);

	if (err)
		return err;
	err = auth_check_admin(auth_state(in->a->auth), &in->id);
	if (err && !slice_eq(f.at[1], in->id.user))
		return err;
	err = auth_user_get(in->a->auth, f.at[1], in->resp);
	if (!err)
		apply_header(in);
	return err;
}

err_t apply_user_list(struct apply_in *in)
{
	auth_user_list(in->a->auth, in->resp);
	apply_header(in);
	return OK;
}

err_t apply_user_grant(struct apply_in *in)
{
	struct fields f;
	err_t err = fields_read(in, 0, TEXT(1) | TEXT(2), &f);

	return err ? err : done(in, auth_user_grant(in->a->auth, f.at[1], f.at[2]));
}

err_t apply_user_revoke(struct apply_in *in)
{
	struct fields f;
	err_t err = fields_read(in, 0, TEXT(1) | TEXT(2), &f);

	return err ? err : done(in, auth_user_revoke(in->a->auth, f.at[1], f.at[2]));
}

err_t apply_role_add(struct apply_in *in)
{
	struct fields f;
	err_t err = fields_read(in, 0, TEXT(1), &f);

	return err ? err : done(in, auth_role_add(in->a->auth, f.at[1]));
}

err_t apply_role_delete(struct apply_in *in)
{
	struct fields f;
	err_t err = fields_read(in, 0, TEXT(1), &f);

	return err ? err : done(in, auth_role_delete(in->a->auth, f.at[1]));
}

err_t apply_role_get(struct apply_in *in)
{
	const struct auth_state *s = auth_state(in->a->auth);
	struct fields f;
	err_t err = fields_read(in, 0, TEXT(1), &f);

	if (err)
		return err;
	err = auth_check_admin(s, &in->id);
	if (err && !auth_has_role(s, in->id.user, f.at[1]))
		return err;
	err = auth_role_get(in->a->auth, f.at[1], in->resp);
	if (!err)
		apply_header(in);
	return err;
}

err_t apply_role_list(struct apply_in *in)
{
	auth_role_list(in->a->auth, in->resp);
	apply_header(in);
	return OK;
}

/* {name 1, perm 2 {permType 1, key 2, range_end 3}} */
err_t apply_role_grant(struct apply_in *in)
{
	struct auth_permission p = {0};
	struct pb_reader r;
	struct pb_field g;
	struct fields f;
	err_t err = fields_read(in, 2, TEXT(1), &f);

	if (err)
		return err;
	r = pb_reader_of(f.at[2]);
	while (pb_next(&r, &g)) {
		if (g.number == 1 && g.wire == PB_VARINT)
			p.type = (int32_t)g.value;
		else if (g.number == 2 && g.wire == PB_BYTES)
			p.key = g.bytes;
		else if (g.number == 3 && g.wire == PB_BYTES)
			p.range_end = g.bytes;
	}
	if (r.failed)
		return ERR_MALFORMED;
	return done(in, auth_role_grant(in->a->auth, f.at[1], f.given[2] ? &p : NULL));
}

err_t apply_role_revoke(struct apply_in *in)
{
	struct fields f;
	err_t err = fields_read(in, 0, TEXT(1), &f);

	return err ? err : done(in, auth_role_revoke(in->a->auth, f.at[1], f.at[2], f.at[3]));
}

/* ---- the lessor as checks see it ---- */

static size_t lease_keys(void *arg, int64_t lease)
{
	return lease_key_count(arg, lease);
}

static struct slice lease_key(void *arg, int64_t lease, size_t i)
{
	return lease_key_at(arg, lease, i);
}

struct auth_leases apply_auth_leases(struct lessor *l)
{
	return (struct auth_leases){l, lease_keys, lease_key};
}
