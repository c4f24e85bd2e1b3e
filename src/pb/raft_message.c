/* raftpb.Message. proto2 keeps "present and zero" apart from "absent"; our structs do not, so which zero fields go
 * out is a property of the message type (always_written), taken from what raft v3.7.0 fills in. A reader treats both
 * alike. */
#include "pb/raft_inl.h"

enum {
	MSG_TYPE = 1, MSG_TO = 2, MSG_FROM = 3, MSG_TERM = 4, MSG_LOG_TERM = 5, MSG_INDEX = 6, MSG_ENTRIES = 7,
	MSG_COMMIT = 8, MSG_SNAPSHOT = 9, MSG_REJECT = 10, MSG_REJECT_HINT = 11, MSG_CONTEXT = 12, MSG_VOTE_FOR = 13,
	MSG_RESPONSES = 14,
};

#define BIT(number) (1u << (number))

static const uint16_t always_written[RAFT_MSG_TYPE_COUNT] = {
	[MSG_APP] = BIT(MSG_LOG_TERM) | BIT(MSG_INDEX) | BIT(MSG_COMMIT),
	[MSG_APP_RESP] = BIT(MSG_INDEX),
	[MSG_VOTE] = BIT(MSG_LOG_TERM) | BIT(MSG_INDEX),
	[MSG_PRE_VOTE] = BIT(MSG_LOG_TERM) | BIT(MSG_INDEX),
	[MSG_HEARTBEAT] = BIT(MSG_COMMIT),
	[MSG_READ_INDEX_RESP] = BIT(MSG_INDEX),
};

/* The scalars in order of their numbers; which of them are written. */
static uint32_t written(const struct raft_message *m)
{
	uint32_t bits = BIT(MSG_TYPE);

	ASSERT((unsigned)m->type < RAFT_MSG_TYPE_COUNT);
	/* from nobody to nobody: the link heartbeat of a peer stream, bytes 08 08 */
	if (m->to || m->from)
		bits |= always_written[m->type];
	if (m->reject)
		bits |= BIT(MSG_REJECT) | (m->type == MSG_APP_RESP ? BIT(MSG_REJECT_HINT) | BIT(MSG_LOG_TERM) : 0);
	bits |= m->to ? BIT(MSG_TO) : 0;
	bits |= m->from ? BIT(MSG_FROM) : 0;
	bits |= m->term ? BIT(MSG_TERM) : 0;
	bits |= m->log_term ? BIT(MSG_LOG_TERM) : 0;
	bits |= m->index ? BIT(MSG_INDEX) : 0;
	bits |= m->commit ? BIT(MSG_COMMIT) : 0;
	bits |= m->reject_hint ? BIT(MSG_REJECT_HINT) : 0;
	bits |= m->vote ? BIT(MSG_VOTE_FOR) : 0;
	return bits;
}

static inline size_t scalar_size(uint32_t bits, uint32_t number, uint64_t v)
{
	return bits & BIT(number) ? 1 + varint_size(v) : 0;
}

static inline uint8_t *scalar_write(uint32_t bits, uint32_t number, uint64_t v, uint8_t *out)
{
	return bits & BIT(number) ? uint_field_write(out, number, v) : out;
}

static size_t message_size(const struct raft_message *m)
{
	uint32_t bits = written(m);
	size_t size = scalar_size(bits, MSG_TYPE, m->type) + scalar_size(bits, MSG_TO, m->to) +
		      scalar_size(bits, MSG_FROM, m->from) + scalar_size(bits, MSG_TERM, m->term) +
		      scalar_size(bits, MSG_LOG_TERM, m->log_term) + scalar_size(bits, MSG_INDEX, m->index) +
		      scalar_size(bits, MSG_COMMIT, m->commit) + scalar_size(bits, MSG_REJECT, m->reject) +
		      scalar_size(bits, MSG_REJECT_HINT, m->reject_hint) + scalar_size(bits, MSG_VOTE_FOR, m->vote);

	for (size_t i = 0; i < m->entry_count; i++)
		size += bytes_field_size(MSG_ENTRIES, raft_entry_size(&m->entries[i]));
	if (m->snapshot)
		size += bytes_field_size(MSG_SNAPSHOT, raft_snapshot_size(m->snapshot));
	if (m->context)
		size += bytes_field_size(MSG_CONTEXT, m->context->size);
	for (size_t i = 0; i < m->response_count; i++)
		size += bytes_field_size(MSG_RESPONSES, message_size(&m->responses[i]));
	return size;
}

