/* A GET of /metrics over HTTP/1.0 on a blocking socket, with TLS for https://. */
#include "ctl/metrics.h"

#include <math.h>
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <poll.h>

enum { BODY_MAX = 16 << 20, PART = 16 * 1024, NAP_MS = 5 };

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

/* OpenSSL counts whole seconds, and leaves the socket non-blocking. */
static bool dial(BIO *b, uint64_t timeout_ms)
{
	if (!timeout_ms)
		return BIO_do_connect(b) > 0;
	return BIO_do_connect_retry(b, (int)(timeout_ms / 1000) + 1, NAP_MS) > 0;
}

/* More may come: there is something to read, in time. */
static bool wait_readable(BIO *b, uint64_t timeout_ms)
{
	struct pollfd p = {.fd = -1, .events = POLLIN};

	return BIO_should_retry(b) && BIO_get_fd(b, &p.fd) >= 0 && poll(&p, 1, timeout_ms ? (int)timeout_ms : -1) > 0;
}

static bool fetch(BIO *b, const char *host, uint64_t timeout_ms, struct buf *body)
{
	int n;

	if (!dial(b, timeout_ms))
		return false;
	buf_printf(body, "GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n", host);
	BIO_write(b, body->data, (int)body->size);
	buf_clear(body);
	do {
		uint8_t *at = buf_add(body, PART);

		n = at ? BIO_read(b, at, PART) : 0;
		body->size -= n > 0 ? (size_t)(PART - n) : PART;
	} while (body->size < BODY_MAX && (n > 0 || wait_readable(b, timeout_ms)));
	return body->size > 0;
}

bool metrics_fetch(struct ctl *c, const char *endpoint, bool tls, uint64_t timeout_ms, struct buf *out)
{
	const char *scheme = strstr(endpoint, "://");
	const char *host = scheme ? scheme + 3 : endpoint;
	SSL_CTX *ctx;
	BIO *b;
	bool ok;

	tls = scheme ? !strncmp(endpoint, "https:", 6) : tls;
	ctx = tls ? tls_context(c) : NULL;
	b = tls ? BIO_new_ssl_connect(ctx) : BIO_new(BIO_s_connect());
	BIO_set_conn_hostname(b, host);
	buf_clear(out);
	ok = fetch(b, host, timeout_ms, out);
	buf_put_byte(out, 0);
	BIO_free_all(b);
	if (ctx)
		SSL_CTX_free(ctx);
	return ok;
}

/* --- reading the text: NAME{labels} VALUE --- */

/* Behind "{…}", in which values are quoted. */
static const char *skip_labels(const char *at)
{
	bool quoted = false;

	for (; *at && *at != '\n' && (quoted || *at != '}'); at++) {
		if (quoted && *at == '\\' && at[1])
			at++;
		else if (*at == '"')
			quoted = !quoted;
	}
	return *at == '}' ? at + 1 : at;
}

/* The next line of this name behind at; NULL: none. *labels: "{…}" or nothing; *value: behind the blank. */
static const char *next_line(const char *at, const char *name, const char **labels, const char **value)
{
	size_t size = strlen(name);

	for (; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, name, size) || (at[size] != ' ' && at[size] != '{'))
			continue;
		*labels = at + size;
		*value = **labels == '{' ? skip_labels(*labels) : *labels;
		return at + size;
	}
	return NULL;
}

bool metrics_sum(const char *text, const char *name, double *out)
{
	const char *labels, *value;
	bool found = false;

	*out = 0;
	for (const char *at = text; (at = next_line(at, name, &labels, &value));) {
		*out += strtod(value, NULL);
		found = true;
	}
	return found;
}

static void add_bucket(struct metrics_buckets *b, double le, double at_most)
{
	size_t i = 0;

	while (i < b->count && b->le[i] < le)
		i++;
	if (i == b->count || b->le[i] > le) {
		if (b->count == METRICS_BUCKETS_MAX)
			return;
		memmove(b->le + i + 1, b->le + i, (b->count - i) * sizeof(*b->le));
		memmove(b->at_most + i + 1, b->at_most + i, (b->count - i) * sizeof(*b->at_most));
		b->count++;
		b->le[i] = le;
		b->at_most[i] = 0;
	}
	b->at_most[i] += at_most;
}

void metrics_histogram(const char *text, const char *name, struct metrics_buckets *out)
{
	const char *labels, *value;
	char bucket[128];

	snprintf(bucket, sizeof(bucket), "%s_bucket", name);
	out->count = 0;
	for (const char *at = text; (at = next_line(at, bucket, &labels, &value));) {
		const char *le = strstr(labels, "le=\"");

		if (le && le < value)
			add_bucket(out, strtod(le + 4, NULL), strtod(value, NULL));
	}
}

double metrics_quantile(const struct metrics_buckets *now, const struct metrics_buckets *prev, double q)
{
	bool same = prev && prev->count == now->count;
	double below = 0, low = 0, all, rank;

	if (!now->count)
		return NAN;
	all = now->at_most[now->count - 1] - (same ? prev->at_most[now->count - 1] : 0);
	rank = q * all;
	if (all <= 0)
		return NAN;
	for (size_t i = 0; i < now->count; i++) {
		double here = now->at_most[i] - (same ? prev->at_most[i] : 0);

		if (here >= rank && isinf(now->le[i]))
			return low;
		if (here >= rank)
			return low + (now->le[i] - low) * (here > below ? (rank - below) / (here - below) : 0);
		below = here;
		low = now->le[i];
	}
	return low;
}

bool metrics_value(struct ctl *c, const char *endpoint, const char *name, double *out)
{
	const char *scheme = strstr(endpoint, "://");
	struct buf body;
	bool ok;

	buf_init(&body, METRICS_MAX);
	ok = metrics_fetch(c, endpoint, false, 0, &body);
	if (!ok) {
		put(c, "fetch error: Get \"%s://%s/metrics\": no answer\n",
		    !strncmp(endpoint, "https://", 8) ? "https" : "http", scheme ? scheme + 3 : endpoint);
	} else if (!metrics_sum((const char *)body.data, name, out)) {
		put(c, "could not find: %s\n", name);
		ok = false;
	}
	buf_fini(&body);
	return ok;
}
