/* A TLS stream over a raw one.
 *
 *	raw on_read ──> in BIO ──SSL_read──> owner's on_read
 *	owner's write ──SSL_write──> out BIO ──> raw write, when it has room
 *
 *	HANDSHAKE ──done──> OPEN ──close──> freed
 *	    └── SAN lookup on another thread ──^
 *
 *   S1  while busy > 0 a call into OpenSSL or the owner is on the stack: closing only marks, the last one out frees
 *   S2  raw is written only while it holds nothing back; the rest waits in the out BIO */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "tls/tls_impl.h"

enum { HANDSHAKE_MS = 10000, CHUNK = 16 << 10 };

enum state { HANDSHAKE, LOOKUP, OPEN, CLOSED };

struct tls_stream {
	struct net_stream base;
	struct net_stream *raw;
	struct tls_context *context;            /* while the handshake lasts */
	struct list node;                       /* in context->handshakes */
	struct tls_verdict verdict;
	SSL *ssl;
	BIO *in, *out;                          /* ssl's */
	enum state state;
	bool server, reading, raw_eof, told_eof;
	unsigned busy;
	struct net_timer timer;
	struct net_task resume;                 /* reading was allowed again: what came meanwhile */
	char *cn;
	tls_done *done;
	void *done_arg;
	X509 *cert;                             /* LOOKUP */
	bool san_fits;
};

static struct tls_stream *of(struct net_stream *s)
{
	return CONTAINER_OF(s, struct tls_stream, base);
}

static void stream_free(struct tls_stream *t)
{
	net_timer_cancel(t->base.loop, &t->timer);
	net_task_cancel(&t->resume);
	SSL_free(t->ssl);                       /* the BIOs with it */
	X509_free(t->cert);
	X509_CRL_free(t->verdict.crl);
	X509_free(t->verdict.cert);
	mem_free(t->cn);
	mem_free(t);
}

static void leave(struct tls_stream *t)
{
	if (--t->busy == 0 && t->state == CLOSED)
		stream_free(t);                 /* S1 */
}

/* What OpenSSL wants sent, as far as the raw stream takes it. */
static void flush(struct tls_stream *t)
{
	char *data;
	long size = BIO_get_mem_data(t->out, &data);
	struct iovec iov = {data, (size_t)MAX(size, 0)};

	if (size <= 0 || net_stream_unsent(t->raw))
		return;
	net_stream_write(t->raw, &iov, 1);
	(void)BIO_reset(t->out);
}

/* ---- the end of a handshake ---- */

static void handshake_leave(struct tls_stream *t)
{
	pthread_mutex_lock(&t->context->lock);
	list_remove(&t->node);
	pthread_mutex_unlock(&t->context->lock);
	net_timer_cancel(t->base.loop, &t->timer);
	t->context = t->verdict.context = NULL;
}

static void tell_refused(const struct tls_stream *t, const char *why)
{
	X509 *cert = t->verdict.cert ? t->verdict.cert : t->cert;
	const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	char ips[TLS_SANS_MAX][TLS_SAN_SIZE], names[TLS_SANS_MAX][TLS_SAN_SIZE];
	const char *ip_at[TLS_SANS_MAX], *name_at[TLS_SANS_MAX];
	struct tls_refusal r = {.remote = t->base.peer.remote, .server_name = name ? name : "", .why = why, .has_certificate = cert != NULL,
				.ips = ip_at, .dns_names = name_at};

	r.ip_count = cert ? tls_sans(cert, GEN_IPADD, ips) : 0;
	r.dns_name_count = cert ? tls_sans(cert, GEN_DNS, names) : 0;
	for (size_t i = 0; i < TLS_SANS_MAX; i++) {
		ip_at[i] = ips[i];
		name_at[i] = names[i];
	}
	t->context->refused(&r);
}

static void handshake_failed(struct tls_stream *t, err_t err, const char *why)
{
	struct net_stream *raw = t->raw;
	tls_done *done = t->done;
	void *arg = t->done_arg;

	if (t->state == CLOSED)
		return;
	if (t->server && t->context->refused && err != ERR_STOPPED)
		tell_refused(t, why);
	handshake_leave(t);
	t->state = CLOSED;
	t->busy++;
	flush(t);                               /* the alert */
	net_stream_close(raw, true);
	done(arg, err, why, NULL);
	leave(t);
}

static void handshake_done(struct tls_stream *t)
{
	handshake_leave(t);
	t->state = OPEN;
	net_stream_read_enable(t->raw, false);  /* until the new owner wants to read */
	t->busy++;
	t->done(t->done_arg, OK, NULL, &t->base);
	leave(t);
}

static void lookup_run(void *arg)
{
	struct tls_stream *t = arg;
	bool needs;

	t->san_fits = tls_san_fits(t->cert, t->base.peer.remote, true, &needs, t->verdict.why, sizeof(t->verdict.why));
}

