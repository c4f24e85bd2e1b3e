/* Stream formats. Integers are big-endian.
 *
 *	message     length u64 | raftpb.Message                         heartbeat: 00 00 00 00 00 00 00 02 08 08
 *
 *	msgappv2    0                                                   heartbeat
 *	            1 | count u64 | count x (size u64 | raftpb.Entry) | commit u64
 *	            2 | size u64 | raftpb.Message
 *
 * Form 1 stands for MsgApp {term = logTerm = pos.term, index = pos.index}, and moves pos.index by count. Form 2 sets
 * pos to (message.term, index of its last entry, or message.index). (etcd: server/etcdserver/api/rafthttp
 * msgappv2_codec.go of v3.7.1.)
 *
 * States of the decoder:
 *
 *	KIND ──0──> KIND
 *	 │ └──1──> COUNT ─> (SIZE ─> ENTRY)* ─> COMMIT ─> KIND
 *	 └────2──> LENGTH ─> MESSAGE ─> KIND            the message stream has only these two
 *
 *   C1  head_size < size of the integer being read
 *   C2  body.size <= bytes that came of it; its room was never asked for by length alone */
#include "base/endian.h"
#include "peer/codec.h"

enum state { S_KIND, S_COUNT, S_SIZE, S_ENTRY, S_COMMIT, S_LENGTH, S_MESSAGE };
enum form { FORM_HEARTBEAT = 0, FORM_ENTRIES = 1, FORM_MESSAGE = 2 };

static int first_state(const struct stream_decoder *d)
{
	return d->kind == STREAM_MSGAPP ? S_KIND : S_LENGTH;
}

void stream_decoder_init(struct stream_decoder *d, enum stream_kind kind, uint64_t from, uint64_t to, size_t bytes_max)
{
	*d = (struct stream_decoder){.kind = kind, .from = from, .to = to, .bytes_max = bytes_max};
	d->state = first_state(d);
	buf_init(&d->body, bytes_max);
}

void stream_decoder_fini(struct stream_decoder *d)
{
	raft_message_fini(&d->m);
	buf_fini(&d->body);
}

/* --- pieces --- */

/* True when the integer is complete. */
static bool take_u64(struct stream_decoder *d, struct slice *in, uint64_t *out)
{
	size_t n = MIN(8 - d->head_size, in->size);

	memcpy(d->head + d->head_size, in->data, n);                                    /* C1 */
	d->head_size += (uint32_t)n;
	*in = slice_of(in->data + n, in->size - n);
	if (d->head_size < 8)
		return false;
	d->head_size = 0;
	*out = be64_get(d->head);
	return true;
}

/* The next bytes_left bytes in one piece: out of *in when they are all there, else gathered in body. */
static bool take_body(struct stream_decoder *d, struct slice *in, struct slice *out)
{
	size_t n = (size_t)MIN(d->bytes_left, in->size);

	if (d->body.size == 0 && n == d->bytes_left) {
		*out = slice_of(in->data, n);
	} else {
		buf_put(&d->body, in->data, n);                                         /* C2 */
		ASSERT(!buf_failed(&d->body));
		*out = buf_slice(&d->body);
	}
	*in = slice_of(in->data + n, in->size - n);
	d->bytes_left -= n;
	return d->bytes_left == 0;
}

/* A body was used: small ones keep their memory for the next. */
static void body_done(struct stream_decoder *d)
{
	if (d->body.room > (1u << 20)) {
		buf_fini(&d->body);
		buf_init(&d->body, d->bytes_max);
	}
	buf_clear(&d->body);
}

/* An announced size, checked before anything is done about it. */
static err_t announce(struct stream_decoder *d, uint64_t size)
{
	if (size > d->bytes_max || size > d->bytes_max - d->bytes_used)
		return ERR_TOO_LARGE;
	d->bytes_left = size;
	return OK;
}

/* --- form 1 --- */

