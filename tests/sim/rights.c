#include "rights.h"

#include "base/assert.h"

static const char *const users[] = {"u0", "u1", "u2", "u3", "root"};

const char *rights_user(unsigned who)
{
	return who < RIGHTS_NAMES ? users[who] : NULL;
}

unsigned rights_who(struct slice user)
{
	for (unsigned i = 0; i < RIGHTS_NAMES; i++)
		if (slice_eq(user, slice_str(users[i])))
			return i;
	ASSERT(!user.size);
	return RIGHTS_NOBODY;
}

static unsigned role_of(struct slice name)
{
	if (slice_eq(name, SLICE_LIT("root")))
		return RIGHTS_ROOT;
	ASSERT(name.size == 2 && name.data[0] == 'r' && name.data[1] < '4');
	return (unsigned)(name.data[1] - '0');
}

static unsigned key_of(struct slice key)
{
	ASSERT(key.size == 2 && key.data[0] == 'k');
	return (unsigned)(key.data[1] - '0');
}

struct slice rights_end(unsigned key)
{
	return key % 2 ? SLICE_LIT("l") : (struct slice){0};
}

void rights_init(struct rights *r)
{
	*r = (struct rights){.revision = 1};
}

/* ---- points ---- */

enum { POINT_L = 2 * RIGHTS_KEYS };

static uint32_t points(unsigned from, unsigned to)
{
	return ((1u << to) - 1) & ~((1u << from) - 1);
}

static uint32_t points_of(struct slice key, struct slice end)
{
	unsigned from;

	if (slice_eq(key, slice_of("", 1)))
		return points(0, POINT_L + 1);
	from = 2 * key_of(key);
	if (!end.size)
		return points(from, from + 1);
	if (slice_eq(end, slice_of("", 1)))
		return points(from, POINT_L + 1);
	return points(from, slice_eq(end, SLICE_LIT("l")) ? POINT_L : 2 * key_of(end));
}

bool rights_is_root(const struct rights *r, unsigned who)
{
	return who < RIGHTS_NAMES && r->users[who].exists && r->users[who].roles & 1u << RIGHTS_ROOT;
}

static uint32_t points_allowed(const struct rights *r, unsigned who, unsigned right)
{
	char key[3] = "k0";
	uint32_t all = 0;

	for (unsigned i = 0; i < RIGHTS_NAMES; i++)
		for (unsigned k = 0; k < RIGHTS_KEYS && r->users[who].roles & 1u << i; k++) {
			key[1] = (char)('0' + k);
			if (r->roles[i].perms[k] & right)
				all |= points_of(slice_str(key), rights_end(k));
		}
	return all;
}

err_t rights_range(const struct rights *r, unsigned who, uint64_t revision, unsigned right, struct slice key, struct slice end)
{
	if (!r->enabled)
		return OK;
	if (who == RIGHTS_NOBODY)
		return ERR_USER_EMPTY;
	if (revision && revision != r->revision)
		return ERR_AUTH_OLD_REVISION;
	if (rights_is_root(r, who))
		return OK;
	return r->users[who].exists && !(points_of(key, end) & ~points_allowed(r, who, right)) ? OK : ERR_PERMISSION_DENIED;
}

/* ---- requests ---- */

struct asked {
	struct slice name, other;       /* fields 1, 2 */
};

static struct asked asked(struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	struct asked a = {0};

	while (pb_next(&r, &f))
		if (f.wire == PB_BYTES && f.number <= 2)
			*(f.number == 1 ? &a.name : &a.other) = f.bytes;
	return a;
}

static err_t enable(struct rights *r)
{
	if (r->enabled)
		return OK;
	if (!r->users[RIGHTS_ROOT].exists)
		return ERR_ROOT_USER_NOT_EXIST;
	if (!rights_is_root(r, RIGHTS_ROOT))
		return ERR_ROOT_ROLE_NOT_EXIST;
	r->enabled = true;
	return OK;
}

