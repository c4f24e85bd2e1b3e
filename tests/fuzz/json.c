/* A body for the gateway. First byte: the RPC. What is read from JSON is a valid message; written as JSON and read
 * again it is the same JSON; the scanner finds the same end however the body is cut. */
#include "fuzz.h"

#include "pb/json.h"
#include "pb/methods.h"

enum { ARENA_MAX = 8 << 20, BUF_MAX = 8 << 20 };

static void scan_in_parts(struct slice s)
{
	struct json_scan whole, parts;
	size_t used, end = 0;
	err_t want, got;

	json_scan_init(&whole);
	want = json_scan(&whole, s, &used);
	json_scan_init(&parts);
	do {
		size_t n = MIN(s.size - end, 1 + end % 3), part;

		got = json_scan(&parts, slice_of(s.data + end, n), &part);
		end += part;
	} while (got == ERR_AGAIN && end < s.size);
	ASSERT(got == want);
	ASSERT(end == used);
}

static void round_trip(const ProtobufCMessageDescriptor *d, struct slice json)
{
	struct buf bytes, once, twice, again;
	struct why why = {""};
	struct arena a;

	arena_init(&a, ARENA_MAX);
	buf_init(&bytes, BUF_MAX);
	buf_init(&again, BUF_MAX);
	buf_init(&once, BUF_MAX);
	buf_init(&twice, BUF_MAX);
	if (json_parse(d, json, &why, &bytes)) {
		ASSERT(why.text[0] && bytes.size == 0);
	} else {
		err_t err = pb_validate(d, buf_slice(&bytes));

		ASSERT(err == OK);
		if (!err && json_emit(&a, d, buf_slice(&bytes), &once) == OK) {
			ASSERT(slice_is_utf8(buf_slice(&once)));
			ASSERT(json_parse(d, buf_slice(&once), &why, &again) == OK);
			if (json_emit(&a, d, buf_slice(&again), &twice) == OK)
				ASSERT(slice_eq(buf_slice(&once), buf_slice(&twice)));
		}
	}
	buf_fini(&twice);
	buf_fini(&once);
	buf_fini(&again);
	buf_fini(&bytes);
	arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rpc_method *m;
	struct slice s;

	if (size == 0)
		return 0;
	m = &rpc_methods[data[0] / 2 % RPC__COUNT];
	s = slice_of(data + 1, size - 1);
	scan_in_parts(s);
	round_trip(data[0] % 2 ? m->request : m->response, s);
	return 0;
}
