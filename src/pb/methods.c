#include "pb/methods.h"

#include "pb/health.pb-c.h"
#include "pb/rpc.h"
#include "pb/rpc.pb-c.h"
#include "pb/v3election.pb-c.h"
#include "pb/v3lock.pb-c.h"

const struct rpc_method rpc_methods[RPC__COUNT] = {
#define RPC(symbol, svc, method, req, resp, kind, perm, learn, how, field, gateway_path, gateway_path_2) \
	[RPC_##symbol] = {                                                                             \
		.path = {(const uint8_t *)"/" svc "/" method, sizeof("/" svc "/" method) - 1},        \
		.service = svc,                                                                        \
		.name = method,                                                                        \
		.request = &req##__descriptor,                                                         \
		.response = &resp##__descriptor,                                                       \
		.stream = RPC_##kind,                                                                  \
		.permission = PERM_##perm,                                                             \
		.learner = LEARNER_##learn,                                                            \
		.consistency = CONSISTENCY_##how,                                                      \
		.log_field = field,                                                                    \
		.gateway = {{(const uint8_t *)gateway_path, sizeof(gateway_path) - 1},                 \
			    {(const uint8_t *)gateway_path_2, sizeof(gateway_path_2) - 1}},            \
	},
#include "pb/methods_rows.h"
#undef RPC
};

const struct rpc_method *rpc_method_find(struct slice path)
{
	for (size_t i = 0; i < RPC__COUNT; i++)
		if (slice_eq(rpc_methods[i].path, path))
			return &rpc_methods[i];
	return NULL;
}

/* The path behind "/v3", or an empty slice. */
static struct slice behind_version(struct slice path)
{
	static const struct slice prefixes[] = {SLICE_LIT("/v3/"), SLICE_LIT("/v3beta/")};

	for (size_t i = 0; i < 2; i++) {
		size_t size = prefixes[i].size - 1;

		if (slice_has_prefix(path, prefixes[i]))
			return slice_of(path.data + size, path.size - size);
	}
	return (struct slice){0};
}

const struct rpc_method *rpc_method_find_gateway(struct slice path)
{
	struct slice want = behind_version(path);

	for (size_t i = 0; i < RPC__COUNT && want.size; i++)
		for (size_t k = 0; k < RPC_GATEWAY_PATHS_MAX; k++)
			if (slice_eq(behind_version(rpc_methods[i].gateway[k]), want))
				return &rpc_methods[i];
	return NULL;
}
