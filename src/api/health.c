/* grpc.health.v1.Health: service "" serves from the moment the client ports are open. */
#include "api/api_impl.h"

enum serving { SERVING = 1, SERVICE_UNKNOWN = 3 };

static bool service_known(struct slice body, bool *malformed)
{
	struct pb_reader rd = pb_reader_of(body);
	struct pb_field f;
	bool known = true;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_BYTES) {
			known = f.bytes.size == 0;
			*malformed |= !slice_is_utf8(f.bytes);
		}
	*malformed |= rd.failed;
	return known;
}

static void status_send(struct api_rpc *r, enum serving s)
{
	struct slice msg = slice_of((uint8_t[]){0x08, (uint8_t)s}, 2);

	api_send(r, &msg, 1);
}

static void check_message(struct api_rpc *r, struct blob *take_body)
{
	bool malformed = false;
	bool known = service_known(blob_slice(take_body), &malformed);

	blob_unref(take_body);
	if (malformed) {
		api_fail(r, ERR_MALFORMED);
	} else if (!known) {
		api_fail(r, ERR_UNKNOWN_SERVICE);
	} else {
		status_send(r, SERVING);
		api_done(r);
	}
}

/* HealthListResponse {map<string, HealthCheckResponse> statuses = 1}: one entry, key "". */
static void list_message(struct api_rpc *r, struct blob *take_body)
{
	struct slice msg = slice_of((uint8_t[]){0x0a, 0x06, 0x0a, 0x00, 0x12, 0x02, 0x08, SERVING}, 8);

	blob_unref(take_body);
	api_reply(r, &msg, 1);
}

/* The status, and again when it changes: never, so the stream just stays open. */
static void health_watch_message(struct api_rpc *r, struct blob *take_body)
{
	bool malformed = false;
	bool known = service_known(blob_slice(take_body), &malformed);

	blob_unref(take_body);
	if (malformed)
		api_fail(r, ERR_MALFORMED);
	else
		status_send(r, known ? SERVING : SERVICE_UNKNOWN);
}

const struct api_row health_check_row = {.name = "Check", .message = check_message, .any_leader = true};
const struct api_row health_list_row = {.name = "List", .message = list_message, .any_leader = true};
const struct api_row health_watch_row = {.name = "Watch", .message = health_watch_message, .any_leader = true};
