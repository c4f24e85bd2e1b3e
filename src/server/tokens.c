#include "server/tokens.h"

#include <openssl/crypto.h>

#include "base/text.h"
#include "env/vfs.h"
#include "obs/log.h"

enum { KEY_FILE_MAX = 1 << 20, PATH_SIZE = 4096 };

static const int64_t jwt_ttl_default_ns = INT64_C(300000000000);

static err_t refuse(struct why *why)
{
	return why_set(why, ERR_INVALID, "auth: invalid auth options");
}

static err_t text_of(struct slice s, char out[PATH_SIZE], struct why *why)
{
	if (s.size >= PATH_SIZE)
		return refuse(why);
	if (s.size)
		memcpy(out, s.data, s.size);
	out[s.size] = 0;
	return OK;
}

static err_t key_read(struct slice path, struct buf *out, struct why *why)
{
	char text[PATH_SIZE];
	err_t err;

	if (!path.size)
		return OK;
	err = text_of(path, text, why);
	if (!err && vfs_read_file(vfs_posix(), text, out))
		err = refuse(why);
	if (err)
		LOG_ERROR("problem loading JWT options", LOG_STR("error", "key file cannot be read"), LOG_STR("file", text));
	return err;
}

static void warn_unknown(const struct token_options *o)
{
	char text[TOKEN_UNKNOWN_MAX][64];
	const char *names[TOKEN_UNKNOWN_MAX];

	for (size_t i = 0; i < o->unknown_count; i++) {
		snprintf(text[i], sizeof(text[i]), "%.*s", (int)MIN(o->unknown[i].size, sizeof(text[i])), (const char *)o->unknown[i].data);
		names[i] = text[i];
	}
	if (o->unknown_count)
		LOG_WARN("unknown JWT options", LOG_STRS("keys", names, o->unknown_count));
}

static err_t jwt_configure(const struct token_options *o, struct why *why, struct jwt **out)
{
	struct jwt_config jc = {.ttl_ns = jwt_ttl_default_ns};
	char method[PATH_SIZE], ttl[PATH_SIZE];
	struct buf public, private;
	err_t err;

	buf_init(&public, KEY_FILE_MAX);
	buf_init(&private, KEY_FILE_MAX);
	warn_unknown(o);
	err = text_of(o->method, method, why);
	if (!err)
		err = text_of(o->ttl, ttl, why);
	if (!err && o->ttl.size && text_parse_duration(ttl, &jc.ttl_ns, NULL))
		err = refuse(why);
	if (!err)
		err = key_read(o->public_file, &public, why);
	if (!err)
		err = key_read(o->private_file, &private, why);
	jc.method = method;
	jc.public_key = buf_slice(&public);
	jc.private_key = buf_slice(&private);
	if (!err)
		err = jwt_open(&jc, why, out);
	if (private.data)
		OPENSSL_cleanse(private.data, private.room);
	buf_fini(&public);
	buf_fini(&private);
	return err;
}

err_t tokens_configure(const struct config *cfg, struct why *why, enum token_kind *kind, struct jwt **out)
{
	struct token_options o;

	*out = NULL;
	if (token_options_parse(cfg->auth_token, &o))
		return refuse(why);
	*kind = o.kind;
	if (o.kind == TOKEN_SIMPLE)
		LOG_WARN("simple token is not cryptographically signed");
	return o.kind == TOKEN_JWT ? jwt_configure(&o, why, out) : OK;
}
