/* --auth-token: TYPE[,key=value]*, as etcd v3.7.1 server/auth takes it apart. */
#include "auth/token.h"

static struct slice take(struct slice *rest, char stop)
{
	const uint8_t *at = rest->size ? memchr(rest->data, stop, rest->size) : NULL;
	struct slice part = *rest;

	if (!at) {
		*rest = (struct slice){0};
		return part;
	}
	part.size = (size_t)(at - rest->data);
	*rest = slice_of(at + 1, rest->size - part.size - 1);
	return part;
}

enum { OPTIONS_MAX = 64 };

/* key=value with exactly one sign, no key twice. */
static err_t split(struct slice rest, struct slice keys[OPTIONS_MAX], struct slice values[OPTIONS_MAX], size_t *count)
{
	*count = 0;
	while (rest.data) {
		struct slice item = take(&rest, ',');
		struct slice key, value;

		if (!item.size || !memchr(item.data, '=', item.size))
			return ERR_INVALID;
		value = item;
		key = take(&value, '=');
		if ((value.size && memchr(value.data, '=', value.size)) || *count == OPTIONS_MAX)
			return ERR_INVALID;
		for (size_t i = 0; i < *count; i++)
			if (slice_eq(keys[i], key))
				return ERR_INVALID;
		keys[*count] = key;
		values[(*count)++] = value;
	}
	return OK;
}

err_t token_options_parse(const char *text, struct token_options *out)
{
	struct slice rest = slice_str(text), type = take(&rest, ','), keys[OPTIONS_MAX], values[OPTIONS_MAX];
	struct token_options o = {0};
	size_t count;
	err_t err = split(rest, keys, values, &count);

	if (err)
		return err;
	if (slice_eq(type, SLICE_LIT("simple")))
		o.kind = TOKEN_SIMPLE;
	else if (slice_eq(type, SLICE_LIT("jwt")))
		o.kind = TOKEN_JWT;
	else if (type.size)
		return ERR_INVALID;
	for (size_t i = 0; i < count; i++) {
		if (slice_eq(keys[i], SLICE_LIT("sign-method")))
			o.method = values[i];
		else if (slice_eq(keys[i], SLICE_LIT("pub-key")))
			o.public_file = values[i];
		else if (slice_eq(keys[i], SLICE_LIT("priv-key")))
			o.private_file = values[i];
		else if (slice_eq(keys[i], SLICE_LIT("ttl")))
			o.ttl = values[i];
		else if (o.kind == TOKEN_JWT && o.unknown_count < TOKEN_UNKNOWN_MAX)
			o.unknown[o.unknown_count++] = keys[i];
	}
	*out = o;
	return OK;
}
