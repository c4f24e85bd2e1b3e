/* JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, as upstream makes and takes them (etcd v3.7.1 server/auth/jwt.go with
 * golang-jwt v5):
 *
 *	base64url({"alg":"RS256","typ":"JWT"}) . base64url({"exp":N,"revision":N,"username":"u"}) . base64url(signature)
 *
 * Signature by method: RS PKCS#1 v1.5; PS with a salt of the hash's length when signing, any when verifying; ES r and s side by side,
 * each of the curve's size; EdDSA Ed25519; HS HMAC. The header's alg must be the configured method, whatever else it says.
 * The signature is checked before the claims are looked at. exp and nbf count if they are there, without leeway; iat does not. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "auth/token.h"

enum family { FAMILY_RS, FAMILY_PS, FAMILY_ES, FAMILY_ED, FAMILY_HS };

static const struct method {
	const char *name;
	enum family family;
	const char *hash;
	int key_bits;           /* ES: of the curve */
} methods[] = {
	{"RS256", FAMILY_RS, "SHA256", 0}, {"RS384", FAMILY_RS, "SHA384", 0}, {"RS512", FAMILY_RS, "SHA512", 0},
	{"PS256", FAMILY_PS, "SHA256", 0}, {"PS384", FAMILY_PS, "SHA384", 0}, {"PS512", FAMILY_PS, "SHA512", 0},
	{"ES256", FAMILY_ES, "SHA256", 256}, {"ES384", FAMILY_ES, "SHA384", 384}, {"ES512", FAMILY_ES, "SHA512", 521},
	{"HS256", FAMILY_HS, "SHA256", 0}, {"HS384", FAMILY_HS, "SHA384", 0}, {"HS512", FAMILY_HS, "SHA512", 0},
	{"EdDSA", FAMILY_ED, NULL, 0},
};

struct jwt {
	const struct method *method;
	EVP_PKEY *key;          /* NULL: HS */
	struct buf secret;      /* HS */
	bool verify_only;
	int64_t ttl_ns;
};

/* ---- base64url without padding ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct buf *out, const uint8_t *p, size_t size)
{
	uint32_t bits = 0;
	int have = 0;

	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | p[i];
		for (have += 8; have >= 6; have -= 6)
			buf_put_byte(out, (uint8_t)digits[bits >> (have - 6) & 63]);
	}
	if (have)
		buf_put_byte(out, (uint8_t)digits[bits << (6 - have) & 63]);
}

/* False: *at is the place of what is none of its digits, or of a last one that is not enough for a byte. */
static bool decode(struct slice s, struct buf *out, size_t *at)
{
	uint32_t bits = 0;
	int have = 0;

	for (*at = 0; *at < s.size; ++*at) {
		const char *d = s.data[*at] ? strchr(digits, s.data[*at]) : NULL;

		if (!d)
			return false;
		bits = bits << 6 | (uint32_t)(d - digits);
		have += 6;
		if (have >= 8)
			buf_put_byte(out, (uint8_t)(bits >> (have -= 8)));
	}
	*at -= have >= 6;
	return have < 6 && !buf_failed(out);
}

/* ---- keys ---- */

static BIO *bio_of(struct slice s)
{
	return s.size <= INT_MAX ? BIO_new_mem_buf(s.data, (int)s.size) : NULL;
}

static EVP_PKEY *read_private(struct slice pem)
{
	BIO *b = bio_of(pem);
	EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, NULL, (void *)"") : NULL;

	BIO_free(b);
	return key;
}

/* PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE. */
static EVP_PKEY *read_public(struct slice pem)
{
	BIO *b = bio_of(pem);
	EVP_PKEY *key = b ? PEM_read_bio_PUBKEY(b, NULL, NULL, NULL) : NULL;
	X509 *cert;

	BIO_free(b);
	if (key || !(b = bio_of(pem)))
		return key;
	cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
	if (cert)
		key = X509_get_pubkey(cert);
	X509_free(cert);
	BIO_free(b);
	return key;
}

