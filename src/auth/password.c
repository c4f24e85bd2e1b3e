/* bcrypt text: $2a$CC$ (CC the cost in two digits), 22 characters of salt, 31 of hash, in bcrypt's own base64.
 *
 * libcrypt is asked for $2b$, which is the same function: its $2a$ guards against an old bug of other programs and may differ in
 * rare hashes. What is stored says $2a$, as upstream's. */
#include "auth/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

enum { SALT_CHARS = 22, HASH_CHARS = 31, HEAD_CHARS = 7 };

_Static_assert(AUTH_HASH_SIZE == HEAD_CHARS + SALT_CHARS + HASH_CHARS, "bcrypt text");

static const char digits[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/* 16 bytes, most significant bit first, six at a time. */
static void salt_write(const uint8_t salt[AUTH_SALT_SIZE], char out[SALT_CHARS])
{
	uint32_t bits = 0;
	int have = 0, at = 0;

	for (int i = 0; i < AUTH_SALT_SIZE; i++) {
		bits = bits << 8 | salt[i];
		for (have += 8; have >= 6; have -= 6)
			out[at++] = digits[bits >> (have - 6) & 63];
	}
	out[at] = digits[bits << (6 - have) & 63];
}

/* setting: head and salt; out gets the whole text. False: libcrypt refuses. */
static bool derive(struct slice password, const char *setting, char out[AUTH_HASH_SIZE + 1])
{
	struct crypt_data *d = mem_zalloc(sizeof(*d));
	char text[AUTH_PASSWORD_SIZE_MAX + 1] = {0};
	bool ok;

	memcpy(text, password.data ? (const char *)password.data : "", MIN(password.size, AUTH_PASSWORD_SIZE_MAX));
	ok = crypt_rn(text, setting, d, sizeof(*d)) && d->output[0] == '$' && strlen(d->output) == AUTH_HASH_SIZE;
	if (ok)
		memcpy(out, d->output, AUTH_HASH_SIZE + 1);
	OPENSSL_cleanse(text, sizeof(text));
	OPENSSL_cleanse(d, sizeof(*d));
	mem_free(d);
	return ok;
}

err_t auth_password_hash(struct slice password, int cost, const uint8_t salt[AUTH_SALT_SIZE], char out[AUTH_HASH_SIZE + 1])
{
	char setting[HEAD_CHARS + SALT_CHARS + 1];

	if (password.size > AUTH_PASSWORD_SIZE_MAX)
		return ERR_PASSWORD_TOO_LONG;
	if (cost < AUTH_COST_MIN || cost > AUTH_COST_MAX || (password.size && memchr(password.data, 0, password.size)))
		return ERR_INVALID;
	snprintf(setting, HEAD_CHARS + 1, "$2b$%02d$", cost);
	salt_write(salt, setting + HEAD_CHARS);
	setting[HEAD_CHARS + SALT_CHARS] = 0;
	if (!derive(password, setting, out))
		return ERR_UNSUPPORTED;
	out[2] = 'a';
	return OK;
}

/* $2$, $2a$, $2b$, $2y$: upstream takes any letter for the same function. */
static bool setting_read(struct slice hash, char setting[HEAD_CHARS + SALT_CHARS + 1], const uint8_t **tail)
{
	const uint8_t *p = hash.data;

	if (hash.size < AUTH_HASH_SIZE - 1 || p[0] != '$' || p[1] != '2')
		return false;
	p += p[2] == '$' ? 3 : 4;
	if (p[-1] != '$' || (size_t)(hash.data + hash.size - p) < 3 + SALT_CHARS + HASH_CHARS || p[2] != '$')
		return false;
	snprintf(setting, HEAD_CHARS + SALT_CHARS + 1, "$2b$%.*s", 3 + SALT_CHARS, (const char *)p);
	*tail = p + 3 + SALT_CHARS;
	return true;
}

bool auth_password_matches(struct slice password, struct slice hash)
{
	char setting[HEAD_CHARS + SALT_CHARS + 1], got[AUTH_HASH_SIZE + 1];
	const uint8_t *want;

	if (!setting_read(hash, setting, &want) || (password.size && memchr(password.data, 0, password.size)))
		return false;
	if ((size_t)(hash.data + hash.size - want) != HASH_CHARS || !derive(password, setting, got))
		return false;
	return CRYPTO_memcmp(got + AUTH_HASH_SIZE - HASH_CHARS, want, HASH_CHARS) == 0;
}

void auth_hash_encode(struct slice hash, char out[AUTH_HASH_TEXT_SIZE + 1])
{
	ASSERT(hash.size == AUTH_HASH_SIZE);
	EVP_EncodeBlock((uint8_t *)out, hash.data, AUTH_HASH_SIZE);
}

err_t auth_hash_decode(struct slice text, uint8_t *out, size_t *size)
{
	uint32_t bits = 0;
	int have = 0;           /* digits of the present group */
	int pads = 0;
	size_t at = 0;

	for (size_t i = 0; i < text.size; i++) {
		uint8_t c = text.data[i];
		int digit = text_base64_digit(c);

		if (c == '\r' || c == '\n')
			continue;
		if (c == '=') {
			if (have + pads >= 4 || have < 2)
				return ERR_INVALID;
			pads++;
			continue;
		}
		if (digit < 0 || pads)
			return ERR_INVALID;
		bits = bits << 6 | (uint32_t)digit;
		if (++have == 4) {
			out[at++] = (uint8_t)(bits >> 16);
			out[at++] = (uint8_t)(bits >> 8);
			out[at++] = (uint8_t)bits;
			have = 0;
		}
	}
	if (have && have + pads != 4)
		return ERR_INVALID;
	if (have >= 2)
		out[at++] = (uint8_t)(bits >> (have == 3 ? 10 : 4));
	if (have == 3)
		out[at++] = (uint8_t)(bits >> 2);
	*size = at;
	return OK;
}