static err_t user(struct rights *r, const struct internal_req *q)
{
	struct asked a = asked(q->body);
	unsigned u = rights_who(a.name), role;
	bool root_stays = r->enabled && u == RIGHTS_ROOT;

	if (q->field == REQ_USER_ADD) {
		if (r->users[u].exists)
			return ERR_USER_ALREADY_EXIST;
		r->users[u].exists = true;
		r->users[u].roles = 0;
		r->revision++;
		return OK;
	}
	if (q->field == REQ_USER_DELETE) {
		if (root_stays)
			return ERR_INVALID_AUTH_MGMT;
		if (!r->users[u].exists)
			return ERR_USER_NOT_FOUND;
		r->users[u].exists = false;
		r->revision++;
		return OK;
	}
	role = role_of(a.other);
	if (q->field == REQ_USER_REVOKE_ROLE && root_stays && role == RIGHTS_ROOT)
		return ERR_INVALID_AUTH_MGMT;
	if (!r->users[u].exists)
		return ERR_USER_NOT_FOUND;
	if (q->field == REQ_USER_GRANT_ROLE) {
		if (role != RIGHTS_ROOT && !r->roles[role].exists)
			return ERR_ROLE_NOT_FOUND;
		r->revision += !(r->users[u].roles & 1u << role);
		r->users[u].roles |= (uint8_t)(1u << role);
		return OK;
	}
	if (!(r->users[u].roles & 1u << role))
		return ERR_ROLE_NOT_GRANTED;
	r->users[u].roles &= (uint8_t)~(1u << role);
	r->revision++;
	return OK;
}

static err_t grant(struct rights *r, unsigned role, struct slice perm)
{
	static const uint8_t bits[] = {RIGHTS_READ, RIGHTS_WRITE, RIGHTS_READ | RIGHTS_WRITE};
	struct pb_reader p = pb_reader_of(perm);
	struct pb_field f;
	uint64_t type = 0;
	struct slice key = {0};

	while (pb_next(&p, &f))
		if (f.number == 1)
			type = f.value;
		else if (f.number == 2)
			key = f.bytes;
	if (!r->roles[role].exists)
		return ERR_ROLE_NOT_FOUND;
	r->roles[role].perms[key_of(key)] = bits[type];
	r->revision++;
	return OK;
}

static err_t role(struct rights *r, const struct internal_req *q)
{
	struct asked a = asked(q->body);
	unsigned i = role_of(a.name);

	switch (q->field) {
	case REQ_ROLE_ADD:
		if (r->roles[i].exists)
			return ERR_ROLE_ALREADY_EXIST;
		r->roles[i].exists = true;
		memset(r->roles[i].perms, 0, sizeof(r->roles[i].perms));
		r->revision++;
		return OK;
	case REQ_ROLE_DELETE:
		if (r->enabled && i == RIGHTS_ROOT)
			return ERR_INVALID_AUTH_MGMT;
		if (!r->roles[i].exists)
			return ERR_ROLE_NOT_FOUND;
		r->roles[i].exists = false;
		for (unsigned u = 0; u < RIGHTS_NAMES; u++)
			r->users[u].roles &= (uint8_t)~(1u << i);
		r->revision++;
		return OK;
	case REQ_ROLE_GRANT_PERMISSION:
		return grant(r, i, a.other);
	default:
		if (!r->roles[i].exists)
			return ERR_ROLE_NOT_FOUND;
		if (!r->roles[i].perms[key_of(a.other)])
			return ERR_PERMISSION_NOT_GRANTED;
		r->roles[i].perms[key_of(a.other)] = 0;
		r->revision++;
		return OK;
	}
}

/* What needs role root; the revision is not looked at. */
static err_t admin(const struct rights *r, unsigned who)
{
	if (!r->enabled)
		return OK;
	if (who == RIGHTS_NOBODY)
		return ERR_USER_EMPTY;
	if (!r->users[who].exists)
		return ERR_USER_NOT_FOUND;
	return rights_is_root(r, who) ? OK : ERR_PERMISSION_DENIED;
}

bool rights_apply(struct rights *r, const struct internal_req *q, err_t *err)
{
	switch (q->field) {
	case REQ_AUTH_ENABLE:
	case REQ_AUTH_DISABLE:
	case REQ_USER_ADD:
	case REQ_USER_DELETE:
	case REQ_USER_GRANT_ROLE:
	case REQ_USER_REVOKE_ROLE:
	case REQ_ROLE_ADD:
	case REQ_ROLE_DELETE:
	case REQ_ROLE_GRANT_PERMISSION:
	case REQ_ROLE_REVOKE_PERMISSION:
		break;
	default:
		return false;
	}
	*err = admin(r, rights_who(q->username));
	if (*err)
		return true;
	if (q->field == REQ_AUTH_ENABLE) {
		*err = enable(r);
	} else if (q->field == REQ_AUTH_DISABLE) {
		r->revision += r->enabled;
		r->enabled = false;
	} else if (q->field >= REQ_ROLE_ADD) {
		*err = role(r, q);
	} else {
		*err = user(r, q);
	}
	return true;
}
