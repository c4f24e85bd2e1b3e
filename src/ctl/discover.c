/* --discovery-srv: endpoints from the SRV records _etcd-client-ssl._tcp and _etcd-client._tcp of a domain; a service
 * name of --discovery-srv-name is added to both. Records are taken in order of priority, then of their weight; names keep
 * the dot behind them, as upstream's client has them. */
#include <arpa/inet.h>
#include <resolv.h>

#include "client/srv.h"
#include "ctl/ctl_impl.h"

enum { RECORDS_MAX = 256 };

/* "lookup NAME on 10.0.0.1:53: no such host", as Go has it. */
static const char *lookup_failed(struct ctl *c, const char *name)
{
	char server[INET_ADDRSTRLEN] = "127.0.0.1";

	if (_res.nscount > 0 && _res.nsaddr_list[0].sin_family == AF_INET)
		inet_ntop(AF_INET, &_res.nsaddr_list[0].sin_addr, server, sizeof(server));
	return ctl_copy(c, "lookup %s on %s:53: no such host", name, server);
}

int ctl_discover(struct ctl *c, struct endpoints *out)
{
	static const char *const services[] = {"etcd-client-ssl", "etcd-client"};
	static const char *const schemes[] = {"https", "http"};
	struct srv_record *found = NEW_ARRAY(struct srv_record, RECORDS_MAX);
	const char *suffix = c->o.discovery_srv_name;
	const char *names[2];
	size_t total = 0;

	out->count = 0;
	out->at = arena_alloc_array(&c->arena, 2 * RECORDS_MAX, sizeof(*out->at));
	for (size_t s = 0; s < ARRAY_COUNT(services); s++) {
		size_t n;

		names[s] = ctl_copy(c, "_%s%s%s._tcp.%s", services[s], suffix[0] ? "-" : "", suffix, c->o.discovery_srv);
		n = srv_lookup(names[s], found, RECORDS_MAX);
		total += n;
		for (size_t i = 0; i < n; i++) {
			const char *ep = ctl_copy(c, "%s://%s.:%u", schemes[s], found[i].target, found[i].port);

			if (s == 1 && !c->o.insecure_discovery)
				fprintf(stderr, "ignoring discovered insecure endpoint %s\n", ctl_quoted(c, slice_str(ep)));
			else
				out->at[out->count++] = ep;
		}
	}
	mem_free(found);
	if (total)
		return 0;
	return ctl_fail(EXIT_ERROR, "dns lookup errors: %s and %s", lookup_failed(c, names[0]), lookup_failed(c, names[1]));
}
