/* Rows of authUsers and authRoles (proto/auth.proto):
 *
 *	User {name 1, password 2, roles 3 repeated, options 4 {no_password 1}}
 *	Role {name 1, keyPermission 2 repeated {permType 1, key 2, range_end 3}}
 *
 * Written as Go's marshaller does: in order of numbers, zero values left out, a message that is present but empty written with length
 * 0, and behind them the unknown fields in the order they were read. */
#include "auth/impl.h"

enum { USER_NAME = 1, USER_PASSWORD = 2, USER_ROLES = 3, USER_OPTIONS = 4, OPTIONS_NO_PASSWORD = 1 };
enum { ROLE_NAME = 1, ROLE_PERMISSION = 2 };
enum { PERMISSION_TYPE = 1, PERMISSION_KEY = 2, PERMISSION_END = 3 };

/* pb_next, and the field as it stands in the input. */
static bool next_raw(struct pb_reader *r, struct pb_field *f, struct slice *raw)
{
	const uint8_t *from = r->at;

	if (!pb_next(r, f))
		return false;
	*raw = slice_of(from, (size_t)(r->at - from));
	return true;
}

static bool is(const struct pb_field *f, uint32_t number, enum pb_wire wire)
{
	return f->number == number && f->wire == wire;
}


/* A copy behind the row. */
static struct slice keep(struct blob *row, size_t *used, const struct buf *b)
{
	uint8_t *at = row->data + *used;

	if (!b->size)
		return (struct slice){0};
	ASSERT(*used + b->size <= row->size);
	memcpy(at, b->data, b->size);
	*used += b->size;
	return slice_of(at, b->size);
}

/* The row and, behind it, as much room again: all unknown fields of it together fit there. */
static struct blob *row_blob(struct slice row, struct slice *copy)
{
	struct blob *b = blob_new(row.size * 2);

	if (row.size)
		memcpy(b->data, row.data, row.size);
	*copy = slice_of(b->data, row.size);
	return b;
}

err_t options_parse(struct slice s, bool *no_password, struct buf *unknown)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	struct slice raw;

	while (next_raw(&r, &f, &raw)) {
		if (is(&f, OPTIONS_NO_PASSWORD, PB_VARINT))
			*no_password = f.value != 0;
		else if (unknown)
			buf_put_slice(unknown, raw);
	}
	return r.failed ? ERR_MALFORMED : OK;
}

err_t auth_options_no_password(struct slice options, bool *out)
{
	bool no_password = false;
	err_t err = options_parse(options, &no_password, NULL);

	if (!err)
		*out = no_password;
	return err;
}

static size_t count_fields(struct slice s, uint32_t number)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	size_t count = 0;

	while (pb_next(&r, &f))
		count += is(&f, number, PB_BYTES);
	return count;
}

static err_t user_read(struct auth_user *u, struct slice row, struct buf *unknown, struct buf *options_unknown)
{
	struct pb_reader r = pb_reader_of(row);
	struct slice *roles = NEW_ARRAY(struct slice, count_fields(row, USER_ROLES));
	struct pb_field f;
	struct slice raw;
	err_t err = OK;

	u->f.roles = roles;
	while (!err && next_raw(&r, &f, &raw)) {
		if (is(&f, USER_NAME, PB_BYTES)) {
			u->f.name = f.bytes;
		} else if (is(&f, USER_PASSWORD, PB_BYTES)) {
			u->f.password = f.bytes;
		} else if (is(&f, USER_ROLES, PB_BYTES)) {
			roles[u->f.role_count++] = f.bytes;
		} else if (is(&f, USER_OPTIONS, PB_BYTES)) {
			u->f.has_options = true;
			err = options_parse(f.bytes, &u->f.no_password, options_unknown);
		} else {
			buf_put_slice(unknown, raw);
		}
	}
	return err || r.failed ? ERR_CORRUPT_FILE : OK;
}

/* Go's sort.SearchStrings on the roles, which are kept sorted. */
static bool holds_root(const struct user_fields *f)
{
	size_t low = 0, high = f->role_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(f->roles[mid], AUTH_ROOT) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->role_count && slice_eq(f->roles[low], AUTH_ROOT);
}

err_t user_new(struct slice row, struct auth_user **out)
{
	struct auth_user *u = NEW(struct auth_user);
	struct buf unknown, options_unknown;
	struct slice copy;
	size_t used = row.size;
	err_t err;

	u->refs = 1;
	u->row = row_blob(row, &copy);
	buf_init(&unknown, AUTH_ROW_MAX);
	buf_init(&options_unknown, AUTH_ROW_MAX);
	err = user_read(u, copy, &unknown, &options_unknown);
	if (!err) {
		u->f.unknown = keep(u->row, &used, &unknown);
		u->f.options_unknown = keep(u->row, &used, &options_unknown);
		u->is_root = holds_root(&u->f);
		*out = u;
	} else {
		user_unref(u);
	}
	buf_fini(&unknown);
	buf_fini(&options_unknown);
	return err;
}