static void lookup_done(void *arg)
{
	struct tls_stream *t = arg;

	if (t->state == CLOSED) {
		leave(t);
		return;
	}
	t->busy--;
	if (t->san_fits)
		handshake_done(t);
	else
		handshake_failed(t, ERR_PERMISSION, t->verdict.why);
}

static void check_certificate(struct tls_stream *t)
{
	X509 *cert = SSL_get1_peer_certificate(t->ssl);
	bool lookup = false;

	t->base.peer.is_tls = true;
	if (!cert || !t->server || SSL_get_verify_mode(t->ssl) == SSL_VERIFY_NONE) {
		X509_free(cert);
		handshake_done(t);
		return;
	}
	t->cn = tls_common_name(cert);
	t->base.peer.cert_cn = t->cn ? t->cn : "";
	t->cert = cert;
	if (!t->context->check_client_san || t->base.peer.is_unix ||
	    tls_san_fits(cert, t->base.peer.remote, false, &lookup, t->verdict.why, sizeof(t->verdict.why))) {
		handshake_done(t);
	} else if (!lookup) {
		handshake_failed(t, ERR_PERMISSION, t->verdict.why);
	} else {
		t->state = LOOKUP;
		t->busy++;
		net_stream_read_enable(t->raw, false);
		net_work(t->base.loop, lookup_run, lookup_done, t);
	}
}

static void handshake_step(struct tls_stream *t)
{
	char why[sizeof(t->verdict.why)];
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(t->ssl);
	flush(t);
	if (rc == 1) {
		check_certificate(t);
		return;
	}
	rc = SSL_get_error(t->ssl, rc);
	if (rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE)
		return;
	tls_error_text(t->ssl, &t->verdict, why, sizeof(why));
	handshake_failed(t, ERR_PERMISSION, why);
}

static void handshake_timeout(struct net_timer *timer)
{
	handshake_failed(CONTAINER_OF(timer, struct tls_stream, timer), ERR_TIMEOUT, "tls: handshake timed out");
}

/* ---- reading ---- */

static void fail(struct tls_stream *t)
{
	if (t->state == OPEN)
		t->base.events->on_failed(t->base.owner, ERR_IO);
}

static void tell_eof(struct tls_stream *t)
{
	if (t->told_eof || t->state != OPEN || !t->reading)
		return;
	t->told_eof = true;
	t->base.events->on_eof(t->base.owner);
}

static void read_all(struct tls_stream *t)
{
	uint8_t buf[CHUNK];

	while (t->state == OPEN && t->reading) {
		int n, why;

		ERR_clear_error();
		n = SSL_read(t->ssl, buf, sizeof(buf));
		flush(t);                       /* key updates are answered */
		if (n > 0) {
			t->base.events->on_read(t->base.owner, slice_of(buf, (size_t)n));
			OPENSSL_cleanse(buf, (size_t)n);
			continue;
		}
		why = SSL_get_error(t->ssl, n);
		if (why == SSL_ERROR_ZERO_RETURN || (why == SSL_ERROR_WANT_READ && t->raw_eof))
			tell_eof(t);
		else if (why != SSL_ERROR_WANT_READ)
			fail(t);
		return;
	}
}

static void resume(struct net_task *task)
{
	struct tls_stream *t = CONTAINER_OF(task, struct tls_stream, resume);

	t->busy++;
	read_all(t);
	leave(t);
}

static void on_raw_read(void *owner, struct slice data)
{
	struct tls_stream *t = owner;

	t->busy++;
	if (BIO_write(t->in, data.data, (int)data.size) != (int)data.size)
		fatal("out of memory");
	if (t->state == HANDSHAKE)
		handshake_step(t);
	if (t->state == OPEN)
		read_all(t);
	leave(t);
}

static void on_raw_eof(void *owner)
{
	struct tls_stream *t = owner;

	t->busy++;
	t->raw_eof = true;
	if (t->state == HANDSHAKE)
		handshake_failed(t, ERR_IO, "EOF");
	else if (t->state == OPEN)
		read_all(t);
	leave(t);
}

static void on_raw_failed(void *owner, err_t err)
{
	struct tls_stream *t = owner;

	t->busy++;
	if (t->state == HANDSHAKE || t->state == LOOKUP)
		handshake_failed(t, err, "read: connection reset by peer");
	else
		fail(t);
	leave(t);
}

static void on_raw_writable(void *owner)
{
	struct tls_stream *t = owner;

	t->busy++;
	flush(t);
	if (t->state == OPEN && !net_stream_unsent(t->raw) && !BIO_pending(t->out))
		t->base.events->on_writable(t->base.owner);
	leave(t);
}

static const struct net_events raw_events = {on_raw_read, on_raw_eof, on_raw_writable, on_raw_failed};

/* ---- the stream as others see it ---- */

static void write_chunk(struct tls_stream *t, const uint8_t *data, size_t size)
{
	ERR_clear_error();
	if (size && SSL_write(t->ssl, data, (int)size) != (int)size)
		fail(t);                        /* a memory BIO takes all: only a broken connection does not */
}

