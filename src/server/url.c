/* URLs as Go's net/url and etcd's types.NewURLs take them apart: scheme, authority, path. Queries and user
 * names have no meaning here and stay in the text. */
#include "server/url.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/text.h"

static const char *keep(struct arena *a, struct slice s)
{
	char *z = arena_alloc(a, s.size + 1);

	if (!z)
		fatal("the configuration is too large");
	memcpy(z, s.data, s.size);
	return z;
}

static size_t find(struct slice s, const char *any)
{
	for (size_t i = 0; i < s.size; i++) {
		if (strchr(any, s.data[i]) && s.data[i])
			return i;
	}
	return s.size;
}

static struct slice from(struct slice s, size_t i)
{
	return slice_of(s.data + i, s.size - i);
}

/* parse "TEXT": REASON */
static err_t bad(struct slice in, struct why *why, const char *reason)
{
	struct buf q;

	buf_init(&q, 4096);
	text_quote(&q, in);
	why_set(why, ERR_INVALID, "parse %.*s: %s", SLICE_ARG(buf_slice(&q)), reason);
	buf_fini(&q);
	return ERR_INVALID;
}

static err_t bad_etcd(struct slice in, struct why *why, const char *reason)
{
	return why_set(why, ERR_INVALID, "%s: %.*s", reason, SLICE_ARG(in));
}

/* Size of the scheme in front of ':'. 0: none. SIZE_MAX: a ':' with nothing before it. */
static size_t scheme_size(struct slice s)
{
	for (size_t i = 0; i < s.size; i++) {
		uint8_t c = s.data[i];

		if (isalpha(c) || (i && (isdigit(c) || c == '+' || c == '-' || c == '.')))
			continue;
		if (c == ':')
			return i ? i : SIZE_MAX;
		return 0;
	}
	return 0;
}

static bool scheme_of(struct slice s, enum url_scheme *out)
{
	static const char *const names[] = {"http", "https", "unix", "unixs"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (s.size == strlen(names[i]) && !strncasecmp((const char *)s.data, names[i], s.size))
			return *out = (enum url_scheme)i, true;
	}
	return false;
}

/* Size of the host in front of its ':' port, brackets included. SIZE_MAX: a bracket stays open. */
static size_t host_size(struct slice hp)
{
	size_t end;

	if (!hp.size || hp.data[0] != '[')
		return find(hp, ":");
	end = find(hp, "]");
	return end == hp.size ? SIZE_MAX : end + 1;
}

/* "" or ":" and digits. */
static bool is_port(struct slice s)
{
	for (size_t i = 0; i < s.size; i++) {
		if (i == 0 ? s.data[i] != ':' : !isdigit(s.data[i]))
			return false;
	}
	return true;
}

static bool is_escape(struct slice s)
{
	return s.size >= 3 && isxdigit(s.data[1]) && isxdigit(s.data[2]);
}

/* host, host:port, [v6] or [v6]:port. port keeps its ':'. */
static err_t split_host(struct slice in, struct slice hp, struct slice *host, struct slice *port, struct why *why)
{
	size_t n = host_size(hp);
	char text[160];

	if (n == SIZE_MAX)
		return bad(in, why, "missing ']' in host");
	*host = slice_of(hp.data, n);
	*port = from(hp, n);
	if (!is_port(*port)) {
		snprintf(text, sizeof(text), "invalid port \"%.*s\" after host", (int)MIN(port->size, 100u),
			 (const char *)port->data);
		return bad(in, why, text);
	}
	for (size_t i = 0; i < host->size; i++) {
		if (host->data[i] == ' ')
			return bad(in, why, "invalid character \" \" in host name");
		if (host->data[i] == '%' && !is_escape(from(*host, i))) {
			snprintf(text, sizeof(text), "invalid URL escape \"%.*s\"", (int)MIN(host->size - i, 3u),
				 (const char *)host->data + i);
			return bad(in, why, text);
		}
	}
	if (host->size && host->data[0] == '[')
		*host = slice_of(host->data + 1, host->size - 2);
	return OK;
}

static err_t check_http(struct slice in, bool has_port, struct slice path, struct why *why)
{
	if (!has_port)
		return bad_etcd(in, why, "URL address does not have the form \"host:port\"");
	if (path.size)
		return bad_etcd(in, why, "URL must not contain a path");
	return OK;
}

/* What stands behind the scheme: //authority/path?query#fragment, or without the first part. */
static void split_rest(struct slice rest, struct slice *authority, struct slice *path)
{
	*authority = slice_of(rest.data, 0);
	if (rest.size >= 2 && rest.data[0] == '/' && rest.data[1] == '/') {
		rest = from(rest, 2);
		*authority = slice_of(rest.data, find(rest, "/?#"));
		rest = from(rest, authority->size);
		for (size_t at = find(*authority, "@"); at < authority->size; at = find(*authority, "@"))
			*authority = from(*authority, at + 1);
	}
	*path = slice_of(rest.data, rest.size && rest.data[0] == '/' ? find(rest, "?#") : 0);
}

