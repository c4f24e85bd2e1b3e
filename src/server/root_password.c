#include "server/root_password.h"

#include <openssl/crypto.h>

#include "env/env.h"

static const char VARIABLE[] = "ETCD_ROOT_PASSWORD=";

void root_password_take(char **environ_, struct root_password *out)
{
	size_t name_size = sizeof(VARIABLE) - 1;
	char **to = environ_;

	*out = (struct root_password){0};
	for (; *environ_; environ_++) {
		char *value = *environ_ + name_size;
		size_t size;

		if (strncmp(*environ_, VARIABLE, name_size) != 0) {
			*to++ = *environ_;
			continue;
		}
		size = strlen(value);
		if (!out->size) {
			out->size = MIN(size, sizeof(out->text));
			memcpy(out->text, value, out->size);
		}
		OPENSSL_cleanse(value, size);
	}
	*to = NULL;
}

static bool is_enabled(struct node *n)
{
	bool enabled = node_view(n)->auth->enabled;

	node_leave(n);
	return enabled;
}

static err_t make_hash(const struct root_password *pw, uint32_t cost, char hash[AUTH_HASH_SIZE + 1], struct why *why)
{
	struct slice text = slice_of(pw->text, pw->size);
	uint8_t salt[AUTH_SALT_SIZE];
	err_t err;

	if (text.size > AUTH_PASSWORD_SIZE_MAX)
		return why_set(why, ERR_INVALID, "ETCD_ROOT_PASSWORD is longer than %d bytes", AUTH_PASSWORD_SIZE_MAX);
	if (!slice_is_utf8(text))
		return why_set(why, ERR_INVALID, "ETCD_ROOT_PASSWORD is not UTF-8");
	if (cost < AUTH_COST_MIN || cost > AUTH_COST_MAX)
		cost = AUTH_COST_DEFAULT;
	env_random(salt, sizeof(salt));
	err = auth_password_hash(text, (int)cost, salt, hash);
	return err ? why_set(why, err, "ETCD_ROOT_PASSWORD cannot be hashed: %s", err_text(err)) : OK;
}

err_t root_password_use(struct root_password *take_pw, struct node *n, uint32_t cost, struct why *why)
{
	char hash[AUTH_HASH_SIZE + 1];
	err_t err = OK;

	if (take_pw->size && !is_enabled(n)) {
		err = make_hash(take_pw, cost, hash, why);
		if (!err)
			node_secure(n, hash);
		OPENSSL_cleanse(hash, sizeof(hash));
	}
	OPENSSL_cleanse(take_pw, sizeof(*take_pw));
	return err;
}
