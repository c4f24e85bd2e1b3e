/* Members for clients (protobuf), for peers (JSON array) and for members of 3.6 and older (v2 store). */
#include <stdio.h>

#include "member/member_inl.h"
#include "pb/wire.h"

enum { MEMBER_ID = 1, MEMBER_NAME = 2, MEMBER_PEER_URLS = 3, MEMBER_CLIENT_URLS = 4, MEMBER_IS_LEARNER = 5 };

void member_encode(const struct member *m, uint32_t number, struct buf *out)
{
	size_t mark = pb_begin(out, number);

	pb_put_uint(out, MEMBER_ID, m->id);
	pb_put_bytes(out, MEMBER_NAME, slice_str(m->name));
	for (size_t i = 0; i < m->peer_urls.list.count; i++)
		pb_put_bytes_always(out, MEMBER_PEER_URLS, slice_str(m->peer_urls.list.at[i]));
	for (size_t i = 0; i < m->client_urls.list.count; i++)
		pb_put_bytes_always(out, MEMBER_CLIENT_URLS, slice_str(m->client_urls.list.at[i]));
	pb_put_uint(out, MEMBER_IS_LEARNER, m->is_learner);
	pb_end(out, mark);
}

void members_encode(const struct members *ms, uint32_t number, struct buf *out)
{
	for (size_t i = 0; i < ms->list.count; i++)
		member_encode(ms->list.at[i], number, out);
}

void members_json_write(const struct members *ms, struct buf *out)
{
	buf_put_byte(out, '[');
	for (size_t i = 0; i < ms->list.count; i++) {
		if (i)
			buf_put_byte(out, ',');
		member_json_write(ms->list.at[i], out);
	}
	buf_put_byte(out, ']');
}

/* Our own bytes: they parse. */
static void member_decode(struct slice s, struct member *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	member_init(out);
	while (pb_next(&r, &f))
		switch (f.number) {
		case MEMBER_ID:
			out->id = f.value;
			break;
		case MEMBER_NAME:
			mem_free(out->name);
			out->name = mem_printf("%.*s", SLICE_ARG(f.bytes));
			break;
		case MEMBER_PEER_URLS:
			member_urls_add(&out->peer_urls, f.bytes);
			break;
		case MEMBER_CLIENT_URLS:
			member_urls_add(&out->client_urls, f.bytes);
			break;
		case MEMBER_IS_LEARNER:
			out->is_learner = f.value != 0;
			break;
		default:
			break;
		}
	ASSERT(!r.failed);
}

void members_json_write_encoded(struct slice fields, struct buf *out)
{
	struct pb_reader r = pb_reader_of(fields);
	struct pb_field f;
	struct member m;
	bool first = true;

	buf_put_byte(out, '[');
	while (pb_next(&r, &f)) {
		if (!first)
			buf_put_byte(out, ',');
		first = false;
		member_decode(f.bytes, &m);
		member_json_write(&m, out);
		member_fini(&m);
	}
	ASSERT(!r.failed);
	buf_put_byte(out, ']');
}

/* ---- v2 store ----
 *
 * A tree of nodes {"Path","CreatedIndex","ModifiedIndex","ExpireTime","Value","Children"}; Children is null for a leaf.
 * Indices count the writes that would have made the tree: one per leaf. */

struct v2 {
	struct buf *out;
	uint64_t index;
};

static void v2_head(struct v2 *v, const char *path, uint64_t index, const char *value)
{
	const char *slash = strrchr(path, '/');

	if (path[1]) {
		json_put_string(v->out, slash + 1);
		buf_put_byte(v->out, ':');
	}
	buf_printf(v->out, "{\"Path\":");
	json_put_string(v->out, path);
	buf_printf(v->out,
		   ",\"CreatedIndex\":%llu,\"ModifiedIndex\":%llu,\"ExpireTime\":\"0001-01-01T00:00:00Z\",\"Value\":",
		   (unsigned long long)index, (unsigned long long)index);
	json_put_string(v->out, value);
	buf_printf(v->out, ",\"Children\":");
}

static void v2_open(struct v2 *v, const char *path, uint64_t index)
{
	v2_head(v, path, index, "");
	buf_put_byte(v->out, '{');
}

static void v2_close(struct v2 *v)
{
	buf_put(v->out, "}}", 2);
}

static void v2_leaf(struct v2 *v, const char *path, const char *value)
{
	v2_head(v, path, ++v->index, value);
	buf_put(v->out, "null}", 5);
}

static char *text_of(void (*write)(const struct member *m, struct buf *out), const struct member *m)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	buf_put_byte(&b, '{');
	write(m, &b);
	buf_put_byte(&b, '}');

	char *text = mem_printf("%.*s", SLICE_ARG(buf_slice(&b)));

	buf_fini(&b);
	return text;
}

static void write_attributes(const struct member *m, struct buf *out)
{
	member_json_write_attributes(m, false, out);
}

static void v2_member(struct v2 *v, const struct member *m)
{
	char path[80], id[MEMBER_ID_TEXT_SIZE];

	snprintf(path, sizeof(path), "/0/members/%s", member_id_text(m->id, id));
	v2_open(v, path, v->index + 1);
	if (m->client_urls.list.count) {
		char *text = text_of(write_attributes, m);

		snprintf(path, sizeof(path), "/0/members/%s/attributes", id);
		v2_leaf(v, path, text);
		mem_free(text);
		buf_put_byte(v->out, ',');
	}

	char *text = text_of(member_json_write_raft, m);

	snprintf(path, sizeof(path), "/0/members/%s/raftAttributes", id);
	v2_leaf(v, path, text);
	mem_free(text);
	v2_close(v);
}

static void v2_members(struct v2 *v, const struct members *ms)
{
	v2_open(v, "/0/members", v->index + 1);
	for (size_t i = 0; i < ms->list.count; i++) {
		if (i)
			buf_put_byte(v->out, ',');
		v2_member(v, ms->list.at[i]);
	}
	v2_close(v);
}

static void v2_removed(struct v2 *v, const struct members *ms)
{
	char path[80], id[MEMBER_ID_TEXT_SIZE];

	v2_open(v, "/0/removed_members", v->index + 1);
	for (size_t i = 0; i < ms->removed.count; i++) {
		if (i)
			buf_put_byte(v->out, ',');
		snprintf(path, sizeof(path), "/0/removed_members/%s", member_id_text(ms->removed.at[i], id));
		v2_leaf(v, path, "");
	}
	v2_close(v);
}

void members_v2_json_write(const struct members *ms, struct buf *out)
{
	struct v2 v = {.out = out};
	bool comma = false;

	buf_printf(out, "{\"Root\":");
	v2_open(&v, "/", 0);
	v2_open(&v, "/0", 0);
	if (ms->list.count) {
		v2_members(&v, ms);
		comma = true;
	}
	if (ms->removed.count) {
		if (comma)
			buf_put_byte(out, ',');
		v2_removed(&v, ms);
		comma = true;
	}
	if (ms->version[0]) {
		if (comma)
			buf_put_byte(out, ',');
		v2_leaf(&v, "/0/version", ms->version);
	}
	v2_close(&v);
	buf_put_byte(out, ',');
	v2_open(&v, "/1", 0);
	v2_close(&v);
	v2_close(&v);
	buf_printf(out, ",\"CurrentIndex\":%llu,\"CurrentVersion\":2}", (unsigned long long)v.index);
}
