/* GETs of /metrics over HTTP/1.0, all at once, with TLS for https://.
 *
 *	DIALLING --connected, TLS done--> ASKING --request out--> READING --end of the answer--> ENDED
 *	   +--------------- fails, or is out of time ----------------+-----------------------------^ */
#include "ctl/metrics.h"

#include <errno.h>
#include <math.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

enum { ANSWER_MAX = 16 << 20, PART = 16 * 1024, ROOM = ANSWER_MAX + PART + 1, WAIT_MS_MAX = 60 * 1000 };

enum state { DIALLING, ASKING, READING, ENDED };

struct metrics_fetch {
	enum state state;
	BIO *b;
	char request[512];
	size_t sent, request_size;
	struct buf answer;
};

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

/* Whom the certificate must be for: host is name:port, address:port or [address]:port. */
static void expect_host(SSL *ssl, const char *host)
{
	const char *colon = strrchr(host, ':');
	size_t size = colon ? (size_t)(colon - host) : strlen(host);
	bool in_brackets = size >= 2 && host[0] == '[' && host[size - 1] == ']';
	char *name = mem_printf("%.*s", (int)(in_brackets ? size - 2 : size), in_brackets ? host + 1 : host);

	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) != 1) {
		SSL_set_tlsext_host_name(ssl, name);
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		SSL_set1_host(ssl, name);
	}
	mem_free(name);
}

static void begin(struct metrics_job *job, SSL_CTX *ctx)
{
	struct metrics_fetch *f = NEW(struct metrics_fetch);
	const char *scheme = strstr(job->endpoint, "://");
	const char *host = scheme ? scheme + 3 : job->endpoint;

	f->b = ctx ? BIO_new_ssl_connect(ctx) : BIO_new(BIO_s_connect());
	if (ctx) {
		SSL *ssl = NULL;

		BIO_get_ssl(f->b, &ssl);
		expect_host(ssl, host);
	}
	BIO_set_conn_hostname(f->b, host);
	BIO_set_nbio(f->b, 1);
	f->request_size = (size_t)snprintf(f->request, sizeof(f->request), "GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n", host);
	buf_init(&f->answer, ROOM);
	if (f->request_size >= sizeof(f->request))
		f->state = ENDED; /* no host has such a name */
	job->fetch = f;
}

/* Behind the header of an answer that says 200; NULL: another. */
static const char *body_of(struct buf *answer)
{
	const char *text;

	buf_put_byte(answer, 0);
	text = (const char *)answer->data;
	if (strncmp(text, "HTTP/1.", 7) || strncmp(text + 8, " 200", 4))
		return NULL;
	return strstr(text, "\r\n\r\n");
}

static void end(struct metrics_job *job, bool whole)
{
	struct metrics_fetch *f = job->fetch;

	f->state = ENDED;
	job->on_end(job, whole ? body_of(&f->answer) : NULL);
	BIO_free_all(f->b);
	buf_fini(&f->answer);
	mem_free(f);
	job->fetch = NULL;
}

static int read_part(struct metrics_fetch *f)
{
	uint8_t *at = buf_add(&f->answer, PART);
	int n = BIO_read(f->b, at, PART);

	f->answer.size -= n > 0 ? (size_t)(PART - n) : PART;
	return n;
}

/* As far as it goes without waiting. */
static void go_on(struct metrics_job *job)
{
	struct metrics_fetch *f = job->fetch;
	int n = 1;

	while (n > 0 && f->state != ENDED) {
		switch (f->state) {
		case DIALLING:
			n = (int)BIO_do_connect(f->b);
			if (n > 0)
				f->state = ASKING;
			break;
		case ASKING:
			n = BIO_write(f->b, f->request + f->sent, (int)(f->request_size - f->sent));
			f->sent += n > 0 ? (size_t)n : 0;
			if (f->sent == f->request_size)
				f->state = READING;
			break;
		default:
			n = read_part(f);
			if (f->answer.size > ANSWER_MAX)
				f->state = ENDED;
		}
	}
	if (f->state == ENDED || !BIO_should_retry(f->b))
		end(job, f->state == READING);
}

/* Waits until one can go on; false: out of time, or interrupted. */
static bool wait_any(struct ctl *c, struct metrics_job *jobs, size_t count, uint64_t end_ns, const bool *interrupted)
{
	struct pollfd *fds = NEW_ARRAY(struct pollfd, count);
	uint64_t now = uv_hrtime();
	uint64_t left_ms = !end_ns ? WAIT_MS_MAX : end_ns > now ? (end_ns - now) / 1000000 + 1 : 0;
	int n;

	for (size_t i = 0; i < count; i++) {
		struct metrics_fetch *f = jobs[i].fetch;

		fds[i].fd = -1; /* poll passes it over */
		if (f && BIO_get_fd(f->b, &fds[i].fd) >= 0)
			fds[i].events = BIO_should_read(f->b) ? POLLIN : POLLOUT;
	}
	n = poll(fds, (nfds_t)count, (int)MIN(left_ms, (uint64_t)WAIT_MS_MAX));
	if (n < 0 && errno == EINTR && interrupted)
		uv_run(&c->loop, UV_RUN_NOWAIT);
	mem_free(fds);
	return left_ms && !(interrupted && *interrupted);
}

void metrics_fetch_all(struct ctl *c, struct metrics_job *jobs, size_t count, bool tls, uint64_t timeout_ms,
		       const bool *interrupted)
{
	uint64_t end_ns = timeout_ms ? uv_hrtime() + timeout_ms * 1000000 : 0;
	SSL_CTX *ctx = NULL;
	size_t open;

	for (size_t i = 0; i < count; i++) {
		bool with_tls = strstr(jobs[i].endpoint, "://") ? !strncmp(jobs[i].endpoint, "https:", 6) : tls;

		if (with_tls && !ctx)
			ctx = tls_context(c);
		begin(&jobs[i], with_tls ? ctx : NULL);
	}
	do {
		open = 0;
		for (size_t i = 0; i < count; i++) {
			if (jobs[i].fetch)
				go_on(&jobs[i]);
			open += jobs[i].fetch != NULL;
		}
	} while (open && wait_any(c, jobs, count, end_ns, interrupted));
	for (size_t i = 0; i < count; i++) {
		if (jobs[i].fetch)
			end(&jobs[i], false);
	}
	if (ctx)
		SSL_CTX_free(ctx);
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

struct value {
	struct ctl *c;
	const char *name;
	double *out;
	bool ok;
};

static void on_value(struct metrics_job *job, const char *text)
{
	struct value *v = job->user;
	const char *scheme = strstr(job->endpoint, "://");

	v->ok = text && metrics_sum(text, v->name, v->out);
	if (!text)
		put(v->c, "fetch error: Get \"%s://%s/metrics\": no answer\n",
		    !strncmp(job->endpoint, "https://", 8) ? "https" : "http", scheme ? scheme + 3 : job->endpoint);
	else if (!v->ok)
		put(v->c, "could not find: %s\n", v->name);
}

bool metrics_value(struct ctl *c, const char *endpoint, const char *name, double *out)
{
	struct value v = {c, name, out, false};
	struct metrics_job job = {.endpoint = endpoint, .on_end = on_value, .user = &v};

	metrics_fetch_all(c, &job, 1, false, 0, NULL);
	return v.ok;
}
