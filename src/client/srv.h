/* SRV records of DNS: where a service of a domain is. */
#ifndef CLIENT_SRV_H
#define CLIENT_SRV_H

#include <stddef.h>
#include <stdint.h>

#define SRV_TARGET_SIZE 1025

struct srv_record {
	uint16_t priority, weight, port;
	char target[SRV_TARGET_SIZE];   /* without the final dot */
};

/* Records of a name such as "_etcd-server._tcp.example.com", by priority, then the heavier first. Blocks; any thread.
 * Returns how many, at most max; 0 also when there is no such name or no answer. */
size_t srv_lookup(const char *name, struct srv_record *out, size_t max);
/* The same of a DNS answer that is there; what cannot be read is passed over. Pure. */
size_t srv_parse(const uint8_t *answer, size_t size, struct srv_record *out, size_t max);

#endif
