/* The head of a call: what is wrong with it, in the order and words of grpc-go (transport/http2_server.go,
 * operateHeaders; server.go, handleStream). */
#include <stdio.h>

#include "grpc/grpc_impl.h"

struct head {
	struct slice content_type, timeout, encoding, accept_encoding;
	struct slice bin_name, bin_value; /* the first malformed -bin entry */
	size_t bin_at;
	unsigned hosts;
	bool has_type, has_timeout, connection, bin_bad;
};

static void check_bin(struct head *h, const struct http_header *f)
{
	uint8_t small[512], *out = f->value.size <= sizeof(small) ? small : mem_alloc(f->value.size);
	size_t at;

	if (!h->bin_bad && !grpc_bin_decode(f->value, out, &at)) {
		h->bin_bad = true;
		h->bin_name = f->name;
		h->bin_value = f->value;
		h->bin_at = at;
	}
	if (out != small)
		mem_free(out);
}

static bool has_suffix(struct slice s, struct slice suffix)
{
	return s.size >= suffix.size && memcmp(s.data + s.size - suffix.size, suffix.data, suffix.size) == 0;
}

/* Told by length first: a call has about eight headers and most are somebody else's. */
static void read_head(const struct http_req *r, struct head *h)
{
	memset(h, 0, sizeof(*h));
	for (uint32_t i = 0; i < r->header_count; i++) {
		const struct http_header *f = &r->headers[i];

		switch (f->name.size) {
		case 4:
			h->hosts += slice_eq(f->name, SLICE_LIT("host"));
			break;
		case 10:
			h->connection |= slice_eq(f->name, SLICE_LIT("connection"));
			break;
		case 12:
			if (slice_eq(f->name, SLICE_LIT("content-type"))) {
				h->content_type = f->value;
				h->has_type = true;
			} else if (slice_eq(f->name, SLICE_LIT("grpc-timeout"))) {
				h->timeout = f->value;
				h->has_timeout = true;
			}
			break;
		case 13:
			if (slice_eq(f->name, SLICE_LIT("grpc-encoding")))
				h->encoding = f->value;
			break;
		case 20:
			if (slice_eq(f->name, SLICE_LIT("grpc-accept-encoding")))
				h->accept_encoding = f->value;
			break;
		}
		if (has_suffix(f->name, SLICE_LIT("-bin")))
			check_bin(h, f);
	}
}

static bool list_has(struct slice list, struct slice item)
{
	while (list.size) {
		const uint8_t *comma = memchr(list.data, ',', list.size);
		size_t n = comma ? (size_t)(comma - list.data) : list.size;
		struct slice one = slice_of(list.data, n);

		while (one.size && one.data[0] == ' ') {
			one.data++;
			one.size--;
		}
		while (one.size && one.data[one.size - 1] == ' ')
			one.size--;
		if (slice_eq(one, item))
			return true;
		list.data += n + (comma != NULL);
		list.size -= n + (comma != NULL);
	}
	return false;
}

/* refuse with: text "quoted" */
static bool refuse_quoted(struct gstream *g, unsigned http_status, enum grpc_status status, const char *before,
			  struct slice quoted, const char *after)
{
	struct buf b;

	buf_init(&b, ERROR_TEXT_MAX);
	buf_printf(&b, "%s", before);
	grpc_quote(&b, quoted);
	buf_printf(&b, "%s", after);
	gstream_refuse(g, http_status, status, buf_slice(&b));
	buf_fini(&b);
	return false;
}

static bool refuse_timeout(struct gstream *g, struct slice v)
{
	const char *why = v.size < 2   ? "malformed grpc-timeout: transport: timeout string is too short: "
			  : v.size > 9 ? "malformed grpc-timeout: transport: timeout string is too long: "
			  : strchr("HMSmun", v.data[v.size - 1]) == NULL
			      ? "malformed grpc-timeout: transport: timeout unit is not recognized: "
			      : NULL;
	struct buf b;

	if (why)
		return refuse_quoted(g, 400, GRPC_INTERNAL, why, v, "");
	buf_init(&b, ERROR_TEXT_MAX);
	buf_printf(&b, "malformed grpc-timeout: strconv.ParseUint: parsing ");
	grpc_quote(&b, slice_of(v.data, v.size - 1));
	buf_printf(&b, ": invalid syntax");
	gstream_refuse(g, 400, GRPC_INTERNAL, buf_slice(&b));
	buf_fini(&b);
	return false;
}

