/* Rows of users and roles from a file, then permissions granted and revoked: nothing breaks, what was written is read again as the
 * same state, and a merged range never says less than one of its permissions. */
#include "auth/auth.h"
#include "base/mem.h"
#include "fuzz.h"

struct rows {
	struct auth *twin;
	size_t written;
};

static void put(void *arg, enum backend_bucket b, struct slice key, struct slice value)
{
	struct rows *r = arg;

	r->written++;
	if (r->twin && !(b == BUCKET_AUTH))
		ASSERT(auth_load(r->twin, b, key, value) == OK);
}

static void del(void *arg, enum backend_bucket b, struct slice key)
{
}

static struct slice take(struct slice *s)
{
	size_t n = s->size ? MIN(s->data[0] & 15, s->size - 1) : 0;
	struct slice part = slice_of(s->data + (s->size > 0), n);

	*s = s->size ? slice_of(s->data + 1 + n, s->size - 1 - n) : *s;
	return part;
}

static void grants(struct auth *a, struct slice s)
{
	while (s.size > 2) {
		struct auth_permission p = {.type = s.data[0] & 3};
		struct auth_id id = {SLICE_LIT("u"), UINT64_MAX};

		s = slice_of(s.data + 1, s.size - 1);
		p.key = take(&s);
		p.range_end = take(&s);
		if (p.type == 3) {
			err_ignore(auth_role_revoke(a, SLICE_LIT("r"), p.key, p.range_end));
		} else if (auth_role_grant(a, SLICE_LIT("r"), &p) == OK && p.type != 1) {
			ASSERT(auth_check_range(auth_state(a), &id, p.key, p.range_end, AUTH_READ) == OK);
			ASSERT(auth_check_range(auth_state(a), &id, p.key, (struct slice){0}, AUTH_READ) == OK);
		}
		auth_check(a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rows rows = {0};
	struct store store = {&rows, put, del};
	struct auth *a = auth_new(&store);
	struct slice s = slice_of(data, size);

	if (size < 2)
		goto out;
	if (data[0] & 1) {
		s = slice_of(data + 1, size - 1);
		err_ignore(auth_load(a, data[0] & 2 ? BUCKET_AUTH_USERS : BUCKET_AUTH_ROLES, SLICE_LIT("r"), s));
		auth_loaded(a);
		err_ignore(auth_user_grant(a, SLICE_LIT("r"), SLICE_LIT("root")));
		err_ignore(auth_role_delete(a, SLICE_LIT("r")));
		auth_check(a);
		goto out;
	}
	auth_loaded(a);
	ASSERT(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("root")}) == OK);
	ASSERT(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("u")}) == OK);
	ASSERT(auth_role_add(a, SLICE_LIT("r")) == OK);
	ASSERT(auth_user_grant(a, SLICE_LIT("root"), SLICE_LIT("root")) == OK);
	ASSERT(auth_user_grant(a, SLICE_LIT("u"), SLICE_LIT("r")) == OK);
	ASSERT(auth_enable(a) == OK);
	rows.twin = auth_new(&store);
	grants(a, slice_of(data + 1, size - 1));
	auth_free(rows.twin);
out:
	auth_free(a);
	return 0;
}
