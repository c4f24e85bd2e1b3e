/* Who the members will be, and whether this one is among them under the URLs that it advertises: compared as text,
 * then, as upstream does, with the names in them resolved, for up to 30 s. */
#include <netdb.h>
#include <stdio.h>
#include <time.h>

#include "base/text.h"
#include "env/env.h"
#include "obs/log.h"
#include "utl/restore.h"

enum { LEARNERS_MAX = 1, RESOLVE_S = 30, HOST_SIZE = 256 };

static void join(struct buf *out, const struct member_urls *u, const char *prefix, const char *name)
{
	for (size_t i = 0; i < u->list.count; i++)
		buf_printf(out, "%s%s%s%s", i ? "," : "", name, prefix, u->list.at[i]);
}

/* [a b] with quotes, as Go prints a list of strings. */
static void quoted_list(struct buf *out, const struct member_urls *u)
{
	buf_put_byte(out, '[');
	for (size_t i = 0; i < u->list.count; i++) {
		if (i)
			buf_put_byte(out, ' ');
		text_quote(out, slice_str(u->list.at[i]));
	}
	buf_put_byte(out, ']');
}

/* ---- names ---- */

struct place {
	const char *host; /* behind "scheme://" */
	size_t host_size;
	const char *port; /* behind ":" */
	bool bracketed;
};

/* Only http and https have a name to look up. URLs were checked before. */
static bool place_of(const char *url, struct place *p)
{
	const char *at = strstr(url, "://"), *colon;

	if (strncmp(url, "http", 4) || !at)
		return false;
	at += 3;
	colon = strrchr(at, ':');
	if (!colon)
		return false;
	p->bracketed = *at == '[';
	p->host = at + p->bracketed;
	p->host_size = (size_t)(colon - p->host) - p->bracketed;
	p->port = colon + 1;
	return p->host_size && p->host_size < HOST_SIZE;
}

/* The first address of a name; false: not known now. */
static bool look_up(const char *host, const char *port, char *out, size_t size, const char **reason)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	char address[HOST_SIZE], number[16];
	int r = getaddrinfo(host, port, &hints, &list);

	*reason = r ? gai_strerror(r) : "";
	if (r)
		return false;
	r = getnameinfo(list->ai_addr, list->ai_addrlen, address, sizeof(address), number, sizeof(number),
			NI_NUMERICHOST | NI_NUMERICSERV);
	if (!r)
		snprintf(out, size, list->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", address, number);
	freeaddrinfo(list);
	return r == 0;
}

