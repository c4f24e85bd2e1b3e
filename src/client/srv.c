#include "client/srv.h"

#include <arpa/nameser.h>
#include <resolv.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/mem.h"

enum { ANSWER_MAX = 64 * 1024, SRV_HEAD = 6 };

static int by_priority(const void *a, const void *b)
{
	const struct srv_record *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return (x->weight < y->weight) - (x->weight > y->weight);
}

size_t srv_parse(const uint8_t *answer, size_t size, struct srv_record *out, size_t max)
{
	size_t n = 0;
	ns_msg msg;

	if (size > ANSWER_MAX || ns_initparse(answer, (int)size, &msg))
		return 0;
	for (int i = 0; i < ns_msg_count(msg, ns_s_an) && n < max; i++) {
		const uint8_t *data;
		ns_rr rr;

		if (ns_parserr(&msg, ns_s_an, i, &rr) || ns_rr_type(rr) != ns_t_srv || ns_rr_rdlen(rr) <= SRV_HEAD)
			continue;
		data = ns_rr_rdata(rr);
		if (ns_name_uncompress(answer, answer + size, data + SRV_HEAD, out[n].target, SRV_TARGET_SIZE) < 0)
			continue;
		out[n].priority = be16_get(data);
		out[n].weight = be16_get(data + 2);
		out[n].port = be16_get(data + 4);
		n++;
	}
	qsort(out, n, sizeof(*out), by_priority);
	return n;
}

size_t srv_lookup(const char *name, struct srv_record *out, size_t max)
{
	uint8_t *answer = mem_alloc(ANSWER_MAX);
	int size = res_query(name, ns_c_in, ns_t_srv, answer, ANSWER_MAX);
	size_t n = size > 0 ? srv_parse(answer, MIN((size_t)size, (size_t)ANSWER_MAX), out, max) : 0;

	mem_free(answer);
	return n;
}
