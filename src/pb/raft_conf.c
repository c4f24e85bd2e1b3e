/* ConfState, ConfChange, ConfChangeV2. Numbers of a ConfState are written one tag each (proto2); packed ones are
 * read as well. */
#include "pb/raft_inl.h"

enum { STATE_VOTERS = 1, STATE_LEARNERS = 2, STATE_OUTGOING = 3, STATE_NEXT = 4, STATE_AUTO_LEAVE = 5 };
enum { CHANGE_ID = 1, CHANGE_TYPE = 2, CHANGE_NODE = 3, CHANGE_CONTEXT = 4 };
enum { SINGLE_TYPE = 1, SINGLE_NODE = 2 };
enum { V2_TRANSITION = 1, V2_CHANGES = 2, V2_CONTEXT = 3 };

static size_t ids_size(const struct ids *ids)
{
	size_t size = 0;

	for (size_t i = 0; i < ids->count; i++)
		size += 1 + varint_size(ids->at[i]);
	return size;
}

static uint8_t *ids_write(const struct ids *ids, uint32_t number, uint8_t *out)
{
	for (size_t i = 0; i < ids->count; i++)
		out = uint_field_write(out, number, ids->at[i]);
	return out;
}

size_t raft_conf_state_size(const struct raft_conf_state *c)
{
	return ids_size(&c->voters) + ids_size(&c->learners) + ids_size(&c->voters_outgoing) +
	       ids_size(&c->learners_next) + 2;
}

uint8_t *raft_conf_state_write(const struct raft_conf_state *c, uint8_t *out)
{
	out = ids_write(&c->voters, STATE_VOTERS, out);
	out = ids_write(&c->learners, STATE_LEARNERS, out);
	out = ids_write(&c->voters_outgoing, STATE_OUTGOING, out);
	out = ids_write(&c->learners_next, STATE_NEXT, out);
	return uint_field_write(out, STATE_AUTO_LEAVE, c->auto_leave);
}

void raft_conf_state_encode(const struct raft_conf_state *c, struct buf *out)
{
	uint8_t *at = buf_add(out, raft_conf_state_size(c));

	if (at)
		raft_conf_state_write(c, at);
}

/* Room doubles: whenever count is a power of two the array is full. */
static void append_id(struct ids *ids, uint64_t id)
{
	if ((ids->count & (ids->count - 1)) == 0)
		ids->at = mem_realloc(ids->at, (ids->count ? ids->count * 2 : 1) * sizeof(*ids->at));
	ids->at[ids->count++] = id;
}

static bool append_packed(struct ids *ids, struct slice packed)
{
	struct pb_reader r = pb_reader_of(packed);
	uint64_t id;

	while (r.at < r.end) {
		if (!varint_read(&r, &id))
			return false;
		append_id(ids, id);
	}
	return true;
}

err_t raft_conf_state_merge(struct slice s, struct raft_conf_state *c)
{
	struct ids *lists[] = {
		[STATE_VOTERS] = &c->voters, [STATE_LEARNERS] = &c->learners,
		[STATE_OUTGOING] = &c->voters_outgoing, [STATE_NEXT] = &c->learners_next,
	};
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		if (field_is(&f, STATE_AUTO_LEAVE, PB_VARINT)) {
			c->auto_leave = f.value != 0;
		} else if (f.number >= STATE_VOTERS && f.number <= STATE_NEXT) {
			if (f.wire == PB_VARINT)
				append_id(lists[f.number], f.value);
			else if (f.wire == PB_BYTES && !append_packed(lists[f.number], f.bytes))
				return ERR_MALFORMED;
		}
	}
	return r.failed ? ERR_MALFORMED : OK;
}

err_t raft_conf_state_decode(struct slice s, struct raft_conf_state *out)
{
	struct raft_conf_state c = {0};
	err_t err = raft_conf_state_merge(s, &c);

	if (err)
		raft_conf_state_fini(&c);
	else
		*out = c;
	return err;
}