void user_unref(struct auth_user *u)
{
	if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) != 1)
		return;
	ranges_fini(&u->ranges[AUTH_READ]);
	ranges_fini(&u->ranges[AUTH_WRITE]);
	mem_free((void *)u->f.roles);
	blob_unref(u->row);
	mem_free(u);
}

void user_encode(const struct user_fields *f, struct buf *out)
{
	size_t mark;

	pb_put_bytes(out, USER_NAME, f->name);
	pb_put_bytes(out, USER_PASSWORD, f->password);
	for (size_t i = 0; i < f->role_count; i++)
		pb_put_bytes_always(out, USER_ROLES, f->roles[i]);
	if (f->has_options) {
		mark = pb_begin(out, USER_OPTIONS);
		pb_put_uint(out, OPTIONS_NO_PASSWORD, f->no_password);
		buf_put_slice(out, f->options_unknown);
		pb_end(out, mark);
	}
	buf_put_slice(out, f->unknown);
}

static err_t permission_read(struct slice s, struct role_permission *p, struct blob *row, size_t *used)
{
	struct pb_reader r = pb_reader_of(s);
	struct buf unknown;
	struct pb_field f;
	struct slice raw;

	buf_init(&unknown, AUTH_ROW_MAX);
	while (next_raw(&r, &f, &raw)) {
		if (is(&f, PERMISSION_TYPE, PB_VARINT))
			p->perm.type = (int32_t)f.value;
		else if (is(&f, PERMISSION_KEY, PB_BYTES))
			p->perm.key = f.bytes;
		else if (is(&f, PERMISSION_END, PB_BYTES))
			p->perm.range_end = f.bytes;
		else
			buf_put_slice(&unknown, raw);
	}
	if (!r.failed)
		p->unknown = keep(row, used, &unknown);
	buf_fini(&unknown);
	return r.failed ? ERR_CORRUPT_FILE : OK;
}

static err_t role_read(struct auth_role *role, struct slice row, struct buf *unknown, size_t *used)
{
	struct pb_reader r = pb_reader_of(row);
	struct pb_field f;
	struct slice raw;
	err_t err = OK;

	role->perms = NEW_ARRAY(struct role_permission, count_fields(row, ROLE_PERMISSION));
	while (!err && next_raw(&r, &f, &raw)) {
		if (is(&f, ROLE_NAME, PB_BYTES))
			role->name = f.bytes;
		else if (is(&f, ROLE_PERMISSION, PB_BYTES))
			err = permission_read(f.bytes, &role->perms[role->perm_count++], role->row, used);
		else
			buf_put_slice(unknown, raw);
	}
	return err || r.failed ? ERR_CORRUPT_FILE : OK;
}

err_t role_new(struct slice row, struct auth_role **out)
{
	struct auth_role *role = NEW(struct auth_role);
	struct buf unknown;
	struct slice copy;
	size_t used = row.size;
	err_t err;

	role->row = row_blob(row, &copy);
	buf_init(&unknown, AUTH_ROW_MAX);
	err = role_read(role, copy, &unknown, &used);
	if (!err) {
		role->unknown = keep(role->row, &used, &unknown);
		*out = role;
	} else {
		role_free(role);
	}
	buf_fini(&unknown);
	return err;
}

void role_free(struct auth_role *r)
{
	if (!r)
		return;
	mem_free(r->perms);
	blob_unref(r->row);
	mem_free(r);
}

void permission_encode(const struct role_permission *p, uint32_t number, struct buf *out)
{
	size_t mark = pb_begin(out, number);

	pb_put_uint(out, PERMISSION_TYPE, (uint64_t)(int64_t)p->perm.type);
	pb_put_bytes(out, PERMISSION_KEY, p->perm.key);
	pb_put_bytes(out, PERMISSION_END, p->perm.range_end);
	buf_put_slice(out, p->unknown);
	pb_end(out, mark);
}

void role_encode(struct slice name, const struct role_permission *perms, size_t count, struct slice unknown, struct buf *out)
{
	pb_put_bytes(out, ROLE_NAME, name);
	for (size_t i = 0; i < count; i++)
		permission_encode(&perms[i], ROLE_PERMISSION, out);
	buf_put_slice(out, unknown);
}