static void begin_entries(struct stream_decoder *d, uint64_t count)
{
	d->m = (struct raft_message){.type = MSG_APP, .from = d->from, .to = d->to, .term = d->pos.term,
		.log_term = d->pos.term, .index = d->pos.index};
	d->entries_left = count;
	d->entry_room = 0;
	d->bytes_used = 0;
	d->state = count ? S_SIZE : S_COMMIT;
}

static err_t add_entry(struct stream_decoder *d, struct slice body)
{
	struct raft_message *m = &d->m;
	err_t err;

	if (m->entry_count == d->entry_room) {
		d->entry_room = d->entry_room * 2 + 4;
		m->entries = mem_realloc(m->entries, d->entry_room * sizeof(*m->entries));
	}
	err = raft_entry_decode(body, &m->entries[m->entry_count]);
	if (err)
		return err;
	m->entry_count++;
	d->bytes_used += body.size;
	body_done(d);
	d->state = --d->entries_left ? S_SIZE : S_COMMIT;
	return OK;
}

static void end_entries(struct stream_decoder *d, uint64_t commit, struct raft_message *out)
{
	d->m.commit = commit;
	d->pos.index += d->m.entry_count;
	d->bytes_used = 0;
	*out = d->m;
	d->m = (struct raft_message){0};
	d->state = S_KIND;
}

/* --- form 2 and the message stream --- */

static struct stream_pos pos_after(const struct raft_message *m)
{
	return (struct stream_pos){m->term, m->entry_count ? m->entries[m->entry_count - 1].index : m->index};
}

static err_t end_message(struct stream_decoder *d, struct slice body, struct raft_message *out)
{
	err_t err = raft_message_decode(body, out);

	if (err)
		return err;
	body_done(d);
	d->pos = pos_after(out);
	d->state = first_state(d);
	return OK;
}

static bool is_link_heartbeat(const struct stream_decoder *d, const struct raft_message *m)
{
	return d->kind == STREAM_MESSAGE && m->type == MSG_HEARTBEAT && m->from == 0 && m->to == 0;
}

/* --- the machine: one step, which may need more bytes --- */

static enum stream_got step_kind(struct stream_decoder *d, struct slice *in, err_t *err)
{
	uint8_t form = in->data[0];

	*in = slice_of(in->data + 1, in->size - 1);
	switch (form) {
	case FORM_HEARTBEAT:
		return STREAM_GOT_HEARTBEAT;
	case FORM_ENTRIES:
		d->state = S_COUNT;
		return STREAM_GOT_NOTHING;
	case FORM_MESSAGE:
		d->state = S_LENGTH;
		return STREAM_GOT_NOTHING;
	}
	*err = ERR_MALFORMED;
	return STREAM_GOT_ERROR;
}

static enum stream_got step_number(struct stream_decoder *d, uint64_t n, struct raft_message *out, err_t *err)
{
	*err = OK;
	switch (d->state) {
	case S_COUNT:
		if (n > STREAM_ENTRIES_MAX)
			*err = ERR_TOO_LARGE;
		else
			begin_entries(d, n);
		break;
	case S_SIZE:
		*err = announce(d, n);
		d->state = S_ENTRY;
		break;
	case S_LENGTH:
		*err = announce(d, n);
		d->state = S_MESSAGE;
		break;
	case S_COMMIT:
		end_entries(d, n, out);
		return STREAM_GOT_MESSAGE;
	default:
		UNREACHABLE();
	}
	return *err ? STREAM_GOT_ERROR : STREAM_GOT_NOTHING;
}

static enum stream_got step_body(struct stream_decoder *d, struct slice body, struct raft_message *out, err_t *err)
{
	if (d->state == S_ENTRY) {
		*err = add_entry(d, body);
		return *err ? STREAM_GOT_ERROR : STREAM_GOT_NOTHING;
	}
	*err = end_message(d, body, out);
	if (*err)
		return STREAM_GOT_ERROR;
	if (!is_link_heartbeat(d, out))
		return STREAM_GOT_MESSAGE;
	raft_message_fini(out);
	return STREAM_GOT_HEARTBEAT;
}

