/* Snapshot {data 1, metadata 2 {conf_state 1, index 2, term 3}} and walpb.Snapshot {index 1, term 2, conf_state 3}. */
#include "pb/raft_inl.h"

enum { SNAP_DATA = 1, SNAP_METADATA = 2 };
enum { META_CONF_STATE = 1, META_INDEX = 2, META_TERM = 3 };
enum { MARK_INDEX = 1, MARK_TERM = 2, MARK_CONF_STATE = 3 };

static size_t metadata_size(const struct raft_snapshot *s)
{
	return bytes_field_size(META_CONF_STATE, raft_conf_state_size(&s->conf_state)) +
	       uint_field_size(META_INDEX, s->index) + uint_field_size(META_TERM, s->term);
}

size_t raft_snapshot_size(const struct raft_snapshot *s)
{
	return (s->data ? bytes_field_size(SNAP_DATA, s->data->size) : 0) +
	       bytes_field_size(SNAP_METADATA, metadata_size(s));
}

uint8_t *raft_snapshot_write(const struct raft_snapshot *s, uint8_t *out)
{
	if (s->data)
		out = bytes_field_write(out, SNAP_DATA, blob_slice(s->data));
	out = length_write(out, SNAP_METADATA, metadata_size(s));
	out = length_write(out, META_CONF_STATE, raft_conf_state_size(&s->conf_state));
	out = raft_conf_state_write(&s->conf_state, out);
	out = uint_field_write(out, META_INDEX, s->index);
	return uint_field_write(out, META_TERM, s->term);
}

void raft_snapshot_encode(const struct raft_snapshot *s, struct buf *out)
{
	uint8_t *at = buf_add(out, raft_snapshot_size(s));

	if (at)
		raft_snapshot_write(s, at);
}

static err_t metadata_merge(struct slice s, struct raft_snapshot *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		err_t err = OK;

		if (field_is(&f, META_CONF_STATE, PB_BYTES))
			err = raft_conf_state_merge(f.bytes, &out->conf_state);
		else if (field_is(&f, META_INDEX, PB_VARINT))
			out->index = f.value;
		else if (field_is(&f, META_TERM, PB_VARINT))
			out->term = f.value;
		if (err)
			return err;
	}
	return r.failed ? ERR_MALFORMED : OK;
}

err_t raft_snapshot_merge(struct slice s, struct raft_snapshot *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		err_t err = OK;

		if (field_is(&f, SNAP_DATA, PB_BYTES)) {
			blob_unref(out->data);
			out->data = bytes_to_blob(f.bytes);
		} else if (field_is(&f, SNAP_METADATA, PB_BYTES)) {
			err = metadata_merge(f.bytes, out);
		}
		if (err)
			return err;
	}
	return r.failed ? ERR_MALFORMED : OK;
}

err_t raft_snapshot_decode(struct slice s, struct raft_snapshot *out)
{
	struct raft_snapshot snap = {0};
	err_t err = raft_snapshot_merge(s, &snap);

	if (err)
		raft_snapshot_fini(&snap);
	else
		*out = snap;
	return err;
}

void raft_snapshot_copy(struct raft_snapshot *out, const struct raft_snapshot *s)
{
	*out = (struct raft_snapshot){.data = blob_ref(s->data), .index = s->index, .term = s->term};
	raft_conf_state_copy(&out->conf_state, &s->conf_state);
}

void raft_snapshot_fini(struct raft_snapshot *s)
{
	blob_unref(s->data);
	raft_conf_state_fini(&s->conf_state);
	*s = (struct raft_snapshot){0};
}

void wal_snapshot_mark_encode(const struct wal_snapshot_mark *m, struct buf *out)
{
	pb_put_uint_always(out, MARK_INDEX, m->index);
	pb_put_uint_always(out, MARK_TERM, m->term);
	if (m->has_conf_state) {
		size_t mark = pb_begin(out, MARK_CONF_STATE);

		raft_conf_state_encode(&m->conf_state, out);
		pb_end(out, mark);
	}
}

err_t wal_snapshot_mark_decode(struct slice s, struct wal_snapshot_mark *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct wal_snapshot_mark m = {0};
	struct pb_field f;
	err_t err = OK;

	while (!err && field_read(&r, &f)) {
		if (field_is(&f, MARK_INDEX, PB_VARINT)) {
			m.index = f.value;
		} else if (field_is(&f, MARK_TERM, PB_VARINT)) {
			m.term = f.value;
		} else if (field_is(&f, MARK_CONF_STATE, PB_BYTES)) {
			m.has_conf_state = true;
			err = raft_conf_state_merge(f.bytes, &m.conf_state);
		}
	}
	if (r.failed)
		err = ERR_MALFORMED;
	if (err)
		wal_snapshot_mark_fini(&m);
	else
		*out = m;
	return err;
}

void wal_snapshot_mark_fini(struct wal_snapshot_mark *m)
{
	raft_conf_state_fini(&m->conf_state);
	*m = (struct wal_snapshot_mark){0};
}