static bool key_fits(const EVP_PKEY *key, enum family family)
{
	int id = EVP_PKEY_get_base_id(key);

	switch (family) {
	case FAMILY_RS:
	case FAMILY_PS: return id == EVP_PKEY_RSA;
	case FAMILY_ES: return id == EVP_PKEY_EC;
	case FAMILY_ED: return id == EVP_PKEY_ED25519;
	case FAMILY_HS: break;
	}
	return false;
}

static err_t read_keys(struct jwt *j, const struct jwt_config *cfg, struct why *why)
{
	EVP_PKEY *private = NULL, *public = NULL;
	err_t err = OK;

	if (cfg->private_key.size) {
		private = read_private(cfg->private_key);
		if (!private || !key_fits(private, j->method->family))
			err = why_set(why, ERR_INVALID, "auth: the private key is not of a kind that %s takes", j->method->name);
	}
	if (!err && cfg->public_key.size) {
		public = read_public(cfg->public_key);
		if (!public || !key_fits(public, j->method->family))
			err = why_set(why, ERR_INVALID, "auth: the public key is not of a kind that %s takes", j->method->name);
	}
	if (!err && !private && !public)
		err = why_set(why, ERR_INVALID, "auth: missing key data");
	if (!err && private && public && EVP_PKEY_eq(private, public) != 1)
		err = why_set(why, ERR_INVALID, "auth: public and private keys don't match");
	if (!err) {
		j->verify_only = !private;
		j->key = private ? private : public;
		EVP_PKEY_free(private ? public : NULL);
	} else {
		EVP_PKEY_free(private);
		EVP_PKEY_free(public);
	}
	ERR_clear_error();
	return err;
}

err_t jwt_open(const struct jwt_config *cfg, struct why *why, struct jwt **out)
{
	struct jwt *j = NEW(struct jwt);
	err_t err = OK;

	buf_init(&j->secret, 1 << 20);
	j->ttl_ns = cfg->ttl_ns;
	for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
		if (!strcmp(methods[i].name, cfg->method))
			j->method = &methods[i];
	if (!j->method)
		err = why_set(why, ERR_INVALID, "auth: invalid auth options");
	else if (j->method->family != FAMILY_HS)
		err = read_keys(j, cfg, why);
	else if (!cfg->private_key.size)
		err = why_set(why, ERR_INVALID, "auth: missing key data");
	else
		buf_put_slice(&j->secret, cfg->private_key);
	if (!err && buf_failed(&j->secret))
		err = why_set(why, ERR_INVALID, "auth: the key is longer than 1 MiB");
	if (err)
		jwt_close(j);
	else
		*out = j;
	return err;
}

void jwt_close(struct jwt *j)
{
	if (!j)
		return;
	EVP_PKEY_free(j->key);
	if (j->secret.data)
		OPENSSL_cleanse(j->secret.data, j->secret.size);
	buf_fini(&j->secret);
	mem_free(j);
}

/* ---- signatures ---- */

static bool pss(const struct method *m, EVP_PKEY_CTX *ctx, int salt)
{
	return m->family != FAMILY_PS ||
	       (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 && EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt) > 0);
}

static size_t curve_bytes(const struct method *m)
{
	return (size_t)(m->key_bits + 7) / 8;
}

/* DER of ECDSA to r || s. */
static bool es_pack(const struct method *m, const uint8_t *der, size_t size, struct buf *out)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)size);
	int half = (int)curve_bytes(m);
	uint8_t *at = sig ? buf_add(out, 2 * (size_t)half) : NULL;
	bool ok = at && BN_bn2binpad(ECDSA_SIG_get0_r(sig), at, half) == half &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), at + half, half) == half;

	ECDSA_SIG_free(sig);
	return ok;
}

