/* A GET of /metrics over HTTP/1.0 on a blocking socket, with TLS for https://. */
#include "ctl/metrics.h"

#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>

enum { BODY_MAX = 16 << 20, PART = 16 * 1024 };

static SSL_CTX *tls_context(struct ctl *c)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_verify(ctx, c->o.insecure_skip_tls_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (c->o.cacert[0])
		SSL_CTX_load_verify_locations(ctx, c->o.cacert, NULL);
	else
		SSL_CTX_set_default_verify_paths(ctx);
	if (c->o.cert[0]) {
		SSL_CTX_use_certificate_chain_file(ctx, c->o.cert);
		SSL_CTX_use_PrivateKey_file(ctx, c->o.key, SSL_FILETYPE_PEM);
	}
	return ctx;
}

static bool fetch(BIO *b, const char *host, struct buf *body)
{
	int n;

	if (BIO_do_connect(b) <= 0)
		return false;
	BIO_printf(b, "GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n", host);
	do {
		uint8_t *at = buf_add(body, PART);

		n = at ? BIO_read(b, at, PART) : 0;
		body->size -= n > 0 ? (size_t)(PART - n) : PART;
	} while (n > 0 && body->size < BODY_MAX);
	return body->size > 0;
}

static bool find_value(const struct buf *body, const char *name, double *out)
{
	size_t size = strlen(name);

	for (const char *at = (const char *)body->data; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, name, size) && at[size] == ' ') {
			*out = strtod(at + size, NULL);
			return true;
		}
	}
	return false;
}

bool metrics_value(struct ctl *c, const char *endpoint, const char *name, double *out)
{
	bool tls = !strncmp(endpoint, "https://", 8);
	const char *host = tls ? endpoint + 8 : !strncmp(endpoint, "http://", 7) ? endpoint + 7 : endpoint;
	SSL_CTX *ctx = tls ? tls_context(c) : NULL;
	BIO *b = tls ? BIO_new_ssl_connect(ctx) : BIO_new(BIO_s_connect());
	struct buf body;
	bool ok;

	BIO_set_conn_hostname(b, host);
	buf_init(&body, BODY_MAX + PART + 1);
	ok = fetch(b, host, &body);
	buf_put_byte(&body, 0);
	if (!ok)
		put(c, "fetch error: Get \"%s://%s/metrics\": no answer\n", tls ? "https" : "http", host);
	else if (!find_value(&body, name, out)) {
		put(c, "could not find: %s\n", name);
		ok = false;
	}
	buf_fini(&body);
	BIO_free_all(b);
	SSL_CTX_free(ctx);
	return ok;
}