/* Gathered into full records: a frame's header must not be one of its own. */
static void tls_write(struct net_stream *s, const struct iovec *iov, int count)
{
	struct tls_stream *t = of(s);
	uint8_t buf[CHUNK];
	size_t n = 0;

	t->busy++;
	for (int i = 0; i < count; i++) {
		const uint8_t *at = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left && t->state == OPEN) {
			size_t take = MIN(left, sizeof(buf) - n);

			memcpy(buf + n, at, take);
			at += take;
			left -= take;
			n += take;
			if (n == sizeof(buf)) {
				write_chunk(t, buf, n);
				n = 0;
			}
		}
	}
	if (t->state == OPEN) {
		write_chunk(t, buf, n);
		if (t->state == OPEN)
			flush(t);
	}
	leave(t);
}

static size_t tls_unsent(const struct net_stream *s)
{
	const struct tls_stream *t = CONTAINER_OF(s, const struct tls_stream, base);

	return net_stream_unsent(t->raw) + BIO_pending(t->out);
}

static void tls_read_enable(struct net_stream *s, bool on)
{
	struct tls_stream *t = of(s);

	if (on == t->reading || t->state != OPEN)
		return;
	t->reading = on;
	net_stream_read_enable(t->raw, on);
	if (on)
		net_task_add(s->loop, &t->resume);
}

static void tls_close(struct net_stream *s, bool linger)
{
	struct tls_stream *t = of(s);

	if (t->state != OPEN)
		return;
	t->state = CLOSED;
	t->busy++;
	ERR_clear_error();
	if (linger)
		SSL_shutdown(t->ssl);
	flush(t);
	net_stream_close(t->raw, linger);
	leave(t);
}

static const struct net_stream_ops tls_ops = {tls_write, tls_unsent, tls_read_enable, tls_close};

/* ---- begin ---- */

static struct tls_stream *begin(struct tls_context *c, struct net_stream *raw, bool server, tls_done *done, void *arg)
{
	X509_CRL *crl;
	SSL *ssl = tls_ssl_new(c, server, &crl);
	struct tls_stream *t;

	if (!ssl) {
		X509_CRL_free(crl);
		net_stream_close(raw, false);
		done(arg, ERR_INVALID, "tls: no certificate is configured", NULL);
		return NULL;
	}
	t = NEW(struct tls_stream);
	t->base.ops = &tls_ops;
	t->base.loop = raw->loop;
	t->base.peer = raw->peer;
	t->base.listener_arg = raw->listener_arg;
	t->raw = raw;
	t->context = c;
	t->verdict = (struct tls_verdict){.context = c, .crl = crl};
	t->ssl = ssl;
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	ASSERT(t->in && t->out);
	BIO_set_mem_eof_return(t->in, -1);
	SSL_set_bio(ssl, t->in, t->out);
	SSL_set_app_data(ssl, &t->verdict);
	t->server = server;
	t->done = done;
	t->done_arg = arg;
	net_task_init(&t->resume, resume);
	net_timer_init(&t->timer, handshake_timeout);
	net_timer_set(raw->loop, &t->timer, net_loop_now_ms(raw->loop) + HANDSHAKE_MS);
	pthread_mutex_lock(&c->lock);
	list_push_back(&c->handshakes, &t->node);
	pthread_mutex_unlock(&c->lock);
	net_stream_set_owner(raw, &raw_events, t);
	return t;
}

void tls_accept(struct tls_context *c, struct net_stream *take_raw, tls_done *done, void *arg)
{
	struct tls_stream *t = begin(c, take_raw, true, done, arg);

	if (!t)
		return;
	SSL_set_accept_state(t->ssl);
	net_stream_read_enable(take_raw, true);
}

/* The certificate must be for that name or address; names go out as SNI. */
static void expect_host(struct tls_stream *t, const char *host)
{
	const char *name = t->context->server_name ? t->context->server_name : host;
	bool is_ip = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), name) == 1;

	if (is_ip)
		return;
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	ASSERT(SSL_set1_host(t->ssl, name) == 1);
	SSL_set_tlsext_host_name(t->ssl, name);
}

void tls_connect(struct tls_context *c, struct net_stream *take_raw, const char *host, tls_done *done, void *arg)
{
	struct tls_stream *t = begin(c, take_raw, false, done, arg);

	if (!t)
		return;
	expect_host(t, host);
	SSL_set_connect_state(t->ssl);
	net_stream_read_enable(take_raw, true);
	t->busy++;
	handshake_step(t);
	leave(t);
}

void tls_handshakes_cancel(struct tls_context *c, struct net_loop *loop)
{
	for (;;) {
		struct tls_stream *found = NULL;

		pthread_mutex_lock(&c->lock);
		LIST_EACH(l, &c->handshakes) {
			struct tls_stream *t = CONTAINER_OF(l, struct tls_stream, node);

			if (t->base.loop == loop && !found)
				found = t;
		}
		pthread_mutex_unlock(&c->lock);
		if (!found)
			return;
		handshake_failed(found, ERR_STOPPED, "server stopped");
	}
}
