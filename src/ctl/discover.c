/* --discovery-srv: endpoints from the SRV records _etcd-client-ssl._tcp and _etcd-client._tcp of a domain; a service
 * name of --discovery-srv-name is added to both. Records are taken in order of priority, then of their weight. */
#include <arpa/nameser.h>
#include <resolv.h>

#include "base/endian.h"
#include "ctl/ctl_impl.h"

enum { ANSWER_MAX = 64 * 1024, SRV_HEAD = 6 };

struct record {
	uint16_t priority, weight, port;
	char target[NS_MAXDNAME];
};

static int by_priority(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return (x->weight < y->weight) - (x->weight > y->weight);
}

static size_t ask(const char *name, struct record *out, size_t max)
{
	uint8_t *answer = mem_alloc(ANSWER_MAX);
	int size = res_query(name, ns_c_in, ns_t_srv, answer, ANSWER_MAX);
	ns_msg msg;
	size_t n = 0;

	if (size > 0 && !ns_initparse(answer, size, &msg)) {
		for (int i = 0; i < ns_msg_count(msg, ns_s_an) && n < max; i++) {
			const uint8_t *data;
			ns_rr rr;

			if (ns_parserr(&msg, ns_s_an, i, &rr) || ns_rr_type(rr) != ns_t_srv ||
			    ns_rr_rdlen(rr) <= SRV_HEAD)
				continue;
			data = ns_rr_rdata(rr);
			if (ns_name_uncompress(answer, answer + size, data + SRV_HEAD, out[n].target, NS_MAXDNAME) < 0)
				continue;
			out[n].priority = be16_get(data);
			out[n].weight = be16_get(data + 2);
			out[n].port = be16_get(data + 4);
			n++;
		}
	}
	mem_free(answer);
	qsort(out, n, sizeof(*out), by_priority);
	return n;
}

int ctl_discover(struct ctl *c, struct endpoints *out)
{
	enum { RECORDS_MAX = 256 };
	static const char *const services[] = {"etcd-client-ssl", "etcd-client"};
	static const char *const schemes[] = {"https", "http"};
	struct record *found = NEW_ARRAY(struct record, RECORDS_MAX);
	const char *domain = c->o.discovery_srv, *suffix = c->o.discovery_srv_name;

	out->count = 0;
	out->at = arena_alloc_array(&c->arena, 2 * RECORDS_MAX, sizeof(*out->at));
	for (size_t s = 0; s < ARRAY_COUNT(services); s++) {
		const char *name = ctl_copy(c, "_%s%s%s._tcp.%s", services[s], suffix[0] ? "-" : "", suffix, domain);
		size_t n = ask(name, found, RECORDS_MAX);

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
