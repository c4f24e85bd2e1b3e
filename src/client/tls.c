/* TLS of the client: context from files, one session per link, certificates checked against the endpoint's name. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"
#include "client/client_impl.h"

static bool given(const char *s)
{
	return s && s[0];
}

static err_t readable(const char *path, struct why *why)
{
	char text[TEXT_ERRNO_SIZE];

	if (!access(path, R_OK))
		return OK;
	return why_set(why, ERR_INVALID, "open %s: %s", path, text_errno(text, errno));
}

/* Files that were given the wrong way round are the usual mistake: does this one hold what the other should? */
static bool holds(const char *path, const char *kind)
{
	char line[128];
	FILE *f = fopen(path, "r");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "-----BEGIN", 10) && strstr(line, kind);
	if (f)
		fclose(f);
	return found;
}

static err_t bad_cert(const char *path, struct why *why)
{
	if (holds(path, "PRIVATE KEY-----"))
		return why_set(why, ERR_INVALID,
			       "tls: failed to find certificate PEM data in certificate input, but did find a private "
			       "key; PEM inputs "
			       "may have been switched");
	return why_set(why, ERR_INVALID, "tls: failed to find any PEM data in certificate input");
}

static err_t bad_key(const char *path, struct why *why)
{
	if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
		return why_set(why, ERR_INVALID, "tls: private key does not match public key");
	if (holds(path, "CERTIFICATE-----"))
		return why_set(why, ERR_INVALID,
			       "tls: found a certificate rather than a key in the PEM for the private key");
	return why_set(why, ERR_INVALID, "tls: failed to find any PEM data in key input");
}

static err_t load_pair(SSL_CTX *ctx, const struct client_tls *t, struct why *why)
{
	err_t err;

	if (!given(t->cert) || !given(t->key))
		return why_set(why, ERR_INVALID, "KeyFile and CertFile must both be present[key: %s, cert: %s]",
			       t->key ? t->key : "", t->cert ? t->cert : "");
	err = readable(t->cert, why);
	if (!err)
		err = readable(t->key, why);
	if (err)
		return err;
	if (SSL_CTX_use_certificate_chain_file(ctx, t->cert) != 1)
		return bad_cert(t->cert, why);
	if (SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return bad_key(t->key, why);
	return OK;
}

static err_t load_ca(SSL_CTX *ctx, const struct client_tls *t, struct why *why)
{
	err_t err;

	if (!given(t->cacert)) {
		SSL_CTX_set_default_verify_paths(ctx);
		return OK;
	}
	err = readable(t->cacert, why);
	if (!err && SSL_CTX_load_verify_locations(ctx, t->cacert, NULL) != 1)
		err = why_set(why, ERR_INVALID, "%s holds no certificate that can be read", t->cacert);
	return err;
}

err_t client_tls_new(const struct client_tls *t, struct why *why, SSL_CTX **out)
{
	static const unsigned char alpn[] = "\x02h2";
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	err_t err = OK;

	ASSERT(ctx);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1);
	SSL_CTX_set_verify(ctx, t->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (given(t->cert) || given(t->key))
		err = load_pair(ctx, t, why);
	if (!err)
		err = load_ca(ctx, t, why);
	ERR_clear_error();
	if (err) {
		SSL_CTX_free(ctx);
		return err;
	}
	*out = ctx;
	return OK;
}

SSL *client_tls_session(SSL_CTX *ctx, const struct endpoint *e, bool skip_verify)
{
	SSL *ssl = SSL_new(ctx);
	uint8_t ip[sizeof(struct in6_addr)];

	ASSERT(ssl);
	SSL_set_connect_state(ssl);
	if (inet_pton(AF_INET, e->server_name, ip) == 1 || inet_pton(AF_INET6, e->server_name, ip) == 1) {
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), e->server_name);
	} else {
		SSL_set_tlsext_host_name(ssl, e->server_name);
		/* As Go: names in the SAN alone, a star for a whole label. */
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		if (!skip_verify)
			SSL_set1_host(ssl, e->server_name);
	}
	return ssl;
}
