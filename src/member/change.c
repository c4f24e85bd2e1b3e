/* How membership changes: rows at start, --initial-cluster at bootstrap, ConfChanges and attributes when applied. */
#include <stdio.h>

#include "member/member_inl.h"

static void save(const struct members *ms, const struct member *m)
{
	char key[MEMBER_ID_TEXT_SIZE];
	struct buf b;

	if (!ms->store)
		return;
	buf_init(&b, SIZE_MAX / 2);
	member_json_write(m, &b);
	store_put(ms->store, BUCKET_MEMBERS, slice_str(member_id_text(m->id, key)), buf_slice(&b));
	buf_fini(&b);
}

static void remove_for_ever(struct members *ms, uint64_t id)
{
	char key[MEMBER_ID_TEXT_SIZE];

	members_drop(ms, id);
	ids_add(&ms->removed, id);
	if (!ms->store)
		return;
	member_id_text(id, key);
	store_delete(ms->store, BUCKET_MEMBERS, slice_str(key));
	store_put(ms->store, BUCKET_MEMBERS_REMOVED, slice_str(key), SLICE_LIT("removed"));
}

/* ---- rows at start ---- */

static err_t load_member(struct members *ms, uint64_t id, struct slice value)
{
	struct member *m = NEW(struct member);
	err_t err = member_json_parse(value, m);

	if (!err && m->id != id) {
		member_fini(m);
		err = ERR_CORRUPT_FILE;
	}
	if (err) {
		mem_free(m);
		return ERR_CORRUPT_FILE;
	}
	members_put(ms, m);
	return OK;
}

static err_t load_downgrade(struct members *ms, struct slice value)
{
	struct downgrade_info d = {0};
	bool first = true;
	struct json j;
	err_t err = ERR_MALFORMED;

	json_init(&j, value);
	if (json_value(&j) == JSON_OBJECT)
		while (json_name(&j, first, &err)) {
			bool target = slice_eq(buf_slice(&j.text), SLICE_LIT("target-version"));
			bool enabled = slice_eq(buf_slice(&j.text), SLICE_LIT("enabled"));
			enum json_token t = json_value(&j);

			first = false;
			if (enabled)
				d.enabled = t == JSON_TRUE;
			if (target && t == JSON_STRING)
				snprintf(d.target, sizeof(d.target), "%.*s", SLICE_ARG(buf_slice(&j.text)));
			err = json_skip(&j, t);
			if (err)
				break;
		}
	json_fini(&j);
	if (err)
		return ERR_CORRUPT_FILE;
	ms->downgrade = d;
	return OK;
}

static err_t load_cluster(struct members *ms, struct slice key, struct slice value)
{
	struct version v;

	if (slice_eq(key, SLICE_LIT("downgrade")))
		return load_downgrade(ms, value);
	if (!slice_eq(key, SLICE_LIT("clusterVersion")))
		return OK;
	if (value.size >= sizeof(ms->version) || version_parse(value, &v))
		return ERR_CORRUPT_FILE;
	snprintf(ms->version, sizeof(ms->version), "%.*s", SLICE_ARG(value));
	return OK;
}

err_t members_load(struct members *ms, enum backend_bucket b, struct slice key, struct slice value)
{
	uint64_t id;

	if (b == BUCKET_CLUSTER)
		return load_cluster(ms, key, value);
	ASSERT(b == BUCKET_MEMBERS || b == BUCKET_MEMBERS_REMOVED);
	if (member_id_parse(key, &id))
		return ERR_CORRUPT_FILE;
	if (b == BUCKET_MEMBERS)
		return load_member(ms, id, value);
	ids_add(&ms->removed, id);
	return OK;
}

/* ---- bootstrap ---- */

static struct member *find_or_add(struct member **list, size_t *count, struct slice name)
{
	for (size_t i = 0; i < *count; i++)
		if (slice_eq(slice_str((*list)[i].name), name))
			return &(*list)[i];
	*list = mem_realloc(*list, (*count + 1) * sizeof(**list));

	struct member *m = &(*list)[(*count)++];

	member_init(m);
	mem_free(m->name);
	m->name = mem_printf("%.*s", SLICE_ARG(name));
	return m;
}

/* "a=u1,a=u2,b=u3" into one member per name; without '=' the URL is empty and refused later. */
static err_t split_initial(const char *text, struct member **list, size_t *count, struct why *why)
{
	while (*text) {
		size_t n = strcspn(text, ",");
		struct slice item = slice_of(text, n);
		const uint8_t *eq = n ? memchr(item.data, '=', n) : NULL;
		size_t name_size = eq ? (size_t)(eq - item.data) : n;
		struct slice url = eq ? slice_of(eq + 1, n - name_size - 1) : (struct slice){0};

		text += n + (text[n] == ',');
		if (!n)
			continue;

		struct member *m = find_or_add(list, count, slice_of(item.data, name_size));

		if (*count > MEMBERS_COUNT_MAX || m->peer_urls.list.count == MEMBER_URLS_MAX)
			return why_set(why, ERR_INVALID, "initial-cluster has too many members or URLs");
		member_urls_add(&m->peer_urls, url);
	}
	return OK;
}

