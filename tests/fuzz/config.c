/* What operators write: the configuration file, and the texts of flags. The first byte says which. A list of URLs that
 * was read is read again as the same. */
#include "fuzz.h"
#include "base/text.h"
#include "server/config_impl.h"

static void file(struct slice text)
{
	struct config cfg;
	struct why why;
	bool plain;

	config_init(&cfg);
	if (config_parse_file(&cfg, text, &plain, &why))
		ASSERT(strlen(why.text) > 0);
	for (enum flag f = 0; f < FLAG__COUNT; f++)
		flag_changed(&cfg, f);          /* reads every field back */
	config_free(&cfg);
}

static void flag(enum flag f, const char *text)
{
	struct config cfg;
	struct why why;

	config_init(&cfg);
	if (flag_set(&cfg, f, text, &why))
		ASSERT(strlen(why.text) > 0);
	config_free(&cfg);
}

static void urls(const char *text)
{
	struct url_list l, again;
	struct url_map m;
	struct arena a;

	arena_init(&a, 64 << 20);
	if (!url_list_parse(&a, text, false, &l, NULL)) {
		const char *joined = url_list_text(&a, &l);

		ASSERT(!url_list_parse(&a, joined, false, &again, NULL));
		ASSERT(!strcmp(url_list_text(&a, &again), joined));
	}
	if (!url_map_parse(&a, text, &m, NULL))
		ASSERT(m.count <= 1024);
	arena_fini(&a);
}

static void numbers(const char *text)
{
	char out[TEXT_DURATION_SIZE];
	int64_t ns, again, i;
	uint64_t u;

	if (!text_parse_duration(text, &ns, NULL)) {
		ASSERT(!text_parse_duration(text_duration(out, ns), &again, NULL));
		ASSERT(again == ns);
	}
	if (text_parse_uint(text, 63, &u) == TEXT_NUMBER_OK)
		ASSERT(text_parse_int(text, 64, &i) == TEXT_NUMBER_OK && (uint64_t)i == u);
}

static void quoted(struct slice s)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	text_quote(&b, s);
	ASSERT(buf_failed(&b) || (b.size >= s.size + 2 && slice_is_utf8(buf_slice(&b))));
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;
	char *text;

	if (!size || size > 65536)
		return 0;
	rest = slice_of(data + 1, size - 1);
	text = mem_printf("%.*s", SLICE_ARG(rest));
	switch (data[0]) {
	case 'f':
		file(rest);
		break;
	case 'u':
		urls(text);
		break;
	case 'n':
		numbers(text);
		break;
	case 'q':
		quoted(rest);
		break;
	default:
		flag(data[0] % FLAG__COUNT, text);
	}
	mem_free(text);
	return 0;
}
