/* One connection: dialled, handshaken, written to and read from with poll() and a deadline; http-parser reads the answer. */
#include "kube/https.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <http_parser.h>

enum { CHUNK_SIZE = 64 * 1024 };

struct https {
	char host[256], port[8], authority[272];
	bool is_tls;
	SSL_CTX *ctx;
	int fd; /* -1: none */
	SSL *ssl;
	int64_t end_ms;         /* of what is being waited for */
	uint64_t stall_ms;      /* not 0: end_ms moves on with each byte */
};

/* What the parser fills. */
struct reading {
	struct https *h;
	const struct https_request *r;
	struct https_answer *a;
	bool is_value, is_done, keeps;
	err_t err;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static void hang_up(struct https *h)
{
	if (h->ssl)
		SSL_free(h->ssl);
	if (h->fd >= 0)
		close(h->fd);
	h->ssl = NULL;
	h->fd = -1;
}

static err_t wait_fd(struct https *h, short events, struct why *why)
{
	int64_t left = h->end_ms - now_ms();
	struct pollfd p = {.fd = h->fd, .events = events};
	int n;

	if (left <= 0)
		return why_set(why, ERR_TIMEOUT, "no answer from %s in time", h->authority);
	n = poll(&p, 1, (int)MIN(left, (int64_t)60000));
	return n < 0 && errno != EINTR ? why_set(why, ERR_IO, "poll: %s", strerror(errno)) : OK;
}

static const char *tls_trouble(SSL *ssl)
{
	long verified = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	unsigned long e = ERR_get_error();

	if (verified != X509_V_OK)
		return X509_verify_cert_error_string(verified);
	return e ? ERR_reason_error_string(e) : "connection lost";
}

/* After a call of OpenSSL that did not do: waits for what it wants. */
static err_t tls_wait(struct https *h, int rc, struct why *why)
{
	switch (SSL_get_error(h->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return wait_fd(h, POLLIN, why);
	case SSL_ERROR_WANT_WRITE:
		return wait_fd(h, POLLOUT, why);
	default:
		return why_set(why, ERR_IO, "%s: %s", h->authority, tls_trouble(h->ssl));
	}
}

static err_t handshake(struct https *h, struct why *why)
{
	err_t err = OK;
	int rc;
	unsigned char ip[16];

	h->ssl = SSL_new(h->ctx);
	SSL_set_fd(h->ssl, h->fd);
	if (inet_pton(AF_INET, h->host, ip) == 1 || inet_pton(AF_INET6, h->host, ip) == 1)
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(h->ssl), h->host);
	else {
		SSL_set_tlsext_host_name(h->ssl, h->host);
		SSL_set_hostflags(h->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		SSL_set1_host(h->ssl, h->host);
	}
	ERR_clear_error();
	while (!err && (rc = SSL_connect(h->ssl)) != 1)
		err = tls_wait(h, rc, why);
	return err;
}

static err_t dial_one(struct https *h, const struct addrinfo *a, struct why *why)
{
	int failure = 0;
	socklen_t size = sizeof(failure);
	struct pollfd p;

	h->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->fd < 0)
		return why_set(why, ERR_IO, "socket: %s", strerror(errno));
	if (connect(h->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
		return why_set(why, ERR_IO, "connect to %s: %s", h->authority, strerror(errno));
	p = (struct pollfd){.fd = h->fd, .events = POLLOUT};
	do {
		err_t err = wait_fd(h, POLLOUT, why);

		if (err)
			return err;
	} while (poll(&p, 1, 0) == 0);
	getsockopt(h->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
	if (failure)
		return why_set(why, ERR_IO, "connect to %s: %s", h->authority, strerror(failure));
	return h->is_tls ? handshake(h, why) : OK;
}

static err_t dial(struct https *h, struct why *why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	int rc = getaddrinfo(h->host, h->port, &hints, &found);
	err_t err;

	if (rc)
		return why_set(why, ERR_IO, "lookup of %s: %s", h->host, gai_strerror(rc));
	err = why_set(why, ERR_IO, "%s has no address", h->host);
	for (const struct addrinfo *a = found; a && err && err != ERR_TIMEOUT; a = a->ai_next) {
		hang_up(h);
		err = dial_one(h, a, why);
	}
	freeaddrinfo(found);
	if (err)
		hang_up(h);
	return err;
}

static err_t send_all(struct https *h, const void *data, size_t size, struct why *why)
{
	const uint8_t *at = data;
	err_t err = OK;

	while (size && !err) {
		ssize_t n = h->ssl ? SSL_write(h->ssl, at, (int)MIN(size, (size_t)1 << 30)) : send(h->fd, at, size, MSG_NOSIGNAL);

		if (n > 0) {
			at += n;
			size -= (size_t)n;
			if (h->stall_ms)
				h->end_ms = now_ms() + (int64_t)h->stall_ms;
		} else if (h->ssl)
			err = tls_wait(h, (int)n, why);
		else if (errno == EAGAIN)
			err = wait_fd(h, POLLOUT, why);
		else if (errno != EINTR)
			err = why_set(why, ERR_IO, "send to %s: %s", h->authority, strerror(errno));
	}
	return err;
}

/* *size 0: the other end has closed. */
static err_t receive(struct https *h, void *room, size_t *size, struct why *why)
{
	for (;;) {
		ssize_t n = h->ssl ? SSL_read(h->ssl, room, (int)*size) : recv(h->fd, room, *size, 0);
		err_t err;

		if (n >= 0 && !(h->ssl && n == 0 && SSL_get_error(h->ssl, (int)n) != SSL_ERROR_ZERO_RETURN)) {
			*size = (size_t)n;
			if (h->stall_ms)
				h->end_ms = now_ms() + (int64_t)h->stall_ms;
			return OK;
		}
		if (h->ssl)
			err = tls_wait(h, (int)n, why);
		else if (errno == EAGAIN)
			err = wait_fd(h, POLLIN, why);
		else
			err = errno == EINTR ? OK : why_set(why, ERR_IO, "receive from %s: %s", h->authority, strerror(errno));
		if (err)
			return err;
	}
}

static int fail(struct reading *g, err_t err)
{
	g->err = err;
	return 1;
}

static int on_name(http_parser *p, const char *at, size_t size)
{
	struct reading *g = p->data;

	if (g->is_value)
		buf_put_byte(&g->a->headers, '\n');
	g->is_value = false;
	buf_put(&g->a->headers, at, size);
	return buf_failed(&g->a->headers) ? fail(g, ERR_TOO_LARGE) : 0;
}

static int on_value(http_parser *p, const char *at, size_t size)
{
	struct reading *g = p->data;

	if (!g->is_value)
		buf_put(&g->a->headers, ": ", 2);
	g->is_value = true;
	buf_put(&g->a->headers, at, size);
	return buf_failed(&g->a->headers) ? fail(g, ERR_TOO_LARGE) : 0;
}

static int on_headers(http_parser *p)
{
	struct reading *g = p->data;

	if (g->is_value)
		buf_put_byte(&g->a->headers, '\n');
	g->a->status = (int)p->status_code;
	return !strcmp(g->r->method, "HEAD"); /* 1: no body, whatever the length says */
}

static int on_body(http_parser *p, const char *at, size_t size)
{
	struct reading *g = p->data;

	if (g->r->sink && g->a->status == 200) {
		while (size) {
			ssize_t n = write(g->r->sink_fd, at, size);

			if (n < 0)
				return fail(g, err_from_errno(errno));
			at += n;
			size -= (size_t)n;
			g->a->sunk += (uint64_t)n;
		}
		return 0;
	}
	buf_put(&g->a->body, at, size);
	return buf_failed(&g->a->body) ? fail(g, ERR_TOO_LARGE) : 0;
}

static int on_complete(http_parser *p)
{
	struct reading *g = p->data;

	g->is_done = true;
	g->keeps = http_should_keep_alive(p);
	http_parser_pause(p, 1);
	return 0;
}

static err_t read_answer(struct reading *g, bool *heard, struct why *why)
{
	static const http_parser_settings settings = {.on_header_field = on_name, .on_header_value = on_value,
						      .on_headers_complete = on_headers, .on_body = on_body,
						      .on_message_complete = on_complete};
	uint8_t *room = mem_alloc(CHUNK_SIZE);
	http_parser p;
	err_t err = OK;

	http_parser_init(&p, HTTP_RESPONSE);
	p.data = g;
	while (!err && !g->is_done) {
		size_t size = CHUNK_SIZE;

		err = receive(g->h, room, &size, why);
		if (err)
			break;
		*heard |= size > 0;
		http_parser_execute(&p, &settings, (char *)room, size);
		if (g->err)
			err = why_set(why, g->err, "answer of %s: %s", g->h->authority, err_text(g->err));
		else if (!g->is_done && (size == 0 || HTTP_PARSER_ERRNO(&p) != HPE_OK))
			err = size == 0 ? why_set(why, ERR_IO, "%s closed the connection", g->h->authority) :
					  why_set(why, ERR_MALFORMED, "answer of %s: %s", g->h->authority,
						  http_errno_description(HTTP_PARSER_ERRNO(&p)));
	}
	mem_free(room);
	return err;
}

static err_t send_file(struct https *h, const struct https_request *r, struct why *why)
{
	uint8_t *room = mem_alloc(CHUNK_SIZE);
	err_t err = OK;

	for (uint64_t at = 0; !err && at < r->body_file_size;) {
		ssize_t n = pread(r->body_fd, room, (size_t)MIN((uint64_t)CHUNK_SIZE, r->body_file_size - at),
				  (off_t)(r->body_file_start + at));

		if (n <= 0)
			err = why_set(why, ERR_IO, "the file to be sent ends at %llu", (unsigned long long)(r->body_file_start + at));
		else
			err = send_all(h, room, (size_t)n, why);
		at += (uint64_t)MAX(n, (ssize_t)0);
	}
	mem_free(room);
	return err;
}

static err_t exchange(struct https *h, const struct https_request *r, struct https_answer *out, bool *heard, struct why *why)
{
	struct reading g = {.h = h, .r = r, .a = out};
	struct why ignored;
	bool refused = false;
	struct buf head;
	err_t err;

	buf_init(&head, 64 * 1024);
	buf_printf(&head, "%s %s HTTP/1.1\r\nhost: %s\r\n%scontent-length: %llu\r\n\r\n", r->method, r->path, h->authority,
		   r->headers ? r->headers : "", (unsigned long long)(r->body_file ? r->body_file_size : r->body.size));
	err = buf_failed(&head) ? why_set(why, ERR_TOO_LARGE, "request headers are too large") :
				  send_all(h, head.data, head.size, why);
	if (!err)
		err = r->body_file ? send_file(h, r, why) : send_all(h, r->body.data, r->body.size, why);
	if (!err)
		err = read_answer(&g, heard, why);
	else if (err == ERR_IO)                 /* a refusal may have come before the body was taken, and the connection closed behind it */
		refused = !read_answer(&g, heard, &ignored) && out->status >= 400;
	buf_fini(&head);
	if (refused)
		err = OK;
	if (err || !g.keeps || refused)
		hang_up(h);
	return err;
}

err_t https_do(struct https *h, const struct https_request *r, struct https_answer *out, struct why *why)
{
	bool was_kept = h->fd >= 0, heard = false;
	err_t err = OK;

	h->end_ms = now_ms() + (int64_t)r->timeout_ms;
	h->stall_ms = r->body_file || r->sink ? r->timeout_ms : 0;
	for (int attempt = 0; attempt < 2; attempt++) {
		*out = (struct https_answer){0};
		buf_init(&out->headers, HTTPS_HEADERS_SIZE_MAX);
		buf_init(&out->body, r->body_size_max);
		err = h->fd >= 0 ? OK : dial(h, why);
		if (!err)
			err = exchange(h, r, out, &heard, why);
		if (!err)
			return OK;
		https_answer_fini(out);
		if (!was_kept || heard || err == ERR_TIMEOUT)
			break;
		was_kept = false;
	}
	return err;
}

void https_answer_fini(struct https_answer *a)
{
	buf_fini(&a->headers);
	buf_fini(&a->body);
	*a = (struct https_answer){0};
}

static err_t parse_url(struct https *h, const char *url, struct why *why)
{
	const char *host, *end, *port;
	size_t size;

	h->is_tls = !strncmp(url, "https://", 8);
	if (!h->is_tls && strncmp(url, "http://", 7))
		return why_set(why, ERR_INVALID, "\"%s\" is no URL of http or https", url);
	host = url + (h->is_tls ? 8 : 7);
	end = host + strcspn(host, "/?#");
	port = host[0] == '[' ? memchr(host, ']', (size_t)(end - host)) : host;
	port = port ? memchr(port, ':', (size_t)(end - port)) : NULL;
	size = (size_t)((port ? port : end) - host);
	if (size > 2 && host[0] == '[') {
		host++;
		size -= 2;
	}
	if (!size || size >= sizeof(h->host) || (port && end - port > 6))
		return why_set(why, ERR_INVALID, "\"%s\" is no URL of a host", url);
	snprintf(h->host, sizeof(h->host), "%.*s", (int)size, host);
	snprintf(h->port, sizeof(h->port), "%.*s", port ? (int)(end - port - 1) : 3, port ? port + 1 : h->is_tls ? "443" : "80");
	snprintf(h->authority, sizeof(h->authority), strchr(h->host, ':') ? "[%s]%s%s" : "%s%s%s", h->host, port ? ":" : "",
		 port ? h->port : "");
	return OK;
}

err_t https_open(const struct https_opts *o, struct why *why, struct https **out)
{
	struct https *h = NEW(struct https);
	err_t err;

	h->fd = -1;
	err = parse_url(h, o->url, why);
	if (!err && h->is_tls) {
		bool has_ca = o->ca_file && o->ca_file[0];

		h->ctx = SSL_CTX_new(TLS_client_method());
		ASSERT(h->ctx);
		SSL_CTX_set_min_proto_version(h->ctx, TLS1_2_VERSION);
		SSL_CTX_set_mode(h->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_CTX_set_verify(h->ctx, o->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
		if (has_ca && SSL_CTX_load_verify_locations(h->ctx, o->ca_file, NULL) != 1)
			err = why_set(why, ERR_INVALID, "%s holds no certificate that can be read", o->ca_file);
		else if (!has_ca && SSL_CTX_set_default_verify_paths(h->ctx) != 1)
			err = why_set(why, ERR_INVALID, "the system's certificates cannot be read");
		if (!err && o->cert_file && o->cert_file[0] &&
		    (SSL_CTX_use_certificate_chain_file(h->ctx, o->cert_file) != 1 ||
		     SSL_CTX_use_PrivateKey_file(h->ctx, o->key_file ? o->key_file : "", SSL_FILETYPE_PEM) != 1))
			err = why_set(why, ERR_INVALID, "%s and its key cannot be read, or do not fit", o->cert_file);
	}
	if (err) {
		https_close(h);
		return err;
	}
	*out = h;
	return OK;
}

void https_close(struct https *h)
{
	if (!h)
		return;
	hang_up(h);
	SSL_CTX_free(h->ctx);
	mem_free(h);
}

const char *https_authority(const struct https *h)
{
	return h->authority;
}
