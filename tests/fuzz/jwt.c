/* Tokens that strangers send: the whole text; and as the claims of a token whose signature is right, so that what is behind the
 * signature is reached. First byte: which. */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth/token.h"
#include "base/mem.h"
#include "fuzz.h"

static void base64url(struct buf *b, const uint8_t *data, size_t size)
{
	size_t room = (size + 2) / 3 * 4 + 1;
	char *text = mem_alloc(room);
	int n = EVP_EncodeBlock((uint8_t *)text, data, (int)size);

	for (int i = 0; i < n && text[i] != '='; i++)
		buf_put_byte(b, (uint8_t)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]));
	mem_free(text);
}

static void verify(struct jwt *j, struct slice text)
{
	struct jwt_claims c;

	if (jwt_verify(j, text, 1000, NULL, &c))
		return;
	ASSERT(c.expires_s > 1000);
	ASSERT(c.user[c.user_size] == 0);
	mem_free(c.user);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jwt_config cfg = {.method = "HS256", .private_key = SLICE_LIT("key")};
	struct token_options o;
	struct why why;
	struct jwt *j;
	uint64_t index;
	struct buf b;

	if (!size || size > JWT_SIZE_MAX)
		return 0;
	ASSERT(jwt_open(&cfg, &why, &j) == OK);
	buf_init(&b, 1 << 20);
	if (data[0] & 1) {
		uint8_t mac[EVP_MAX_MD_SIZE];
		unsigned mac_size;

		base64url(&b, (const uint8_t *)"{\"alg\":\"HS256\"}", 15);
		buf_put_byte(&b, '.');
		base64url(&b, data + 1, size - 1);
		HMAC(EVP_sha256(), "key", 3, b.data, b.size, mac, &mac_size);
		buf_put_byte(&b, '.');
		base64url(&b, mac, mac_size);
		verify(j, buf_slice(&b));
	} else {
		verify(j, slice_of(data + 1, size - 1));
		err_ignore(token_parse(slice_of(data + 1, size - 1), &index) ? OK : ERR_INVALID);
		buf_put(&b, data + 1, size - 1);
		buf_put_byte(&b, 0);
		err_ignore(token_options_parse((const char *)b.data, &o));
	}
	buf_fini(&b);
	jwt_close(j);
	return 0;
}
