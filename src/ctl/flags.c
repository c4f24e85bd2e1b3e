/* Flags by pflag's rules: --name value, --name=value, -n value, -nvalue, -n=value, letters of switches together; anywhere
 * in the line up to "--". The words of the errors are pflag's, for users and scripts know them. */
#include "ctl/ctl_impl.h"

static const char *parse_name(enum flag_kind k)
{
	return k == FLAG_BOOL ? "ParseBool" : k == FLAG_UINT ? "ParseUint" : "ParseInt";
}

err_t flag_set(struct ctl_value *v, const char *text, struct why *why)
{
	enum text_number n = TEXT_NUMBER_OK;
	uint64_t u = 0;

	switch (v->flag->kind) {
	case FLAG_STRING:
	case FLAG_LIST:
		break;
	case FLAG_BOOL:
		if (!text_parse_bool(text, &v->boolean))
			n = TEXT_NUMBER_SYNTAX;
		break;
	case FLAG_INT:
	case FLAG_INT64:
		n = text_parse_int(text, 64, &v->number);
		break;
	case FLAG_UINT:
		n = text_parse_uint(text, 64, &u);
		v->number = (int64_t)u;
		break;
	case FLAG_DURATION: {
		err_t err = text_parse_duration(text, &v->number, why);

		if (err)
			return err;
	}
	}
	if (n) {
		struct buf q;

		buf_init(&q, SIZE_MAX / 2);
		text_quote(&q, slice_str(text));
		why_set(why, ERR_INVALID, "strconv.%s: parsing %.*s: %s", parse_name(v->flag->kind), SLICE_ARG(buf_slice(&q)),
			n == TEXT_NUMBER_RANGE ? "value out of range" : "invalid syntax");
		buf_fini(&q);
		return ERR_INVALID;
	}
	/* A list given more than once is one list; it lives as long as the program. */
	v->text = v->flag->kind == FLAG_LIST && v->by_line ? mem_printf("%s,%s", v->text, text) : text;
	v->changed = true;
	return OK;
}

void flags_add(struct ctl_flags *f, const struct ctl_flag *rows)
{
	for (; rows && rows->name; rows++) {
		struct ctl_value *v = &f->at[f->count];
		struct why why;

		ASSERT(f->count < CTL_FLAGS_MAX);
		v->flag = rows;
		ASSERT(!flag_set(v, rows->preset, &why));
		v->changed = false;
		f->count++;
	}
}

struct ctl_value *flags_find(struct ctl_flags *f, const char *name, size_t name_size)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strlen(f->at[i].flag->name) == name_size && !memcmp(f->at[i].flag->name, name, name_size))
			return &f->at[i];
	}
	return NULL;
}

struct ctl_value *flags_find_letter(struct ctl_flags *f, char letter)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->at[i].flag->letter == letter)
			return &f->at[i];
	}
	return NULL;
}

static err_t set_from_line(struct ctl_value *v, const char *text, struct why *why)
{
	struct why inner = {""};
	struct buf q;
	err_t err = flag_set(v, text, &inner);

	v->by_line = true;      /* after the first: see lists */
	if (!err)
		return OK;
	buf_init(&q, SIZE_MAX / 2);
	text_quote(&q, slice_str(text));
	if (v->flag->letter)
		why_set(why, err, "invalid argument %.*s for \"-%c, --%s\" flag: %s", SLICE_ARG(buf_slice(&q)), v->flag->letter,
			v->flag->name, inner.text);
	else
		why_set(why, err, "invalid argument %.*s for \"--%s\" flag: %s", SLICE_ARG(buf_slice(&q)), v->flag->name,
			inner.text);
	buf_fini(&q);
	return err;
}

/* *i is at the flag; it moves to the value where that is the next argument. */
static err_t parse_long(struct ctl_flags *f, char **args, size_t count, size_t *i, struct why *why)
{
	const char *name = args[*i] + 2;
	const char *equals = strchr(name, '=');
	size_t size = equals ? (size_t)(equals - name) : strlen(name);
	struct ctl_value *v;

	if (!size || name[0] == '-' || name[0] == '=')
		return why_set(why, ERR_INVALID, "bad flag syntax: %s", args[*i]);
	v = flags_find(f, name, size);
	if (!v && size == 4 && !memcmp(name, "help", 4))
		return ERR_NOT_EXIST;
	if (!v)
		return why_set(why, ERR_INVALID, "unknown flag: --%.*s", (int)size, name);
	if (equals)
		return set_from_line(v, equals + 1, why);
	if (v->flag->kind == FLAG_BOOL)
		return set_from_line(v, "true", why);
	if (*i + 1 >= count)
		return why_set(why, ERR_INVALID, "flag needs an argument: --%s", v->flag->name);
	return set_from_line(v, args[++*i], why);
}

static err_t parse_letters(struct ctl_flags *f, char **args, size_t count, size_t *i, struct why *why)
{
	const char *all = args[*i] + 1;

	for (const char *at = all; *at; at++) {
		struct ctl_value *v = flags_find_letter(f, *at);
		err_t err;

		if (!v && *at == 'h')
			return ERR_NOT_EXIST;
		if (!v)
			return why_set(why, ERR_INVALID, "unknown shorthand flag: '%c' in -%s", *at, at);
		if (at[1] == '=')
			return set_from_line(v, at + 2, why);
		if (v->flag->kind != FLAG_BOOL) {
			if (at[1])
				return set_from_line(v, at + 1, why);
			if (*i + 1 >= count)
				return why_set(why, ERR_INVALID, "flag needs an argument: '%c' in -%s", *at, at);
			return set_from_line(v, args[++*i], why);
		}
		err = set_from_line(v, "true", why);
		if (err)
			return err;
	}
	return OK;
}

err_t flags_parse(struct ctl_flags *f, char **args, size_t count, char **operands, size_t *operand_count,
		  struct why *why)
{
	size_t n = 0;
	err_t err = OK;

	for (size_t i = 0; i < count && !err; i++) {
		if (!strcmp(args[i], "--")) {
			for (i++; i < count; i++)
				operands[n++] = args[i];
			break;
		}
		if (args[i][0] != '-' || !args[i][1])
			operands[n++] = args[i];
		else if (args[i][1] == '-')
			err = parse_long(f, args, count, &i, why);
		else
			err = parse_letters(f, args, count, &i, why);
	}
	*operand_count = n;
	return err;
}
