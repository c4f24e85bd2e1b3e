/* The initial cluster from elsewhere: SRV records of a domain, or a registry in another etcd cluster. */
#ifndef SERVER_DISCOVERY_H
#define SERVER_DISCOVERY_H

#include "server/config.h"

/* With discovery flags and no log in wal_dir: fills cfg->initial_cluster, with a registry also initial_cluster_token. Blocks, for the registry until
 * all members have come. Errors in upstream's words; cfg is unchanged then. Before the loops run; main thread. */
NODISCARD err_t discovery_run(struct config *cfg, const char *wal_dir, struct why *why);

#endif
