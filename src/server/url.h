/* The URLs that members and clients are reached by: http, https, unix, unixs. Pure; any thread. */
#ifndef SERVER_URL_H
#define SERVER_URL_H

#include "base/arena.h"
#include "base/err.h"

enum url_scheme {
	URL_HTTP,
	URL_HTTPS,
	URL_UNIX,
	URL_UNIXS,
};

struct url {
	enum url_scheme scheme;
	const char *text;       /* the whole URL, as it is compared, sorted and published */
	const char *host;       /* without brackets; "" if the URL has none. unix: all behind the slashes up to a path */
	const char *port;       /* "" if there is none */
	const char *path;       /* unix:///run/x.sock has /run/x.sock; "" for http */
};

struct url_list {
	struct url *at;
	size_t count;
};

/* Reads one URL; its strings live in a. Errors are worded as in etcd: ERR_INVALID with why. */
NODISCARD err_t url_parse(struct arena *a, struct slice in, struct url *out, struct why *why);

/* Reads URLs joined by commas, blanks around them allowed; sorted by text, and without doubles if unique. */
NODISCARD err_t url_list_parse(struct arena *a, const char *in, bool unique, struct url_list *out, struct why *why);

/* name=URL pairs joined by commas, empty ones left out; a name may come several times. Sorted by name. */
struct url_member {
	const char *name;
	struct url_list urls;
};

struct url_map {
	struct url_member *at;
	size_t count;
};

NODISCARD err_t url_map_parse(struct arena *a, const char *in, struct url_map *out, struct why *why);

static inline bool url_is_tls(const struct url *u)
{
	return u->scheme == URL_HTTPS || u->scheme == URL_UNIXS;
}

static inline bool url_is_unix(const struct url *u)
{
	return u->scheme == URL_UNIX || u->scheme == URL_UNIXS;
}

/* "a,b": the texts joined; the string lives in a. */
const char *url_list_text(struct arena *a, const struct url_list *l);
/* The texts as an array for LOG_STRS. */
const char **url_list_texts(struct arena *a, const struct url_list *l);

#endif
