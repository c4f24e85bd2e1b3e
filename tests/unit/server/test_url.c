/* URLs. Expected texts and orders were printed by etcd's client/pkg/types v3.7.1 (NewURLs, NewURLsMap). */
#include "../../lib/test.h"

#include "base/buf.h"
#include "server/url.h"

static void test_lists(void **state)
{
	static const struct {
		const char *in, *want, *why;
	} cases[] = {
		{"http://a:1", "http://a:1", NULL},
		{"HTTP://a:1", "http://a:1", NULL},
		{" http://b:1 , http://a:1", "http://a:1,http://b:1", NULL},
		{"http://a:1,http://a:1", "http://a:1,http://a:1", NULL},
		{"http://[::1]:2379", "http://[::1]:2379", NULL},
		{"unix:///run/x.sock", "unix:///run/x.sock", NULL},
		{"unix://x", "unix://x", NULL},
		{"unixs://x/y", "unixs://x/y", NULL},
		{"unix:x", "unix:x", NULL},
		{"http://a:1?x=1", "http://a:1?x=1", NULL},
		{"http://u:p@a:1", "http://u:p@a:1", NULL},
		{"http://a:", "http://a:", NULL},
		{"http://:1", "http://:1", NULL},
		{"127.0.0.1:2379", NULL, "parse \"127.0.0.1:2379\": first path segment in URL cannot contain colon"},
		{"localhost:2379", NULL, "URL scheme must be http, https, unix, or unixs: localhost:2379"},
		{"http://a", NULL, "URL address does not have the form \"host:port\": http://a"},
		{"http://a:1/", NULL, "URL must not contain a path: http://a:1/"},
		{"http://a:1/x", NULL, "URL must not contain a path: http://a:1/x"},
		{"ftp://a:1", NULL, "URL scheme must be http, https, unix, or unixs: ftp://a:1"},
		{"", NULL, "URL scheme must be http, https, unix, or unixs: "},
		{"a,http://a:1", NULL, "URL scheme must be http, https, unix, or unixs: a"},
		{"http://a:b", NULL, "parse \"http://a:b\": invalid port \":b\" after host"},
		{"http://[::1", NULL, "parse \"http://[::1\": missing ']' in host"},
		{"http://::1:2379", NULL, "parse \"http://::1:2379\": invalid port \"::1:2379\" after host"},
		{"http://[::1]x", NULL, "parse \"http://[::1]x\": invalid port \"x\" after host"},
		{"http://a b:1", NULL, "parse \"http://a b:1\": invalid character \" \" in host name"},
		{"unix://localhost:m1", NULL, "parse \"unix://localhost:m1\": invalid port \":m1\" after host"},
		{":foo", NULL, "parse \":foo\": missing protocol scheme"},
		{"//a:1", NULL, "URL scheme must be http, https, unix, or unixs: //a:1"},
		{"/a:1", NULL, "URL scheme must be http, https, unix, or unixs: /a:1"},
		{"http:a:1", NULL, "URL address does not have the form \"host:port\": http:a:1"},
		{"http://a:1\x01", NULL, "parse \"http://a:1\\x01\": net/url: invalid control character in URL"},
		{"http://%zz:1", NULL, "parse \"http://%zz:1\": invalid URL escape \"%zz\""},
	};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct url_list l;
		struct why why = {""};
		err_t err = url_list_parse(&a, cases[i].in, false, &l, &why);

		if (cases[i].want) {
			assert_ok(err);
			assert_string_equal(url_list_text(&a, &l), cases[i].want);
		} else {
			assert_err(ERR_INVALID, err);
			assert_string_equal(why.text, cases[i].why);
		}
	}
	arena_fini(&a);
}

static void test_parts(void **state)
{
	static const struct {
		const char *in, *host, *port, *path;
		enum url_scheme scheme;
	} cases[] = {
		{"https://u:p@a.b:1?q", "a.b", "1", "", URL_HTTPS},
		{"http://[fe80::1]:2379", "fe80::1", "2379", "", URL_HTTP},
		{"unix:///run/x.sock", "", "", "/run/x.sock", URL_UNIX},
		{"unixs://name", "name", "", "", URL_UNIXS},
	};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct url u;

		assert_ok(url_parse(&a, slice_str(cases[i].in), &u, NULL));
		assert_string_equal(u.host, cases[i].host);
		assert_string_equal(u.port, cases[i].port);
		assert_string_equal(u.path, cases[i].path);
		assert_int_equal(u.scheme, cases[i].scheme);
	}
	arena_fini(&a);
}

static void test_maps(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{"n1=http://a:1", "n1=http://a:1"},
		{"n2=http://b:2,n1=http://a:1,n1=http://a:0,", "n1=http://a:0,http://a:1 n2=http://b:2"},
		{",,n1=http://a:1", "n1=http://a:1"},
		{"=http://a:1", "=http://a:1"},
		{"", ""},
		{"n1", NULL},
		{"n1=,n2=http://a:1", NULL},
	};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct url_map m;
		struct why why;
		struct buf b;
		err_t err = url_map_parse(&a, cases[i].in, &m, &why);

		if (!cases[i].want) {
			assert_err(ERR_INVALID, err);
			assert_string_equal(why.text, "URL scheme must be http, https, unix, or unixs: ");
			continue;
		}
		assert_ok(err);
		buf_init(&b, 1024);
		for (size_t k = 0; k < m.count; k++)
			buf_printf(&b, "%s%s=%s", k ? " " : "", m.at[k].name, url_list_text(&a, &m.at[k].urls));
		buf_put_byte(&b, 0);
		assert_string_equal((char *)b.data, cases[i].want);
		buf_fini(&b);
	}
	arena_fini(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists), cmocka_unit_test(test_parts), cmocka_unit_test(test_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
