/* Rows as data, and how the text of each kind becomes its field. */
#include <ctype.h>
#include <stdio.h>

#include "base/text.h"
#include "server/config_impl.h"

#define GROUP(title)
const struct flag_row flag_rows[FLAG__COUNT] = {
#define FLAG(kind, field, ...) {KIND_##kind, offsetof(struct config, field), __VA_ARGS__},
#include "server/flag_rows.h"
#undef FLAG
};
#undef GROUP

enum flag flag_find(struct slice name)
{
	enum flag f = 0;

	while (f < FLAG__COUNT && !(name.size && slice_eq(slice_str(flag_rows[f].name), name)))
		f++;
	return f;
}

const char *flag_variable(enum flag f, char out[FLAG_VARIABLE_SIZE])
{
	char *p = out + sprintf(out, "ETCD_");

	for (const char *n = flag_rows[f].name; *n; n++)
		*p++ = *n == '-' ? '_' : (char)toupper((unsigned char)*n);
	*p = '\0';
	return out;
}

const char *config_keep(struct config *cfg, struct slice s)
{
	char *z = arena_alloc(&cfg->arena, s.size + 1);

	if (!z)
		fatal("the configuration is too large");
	if (s.size)
		memcpy(z, s.data, s.size);
	return z;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct str_list config_split(struct config *cfg, const char *text, bool sorted)
{
	struct str_list l = {NULL, 1};
	size_t n = 0;

	for (const char *p = text; *p; p++)
		l.count += *p == ',';
	l.at = arena_alloc_array(&cfg->arena, l.count, sizeof(*l.at));
	if (!l.at)
		fatal("the configuration is too large");
	for (size_t i = 0; i < l.count; i++) {
		size_t size = strcspn(text, ",");

		l.at[i] = config_keep(cfg, slice_of(text, size));
		text += size + 1;
	}
	if (!sorted)
		return l;
	qsort(l.at, l.count, sizeof(*l.at), compare_strings);
	for (size_t i = 0; i < l.count; i++) {
		if (!n || strcmp(l.at[n - 1], l.at[i]))
			l.at[n++] = l.at[i];
	}
	l.count = n;
	return l;
}

static err_t number_error(enum text_number n, struct why *why)
{
	if (n == TEXT_NUMBER_OK)
		return OK;
	return why_set(why, ERR_INVALID, n == TEXT_NUMBER_SYNTAX ? "parse error" : "value out of range");
}

static err_t set_uint32(uint32_t *field, const char *text, struct why *why)
{
	uint64_t v;
	enum text_number n = text_parse_uint(text, 32, &v);

	if (n != TEXT_NUMBER_OK)
		return why_set(why, ERR_INVALID, "strconv.ParseUint: parsing \"%s\": %s", text,
			       n == TEXT_NUMBER_SYNTAX ? "invalid syntax" : "value out of range");
	*field = (uint32_t)v;
	return OK;
}

static err_t set_duration(int64_t *field, const char *text, struct why *why)
{
	return text_parse_duration(text, field, NULL) ? why_set(why, ERR_INVALID, "parse error") : OK;
}

static err_t set_bool(bool *field, const char *text, struct why *why)
{
	return text_parse_bool(text, field) ? OK : why_set(why, ERR_INVALID, "parse error");
}

static err_t set_choice(const char **field, const char *text, const char *const *valid, struct why *why)
{
	for (; *valid; valid++) {
		if (!strcmp(*valid, text)) {
			*field = *valid;
			return OK;
		}
	}
	return why_set(why, ERR_INVALID, "invalid value");
}

static err_t set_v2stage(struct config *cfg, const char **field, const char *text, struct why *why)
{
	static const char *const valid[] = {"write-only", "write-only-skip-check", "write-only-drop-data", "gone", NULL};
	struct str_list l = config_split(cfg, text, false);
	const char *ignored;

	for (size_t i = 0; i < l.count; i++) {
		if (set_choice(&ignored, l.at[i], valid, NULL))
			return why_set(why, ERR_INVALID, "invalid value \"%s\"", l.at[i]);
	}
	*field = config_keep(cfg, slice_str(text));
	return OK;
}

/* An empty text leaves what is there: an oddity of etcd's that scripts rely on. */
static err_t set_urls(struct config *cfg, struct url_list *field, const char *text, struct why *why)
{
	return *text ? url_list_parse(&cfg->arena, text, true, field, why) : OK;
}

static err_t set_origins(struct config *cfg, struct str_list *field, const char *text, struct why *why)
{
	struct url_list urls;
	err_t err;

	if (!strcmp(text, "*")) {
		*field = config_split(cfg, text, true);
		return OK;
	}
	err = url_list_parse(&cfg->arena, text, true, &urls, why);
	if (!err)
		*field = (struct str_list){url_list_texts(&cfg->arena, &urls), urls.count};
	return err;
}

err_t flag_set(struct config *cfg, enum flag f, const char *text, struct why *why)
{
	static const char *const states[] = {"new", "existing", NULL}, *const fallbacks[] = {"exit", "proxy", NULL};
	void *field = flag_field(cfg, f);

	switch (flag_rows[f].kind) {
	case KIND_STR:
		*(const char **)field = config_keep(cfg, slice_str(text));
		return OK;
	case KIND_BOOL:
		return set_bool(field, text, why);
	case KIND_INT:
	case KIND_INT64:
		return number_error(text_parse_int(text, 64, field), why);
	case KIND_UINT:
	case KIND_UINT64:
		return number_error(text_parse_uint(text, 64, field), why);
	case KIND_UINT32:
		return set_uint32(field, text, why);
	case KIND_DURATION:
		return set_duration(field, text, why);
	case KIND_URLS:
		return set_urls(cfg, field, text, why);
	case KIND_ORIGINS:
		return set_origins(cfg, field, text, why);
	case KIND_LIST:
	case KIND_SET:
		*(struct str_list *)field = config_split(cfg, text, flag_rows[f].kind == KIND_SET);
		return OK;
	case KIND_STATE:
		return set_choice(field, text, states, why);
	case KIND_FALLBACK:
		return set_choice(field, text, fallbacks, why);
	case KIND_V2STAGE:
		return set_v2stage(cfg, field, text, why);
	case KIND_GATES:
		return gates_set(field, text, why);
	}
	UNREACHABLE();
}

static bool lists_differ(const struct str_list *a, const struct str_list *b)
{
	bool differ = a->count != b->count;

	for (size_t i = 0; i < a->count && !differ; i++)
		differ = strcmp(a->at[i], b->at[i]) != 0;
	return differ;
}

bool flag_changed(struct config *cfg, enum flag f)
{
	const void *a = flag_field(cfg, f), *b;
	struct config presets;
	bool changed;

	config_init(&presets);
	b = flag_field(&presets, f);
	switch (flag_rows[f].kind) {
	case KIND_STR:
	case KIND_STATE:
	case KIND_FALLBACK:
	case KIND_V2STAGE:
		changed = strcmp(*(const char *const *)a, *(const char *const *)b) != 0;
		break;
	case KIND_BOOL:
		changed = *(const bool *)a != *(const bool *)b;
		break;
	case KIND_UINT32:
		changed = *(const uint32_t *)a != *(const uint32_t *)b;
		break;
	case KIND_URLS:
		changed = cfg->given[f];
		break;
	case KIND_ORIGINS:
	case KIND_LIST:
	case KIND_SET:
		changed = lists_differ(a, b);
		break;
	case KIND_GATES:
		changed = ((const struct gate_set *)a)->given != 0;
		break;
	default:
		changed = *(const uint64_t *)a != *(const uint64_t *)b;
	}
	config_free(&presets);
	return changed;
}

/* KIND_SET with an empty preset is an empty list, not a list of one empty text. */
void config_init(struct config *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	arena_init(&cfg->arena, 16 << 20);
	for (enum flag f = 0; f < FLAG__COUNT; f++) {
		bool list = flag_rows[f].kind == KIND_LIST || flag_rows[f].kind == KIND_SET;
		const char *preset = flag_rows[f].preset;
		struct why why;

		if (flag_rows[f].kind == KIND_V2STAGE)
			cfg->v2_deprecation = "write-only";
		else if ((*preset || !list) && flag_set(cfg, f, preset, &why))
			fatal("preset of --%s: %s", flag_rows[f].name, why.text);
	}
}

void config_free(struct config *cfg)
{
	arena_fini(&cfg->arena);
}
