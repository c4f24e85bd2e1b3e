/* Bytes of another member. The first byte: 0 msgappv2, 1 message stream, 2 snapshot head, 3 URL, 4 probe answer, 5
 * version; its upper half: size of the pieces the rest comes in. What a stream brings is written and read again. */
#include "fuzz.h"

#include "peer/codec.h"
#include "peer/http1.h"
#include "peer/peer_impl.h"

#define BYTES_MAX (64 * 1024)
#define FROM 7
#define TO 9

/* Written as a stream of the same kind, a message reads as the same. */
static void round_trip(enum stream_kind kind, const struct raft_message *m)
{
	struct stream_pos pos = {0};
	struct stream_decoder d;
	struct raft_message again;
	struct slice in;
	struct buf b;
	err_t err = OK;

	if (kind == STREAM_MSGAPP && m->type != MSG_APP)
		return;         /* is never sent there */
	buf_init(&b, 16 << 20);
	stream_encode(kind, &pos, m, &b);
	ASSERT(!buf_failed(&b));
	stream_decoder_init(&d, kind, m->from, m->to, 16 << 20);
	in = buf_slice(&b);
	if (stream_decode(&d, &in, &again, &err) == STREAM_GOT_MESSAGE) {
		ASSERT(again.type == m->type && again.index == m->index && again.term == m->term);
		ASSERT(again.entry_count == m->entry_count && again.commit == m->commit);
		raft_message_fini(&again);
	} else {
		ASSERT(!err && m->type == MSG_HEARTBEAT);       /* it is the link's */
	}
	ASSERT(in.size == 0);
	stream_decoder_fini(&d);
	buf_fini(&b);
}

static void run_stream(enum stream_kind kind, struct slice all, size_t piece)
{
	struct stream_decoder d;
	struct raft_message m;
	err_t err = OK;
	enum stream_got got = STREAM_GOT_NOTHING;

	stream_decoder_init(&d, kind, FROM, TO, BYTES_MAX);
	for (size_t at = 0; at < all.size && got != STREAM_GOT_ERROR; at += piece) {
		struct slice in = slice_of(all.data + at, MIN(piece, all.size - at));

		while ((got = stream_decode(&d, &in, &m, &err)) == STREAM_GOT_MESSAGE || got == STREAM_GOT_HEARTBEAT) {
			if (got == STREAM_GOT_HEARTBEAT)
				continue;
			round_trip(kind, &m);
			raft_message_fini(&m);
		}
		ASSERT((got == STREAM_GOT_ERROR) == (err != OK));
		ASSERT(d.body.room <= 2 * BYTES_MAX);
	}
	stream_decoder_fini(&d);
}

static void run_snapshot_head(struct slice all, size_t piece)
{
	struct snapshot_head h;
	struct raft_message m;
	enum stream_got got = STREAM_GOT_NOTHING;
	err_t err;

	snapshot_head_init(&h);
	for (size_t at = 0; at < all.size && got == STREAM_GOT_NOTHING; at += piece) {
		struct slice in = slice_of(all.data + at, MIN(piece, all.size - at));

		got = snapshot_head_decode(&h, &in, &m, &err);
	}
	if (got == STREAM_GOT_MESSAGE)
		raft_message_fini(&m);
	snapshot_head_fini(&h);
}

static void run_url(struct slice all)
{
	struct http1_url u;

	if (!http1_url_parse(all, &u))
		return;
	ASSERT(u.address[0] && u.host[0]);
	ASSERT(!strpbrk(u.address, "\r\n "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;
	struct minor_version v;
	size_t piece;
	int64_t wall;
	bool ok;

	if (size == 0)
		return 0;
	rest = slice_of(data + 1, size - 1);
	piece = data[0] >> 4 ? data[0] >> 4 : 4096;
	switch (data[0] & 15) {
	case 0:
	case 1:
		run_stream((enum stream_kind)(data[0] & 1), rest, piece);
		break;
	case 2:
		run_snapshot_head(rest, piece);
		break;
	case 3:
		run_url(rest);
		break;
	case 4:
		probe_parse(rest, &ok, &wall);
		break;
	case 5:
		minor_version_parse(rest, &v);
		break;
	}
	return 0;
}
