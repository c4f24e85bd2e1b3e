/* The bytes between members: the two stream formats and the head of a snapshot. Pure state machines: bytes in, messages
 * out, in pieces of any size. Private to the module, and to the simulator and tests.
 *
 *	stream_decoder_init(&d, STREAM_MSGAPP, from, to, max);
 *	while ((got = stream_decode(&d, &in, &m, &err)) == STREAM_GOT_MESSAGE) …       in shrinks
 *	stream_decoder_fini(&d);
 *
 * Announced lengths are checked against the maximum before anything is allocated, and memory grows only with bytes that
 * came, so that an announcement alone costs nothing. */
#ifndef PEER_CODEC_H
#define PEER_CODEC_H

#include "base/buf.h"
#include "pb/raftpb.h"

#define STREAM_MESSAGE_BYTES_MAX (512u << 20)   /* of one message; upstream's limit of the message stream */
#define STREAM_ENTRIES_MAX (1u << 20)           /* of one MsgApp in the short form */
#define SNAPSHOT_HEAD_BYTES_MAX (64u << 20)

enum stream_kind { STREAM_MSGAPP, STREAM_MESSAGE };

enum stream_got {
	STREAM_GOT_NOTHING,     /* all bytes are used up */
	STREAM_GOT_MESSAGE,
	STREAM_GOT_HEARTBEAT,   /* of the link, not of raft */
	STREAM_GOT_ERROR,       /* err; the stream cannot go on */
};

/* What both ends of a msgappv2 stream keep: where the next entry is expected. Fresh with each connection. */
struct stream_pos {
	uint64_t term;
	uint64_t index;
};

struct stream_decoder {
	enum stream_kind kind;
	uint64_t from, to;              /* of messages in the short form */
	size_t bytes_max;
	struct stream_pos pos;
	int state;
	uint8_t head[9];                /* integers being read */
	uint32_t head_size;
	uint64_t entries_left;
	uint64_t bytes_left;            /* of the body being read */
	size_t bytes_used;              /* entries of this message so far */
	struct buf body;
	struct raft_message m;          /* short form being built */
	size_t entry_room;
};

void stream_decoder_init(struct stream_decoder *d, enum stream_kind kind, uint64_t from, uint64_t to, size_t bytes_max);
void stream_decoder_fini(struct stream_decoder *d);
/* Takes bytes from *in. *out is the caller's with STREAM_GOT_MESSAGE. Errors: ERR_MALFORMED, ERR_TOO_LARGE. */
enum stream_got stream_decode(struct stream_decoder *d, struct slice *in, struct raft_message *out, err_t *err);

/* pos: of this connection, {0, 0} at first; unused for STREAM_MESSAGE. Appends. */
void stream_encode(enum stream_kind kind, struct stream_pos *pos, const struct raft_message *m, struct buf *out);
void stream_encode_heartbeat(enum stream_kind kind, struct buf *out);

/* Body of POST /raft/snapshot: length u64, message, then the database. */
void snapshot_head_encode(const struct raft_message *m, struct buf *out);

struct snapshot_head {
	uint8_t length[8];
	uint32_t length_size;
	uint64_t bytes_left;
	struct buf body;
};

void snapshot_head_init(struct snapshot_head *h);
void snapshot_head_fini(struct snapshot_head *h);
/* STREAM_GOT_MESSAGE once; then *in is at the database. */
enum stream_got snapshot_head_decode(struct snapshot_head *h, struct slice *in, struct raft_message *out, err_t *err);


#endif
