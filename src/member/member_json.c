/* Members as JSON. Names of fields match without regard to case and unknown ones are passed over, as encoding/json
 * does. */
#include <strings.h>

#include "member/member_inl.h"

static void put_urls(struct buf *out, const struct member_urls *u)
{
	if (u->null) {
		buf_put(out, "null", 4);
		return;
	}
	buf_put_byte(out, '[');
	for (size_t i = 0; i < u->list.count; i++) {
		if (i)
			buf_put_byte(out, ',');
		json_put_string(out, u->list.at[i]);
	}
	buf_put_byte(out, ']');
}

void member_json_write_raft(const struct member *m, struct buf *out)
{
	buf_printf(out, "\"peerURLs\":");
	put_urls(out, &m->peer_urls);
	if (m->is_learner)
		buf_printf(out, ",\"isLearner\":true");
}

bool member_json_write_attributes(const struct member *m, bool comma, struct buf *out)
{
	if (m->name[0]) {
		buf_printf(out, "%s\"name\":", comma ? "," : "");
		json_put_string(out, m->name);
		comma = true;
	}
	if (m->client_urls.list.count) {
		buf_printf(out, "%s\"clientURLs\":", comma ? "," : "");
		put_urls(out, &m->client_urls);
		comma = true;
	}
	return comma;
}

static void write_open(const struct member *m, struct buf *out)
{
	buf_printf(out, "{\"id\":%llu,", (unsigned long long)m->id);
	member_json_write_raft(m, out);
	member_json_write_attributes(m, true, out);
}

void member_json_write(const struct member *m, struct buf *out)
{
	write_open(m, out);
	buf_put_byte(out, '}');
}

void member_context_write(const struct member_context *c, struct buf *out)
{
	write_open(&c->member, out);
	buf_printf(out, c->is_promote ? ",\"isPromote\":true}" : "}");
}

/* ---- reading ---- */

static bool name_is(const struct json *j, const char *want)
{
	return j->text.size == strlen(want) && !strncasecmp((const char *)j->text.data, want, j->text.size);
}

static bool text_has_nul(const struct json *j)
{
	return j->text.size && memchr(j->text.data, 0, j->text.size);
}

static err_t read_string(struct json *j, char **out)
{
	enum json_token t = json_value(j);

	if (t == JSON_NULL)
		return OK;
	if (t != JSON_STRING || text_has_nul(j))
		return ERR_MALFORMED;
	mem_free(*out);
	*out = mem_printf("%.*s", SLICE_ARG(buf_slice(&j->text)));
	return OK;
}

static err_t read_bool(struct json *j, bool *out)
{
	switch (json_value(j)) {
	case JSON_TRUE:
		*out = true;
		return OK;
	case JSON_FALSE:
		*out = false;
		return OK;
	case JSON_NULL:
		return OK;
	default:
		return ERR_MALFORMED;
	}
}

static err_t read_urls(struct json *j, struct member_urls *out)
{
	enum json_token t = json_value(j);
	bool first = true;
	err_t err;

	member_urls_clear(out);
	if (t == JSON_NULL) {
		out->null = true;
		return OK;
	}
	if (t != JSON_ARRAY)
		return ERR_MALFORMED;
	while (json_element(j, first, &err)) {
		first = false;
		t = json_value(j);
		if ((t != JSON_STRING && t != JSON_NULL) || text_has_nul(j))
			return ERR_MALFORMED;
		if (out->list.count == MEMBER_URLS_MAX)
			return ERR_TOO_LARGE;
		member_urls_add(out, t == JSON_NULL ? (struct slice){0} : buf_slice(&j->text));
	}
	return err;
}

static err_t read_id(struct json *j, uint64_t *out)
{
	enum json_token t = json_value(j);

	if (t == JSON_NULL)
		return OK;
	return t == JSON_NUMBER ? json_u64(j, out) : ERR_MALFORMED;
}

static err_t read_field(struct json *j, struct member *m, bool *is_promote)
{
	if (name_is(j, "id"))
		return read_id(j, &m->id);
	if (name_is(j, "peerURLs"))
		return read_urls(j, &m->peer_urls);
	if (name_is(j, "isLearner"))
		return read_bool(j, &m->is_learner);
	if (name_is(j, "name"))
		return read_string(j, &m->name);
	if (name_is(j, "clientURLs"))
		return read_urls(j, &m->client_urls);
	if (name_is(j, "isPromote"))
		return read_bool(j, is_promote);
	return json_skip(j, json_value(j));
}

/* A member whose opening brace was taken. out is freed on failure. */
static err_t read_member(struct json *j, struct member *out, bool *is_promote)
{
	bool first = true;
	err_t err;

	member_init(out);
	out->peer_urls.null = true; /* a field that is missing stays nil in Go */
	while (json_name(j, first, &err)) {
		first = false;
		err = read_field(j, out, is_promote);
		if (err)
			break;
	}
	if (err)
		member_fini(out);
	return err;
}

static err_t parse_one(struct slice s, struct member *out, bool *is_promote)
{
	struct member m;
	struct json j;

	if (s.size > MEMBER_JSON_BYTES_MAX)
		return ERR_TOO_LARGE;
	json_init(&j, s);

	err_t err = json_value(&j) == JSON_OBJECT ? read_member(&j, &m, is_promote) : ERR_MALFORMED;

	if (!err && !json_at_end(&j)) {
		member_fini(&m);
		err = ERR_MALFORMED;
	}
	json_fini(&j);
	if (!err)
		*out = m;
	return err;
}

err_t member_json_parse(struct slice s, struct member *out)
{
	bool ignored = false;

	return parse_one(s, out, &ignored);
}

err_t member_context_parse(struct slice s, struct member_context *out)
{
	struct member_context c = {.is_promote = false};
	err_t err = parse_one(s, &c.member, &c.is_promote);

	if (!err)
		*out = c;
	return err;
}

err_t member_json_parse_list(struct slice s, struct member **list, size_t *count)
{
	VEC(struct member) all = {0};
	bool first = true, ignored;
	struct member m;
	struct json j;
	err_t err = ERR_MALFORMED;

	if (s.size > MEMBER_JSON_BYTES_MAX)
		return ERR_TOO_LARGE;
	json_init(&j, s);
	if (json_value(&j) == JSON_ARRAY)
		while (json_element(&j, first, &err)) {
			first = false;
			err = json_value(&j) == JSON_OBJECT ? read_member(&j, &m, &ignored) : ERR_MALFORMED;
			if (err)
				break;
			VEC_PUSH(&all, m);
			if (all.count > MEMBERS_COUNT_MAX) {
				err = ERR_TOO_LARGE;
				break;
			}
		}
	if (!err && !json_at_end(&j))
		err = ERR_MALFORMED;
	json_fini(&j);
	if (err) {
		for (size_t i = 0; i < all.count; i++)
			member_fini(&all.at[i]);
		VEC_FREE(&all);
		return err;
	}
	*list = all.at ? all.at : mem_alloc(0);
	*count = all.count;
	return OK;
}
