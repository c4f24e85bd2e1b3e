/* The set of raised alarms as a sorted array: a handful of entries at most, read at every apply.
 *
 * Row of bucket alarm: key = encoded etcdserverpb.AlarmMember {memberID 1, alarm 2}, value empty. */
#include "alarm/alarm.h"

#include "pb/wire.h"

enum { FIELD_MEMBER = 1, FIELD_TYPE = 2, ROW_SIZE_MAX = 2 * (1 + 10) };

void alarms_init(struct alarms *a, const struct store *store)
{
	*a = (struct alarms){.store = store};
}

void alarms_fini(struct alarms *a)
{
	VEC_FREE(&a->list);
}

void alarms_clear(struct alarms *a)
{
	a->list.count = 0;
}

static int alarm_cmp(const struct alarm *a, const struct alarm *b)
{
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	return (a->member > b->member) - (a->member < b->member);
}

/* Position of the first that is not below al. */
static size_t lower_bound(const struct alarms *a, const struct alarm *al)
{
	size_t low = 0, high = a->list.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (alarm_cmp(&a->list.at[mid], al) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_at(const struct alarms *a, size_t at, const struct alarm *al)
{
	return at < a->list.count && alarm_cmp(&a->list.at[at], al) == 0;
}

static void insert_at(struct alarms *a, size_t at, struct alarm al)
{
	VEC_RESERVE(&a->list, a->list.count + 1);
	memmove(&a->list.at[at + 1], &a->list.at[at], (a->list.count - at) * sizeof(al));
	a->list.at[at] = al;
	a->list.count++;
}

/* Enums are sign-extended on the wire. */
static uint64_t type_wire(int32_t type)
{
	return (uint64_t)(int64_t)type;
}

static struct slice row_key(const struct alarm *al, uint8_t out[ROW_SIZE_MAX])
{
	uint8_t *at = out;

	if (al->member) {
		*at++ = FIELD_MEMBER << 3 | PB_VARINT;
		at = pb_varint_write(at, al->member);
	}
	if (al->type) {
		*at++ = FIELD_TYPE << 3 | PB_VARINT;
		at = pb_varint_write(at, type_wire(al->type));
	}
	return slice_of(out, (size_t)(at - out));
}

err_t alarms_load(struct alarms *a, struct slice key)
{
	struct pb_reader r = pb_reader_of(key);
	struct pb_field f;
	struct alarm al = {0};

	while (pb_next(&r, &f)) {
		if (f.number == FIELD_MEMBER && f.wire == PB_VARINT)
			al.member = f.value;
		else if (f.number == FIELD_TYPE && f.wire == PB_VARINT)
			al.type = (int32_t)f.value;
	}
	if (r.failed)
		return ERR_CORRUPT_FILE;

	size_t at = lower_bound(a, &al);

	if (!is_at(a, at, &al))
		insert_at(a, at, al);
	return OK;
}

bool alarm_activate(struct alarms *a, uint64_t member, int32_t type, struct alarm *out)
{
	struct alarm al = {.member = member, .type = type};
	uint8_t key[ROW_SIZE_MAX];

	if (type == ALARM_NONE)
		return false;

	size_t at = lower_bound(a, &al);

	if (!is_at(a, at, &al)) {
		insert_at(a, at, al);
		store_put(a->store, BUCKET_ALARM, row_key(&al, key), (struct slice){0});
	}
	*out = al;
	return true;
}

bool alarm_deactivate(struct alarms *a, uint64_t member, int32_t type, struct alarm *out)
{
	struct alarm al = {.member = member, .type = type};
	uint8_t key[ROW_SIZE_MAX];
	size_t at = lower_bound(a, &al);

	if (!is_at(a, at, &al))
		return false;
	a->list.count--;
	memmove(&a->list.at[at], &a->list.at[at + 1], (a->list.count - at) * sizeof(al));
	store_delete(a->store, BUCKET_ALARM, row_key(&al, key));
	*out = al;
	return true;
}

bool alarm_present(const struct alarms *a, int32_t type)
{
	size_t at = lower_bound(a, &(struct alarm){.member = 0, .type = type});

	return at < a->list.count && a->list.at[at].type == type;
}

bool alarms_full(const struct alarms *a)
{
	return a->list.count >= ALARMS_MAX;
}

void alarm_encode(const struct alarm *al, uint32_t number, struct buf *out)
{
	uint8_t body[ROW_SIZE_MAX];

	pb_put_bytes_always(out, number, row_key(al, body));
}

void alarms_encode(const struct alarms *a, int32_t type, uint32_t number, struct buf *out)
{
	for (size_t i = 0; i < a->list.count; i++)
		if (type == ALARM_NONE || a->list.at[i].type == type)
			alarm_encode(&a->list.at[i], number, out);
}
