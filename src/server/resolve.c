#include "server/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <time.h>
#include <unistd.h>

#include "obs/log.h"
#include "server/url.h"

enum { RETRY_S = 1, TIME_LIMIT_S = 30 };

static bool is_ip(const char *host, char out[INET6_ADDRSTRLEN])
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return inet_ntop(AF_INET, &v4, out, INET6_ADDRSTRLEN);
	return inet_pton(AF_INET6, host, &v6) == 1 && inet_ntop(AF_INET6, &v6, out, INET6_ADDRSTRLEN);
}

static bool look_up(const char *host, char out[INET6_ADDRSTRLEN], time_t until)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int trouble;

	while ((trouble = getaddrinfo(host, NULL, &hints, &found))) {
		LOG_WARN("failed to resolve URL Host", LOG_STR("host", host), LOG_DURATION("retry-interval", RETRY_S * 1000000000ll),
			 LOG_STR("error", gai_strerror(trouble)));
		if (time(NULL) >= until)
			return false;
		sleep(RETRY_S);
	}
	trouble = getnameinfo(found->ai_addr, found->ai_addrlen, out, INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST);
	freeaddrinfo(found);
	if (!trouble)
		LOG_INFO("resolved URL Host", LOG_STR("host", host), LOG_STR("resolved-addr", out));
	return !trouble;
}

/* One URL with its address in canonical form; names stay unless they are to be looked up. NULL: it cannot be. */
static char *canonical(const char *text, bool names_too, time_t until)
{
	char address[INET6_ADDRSTRLEN];
	struct arena a;
	struct url u;
	char *out = NULL;

	arena_init(&a, 1 << 20);
	if (url_parse(&a, slice_str(text), &u, NULL))
		out = NULL;
	else if (url_is_unix(&u))
		out = mem_strdup(u.text);
	else if (is_ip(u.host, address) || (names_too && strcmp(u.host, "localhost") && look_up(u.host, address, until)))
		out = mem_printf("%d %s %s", u.scheme, address, u.port);
	else if (!names_too || !strcmp(u.host, "localhost"))
		out = mem_printf("%d %s %s", u.scheme, u.host, u.port);
	arena_fini(&a);
	return out;
}

static bool same(const struct member_urls *a, const struct member_urls *b, bool names_too, time_t until)
{
	struct member_urls x = {0}, y = {0};
	bool usable = true, equal;

	for (size_t i = 0; usable && i < a->list.count; i++) {
		char *s = canonical(a->list.at[i], names_too, until), *t = s ? canonical(b->list.at[i], names_too, until) : NULL;

		usable = s && t;
		if (usable) {
			member_urls_add(&x, slice_str(s));
			member_urls_add(&y, slice_str(t));
		}
		mem_free(s);
		mem_free(t);
	}
	member_urls_sort(&x);
	member_urls_sort(&y);
	equal = usable && member_urls_equal(&x, &y);
	member_urls_clear(&x);
	member_urls_clear(&y);
	return equal;
}

bool resolve_same_urls(const struct member_urls *a, const struct member_urls *b)
{
	time_t until = time(NULL) + TIME_LIMIT_S;

	if (a->list.count != b->list.count)
		return false;
	return same(a, b, false, until) || same(a, b, true, until);
}
