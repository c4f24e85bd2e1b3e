/* bcrypt ($2a$) through libcrypt: the hashes that upstream stores. Blocks for as long as the cost says (cost 10: some 50 ms): for
 * workers only. Pure otherwise; any thread. */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/err.h"
#include "base/slice.h"

enum {
	AUTH_COST_MIN = 4,
	AUTH_COST_MAX = 31,
	AUTH_COST_DEFAULT = 10,
	AUTH_SALT_SIZE = 16,
	AUTH_HASH_SIZE = 60,
	AUTH_HASH_TEXT_SIZE = 80, /* as an entry carries it: base64 of 60 bytes, no padding */
	AUTH_PASSWORD_SIZE_MAX = 72, /* what bcrypt looks at */
};

/* out: AUTH_HASH_SIZE characters and a NUL. salt: random. ERR_PASSWORD_TOO_LONG; ERR_INVALID: a zero byte in the password,
 * which libcrypt cannot take, or a cost outside the bounds. */
NODISCARD err_t auth_password_hash(struct slice password, int cost, const uint8_t salt[AUTH_SALT_SIZE], char out[AUTH_HASH_SIZE + 1]);

/* Compares in constant time; false also for a stored text that is no bcrypt hash. As upstream, only the first 72 bytes of a
 * longer password count here. */
bool auth_password_matches(struct slice password, struct slice hash);

/* A hash as UserAdd carries it in the log (hashedPassword): out gets AUTH_HASH_TEXT_SIZE characters and a NUL. */
void auth_hash_encode(struct slice hash, char out[AUTH_HASH_TEXT_SIZE + 1]);

/* And back, as Go's StdEncoding reads it: padded, line
 * breaks skipped. out must have room for size * 3 / 4 bytes. ERR_INVALID. */
NODISCARD err_t auth_hash_decode(struct slice text, uint8_t *out, size_t *size);

#endif
