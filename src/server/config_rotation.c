/* --log-rotation-config-json: {"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}. Names that are
 * not known are passed over, as by Go's decoder; so is "filename", for the file is the one in --log-outputs. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "obs/log_rotate.h"
#include "server/config_impl.h"

struct text {
	const char *at;
};

static char next(struct text *t)
{
	while (isspace((unsigned char)*t->at))
		t->at++;
	return *t->at;
}

static bool take(struct text *t, char c)
{
	if (next(t) != c)
		return false;
	t->at++;
	return true;
}

/* A string without escapes is all that names need. */
static bool take_string(struct text *t, struct slice *out)
{
	const char *end;

	if (!take(t, '"'))
		return false;
	end = strchr(t->at, '"');
	if (!end || memchr(t->at, '\\', (size_t)(end - t->at)))
		return false;
	*out = slice_of(t->at, (size_t)(end - t->at));
	t->at = end + 1;
	return true;
}

enum value_kind { VALUE_NUMBER, VALUE_BOOL, VALUE_OTHER };

static bool take_value(struct text *t, enum value_kind *kind, uint64_t *number)
{
	static const char *const words[] = {"false", "true", "null"};
	struct slice s;
	char c = next(t);
	char *end;

	*number = 0;
	if (c == '"') {
		*kind = VALUE_OTHER;
		return take_string(t, &s);
	}
	for (size_t i = 0; i < ARRAY_COUNT(words); i++)
		if (strncmp(t->at, words[i], strlen(words[i])) == 0) {
			t->at += strlen(words[i]);
			*kind = i < 2 ? VALUE_BOOL : VALUE_OTHER;
			*number = i == 1;
			return true;
		}
	if (!isdigit((unsigned char)c))
		return false;
	*kind = VALUE_NUMBER;
	*number = strtoull(t->at, &end, 10);
	t->at = end;
	return *number <= INT32_MAX;
}

static err_t set(struct log_rotation *r, struct slice name, enum value_kind kind, uint64_t number, struct why *why)
{
	static const struct {
		const char *name;
		enum value_kind kind;
	} names[] = {{"maxsize", VALUE_NUMBER}, {"maxage", VALUE_NUMBER}, {"maxbackups", VALUE_NUMBER}, {"localtime", VALUE_BOOL},
		     {"compress", VALUE_BOOL}};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (!slice_eq(name, slice_str(names[i].name)))
			continue;
		if (kind != names[i].kind)
			return why_set(why, ERR_INVALID, "invalid log rotation config: %s must be a %s", names[i].name,
				       names[i].kind == VALUE_BOOL ? "bool" : "number");
		switch (i) {
		case 0: r->size_mib_max = number; break;
		case 1: r->age_days_max = number; break;
		case 2: r->files_max = number; break;
		case 3: r->local_time = number; break;
		default: r->compress = number; break;
		}
	}
	return OK;
}

err_t config_rotation_parse(const char *json, struct log_rotation *out, struct why *why)
{
	struct text t = {json};
	bool good = take(&t, '{');
	err_t err = OK;

	*out = (struct log_rotation){0};
	if (good && !take(&t, '}')) {
		do {
			struct slice name;
			enum value_kind kind = VALUE_OTHER;
			uint64_t number = 0;

			good = take_string(&t, &name) && take(&t, ':') && take_value(&t, &kind, &number);
			if (good)
				err = set(out, name, kind, number, why);
		} while (good && !err && take(&t, ','));
		good = good && (err || take(&t, '}'));
	}
	if (!good || (!err && next(&t)))
		return why_set(why, ERR_INVALID, "improperly formatted log rotation config: wrong at \"%.20s\"", t.at);
	return err;
}
