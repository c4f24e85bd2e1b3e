/* TLS as the flags ask for it: a context for clients and one for members, each NULL where nothing is configured. Main thread, before
 * and after the loops; the contexts themselves are used by all of them. */
#ifndef SERVER_SECURE_H
#define SERVER_SECURE_H

#include "server/config.h"
#include "tls/tls.h"

struct secure {
	struct tls_context *client;
	struct tls_context *metrics;            /* --listen-metrics-urls: as client's, and a certificate must fit the address it comes from */
	struct tls_context *peer;
};

/* Reads files, makes self-signed ones under data_dir/fixtures where --auto-tls or --peer-auto-tls say so, and checks that every https URL
 * can be served. */
NODISCARD err_t secure_peer_init(struct secure *s, struct config *cfg, const char *data_dir, struct why *why);
NODISCARD err_t secure_client_init(struct secure *s, struct config *cfg, const char *data_dir, struct why *why);
void secure_fini(struct secure *s);

#endif