enum stream_got stream_decode(struct stream_decoder *d, struct slice *in, struct raft_message *out, err_t *err)
{
	enum stream_got got = STREAM_GOT_NOTHING;
	struct slice body;
	uint64_t n;

	while (got == STREAM_GOT_NOTHING) {
		bool in_body = d->state == S_ENTRY || d->state == S_MESSAGE;

		if (in->size == 0 && !(in_body && d->bytes_left == 0))  /* an empty body needs no bytes */
			return STREAM_GOT_NOTHING;
		if (in_body) {
			if (take_body(d, in, &body))
				got = step_body(d, body, out, err);
		} else if (d->state == S_KIND) {
			got = step_kind(d, in, err);
		} else if (take_u64(d, in, &n)) {
			got = step_number(d, n, out, err);
		}
	}
	return got;
}

/* --- sending --- */

static void put_u64(struct buf *out, uint64_t v)
{
	uint8_t b[8];

	be64_put(b, v);
	buf_put(out, b, sizeof(b));
}

static void put_message(const struct raft_message *m, struct buf *out)
{
	size_t at = out->size;

	put_u64(out, 0);
	raft_message_encode(m, out);
	if (!buf_failed(out))
		be64_put(out->data + at, out->size - at - 8);
}

static void put_entries(const struct raft_message *m, struct buf *out)
{
	buf_put_byte(out, FORM_ENTRIES);
	put_u64(out, m->entry_count);
	for (size_t i = 0; i < m->entry_count; i++) {
		put_u64(out, raft_entry_size(&m->entries[i]));
		raft_entry_encode(&m->entries[i], out);
	}
	put_u64(out, m->commit);
}

void stream_encode(enum stream_kind kind, struct stream_pos *pos, const struct raft_message *m, struct buf *out)
{
	if (kind == STREAM_MESSAGE) {
		put_message(m, out);
		return;
	}
	ASSERT(m->type == MSG_APP);
	if (m->index == pos->index && m->log_term == pos->term && m->log_term == m->term) {
		put_entries(m, out);
		pos->index += m->entry_count;
		return;
	}
	buf_put_byte(out, FORM_MESSAGE);
	put_message(m, out);
	*pos = pos_after(m);
}

void stream_encode_heartbeat(enum stream_kind kind, struct buf *out)
{
	static const uint8_t message[] = {0, 0, 0, 0, 0, 0, 0, 2, 8, 8};

	if (kind == STREAM_MSGAPP)
		buf_put_byte(out, FORM_HEARTBEAT);
	else
		buf_put(out, message, sizeof(message));
}

/* --- snapshot head --- */

void snapshot_head_encode(const struct raft_message *m, struct buf *out)
{
	put_message(m, out);
}

void snapshot_head_init(struct snapshot_head *h)
{
	*h = (struct snapshot_head){0};
	buf_init(&h->body, SNAPSHOT_HEAD_BYTES_MAX);
}

void snapshot_head_fini(struct snapshot_head *h)
{
	buf_fini(&h->body);
}

enum stream_got snapshot_head_decode(struct snapshot_head *h, struct slice *in, struct raft_message *out, err_t *err)
{
	size_t n = MIN(sizeof(h->length) - h->length_size, in->size);

	memcpy(h->length + h->length_size, in->data, n);
	*in = slice_of(in->data + n, in->size - n);
	h->length_size += (uint32_t)n;
	if (h->length_size < sizeof(h->length))
		return STREAM_GOT_NOTHING;
	if (n) {
		h->bytes_left = be64_get(h->length);
		if (h->bytes_left > SNAPSHOT_HEAD_BYTES_MAX) {
			*err = ERR_TOO_LARGE;
			return STREAM_GOT_ERROR;
		}
	}
	n = (size_t)MIN(h->bytes_left, in->size);
	buf_put(&h->body, in->data, n);
	*in = slice_of(in->data + n, in->size - n);
	h->bytes_left -= n;
	if (h->bytes_left)
		return STREAM_GOT_NOTHING;
	*err = raft_message_decode(buf_slice(&h->body), out);
	return *err ? STREAM_GOT_ERROR : STREAM_GOT_MESSAGE;
}
