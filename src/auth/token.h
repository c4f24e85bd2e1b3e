/* Tokens: what a client shows instead of a password.
 *
 * Simple tokens live in a table of this member, made by applied Authenticate entries, so every member has the same ones:
 *	t = tokens_new(epoch, ttl_ns);  tokens_enable(t);  tokens_add(t, user, prefix, index, now, out)       core, at apply
 *	tokens_drop_user(t, name); tokens_disable(t); tokens_expire(t, now)                             core
 *	tokens_find(t, text, now, user)                                                                 any thread, inside the epoch
 * JWT are signed and verified with a key and are nowhere kept:
 *	jwt_open(&cfg, why, &j);  jwt_sign(j, user, revision, now_s, &text);  jwt_verify(j, text, now_s, why, &claims)
 *
 * Time comes in as argument. The random 16 letters of a simple token come from the log entry. Signing draws its nonces from OpenSSL. */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include "base/buf.h"
#include "base/epoch.h"
#include "base/slice.h"

enum {
	TOKEN_PREFIX_SIZE = 16,         /* letters */
	TOKEN_TEXT_SIZE = 1024,         /* longer texts are no simple tokens */
	TOKENS_MAX = 200000,            /* beyond it the one that was checked longest ago goes */
	JWT_SIZE_MAX = 8192,
};

/* ---- simple ---- */

struct tokens;

/* ttl_ns restarts with each use. retired memory goes through the domain, whose writer is core. */
struct tokens *tokens_new(struct epoch_domain *epoch, uint64_t ttl_ns, uint64_t hash_seed);
void tokens_free(struct tokens *t); /* no reader inside; NULL allowed */
/* Auth came on; tokens that exist stay. */
void tokens_enable(struct tokens *t);
/* Auth went off: all tokens die, and none is made until tokens_enable. */
void tokens_disable(struct tokens *t);
/* Makes "<prefix>.<index>" and appends it to out (NULL: nobody wants it). While disabled the text is made and means nothing.
 * A text that exists is given to the user anew (an entry cannot come twice; upstream panics). */
void tokens_add(struct tokens *t, struct slice user, struct slice prefix, uint64_t index, uint64_t now_ns, struct buf *out);
/* After a changed password or a deleted user. */
void tokens_drop_user(struct tokens *t, struct slice user);
/* Frees what is over its time, a bounded number a call; call about once a second. */
void tokens_expire(struct tokens *t, uint64_t now_ns);
size_t tokens_count(const struct tokens *t);

/* Any thread, inside the epoch, where *user is valid. False: unknown or over its time. */
bool tokens_find(struct tokens *t, struct slice text, uint64_t now_ns, struct slice *user);
/* The form letters.decimal; *index: a member that has not applied it cannot know the token yet. */
bool token_parse(struct slice text, uint64_t *index);
/* 16 letters out of 64 random bytes. */
void token_prefix(const uint8_t random[64], char out[TOKEN_PREFIX_SIZE]);

/* ---- JWT ---- */

struct jwt;

struct jwt_config {
	const char *method;     /* RS256 … EdDSA */
	struct slice public_key; /* PEM; empty: none */
	struct slice private_key; /* PEM, or for HS the key itself */
	int64_t ttl_ns;
};

struct jwt_claims {
	char *user;             /* the caller's: mem_free */
	size_t user_size;
	uint64_t revision;
	int64_t expires_s;      /* INT64_MAX: never */
};

/* ERR_INVALID with why: upstream's words for why it does not start. */
NODISCARD err_t jwt_open(const struct jwt_config *cfg, struct why *why, struct jwt **out);
void jwt_close(struct jwt *j);
/* Any thread. ERR_VERIFY_ONLY; ERR_JWT_KEY: the key does not fit the method. */
NODISCARD err_t jwt_sign(struct jwt *j, struct slice user, uint64_t revision, int64_t now_s, struct buf *out);
/* Any thread. ERR_INVALID_AUTH_TOKEN: form, method, signature, time or claims; why says which, for the log, and nothing of the token. */
NODISCARD err_t jwt_verify(struct jwt *j, struct slice text, int64_t now_s, struct why *why, struct jwt_claims *out);

enum { TOKEN_FINGERPRINT_SIZE = 12 };
/* What a token is called in logs: the beginning of its SHA-256, in hex, and a NUL. Any thread. */
void token_fingerprint(struct slice text, char out[TOKEN_FINGERPRINT_SIZE + 1]);

/* ---- --auth-token ---- */

enum token_kind { TOKEN_NONE, TOKEN_SIMPLE, TOKEN_JWT };
/* TYPE[,key=value]*: files are named, not read. Slices point into text. ERR_INVALID. */
enum { TOKEN_UNKNOWN_MAX = 16 };
struct token_options {
	enum token_kind kind;
	struct slice method, public_file, private_file, ttl;
	struct slice unknown[TOKEN_UNKNOWN_MAX]; /* names of options of jwt that are not known: upstream warns */
	size_t unknown_count;
};
NODISCARD err_t token_options_parse(const char *text, struct token_options *out);

#endif