/* As upstream prints the list: "name=url" sorted. */
static err_t refuse_duplicate_urls(const struct member *list, size_t count, struct why *why)
{
	struct member_urls urls = {0}, pairs = {0};
	err_t err = OK;

	for (size_t i = 0; i < count; i++)
		for (size_t u = 0; u < list[i].peer_urls.list.count; u++) {
			char *pair = mem_printf("%s=%s", list[i].name, list[i].peer_urls.list.at[u]);

			member_urls_add(&urls, slice_str(list[i].peer_urls.list.at[u]));
			member_urls_add(&pairs, slice_str(pair));
			mem_free(pair);
		}
	member_urls_sort(&urls);
	member_urls_sort(&pairs);
	for (size_t i = 1; !err && i < urls.list.count; i++)
		if (!strcmp(urls.list.at[i - 1], urls.list.at[i])) {
			char *text = member_urls_join(&pairs);

			err = why_set(why, ERR_INVALID, "initial cluster %s has duplicate url", text);
			mem_free(text);
		}
	member_urls_clear(&urls);
	member_urls_clear(&pairs);
	return err;
}

static err_t adopt_initial(struct members *ms, struct member *m, struct slice token, struct why *why)
{
	err_t err = member_urls_check(&m->peer_urls, why);

	if (err)
		return ERR_INVALID;
	m->id = member_id_compute(&m->peer_urls, token);
	if (members_get(ms, m->id))
		return why_set(why, ERR_INVALID, "member exists with identical ID %llx (%s)", (unsigned long long)m->id,
			       m->name);
	if (!m->id)
		return why_set(why, ERR_INVALID, "cannot use 0 as member id");

	struct member *own = NEW(struct member);

	member_copy(m, own);
	members_put(ms, own);
	return OK;
}

err_t members_from_initial(struct members *ms, const char *initial_cluster, const char *token, struct why *why)
{
	struct member *list = NULL;
	size_t count = 0;
	err_t err = split_initial(initial_cluster, &list, &count, why);

	if (!err)
		err = refuse_duplicate_urls(list, count, why);
	for (size_t i = 0; i < count && !err; i++)
		err = adopt_initial(ms, &list[i], slice_str(token), why);
	for (size_t i = 0; i < count; i++)
		member_fini(&list[i]);
	mem_free(list);
	return err;
}

/* ---- ConfChange ---- */

static bool has_url(const struct member *m, const char *url)
{
	for (size_t i = 0; i < m->peer_urls.list.count; i++)
		if (!strcmp(m->peer_urls.list.at[i], url))
			return true;
	return false;
}

/* A peer URL of the context that a member other than `except` has. */
static bool url_is_taken(const struct members *ms, const struct member_context *ctx, uint64_t except)
{
	for (size_t i = 0; i < ctx->member.peer_urls.list.count; i++)
		for (size_t j = 0; j < ms->list.count; j++)
			if (ms->list.at[j]->id != except && has_url(ms->list.at[j], ctx->member.peer_urls.list.at[i]))
				return true;
	return false;
}

static err_t check_add(const struct members *ms, enum member_change type, uint64_t id, const struct member_context *ctx)
{
	const struct member *m = members_get(ms, id);

	if (ctx->is_promote)
		return !m ? ERR_MEMBER_NOT_FOUND : !m->is_learner ? ERR_MEMBER_NOT_LEARNER : OK;
	if (m)
		return ERR_MEMBER_EXIST;
	if (url_is_taken(ms, ctx, 0))
		return ERR_PEER_URL_EXIST;
	if (type == MEMBER_ADD_LEARNER && ctx->member.is_learner && members_learner_count(ms) + 1 > ms->learners_max)
		return ERR_TOO_MANY_LEARNERS;
	return OK;
}

err_t members_check(const struct members *ms, enum member_change type, uint64_t id, const struct member_context *ctx)
{
	if (members_is_removed(ms, id))
		return ERR_MEMBER_NOT_FOUND;
	switch (type) {
	case MEMBER_ADD:
	case MEMBER_ADD_LEARNER:
		return check_add(ms, type, id, ctx);
	case MEMBER_REMOVE:
		return members_get(ms, id) ? OK : ERR_MEMBER_NOT_FOUND;
	case MEMBER_UPDATE:
		if (!members_get(ms, id))
			return ERR_MEMBER_NOT_FOUND;
		return url_is_taken(ms, ctx, id) ? ERR_PEER_URL_EXIST : OK;
	}
	return ERR_UNSUPPORTED;
}

static void apply_add(struct members *ms, uint64_t id, const struct member_context *ctx)
{
	struct member *m = members_get(ms, id);

	if (ctx->is_promote) {
		ASSERT(m);
		m->is_learner = false;
		save(ms, m);
		return;
	}
	ASSERT(!m);
	m = NEW(struct member);
	member_copy(&ctx->member, m);
	members_put(ms, m);
	save(ms, m);
}

void members_apply(struct members *ms, enum member_change type, uint64_t id, const struct member_context *ctx)
{
	struct member *m = members_get(ms, id);

	ASSERT(type == MEMBER_REMOVE || ctx->member.id == id);
	switch (type) {
	case MEMBER_ADD:
	case MEMBER_ADD_LEARNER:
		apply_add(ms, id, ctx);
		break;
	case MEMBER_REMOVE:
		remove_for_ever(ms, id);
		break;
	case MEMBER_UPDATE:
		ASSERT(m);
		member_urls_clear(&m->peer_urls);
		member_urls_copy(&ctx->member.peer_urls, &m->peer_urls);
		save(ms, m);
		break;
	}
}

err_t members_set_attributes(struct members *ms, uint64_t id, struct slice name, const struct member_urls *client_urls,
			     bool persist)
{
	struct member *m = members_get(ms, id);

	if (!m)
		return members_is_removed(ms, id) ? OK : ERR_MEMBER_NOT_FOUND;
	mem_free(m->name);
	m->name = mem_printf("%.*s", SLICE_ARG(name));
	member_urls_clear(&m->client_urls);
	member_urls_copy(client_urls, &m->client_urls);
	if (persist)
		save(ms, m);
	return OK;
}