/* And back; false also for another size. *der: to be freed with OPENSSL_free. */
static bool es_unpack(const struct method *m, struct slice s, uint8_t **der, size_t *size)
{
	size_t half = curve_bytes(m);
	ECDSA_SIG *sig;
	BIGNUM *r, *t;
	int n = -1;

	if (s.size != 2 * half)
		return false;
	sig = ECDSA_SIG_new();
	r = BN_bin2bn(s.data, (int)half, NULL);
	t = BN_bin2bn(s.data + half, (int)half, NULL);
	if (sig && r && t && ECDSA_SIG_set0(sig, r, t)) {
		*der = NULL;
		n = i2d_ECDSA_SIG(sig, der);
	} else {
		BN_free(r);
		BN_free(t);
	}
	ECDSA_SIG_free(sig);
	*size = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static bool hmac(const struct jwt *j, struct slice text, uint8_t mac[EVP_MAX_MD_SIZE], unsigned *size)
{
	const EVP_MD *md = EVP_get_digestbyname(j->method->hash);

	return md && HMAC(md, j->secret.data, (int)j->secret.size, text.data, text.size, mac, size);
}

static bool sign_with_key(const struct jwt *j, struct slice text, struct buf *out)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p = NULL;
	uint8_t sig[2048];
	size_t size = sizeof(sig);
	bool ok = c && EVP_DigestSignInit_ex(c, &p, j->method->hash, NULL, NULL, j->key, NULL) > 0 &&
		  pss(j->method, p, RSA_PSS_SALTLEN_DIGEST) && EVP_DigestSign(c, sig, &size, text.data, text.size) > 0;

	if (ok && j->method->family == FAMILY_ES)
		ok = es_pack(j->method, sig, size, out);
	else if (ok)
		buf_put(out, sig, size);
	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok;
}

static bool verify_with_key(const struct jwt *j, struct slice text, struct slice sig)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p = NULL;
	uint8_t *der = NULL;
	size_t der_size;
	bool ok = c != NULL;

	if (ok && j->method->family == FAMILY_ES) {
		ok = es_unpack(j->method, sig, &der, &der_size);
		if (ok)
			sig = slice_of(der, der_size);
	}
	ok = ok && EVP_DigestVerifyInit_ex(c, &p, j->method->hash, NULL, NULL, j->key, NULL) > 0 &&
	     pss(j->method, p, RSA_PSS_SALTLEN_AUTO) && EVP_DigestVerify(c, sig.data, sig.size, text.data, text.size) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok;
}

static bool verify(const struct jwt *j, struct slice text, struct slice sig)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned size;

	if (j->method->family != FAMILY_HS)
		return verify_with_key(j, text, sig);
	return hmac(j, text, mac, &size) && sig.size == size && CRYPTO_memcmp(mac, sig.data, size) == 0;
}

/* ---- signing ---- */

/* A JSON string as Go's encoder writes it: <, > and & escaped too. */
static void put_string(struct buf *b, struct slice s)
{
	static const char short_of[] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'};

	buf_put_byte(b, '"');
	for (size_t i = 0; i < s.size; i++) {
		uint8_t c = s.data[i];

		if (c < sizeof(short_of) && short_of[c])
			buf_printf(b, "\\%c", short_of[c]);
		else if (c < 0x20 || c == '<' || c == '>' || c == '&')
			buf_printf(b, "\\u%04x", c);
		else
			buf_put_byte(b, c);
	}
	buf_put_byte(b, '"');
}