void raft_conf_state_copy(struct raft_conf_state *out, const struct raft_conf_state *c)
{
	*out = (struct raft_conf_state){
		.voters = ids_copy(&c->voters),
		.learners = ids_copy(&c->learners),
		.voters_outgoing = ids_copy(&c->voters_outgoing),
		.learners_next = ids_copy(&c->learners_next),
		.auto_leave = c->auto_leave,
	};
}

void raft_conf_state_fini(struct raft_conf_state *c)
{
	mem_free(c->voters.at);
	mem_free(c->learners.at);
	mem_free(c->voters_outgoing.at);
	mem_free(c->learners_next.at);
	*c = (struct raft_conf_state){0};
}

void raft_conf_change_encode(const struct raft_conf_change *c, struct buf *out)
{
	pb_put_uint(out, CHANGE_ID, c->id);
	pb_put_uint_always(out, CHANGE_TYPE, c->type);
	pb_put_uint_always(out, CHANGE_NODE, c->node_id);
	pb_put_bytes(out, CHANGE_CONTEXT, c->context);
}

err_t raft_conf_change_decode(struct slice s, struct raft_conf_change *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct raft_conf_change c = {0};
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(CHANGE_ID, PB_VARINT): c.id = f.value; break;
		case FIELD_KEY(CHANGE_TYPE, PB_VARINT): c.type = (enum raft_conf_change_type)f.value; break;
		case FIELD_KEY(CHANGE_NODE, PB_VARINT): c.node_id = f.value; break;
		case FIELD_KEY(CHANGE_CONTEXT, PB_BYTES): c.context = f.bytes; break;
		}
	}
	if (r.failed)
		return ERR_MALFORMED;
	*out = c;
	return OK;
}

void raft_conf_change_v2_encode(const struct raft_conf_change_v2 *c, struct buf *out)
{
	pb_put_uint(out, V2_TRANSITION, c->transition);
	for (size_t i = 0; i < c->change_count; i++) {
		size_t mark = pb_begin(out, V2_CHANGES);

		pb_put_uint_always(out, SINGLE_TYPE, c->changes[i].type);
		pb_put_uint_always(out, SINGLE_NODE, c->changes[i].node_id);
		pb_end(out, mark);
	}
	pb_put_bytes(out, V2_CONTEXT, c->context);
}

static err_t single_decode(struct slice s, struct raft_conf_change_single *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		if (field_is(&f, SINGLE_TYPE, PB_VARINT))
			out->type = (enum raft_conf_change_type)f.value;
		else if (field_is(&f, SINGLE_NODE, PB_VARINT))
			out->node_id = f.value;
	}
	return r.failed ? ERR_MALFORMED : OK;
}

static err_t v2_fill(struct slice s, struct raft_conf_change_v2 *c)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	size_t at = 0;

	while (field_read(&r, &f)) {
		err_t err = OK;

		if (field_is(&f, V2_TRANSITION, PB_VARINT))
			c->transition = (enum raft_conf_transition)f.value;
		else if (field_is(&f, V2_CHANGES, PB_BYTES))
			err = single_decode(f.bytes, &c->changes[at++]);
		else if (field_is(&f, V2_CONTEXT, PB_BYTES))
			c->context = f.bytes;
		if (err)
			return err;
	}
	return OK;
}

err_t raft_conf_change_v2_decode(struct slice s, struct raft_conf_change_v2 *out)
{
	struct raft_conf_change_v2 c = {0};
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	err_t err;

	while (field_read(&r, &f))
		c.change_count += field_is(&f, V2_CHANGES, PB_BYTES);
	if (r.failed)
		return ERR_MALFORMED;
	if (c.change_count)
		c.changes = NEW_ARRAY(struct raft_conf_change_single, c.change_count);
	err = v2_fill(s, &c);
	if (err)
		raft_conf_change_v2_fini(&c);
	else
		*out = c;
	return err;
}

void raft_conf_change_v2_fini(struct raft_conf_change_v2 *c)
{
	mem_free(c->changes);
	*c = (struct raft_conf_change_v2){0};
}
