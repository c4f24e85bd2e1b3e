/* AWS Signature Version 4 ("Signature Calculations for the Authorization Header", S3 API reference):
 *
 *	canonical request   method \n path \n query \n (name:value \n)* \n names \n sha256(payload)
 *	string to sign      AWS4-HMAC-SHA256 \n date \n scope \n sha256(canonical request)
 *	key                 HMAC(HMAC(HMAC(HMAC("AWS4" secret, day), region), "s3"), "aws4_request") */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "pod/s3.h"

enum { DIGEST = 32, CANONICAL_MAX = 64 * 1024 };

static void to_hex(const uint8_t digest[DIGEST], char out[65])
{
	for (size_t i = 0; i < DIGEST; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void s3_hex_sha256(struct slice data, char out[65])
{
	uint8_t digest[DIGEST];

	ASSERT(EVP_Digest(data.data, data.size, digest, NULL, EVP_sha256(), NULL) == 1);
	to_hex(digest, out);
}

static void hmac(const void *key, size_t key_size, const char *text, uint8_t out[DIGEST])
{
	ASSERT(HMAC(EVP_sha256(), key, (int)key_size, (const uint8_t *)text, strlen(text), out, NULL));
}

static void signing_key(const struct s3_signing *s, const char *day, uint8_t key[DIGEST])
{
	char first[256];

	snprintf(first, sizeof(first), "AWS4%s", s->secret_key);
	hmac(first, strlen(first), day, key);
	hmac(key, DIGEST, s->region, key);
	hmac(key, DIGEST, "s3", key);
	hmac(key, DIGEST, "aws4_request", key);
	explicit_bzero(first, sizeof(first));
}

static void put_names(const struct s3_signing *s, struct buf *b)
{
	for (size_t i = 0; i < s->header_count; i++)
		buf_printf(b, "%s%s", i ? ";" : "", s->headers[i].name);
}

static void put_canonical(const struct s3_signing *s, struct buf *b)
{
	buf_printf(b, "%s\n%s\n%s\n", s->method, s->path, s->query);
	for (size_t i = 0; i < s->header_count; i++)
		buf_printf(b, "%s:%s\n", s->headers[i].name, s->headers[i].value);
	buf_put_byte(b, '\n');
	put_names(s, b);
	buf_printf(b, "\n%s", s->payload_sha256);
}

bool s3_sign(const struct s3_signing *s, char *out, size_t size)
{
	char day[9], scope[128], hash[65], text[512], signature[65];
	uint8_t key[DIGEST], digest[DIGEST];
	struct buf b;
	int n;

	snprintf(day, sizeof(day), "%s", s->date);
	snprintf(scope, sizeof(scope), "%s/%s/s3/aws4_request", day, s->region);
	buf_init(&b, CANONICAL_MAX);
	put_canonical(s, &b);
	s3_hex_sha256(buf_slice(&b), hash);
	snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", s->date, scope, hash);
	signing_key(s, day, key);
	hmac(key, DIGEST, text, digest);
	to_hex(digest, signature);
	explicit_bzero(key, sizeof(key));
	buf_clear(&b);
	put_names(s, &b);
	n = snprintf(out, size, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%.*s,Signature=%s", s->access_key, scope, (int)b.size, (char *)b.data,
		     signature);
	buf_fini(&b);
	return n > 0 && (size_t)n < size;
}

bool s3_encode(char *out, size_t size, const char *text, bool keep_slash)
{
	size_t at = strlen(out);

	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') ||
			     strchr("-._~", *text) || (keep_slash && *text == '/');

		if (at + 4 > size)
			return false;
		at += (size_t)snprintf(out + at, size - at, plain ? "%c" : "%%%02X", (unsigned char)*text);
	}
	return true;
}