/* The URL with an address in place of the name; localhost and sockets stay. */
static err_t resolve(struct restore *r, const char *url, uint64_t until_ns, struct member_urls *out)
{
	char host[HOST_SIZE], address[HOST_SIZE + 20], *text;
	const char *reason;
	struct place p;

	if (!place_of(url, &p) || (p.host_size == 9 && !memcmp(p.host, "localhost", 9))) {
		member_urls_add(out, slice_str(url));
		return OK;
	}
	snprintf(host, sizeof(host), "%.*s", (int)p.host_size, p.host);
	while (!look_up(host, p.port, address, sizeof(address), &reason)) {
		LOG_WARN("failed to resolve URL Host", LOG_STR("url", url), LOG_STR("host", host),
			 LOG_DURATION("retry-interval", 1000000000), LOG_STR("error", reason));
		if (env_mono_ns() >= until_ns)
			return why_set(r->why, ERR_INVALID, "failed to resolve \"%s\" (lookup %s: %s)", url, host,
				       reason);
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
	LOG_INFO("resolved URL Host", LOG_STR("url", url), LOG_STR("host", host), LOG_STR("resolved-addr", address));
	text = mem_printf("%.*s%s", (int)(p.host - p.bracketed - url), url, address);
	member_urls_add(out, slice_str(text));
	mem_free(text);
	return OK;
}

static err_t resolve_all(struct restore *r, const struct member_urls *from, uint64_t until_ns, struct member_urls *out)
{
	err_t err = OK;

	for (size_t i = 0; !err && i < from->list.count; i++)
		err = resolve(r, from->list.at[i], until_ns, out);
	member_urls_sort(out);
	return err;
}

/* ---- comparison ---- */

/* Equal, or why has the reason. Both are sorted. */
static bool same_places(struct restore *r, const struct member_urls *a, const struct member_urls *b, struct buf *reason)
{
	uint64_t until_ns = env_mono_ns() + UINT64_C(1000000000) * RESOLVE_S;
	struct member_urls ra = {0}, rb = {0};
	bool same;
	err_t err;

	if (a->list.count != b->list.count) {
		buf_printf(reason, "len(");
		quoted_list(reason, a);
		buf_printf(reason, ") != len(");
		quoted_list(reason, b);
		buf_printf(reason, ")");
		return false;
	}
	if (member_urls_equal(a, b))
		return true;
	err = resolve_all(r, a, until_ns, &ra);
	if (!err)
		err = resolve_all(r, b, until_ns, &rb);
	if (err)
		buf_printf(reason, "%s", r->why->text);
	same = !err && member_urls_equal(&ra, &rb);
	for (size_t i = 0; !err && !same && i < ra.list.count; i++) {
		if (!strcmp(ra.list.at[i], rb.list.at[i]))
			continue;
		buf_printf(reason, "resolved urls: \"%s\" != \"%s\"", ra.list.at[i], rb.list.at[i]);
		break;
	}
	member_urls_clear(&ra);
	member_urls_clear(&rb);
	return same;
}

static void without(const struct member_urls *a, const struct member_urls *b, struct member_urls *out)
{
	for (size_t i = 0; i < a->list.count; i++) {
		bool there = false;

		for (size_t k = 0; !there && k < b->list.count; k++)
			there = !strcmp(a->list.at[i], b->list.at[k]);
		if (!there)
			member_urls_add(out, slice_str(a->list.at[i]));
	}
}

static err_t differ(struct restore *r, const struct member_urls *advertised, const struct member_urls *configured,
		    const struct buf *reason)
{
	struct member_urls missing = {0}, extra = {0};
	struct buf names, all;
	err_t err;

	buf_init(&names, 1 << 20);
	buf_init(&all, 1 << 20);
	without(configured, advertised, &missing);
	without(advertised, configured, &extra);
	if (missing.list.count) {
		join(&names, &missing, "=", r->cfg->name);
		join(&all, advertised, "", "");
		err = why_set(r->why, ERR_INVALID,
			      "--initial-cluster has %.*s but missing from --initial-advertise-peer-urls=%.*s (%.*s)",
			      SLICE_ARG(buf_slice(&names)), SLICE_ARG(buf_slice(&all)), SLICE_ARG(buf_slice(reason)));
	} else {
		join(&names, &extra, "", "");
		join(&all, advertised, "=", r->cfg->name);
		err = why_set(r->why, ERR_INVALID,
			      "--initial-advertise-peer-urls has %.*s but missing from --initial-cluster=%.*s",
			      SLICE_ARG(buf_slice(&names)), SLICE_ARG(buf_slice(&all)));
	}
	buf_fini(&names);
	buf_fini(&all);
	member_urls_clear(&missing);
	member_urls_clear(&extra);
	return err;
}

static err_t advertised_match(struct restore *r, const struct member_urls *advertised)
{
	struct member_urls configured;
	struct buf reason;
	err_t err = OK;

	buf_init(&reason, 1 << 20);
	member_urls_copy(&r->self->peer_urls, &configured);
	member_urls_sort(&configured);
	if (!same_places(r, advertised, &configured, &reason))
		err = differ(r, advertised, &configured, &reason);
	member_urls_clear(&configured);
	buf_fini(&reason);
	return err;
}

err_t restore_members(struct restore *r)
{
	struct member_urls advertised = {0};
	err_t err;

	member_urls_split(&advertised, slice_str(r->cfg->peer_urls));
	err = member_urls_check(&advertised, r->why);
	r->members = members_new(NULL, LEARNERS_MAX);
	if (!err)
		err = members_from_initial(r->members, r->cfg->initial_cluster, r->cfg->token, r->why);
	if (!err) {
		r->self = members_find_name(r->members, r->cfg->name);
		if (!r->self)
			err = why_set(r->why, ERR_INVALID,
				      "couldn't find local name \"%s\" in the initial cluster configuration",
				      r->cfg->name);
	}
	if (!err)
		err = advertised_match(r, &advertised);
	if (!err)
		r->cluster_id = members_cluster_id(r->members);
	member_urls_clear(&advertised);
	return err;
}
