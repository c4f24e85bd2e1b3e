/* --discovery-srv: members by SRV records _etcd-client-ssl._tcp and _etcd-client._tcp of a domain. Unless
 * --insecure-discovery is given, only https members count, and only those that take a TCP connection now: that much upstream
 * verifies at this place (client/pkg/transport, ValidateSecureEndpoints). Blocks; at the start only. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/srv.h"
#include "obs/log.h"
#include "proxy/proxy_impl.h"

enum { RECORDS_MAX = 256, CONNECT_TIMEOUT_MS = 30000 };

void words_split(struct words *w, const char *list)
{
	char *at, *next;

	*w = (struct words){.text = mem_strdup(list)};
	for (at = w->text; at && *at; at = next) {
		next = strchr(at, ',');
		if (next)
			*next++ = '\0';
		VEC_PUSH(&w->at, at);
	}
}

void words_fini(struct words *w)
{
	mem_free(w->text);
	VEC_FREE(&w->at);
}

static void backend_fini(struct backend *b)
{
	mem_free(b->url);
	mem_free(b->target);
}

void backends_fini(struct backends *b)
{
	for (size_t i = 0; i < b->at.count; i++)
		backend_fini(&b->at.at[i]);
	VEC_FREE(&b->at);
}

static size_t add_records(struct backends *out, const char *service, const char *scheme, const struct proxy_options *o)
{
	struct srv_record *found = NEW_ARRAY(struct srv_record, RECORDS_MAX);
	bool named = o->discovery_srv_name && o->discovery_srv_name[0];
	char *name = mem_printf("_%s%s%s._tcp.%s", service, named ? "-" : "", named ? o->discovery_srv_name : "", o->discovery_srv);
	size_t n = srv_lookup(name, found, RECORDS_MAX);

	for (size_t i = 0; i < n; i++) {
		const struct srv_record *r = &found[i];

		VEC_PUSH(&out->at, ((struct backend){mem_printf("%s://%s:%u", scheme, r->target, r->port), mem_strdup(r->target), r->port,
						     r->priority, r->weight}));
	}
	mem_free(name);
	mem_free(found);
	return n;
}

static bool can_connect(const struct backend *b)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	char port[8];
	bool ok = false;

	snprintf(port, sizeof(port), "%u", b->port);
	if (getaddrinfo(b->target, port, &hints, &list))
		return false;
	for (a = list; a && !ok; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), code = 0;
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		socklen_t size = sizeof(code);

		if (fd < 0)
			continue;
		if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			ok = true;
		else if (errno == EINPROGRESS && poll(&p, 1, CONNECT_TIMEOUT_MS) == 1)
			ok = getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) == 0 && code == 0;
		close(fd);
	}
	freeaddrinfo(list);
	return ok;
}

static void log_backends(const char *text, const struct proxy_options *o, const struct backends *b)
{
	VEC(const char *) urls = {0};

	for (size_t i = 0; i < b->at.count; i++)
		VEC_PUSH(&urls, b->at.at[i].url);
	LOG_INFO(text, LOG_STR("srv-server", o->discovery_srv), LOG_STRS("endpoints", urls.at, urls.count));
	VEC_FREE(&urls);
}

static void keep_secure(struct backends *b)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->at.count; i++) {
		struct backend *e = &b->at.at[i];
		bool secure = !strncmp(e->url, "https://", 8);

		if (secure && can_connect(e)) {
			b->at.at[kept++] = *e;
			continue;
		}
		LOG_WARN("failed to validate discovered endpoints", LOG_STR("endpoint", e->url),
			 LOG_STR("error", secure ? "no connection" : "is insecure"));
		backend_fini(e);
	}
	b->at.count = kept;
}

bool discover(const struct proxy_options *o, struct backends *out)
{
	size_t found;

	*out = (struct backends){0};
	if (!o->discovery_srv || !o->discovery_srv[0])
		return true;
	found = add_records(out, "etcd-client-ssl", "https", o);
	found += add_records(out, "etcd-client", "http", o);
	if (!found) {
		fprintf(stderr, "dns lookup errors: no SRV records of _etcd-client-ssl._tcp.%s and _etcd-client._tcp.%s\n", o->discovery_srv,
			o->discovery_srv);
		return false;
	}
	log_backends("discovered cluster from SRV", o, out);
	if (o->insecure_discovery)
		return true;
	log_backends("validating discovered SRV endpoints", o, out);
	keep_secure(out);
	log_backends("using validated discovered SRV endpoints", o, out);
	return true;
}
