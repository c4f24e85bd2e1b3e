/* What every request on a client listener passes before its handler (etcd v3.7.1, embed/serve.go and
 * client/pkg/transport): host whitelist, CORS, OPTIONS, in this order. */
#include "http/http_impl.h"

static const char host_refused[] = "\netcd received your request, but the Host header was unrecognized.\n\n"
				   "To fix this, choose one of the following options:\n"
				   "- Enable TLS, then any HTTPS request will be allowed.\n"
				   "- Add the hostname you want to use to the whitelist in settings.\n"
				   "  - e.g. etcd --host-whitelist \"";
static const char host_refused_end[] =
    "\"\n\nThis requirement has been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).\n";

static bool list_has(const struct slice *list, size_t count, struct slice item)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(list[i], item) || slice_eq(list[i], SLICE_LIT("*")))
			return true;
	return false;
}

struct slice http_host_name(struct slice authority)
{
	const uint8_t *end;

	if (authority.size && authority.data[0] == '[') {
		end = memchr(authority.data, ']', authority.size);
		return end ? slice_of(authority.data + 1, (size_t)(end - authority.data) - 1) : authority;
	}
	end = memrchr(authority.data, ':', authority.size);
	return end ? slice_of(authority.data, (size_t)(end - authority.data)) : authority;
}

static void refuse_host(struct http_req *r, struct slice host)
{
	const struct http_header headers[] = {
	    HTTP_HEADER("content-type", "text/plain; charset=utf-8"),
	    HTTP_HEADER("x-content-type-options", "nosniff"),
	};
	struct slice parts[3] = {
	    slice_of(host_refused, sizeof(host_refused) - 1),
	    host,
	    slice_of(host_refused_end, sizeof(host_refused_end) - 1),
	};

	http_respond(r, 421, headers, 2);
	http_send(r, parts, 3);
	http_end(r, NULL, 0);
}

static size_t cors_headers(const struct http_front *f, const struct http_req *r, struct http_header *out)
{
	struct slice origin = {0};

	if (f->cors_count == 0)
		return 0;
	if (list_has(f->cors, f->cors_count, SLICE_LIT("*")))
		origin = SLICE_LIT("*");
	else if (!http_header_get(r, SLICE_LIT("origin"), &origin) || !list_has(f->cors, f->cors_count, origin))
		return 0;
	out[0] = HTTP_HEADER("access-control-allow-methods", "POST, GET, OPTIONS, PUT, DELETE");
	out[1] = (struct http_header){SLICE_LIT("access-control-allow-origin"), origin, false};
	out[2] = HTTP_HEADER("access-control-allow-headers", "accept, content-type, authorization");
	return HTTP_FRONT_HEADERS;
}

enum http_front_result http_front_check(const struct http_front *f, struct http_req *r, struct http_header *out,
					size_t *count)
{
	struct slice host = http_host_name(r->authority);

	*count = 0;
	if (!http_req_peer(r)->is_tls && f->hosts_count && !list_has(f->hosts, f->hosts_count, host)) {
		refuse_host(r, host);
		return HTTP_FRONT_HOST_REFUSED;
	}
	*count = cors_headers(f, r, out);
	if (slice_eq(r->method, SLICE_LIT("OPTIONS"))) {
		struct http_header all[HTTP_FRONT_HEADERS + 1];

		memcpy(all, out, *count * sizeof(*out));
		all[*count] = HTTP_HEADER("content-length", "0");
		http_respond_end(r, 200, all, *count + 1);
		return HTTP_FRONT_ANSWERED;
	}
	return HTTP_FRONT_PASSED;
}