static bool refuse_bin(struct gstream *g, const struct head *h)
{
	struct buf b;

	buf_init(&b, ERROR_TEXT_MAX);
	buf_printf(&b, "malformed binary metadata ");
	grpc_quote(&b, h->bin_value);
	buf_printf(&b, " in header ");
	grpc_quote(&b, h->bin_name);
	buf_printf(&b, ": illegal base64 data at input byte %zu", h->bin_at);
	gstream_refuse(g, 400, GRPC_INTERNAL, buf_slice(&b));
	buf_fini(&b);
	return false;
}

static bool refuse_unknown(struct gstream *g, struct slice path)
{
	const uint8_t *slash = memrchr(path.data + 1, '/', path.size - 1);
	struct slice service, name;
	struct buf b;

	if (!slash)
		return refuse_quoted(g, 200, GRPC_UNIMPLEMENTED, "malformed method name: ", path, "");
	service = slice_of(path.data + 1, (size_t)(slash - path.data) - 1);
	name = slice_of(slash + 1, path.size - service.size - 2);
	buf_init(&b, ERROR_TEXT_MAX);
	if (grpc_service_known(g->pub.gio->server, service))
		buf_printf(&b, "unknown method %.*s for service %.*s", SLICE_ARG(name), SLICE_ARG(service));
	else
		buf_printf(&b, "unknown service %.*s", SLICE_ARG(service));
	gstream_refuse(g, 200, GRPC_UNIMPLEMENTED, buf_slice(&b));
	buf_fini(&b);
	return false;
}

static bool check_encoding(struct gstream *g, const struct head *h)
{
	if (h->encoding.size == 0 || slice_eq(h->encoding, SLICE_LIT("identity")))
		return true;
	g->recv_gzip = slice_eq(h->encoding, SLICE_LIT("gzip"));
	if (!g->recv_gzip)
		return refuse_quoted(g, 200, GRPC_UNIMPLEMENTED,
				     "grpc: Decompressor is not installed for grpc-encoding ", h->encoding, "");
	g->answer_gzip = list_has(h->accept_encoding, SLICE_LIT("gzip"));
	return true;
}

static void deadline_passed(struct net_timer *t)
{
	gstream_give_up(CONTAINER_OF(t, struct gstream, deadline), GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
}

static bool set_deadline(struct gstream *g, struct slice timeout)
{
	struct net_loop *loop = http_io_loop(g->pub.gio->io);
	uint64_t timeout_ms;

	if (!grpc_timeout_parse(timeout, &timeout_ms))
		return refuse_timeout(g, timeout);
	if (timeout_ms == 0) {
		gstream_refuse(g, 200, GRPC_DEADLINE_EXCEEDED, SLICE_LIT("context deadline exceeded"));
		return false;
	}
	g->deadline_ms = http_io_now_ms(g->pub.gio->io) + timeout_ms;
	net_timer_init(&g->deadline, deadline_passed);
	if (loop)
		net_timer_set(loop, &g->deadline, g->deadline_ms);
	return true;
}

static bool check_head(struct gstream *g, const struct head *h)
{
	const struct http_req *r = g->req;
	char text[128];

	if (h->hosts > 1) {
		snprintf(text, sizeof(text),
			 "num values of :authority: %d, num values of host: %u, both must only have 1 value"
			 " as per HTTP/2 spec",
			 r->authority.size > 0, h->hosts);
		gstream_refuse(g, 400, GRPC_INTERNAL, slice_str(text));
		return false;
	}
	if (!grpc_is(r))
		return refuse_quoted(g, 415, GRPC_INVALID_ARGUMENT, "invalid gRPC request content-type ",
				     h->content_type, "");
	if (h->bin_bad)
		return refuse_bin(g, h);
	if (h->content_type.size > sizeof("application/grpc+") - 1 && h->content_type.data[16] == '+')
		g->content_type = h->content_type;
	if (h->has_timeout && !set_deadline(g, h->timeout))
		return false;
	if (!slice_eq(r->method, SLICE_LIT("POST")))
		return refuse_quoted(g, 405, GRPC_INTERNAL, "Received a HEADERS frame with :method ", r->method,
				     " which should be POST");
	return true;
}

bool gstream_start(struct gstream *g)
{
	struct grpc_server *s = g->pub.gio->server;
	struct head h;

	read_head(g->req, &h);
	if (!check_head(g, &h))
		return false;
	g->pub.method = grpc_lookup(s, g->req->path);
	if (!g->pub.method)
		return refuse_unknown(g, g->req->path);
	if (!check_encoding(g, &h))
		return false;
	if (g->pub.method->flags) /* a unary call counts from its message on, see recv.c */
		gstream_count_started(g);
	return true;
}