err_t jwt_sign(struct jwt *j, struct slice user, uint64_t revision, int64_t now_s, struct buf *out)
{
	struct buf text, claims, sig;
	char header[64];
	err_t err = OK;
	int n;

	if (j->verify_only)
		return ERR_VERIFY_ONLY;
	if (j->method->family == FAMILY_ES && EVP_PKEY_get_bits(j->key) != j->method->key_bits)
		return ERR_JWT_KEY;
	buf_init(&text, 1 << 20);
	buf_init(&claims, 1 << 20);
	buf_init(&sig, 4096);
	n = snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", j->method->name);
	encode(&text, (const uint8_t *)header, (size_t)n);
	buf_printf(&claims, "{\"exp\":%lld,\"revision\":%llu,\"username\":", (long long)(now_s + j->ttl_ns / 1000000000),
		   (unsigned long long)revision);
	put_string(&claims, user);
	buf_put_byte(&claims, '}');
	buf_put_byte(&text, '.');
	encode(&text, claims.data, claims.size);
	if (j->method->family == FAMILY_HS) {
		uint8_t mac[EVP_MAX_MD_SIZE];
		unsigned size;

		if (hmac(j, buf_slice(&text), mac, &size))
			buf_put(&sig, mac, size);
		else
			err = ERR_JWT_KEY;
	} else if (!sign_with_key(j, buf_slice(&text), &sig)) {
		err = ERR_JWT_KEY;
	}
	if (!err && (buf_failed(&text) || buf_failed(&claims) || buf_failed(&sig)))
		err = ERR_TOO_LARGE;
	if (!err) {
		buf_put_byte(&text, '.');
		encode(&text, sig.data, sig.size);
		buf_put_slice(out, buf_slice(&text));
	}
	buf_fini(&text);
	buf_fini(&claims);
	buf_fini(&sig);
	return err;
}

/* ---- verifying ---- */

static bool split(struct slice text, struct slice parts[3])
{
	for (int i = 0; i < 3; i++) {
		const uint8_t *dot = text.size ? memchr(text.data, '.', text.size) : NULL;

		if ((dot == NULL) != (i == 2))
			return false;
		parts[i] = dot ? slice_of(text.data, (size_t)(dot - text.data)) : text;
		if (dot)
			text = slice_of(dot + 1, text.size - parts[i].size - 1);
	}
	return true;
}

/* The words are those of upstream's library (golang-jwt v5): the class of the fault, then what it is. */
static err_t refuse(struct why *why, const char *class, const char *text)
{
	return why_set(why, ERR_INVALID_AUTH_TOKEN, "%s: %s", class, text);
}

static const char malformed[] = "token is malformed", unverifiable[] = "token is unverifiable", invalid_claims[] = "token has invalid claims";

/* The bytes of a part. */
static err_t part_decode(struct slice part, const char *name, struct why *why, struct buf *out)
{
	size_t at;

	if (decode(part, out, &at))
		return OK;
	return why_set(why, ERR_INVALID_AUTH_TOKEN, "%s: could not base64 decode %s: illegal base64 data at input byte %zu", malformed, name, at);
}

/* An object of JSON; null is an empty one. */
static err_t object_of(struct slice part, const char *name, struct why *why, json_t **out)
{
	json_error_t e = {.text = "unexpected end of JSON input"};
	json_t *v = NULL;
	struct buf raw;
	err_t err;

	buf_init(&raw, JWT_SIZE_MAX);
	err = part_decode(part, name, why, &raw);
	if (!err && raw.size)
		v = json_loadb((const char *)raw.data, raw.size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &e);
	if (!err && !v)         /* not e.text, which quotes what it read */
		err = why_set(why, ERR_INVALID_AUTH_TOKEN, "%s: could not JSON decode %s: error at byte %d", malformed, name, e.position);
	else if (!err && json_is_null(v))
		v = json_object();
	else if (!err && !json_is_object(v))
		err = why_set(why, ERR_INVALID_AUTH_TOKEN, "%s: could not JSON decode %s: not an object", malformed, name);
	buf_fini(&raw);
	if (err)
		json_decref(v);
	else
		*out = v;
	return err;
}

static bool is_method(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
		if (!strcmp(methods[i].name, name))
			return true;
	return !strcmp(name, "none");
}

