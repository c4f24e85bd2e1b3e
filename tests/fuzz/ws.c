/* WebSocket frames. Input: a byte that says how the rest is cut, then what a client sends. Cut or whole, the same events come, and a
 * message never passes its maximum. */
#include "fuzz.h"
#include "http/ws.h"

enum { MESSAGE_MAX = 300, EVENTS_MAX = 64 };

struct run {
	size_t count;
	uint8_t events[EVENTS_MAX];
	size_t bytes;
};

static void run(struct slice all, size_t step, struct run *out)
{
	struct ws_reader w;
	bool over = false;

	*out = (struct run){0};
	ws_reader_init(&w, MESSAGE_MAX);
	for (size_t at = 0; !over && at < all.size; at += step) {
		struct slice part = slice_of(all.data + at, MIN(step, all.size - at));

		while (!over && part.size) {
			enum ws_event e = ws_read(&w, &part);

			ASSERT(w.message.size <= MESSAGE_MAX && !buf_failed(&w.message) && w.control_size <= WS_CONTROL_SIZE_MAX);
			ASSERT(e != WS_MORE || !part.size);
			if (e == WS_MORE)
				continue;
			if (out->count < EVENTS_MAX)
				out->events[out->count++] = (uint8_t)e;
			out->bytes += e == WS_MESSAGE ? w.message.size : e == WS_PING ? w.control_size : 0;
			over = e == WS_CLOSE || e == WS_BAD;
		}
	}
	ws_reader_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, cut;
	struct slice all = slice_of(data + 1, size ? size - 1 : 0);

	if (!size)
		return 0;
	run(all, MAX(all.size, 1), &whole);
	run(all, 1 + data[0], &cut);
	ASSERT(whole.count == cut.count && whole.bytes == cut.bytes && !memcmp(whole.events, cut.events, whole.count));
	return 0;
}