static uint8_t *message_write(const struct raft_message *m, uint8_t *out)
{
	uint32_t bits = written(m);

	out = scalar_write(bits, MSG_TYPE, m->type, out);
	out = scalar_write(bits, MSG_TO, m->to, out);
	out = scalar_write(bits, MSG_FROM, m->from, out);
	out = scalar_write(bits, MSG_TERM, m->term, out);
	out = scalar_write(bits, MSG_LOG_TERM, m->log_term, out);
	out = scalar_write(bits, MSG_INDEX, m->index, out);
	for (size_t i = 0; i < m->entry_count; i++) {
		out = length_write(out, MSG_ENTRIES, raft_entry_size(&m->entries[i]));
		out = raft_entry_write(&m->entries[i], out);
	}
	out = scalar_write(bits, MSG_COMMIT, m->commit, out);
	if (m->snapshot) {
		out = length_write(out, MSG_SNAPSHOT, raft_snapshot_size(m->snapshot));
		out = raft_snapshot_write(m->snapshot, out);
	}
	out = scalar_write(bits, MSG_REJECT, m->reject, out);
	out = scalar_write(bits, MSG_REJECT_HINT, m->reject_hint, out);
	if (m->context)
		out = bytes_field_write(out, MSG_CONTEXT, blob_slice(m->context));
	out = scalar_write(bits, MSG_VOTE_FOR, m->vote, out);
	for (size_t i = 0; i < m->response_count; i++) {
		out = length_write(out, MSG_RESPONSES, message_size(&m->responses[i]));
		out = message_write(&m->responses[i], out);
	}
	return out;
}

void raft_message_encode(const struct raft_message *m, struct buf *out)
{
	uint8_t *at = buf_add(out, message_size(m));

	if (at)
		message_write(m, at);
}

static bool decode_scalar(const struct pb_field *f, struct raft_message *m)
{
	switch (f->number) {
	case MSG_TYPE:
		m->type = (enum raft_msg_type)f->value;         /* the low 32 bits: an enum */
		if ((unsigned)m->type >= RAFT_MSG_TYPE_COUNT)
			return false;
		break;
	case MSG_TO: m->to = f->value; break;
	case MSG_FROM: m->from = f->value; break;
	case MSG_TERM: m->term = f->value; break;
	case MSG_LOG_TERM: m->log_term = f->value; break;
	case MSG_INDEX: m->index = f->value; break;
	case MSG_COMMIT: m->commit = f->value; break;
	case MSG_REJECT: m->reject = f->value != 0; break;
	case MSG_REJECT_HINT: m->reject_hint = f->value; break;
	case MSG_VOTE_FOR: m->vote = f->value; break;
	}
	return true;
}

static err_t message_decode(struct slice s, bool nested, struct raft_message *m);

/* The counters of m grow with what is filled, so that m can be finished at any point. */
static err_t decode_bytes(const struct pb_field *f, bool nested, struct raft_message *m)
{
	err_t err;

	switch (f->number) {
	case MSG_ENTRIES:
		err = raft_entry_decode(f->bytes, &m->entries[m->entry_count]);
		m->entry_count += !err;
		return err;
	case MSG_SNAPSHOT:
		if (!m->snapshot)
			m->snapshot = NEW(struct raft_snapshot);
		return raft_snapshot_merge(f->bytes, m->snapshot);
	case MSG_CONTEXT:
		blob_unref(m->context);
		m->context = bytes_to_blob(f->bytes);
		return OK;
	case MSG_RESPONSES:
		if (nested)
			return ERR_MALFORMED;
		err = message_decode(f->bytes, true, &m->responses[m->response_count]);
		m->response_count += !err;
		return err;
	default:
		return OK;
	}
}

/* Allocates both arrays of m for the elements in s. */
static err_t make_room(struct slice s, struct raft_message *m)
{
	struct pb_reader r = pb_reader_of(s);
	size_t entry_count = 0, response_count = 0;
	struct pb_field f;

	while (field_read(&r, &f)) {
		entry_count += field_is(&f, MSG_ENTRIES, PB_BYTES);
		response_count += field_is(&f, MSG_RESPONSES, PB_BYTES);
	}
	if (r.failed)
		return ERR_MALFORMED;
	if (entry_count)
		m->entries = NEW_ARRAY(struct raft_entry, entry_count);
	if (response_count)
		m->responses = NEW_ARRAY(struct raft_message, response_count);
	return OK;
}

/* Older members send an empty snapshot with every message. */
static void drop_empty_snapshot(struct raft_message *m)
{
	if (m->snapshot && m->type != MSG_SNAP && m->snapshot->index == 0) {
		raft_snapshot_fini(m->snapshot);
		mem_free(m->snapshot);
		m->snapshot = NULL;
	}
}

static err_t message_decode(struct slice s, bool nested, struct raft_message *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct raft_message m = {0};
	struct pb_field f;
	err_t err = make_room(s, &m);

	while (!err && field_read(&r, &f)) {
		if (f.wire == PB_VARINT)
			err = decode_scalar(&f, &m) ? OK : ERR_MALFORMED;
		else if (f.wire == PB_BYTES)
			err = decode_bytes(&f, nested, &m);
	}
	if (err) {
		raft_message_fini(&m);
		return err;
	}
	drop_empty_snapshot(&m);
	*out = m;
	return OK;
}

err_t raft_message_decode(struct slice s, struct raft_message *out)
{
	return message_decode(s, false, out);
}

void raft_message_fini(struct raft_message *m)
{
	for (size_t i = 0; i < m->entry_count; i++)
		raft_entry_fini(&m->entries[i]);
	mem_free(m->entries);
	if (m->snapshot) {
		raft_snapshot_fini(m->snapshot);
		mem_free(m->snapshot);
	}
	blob_unref(m->context);
	for (size_t i = 0; i < m->response_count; i++)
		raft_message_fini(&m->responses[i]);
	mem_free(m->responses);
	*m = (struct raft_message){0};
}