static err_t header_names(const struct jwt *j, struct slice part, struct why *why)
{
	json_t *header;
	const char *alg;
	err_t err = object_of(part, "header", why, &header);

	if (err)
		return err;
	alg = json_string_value(json_object_get(header, "alg"));
	if (!alg)
		err = refuse(why, unverifiable, "signing method (alg) is unspecified");
	else if (!is_method(alg))
		err = refuse(why, unverifiable, "signing method (alg) is unavailable");
	else if (strcmp(alg, j->method->name) != 0)
		err = refuse(why, unverifiable, "error while executing keyfunc: invalid signing method");
	json_decref(header);
	return err;
}

/* A time claim that is missing, or 0, is no limit; one that is no number spoils the token. */
static bool time_claim(json_t *claims, const char *name, int64_t missing, int64_t *out)
{
	json_t *v = json_object_get(claims, name);
	double s = json_real_value(v);

	*out = missing;
	if (!v)
		return true;
	if (!json_is_real(v) || !(fabs(s) < 9e18))
		return false;
	if (s != 0)
		*out = (int64_t)floor(s);
	return true;
}

static err_t claims_take(json_t *claims, int64_t now_s, struct why *why, struct jwt_claims *out)
{
	json_t *user = json_object_get(claims, "username"), *revision = json_object_get(claims, "revision");
	int64_t expires, not_before;
	double r = json_real_value(revision);
	const char *e = NULL, *n = NULL;

	if (!time_claim(claims, "exp", INT64_MAX, &expires))
		e = "invalid type for claim: exp is invalid";
	else if (now_s >= expires)
		e = "token is expired";
	if (!time_claim(claims, "nbf", INT64_MIN, &not_before))
		n = "invalid type for claim: nbf is invalid";
	else if (now_s < not_before)
		n = "token is not valid yet";
	if (e || n)
		return why_set(why, ERR_INVALID_AUTH_TOKEN, "%s: %s%s%s", invalid_claims, e ? e : "", e && n ? ", " : "", n ? n : "");
	if (!json_is_string(user))
		return why_set(why, ERR_INVALID_AUTH_TOKEN, "failed to obtain user claims from jwt token");
	if (!json_is_real(revision) || !(r >= 0 && r < 18446744073709551616.0))
		return why_set(why, ERR_INVALID_AUTH_TOKEN, "failed to obtain revision claims from jwt token");
	out->user_size = json_string_length(user);
	out->user = mem_alloc(out->user_size + 1);
	memcpy(out->user, json_string_value(user), out->user_size + 1);
	out->revision = (uint64_t)r;
	out->expires_s = expires;
	return OK;
}

err_t jwt_verify(struct jwt *j, struct slice text, int64_t now_s, struct why *why, struct jwt_claims *out)
{
	struct slice parts[3], signed_text;
	json_t *claims = NULL;
	struct buf sig;
	err_t err;

	if (text.size > JWT_SIZE_MAX)
		return refuse(why, malformed, "token is too long");
	if (!split(text, parts))
		return refuse(why, malformed, "token contains an invalid number of segments");
	err = header_names(j, parts[0], why);
	if (err)
		return err;
	signed_text = slice_of(text.data, text.size - parts[2].size - 1);
	buf_init(&sig, JWT_SIZE_MAX);
	err = part_decode(parts[2], "signature", why, &sig);
	if (!err && !verify(j, signed_text, buf_slice(&sig)))
		err = refuse(why, "token signature is invalid", "signature is invalid");
	if (!err)
		err = object_of(parts[1], "claim", why, &claims);
	if (!err)
		err = claims_take(claims, now_s, why, out);
	json_decref(claims);
	buf_fini(&sig);
	return err;
}

void token_fingerprint(struct slice text, char out[TOKEN_FINGERPRINT_SIZE + 1])
{
	uint8_t md[SHA256_DIGEST_LENGTH];

	SHA256(text.data, text.size, md);
	for (int i = 0; i < TOKEN_FINGERPRINT_SIZE; i += 2)
		snprintf(out + i, 3, "%02x", md[i / 2]);
}