err_t url_parse(struct arena *a, struct slice text, struct url *out, struct why *why)
{
	struct slice in = slice_trim(text), rest, authority, host, port, path;
	enum url_scheme scheme;
	size_t n;
	err_t err;

	for (size_t i = 0; i < in.size; i++) {
		if (in.data[i] < 0x20 || in.data[i] == 0x7f)
			return bad(in, why, "net/url: invalid control character in URL");
	}
	n = scheme_size(in);
	if (n == SIZE_MAX)
		return bad(in, why, "missing protocol scheme");
	rest = n ? from(in, n + 1) : in;
	if (!n && find(rest, ":") < find(rest, "/"))
		return bad(in, why, "first path segment in URL cannot contain colon");
	split_rest(rest, &authority, &path);
	err = split_host(in, authority, &host, &port, why);
	if (err)
		return err;
	if (!n || !scheme_of(slice_of(in.data, n), &scheme))
		return bad_etcd(in, why, "URL scheme must be http, https, unix, or unixs");
	if (scheme == URL_HTTP || scheme == URL_HTTPS)
		err = check_http(in, port.size > 0, path, why);
	if (err)
		return err;
	*out = (struct url){scheme, keep(a, in), keep(a, host), keep(a, from(port, port.size > 0)), keep(a, path)};
	for (char *p = (char *)out->text; *p != ':'; p++)
		*p = (char)tolower((unsigned char)*p);
	return OK;
}

static int compare_urls(const void *x, const void *y)
{
	return strcmp(((const struct url *)x)->text, ((const struct url *)y)->text);
}

static void sort_urls(struct url_list *l, bool unique)
{
	size_t n = 0;

	qsort(l->at, l->count, sizeof(*l->at), compare_urls);
	for (size_t i = 0; i < l->count; i++) {
		if (!unique || !n || strcmp(l->at[n - 1].text, l->at[i].text))
			l->at[n++] = l->at[i];
	}
	l->count = n;
}

static struct url *url_array(struct arena *a, size_t count)
{
	struct url *at = arena_alloc_array(a, count, sizeof(*at));

	if (!at)
		fatal("the configuration is too large");
	return at;
}

err_t url_list_parse(struct arena *a, const char *in, bool unique, struct url_list *out, struct why *why)
{
	struct slice rest = slice_str(in);
	struct url_list l = {0};
	size_t commas = 0;

	for (const char *p = in; *p; p++)
		commas += *p == ',';
	l.at = url_array(a, commas + 1);
	for (size_t i = 0; i <= commas; i++) {
		size_t n = find(rest, ",");
		err_t err = url_parse(a, slice_of(rest.data, n), &l.at[l.count++], why);

		if (err)
			return err;
		rest = from(rest, MIN(n + 1, rest.size));
	}
	sort_urls(&l, unique);
	*out = l;
	return OK;
}

static int compare_members(const void *x, const void *y)
{
	return strcmp(((const struct url_member *)x)->name, ((const struct url_member *)y)->name);
}

static struct url_member *member_named(struct arena *a, struct url_map *m, struct slice name, size_t room)
{
	struct url_member *u;

	for (size_t i = 0; i < m->count; i++) {
		if (slice_eq(slice_str(m->at[i].name), name))
			return &m->at[i];
	}
	u = &m->at[m->count++];
	*u = (struct url_member){keep(a, name), {url_array(a, room), 0}};
	return u;
}

/* Quadratic in the number of members, of which there are a handful; the bound keeps a mistake from hurting. */
#define MEMBERS_MAX 1024

err_t url_map_parse(struct arena *a, const char *in, struct url_map *out, struct why *why)
{
	struct slice rest = slice_str(in);
	struct url_map m = {0};
	size_t room = 1;

	for (const char *p = in; *p; p++)
		room += *p == ',';
	if (room > MEMBERS_MAX)
		return why_set(why, ERR_INVALID, "more than %d members", MEMBERS_MAX);
	m.at = arena_alloc_array(a, room, sizeof(*m.at));
	if (!m.at)
		fatal("the configuration is too large");
	while (rest.size) {
		size_t n = find(rest, ",");
		struct slice item = slice_of(rest.data, n), name = slice_of(item.data, find(item, "="));
		struct url_member *u;
		err_t err;

		rest = from(rest, MIN(n + 1, rest.size));
		if (!item.size)
			continue;
		u = member_named(a, &m, name, room);
		err = url_parse(a, from(item, MIN(name.size + 1, item.size)), &u->urls.at[u->urls.count++], why);
		if (err)
			return err;
	}
	for (size_t i = 0; i < m.count; i++)
		sort_urls(&m.at[i].urls, false);
	qsort(m.at, m.count, sizeof(*m.at), compare_members);
	*out = m;
	return OK;
}

const char **url_list_texts(struct arena *a, const struct url_list *l)
{
	const char **at = arena_alloc_array(a, l->count + 1, sizeof(*at));

	if (!at)
		fatal("the configuration is too large");
	for (size_t i = 0; i < l->count; i++)
		at[i] = l->at[i].text;
	return at;
}

const char *url_list_text(struct arena *a, const struct url_list *l)
{
	const char *text;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < l->count; i++)
		buf_printf(&b, "%s%s", i ? "," : "", l->at[i].text);
	text = keep(a, buf_slice(&b));
	buf_fini(&b);
	return text;
}
