/* gRPC streams as calls: the method table for the grpc module, and the sink that writes to a stream. */
#ifndef API_GRPC_BRIDGE_H
#define API_GRPC_BRIDGE_H

#include "api/api.h"
#include "grpc/grpc.h"

/* timed: with a histogram of each method's handling time (--metrics=extensive).
 * A server for all methods that api_serves. grpc_io_new's user must be the loop's struct api_io. */
struct grpc_server *api_grpc_server_new(uint32_t message_bytes_max, bool timed);

#endif
