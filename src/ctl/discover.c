/* --discovery-srv: endpoints from the SRV records _etcd-client-ssl._tcp and _etcd-client._tcp of a domain; a service
 * name of --discovery-srv-name is added to both. Records are taken in order of priority, then of their weight. */
#include "client/srv.h"
#include "ctl/ctl_impl.h"

int ctl_discover(struct ctl *c, struct endpoints *out)
{
	enum { RECORDS_MAX = 256 };
	static const char *const services[] = {"etcd-client-ssl", "etcd-client"};
	static const char *const schemes[] = {"https", "http"};
	struct srv_record *found = NEW_ARRAY(struct srv_record, RECORDS_MAX);
	const char *domain = c->o.discovery_srv, *suffix = c->o.discovery_srv_name;

	out->count = 0;
	out->at = arena_alloc_array(&c->arena, 2 * RECORDS_MAX, sizeof(*out->at));
	for (size_t s = 0; s < ARRAY_COUNT(services); s++) {
		const char *name = ctl_copy(c, "_%s%s%s._tcp.%s", services[s], suffix[0] ? "-" : "", suffix, domain);
		size_t n = srv_lookup(name, found, RECORDS_MAX);

		for (size_t i = 0; i < n; i++) {
			const char *ep = ctl_copy(c, "%s://%s:%u", schemes[s], found[i].target, found[i].port);

			if (s == 1 && !c->o.insecure_discovery)
				fprintf(stderr, "ignoring discovered insecure endpoint \"%s\"\n", ep);
			else
				out->at[out->count++] = ep;
		}
	}
	mem_free(found);
	if (!out->count)
		return ctl_fail(
		    EXIT_ERROR,
		    "error querying DNS SRV records for _etcd-client lookup _etcd-client._tcp.%s: no such host",
		    domain);
	return 0;
}
