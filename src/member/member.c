/* One member: its strings, its URLs, its ids. */
#include "member/member.h"

#include <openssl/evp.h>
#include <stdio.h>

void member_init(struct member *m)
{
	*m = (struct member){.name = mem_strdup("")};
}

void member_fini(struct member *m)
{
	member_urls_clear(&m->peer_urls);
	member_urls_clear(&m->client_urls);
	mem_free(m->name);
	m->name = NULL;
}

void member_copy(const struct member *from, struct member *out)
{
	*out = (struct member){.id = from->id, .is_learner = from->is_learner, .name = mem_strdup(from->name)};
	member_urls_copy(&from->peer_urls, &out->peer_urls);
	member_urls_copy(&from->client_urls, &out->client_urls);
}

void member_urls_add(struct member_urls *u, struct slice url)
{
	char *s = mem_alloc(url.size + 1);

	if (url.size)
		memcpy(s, url.data, url.size);
	s[url.size] = 0;
	VEC_PUSH(&u->list, s);
	u->null = false;
}

void member_urls_clear(struct member_urls *u)
{
	for (size_t i = 0; i < u->list.count; i++)
		mem_free(u->list.at[i]);
	VEC_FREE(&u->list);
	u->null = false;
}

void member_urls_copy(const struct member_urls *from, struct member_urls *out)
{
	*out = (struct member_urls){.null = from->null};
	VEC_RESERVE(&out->list, from->list.count);
	for (size_t i = 0; i < from->list.count; i++)
		VEC_PUSH(&out->list, mem_strdup(from->list.at[i]));
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void member_urls_sort(struct member_urls *u)
{
	if (u->list.count)
		qsort(u->list.at, u->list.count, sizeof(*u->list.at), compare_strings);
}

char *member_urls_join(const struct member_urls *u)
{
	size_t size = 1;
	char *out, *at;

	for (size_t i = 0; i < u->list.count; i++)
		size += strlen(u->list.at[i]) + 1;
	out = at = mem_alloc(size);
	*at = 0;
	for (size_t i = 0; i < u->list.count; i++)
		at += sprintf(at, "%s%s", i ? "," : "", u->list.at[i]);
	return out;
}

bool member_urls_equal(const struct member_urls *a, const struct member_urls *b)
{
	if (a->list.count != b->list.count)
		return false;
	for (size_t i = 0; i < a->list.count; i++)
		if (strcmp(a->list.at[i], b->list.at[i]))
			return false;
	return true;
}

void member_urls_split(struct member_urls *u, struct slice text)
{
	for (;;) {
		const uint8_t *comma = text.size ? memchr(text.data, ',', text.size) : NULL;
		size_t n = comma ? (size_t)(comma - text.data) : text.size;

		member_urls_add(u, slice_trim(slice_of(text.data, n)));
		if (!comma)
			return;
		text = slice_of(comma + 1, text.size - n - 1);
	}
}

/* ---- URL rules (client/pkg/types/urls.go, net/url of Go) ---- */

/* The authority of an http URL behind "://", without user information. */
static struct slice authority(const char *s, const char **path)
{
	size_t n = strcspn(s, "/?#");
	const char *at = memrchr(s, '@', n);
	const char *host = at ? at + 1 : s;

	*path = s + n;
	return slice_of(host, (size_t)(s + n - host));
}

/* host:port, [v6]:port; digits only, possibly none, in the port. */
static bool is_host_port(struct slice h)
{
	const uint8_t *colon = h.size ? memrchr(h.data, ':', h.size) : NULL;

	if (!colon)
		return false;
	for (const uint8_t *p = colon + 1; p < h.data + h.size; p++)
		if (*p < '0' || *p > '9')
			return false;

	struct slice host = slice_of(h.data, (size_t)(colon - h.data));
	bool bracketed = host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
	struct slice inner = bracketed ? slice_of(host.data + 1, host.size - 2) : host;

	for (size_t i = 0; i < inner.size; i++)
		if (inner.data[i] == '[' || inner.data[i] == ']' || (!bracketed && inner.data[i] == ':'))
			return false;
	return true;
}

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((uint8_t)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

/* Lower-cases the scheme in place, as url.Parse does; 0 without one. Returns its length. */
static size_t scheme_of(char *s)
{
	size_t n = 0;

	while ((s[n] | 0x20) >= 'a' && (s[n] | 0x20) <= 'z')
		n++;
	if (s[n] != ':')
		return 0;
	for (size_t i = 0; i < n; i++)
		s[i] |= 0x20;
	return n;
}

static err_t url_check(char *s, struct why *why)
{
	const char *path;

	if (has_control(s))
		return why_set(why, ERR_MEMBER_BAD_URLS, "parse \"%s\": net/url: invalid control character in URL", s);

	size_t n = scheme_of(s);
	bool http = (n == 4 && !memcmp(s, "http", 4)) || (n == 5 && !memcmp(s, "https", 5));
	bool is_unix = (n == 4 && !memcmp(s, "unix", 4)) || (n == 5 && !memcmp(s, "unixs", 5));

	if (is_unix)
		return OK;
	if (!http)
		return why_set(why, ERR_MEMBER_BAD_URLS, "URL scheme must be http, https, unix, or unixs: %s", s);

	bool slashes = !strncmp(s + n, "://", 3);
	struct slice host = slashes ? authority(s + n + 3, &path) : (struct slice){0};

	if (!slashes || !is_host_port(host) || (host.size && memchr(host.data, ' ', host.size)))
		return why_set(why, ERR_MEMBER_BAD_URLS, "URL address does not have the form \"host:port\": %s", s);
	if (*path == '/')
		return why_set(why, ERR_MEMBER_BAD_URLS, "URL must not contain a path: %s", s);
	return OK;
}

err_t member_urls_check(struct member_urls *u, struct why *why)
{
	if (!u->list.count)
		return why_set(why, ERR_MEMBER_BAD_URLS, "no valid URLs given");
	for (size_t i = 0; i < u->list.count; i++) {
		struct slice t = slice_trim(slice_str(u->list.at[i]));

		memmove(u->list.at[i], t.data, t.size);
		u->list.at[i][t.size] = 0;

		err_t err = url_check(u->list.at[i], why);

		if (err)
			return err;
	}
	member_urls_sort(u);
	return OK;
}

/* ---- ids ---- */

static uint64_t sha1_head(struct slice s)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	ASSERT(EVP_Digest(s.data, s.size, digest, &size, EVP_sha1(), NULL) == 1);
	ASSERT(size == 20);
	return be64_get(digest);
}

uint64_t member_id_compute(const struct member_urls *peer_urls, struct slice suffix)
{
	struct member_urls sorted;
	struct buf b;

	member_urls_copy(peer_urls, &sorted);
	member_urls_sort(&sorted);
	buf_init(&b, SIZE_MAX / 2);
	for (size_t i = 0; i < sorted.list.count; i++)
		buf_put_slice(&b, slice_str(sorted.list.at[i]));
	buf_put_slice(&b, suffix);

	uint64_t id = sha1_head(buf_slice(&b));

	buf_fini(&b);
	member_urls_clear(&sorted);
	return id;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t cluster_id_compute(const uint64_t *ids, size_t count)
{
	uint64_t *sorted = NEW_ARRAY(uint64_t, count + 1);

	for (size_t i = 0; i < count; i++)
		sorted[i] = ids[i];
	qsort(sorted, count, sizeof(*sorted), compare_ids);
	for (size_t i = 0; i < count; i++)
		sorted[i] = __builtin_bswap64(sorted[i]);

	uint64_t id = sha1_head(slice_of(sorted, count * 8));

	mem_free(sorted);
	return id;
}

char *member_id_text(uint64_t id, char out[MEMBER_ID_TEXT_SIZE])
{
	snprintf(out, MEMBER_ID_TEXT_SIZE, "%llx", (unsigned long long)id);
	return out;
}

err_t member_id_parse(struct slice hex, uint64_t *out)
{
	uint64_t id = 0;

	if (!hex.size || hex.size > 16)
		return ERR_INVALID;
	for (size_t i = 0; i < hex.size; i++) {
		uint8_t c = hex.data[i];

		if (c >= '0' && c <= '9')
			id = id << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			id = id << 4 | ((c | 0x20) - 'a' + 10);
		else
			return ERR_INVALID;
	}
	*out = id;
	return OK;
}

/* member 16 bits, milliseconds 40 bits, counter 8 bits; the counter runs into the time (pkg/idutil of upstream). */
void request_ids_init(struct request_ids *r, uint64_t member_id, int64_t unix_ms)
{
	r->prefix = (member_id & 0xffff) << 48;
	r->suffix = ((uint64_t)unix_ms & ((1ull << 40) - 1)) << 8;
}

uint64_t request_ids_next(struct request_ids *r)
{
	return r->prefix | (++r->suffix & ((1ull << 48) - 1));
}
