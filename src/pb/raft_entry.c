#include "pb/raft_inl.h"

enum { ENTRY_TYPE = 1, ENTRY_TERM = 2, ENTRY_INDEX = 3, ENTRY_DATA = 4 };
enum { STATE_TERM = 1, STATE_VOTE = 2, STATE_COMMIT = 3 };

size_t raft_entry_size(const struct raft_entry *e)
{
	size_t size = 2 + varint_size(e->term) + varint_size(e->index);

	if (e->type != ENTRY_NORMAL)
		size += 1 + varint_size(e->type);
	if (e->data && e->data->size)
		size += bytes_field_size(ENTRY_DATA, e->data->size);
	return size;
}

uint8_t *raft_entry_write(const struct raft_entry *e, uint8_t *out)
{
	if (e->type != ENTRY_NORMAL)
		out = uint_field_write(out, ENTRY_TYPE, e->type);
	out = uint_field_write(out, ENTRY_TERM, e->term);
	out = uint_field_write(out, ENTRY_INDEX, e->index);
	if (e->data && e->data->size)
		out = bytes_field_write(out, ENTRY_DATA, blob_slice(e->data));
	return out;
}

void raft_entry_encode(const struct raft_entry *e, struct buf *out)
{
	uint8_t *at = buf_add(out, raft_entry_size(e));

	if (at)
		raft_entry_write(e, at);
}

err_t raft_entry_decode(struct slice s, struct raft_entry *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct raft_entry e = {0};
	struct slice data = {0};
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(ENTRY_TYPE, PB_VARINT): e.type = (enum raft_entry_type)f.value; break;
		case FIELD_KEY(ENTRY_TERM, PB_VARINT): e.term = f.value; break;
		case FIELD_KEY(ENTRY_INDEX, PB_VARINT): e.index = f.value; break;
		case FIELD_KEY(ENTRY_DATA, PB_BYTES): data = f.bytes; break;
		}
	}
	if (r.failed)
		return ERR_MALFORMED;
	e.data = bytes_to_blob(data);
	*out = e;
	return OK;
}

void raft_entry_fini(struct raft_entry *e)
{
	blob_unref(e->data);
	e->data = NULL;
}

struct raft_entry raft_entry_ref(const struct raft_entry *e)
{
	struct raft_entry copy = *e;

	blob_ref(copy.data);
	return copy;
}

void raft_hard_state_encode(const struct raft_hard_state *h, struct buf *out)
{
	pb_put_uint_always(out, STATE_TERM, h->term);
	pb_put_uint_always(out, STATE_VOTE, h->vote);
	pb_put_uint_always(out, STATE_COMMIT, h->commit);
}

err_t raft_hard_state_decode(struct slice s, struct raft_hard_state *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct raft_hard_state h = {0};
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(STATE_TERM, PB_VARINT): h.term = f.value; break;
		case FIELD_KEY(STATE_VOTE, PB_VARINT): h.vote = f.value; break;
		case FIELD_KEY(STATE_COMMIT, PB_VARINT): h.commit = f.value; break;
		}
	}
	if (r.failed)
		return ERR_MALFORMED;
	*out = h;
	return OK;
}
