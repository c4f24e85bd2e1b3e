#include "pb/kv.h"

#include "pb/wire_inl.h"

/* All six numbers are below 16: a tag is one byte. */
enum { KV_KEY = 1, KV_CREATE = 2, KV_MOD = 3, KV_VERSION = 4, KV_VALUE = 5, KV_LEASE = 6 };

static inline size_t number_size(int64_t v)
{
	return v ? 1 + varint_size((uint64_t)v) : 0;
}

static inline size_t string_size(struct slice s)
{
	return s.size ? 1 + varint_size(s.size) + s.size : 0;
}

size_t kv_size(const struct kv *kv)
{
	return string_size(kv->key) + number_size(kv->create_rev) + number_size(kv->mod_rev) +
	       number_size(kv->version) + string_size(kv->value) + number_size(kv->lease);
}

static inline uint8_t *number_write(uint8_t *out, uint32_t number, int64_t v)
{
	return v ? uint_field_write(out, number, (uint64_t)v) : out;
}

static inline uint8_t *string_write(uint8_t *out, uint32_t number, struct slice s)
{
	return s.size ? bytes_field_write(out, number, s) : out;
}

uint8_t *kv_write(const struct kv *kv, uint8_t *out)
{
	out = string_write(out, KV_KEY, kv->key);
	out = number_write(out, KV_CREATE, kv->create_rev);
	out = number_write(out, KV_MOD, kv->mod_rev);
	out = number_write(out, KV_VERSION, kv->version);
	out = string_write(out, KV_VALUE, kv->value);
	return number_write(out, KV_LEASE, kv->lease);
}

void kv_encode(const struct kv *kv, struct buf *out)
{
	uint8_t *at = buf_add(out, kv_size(kv));

	if (at)
		kv_write(kv, at);
}

err_t kv_decode(struct slice s, struct kv *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	struct kv kv = {0};

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(KV_KEY, PB_BYTES): kv.key = f.bytes; break;
		case FIELD_KEY(KV_CREATE, PB_VARINT): kv.create_rev = (int64_t)f.value; break;
		case FIELD_KEY(KV_MOD, PB_VARINT): kv.mod_rev = (int64_t)f.value; break;
		case FIELD_KEY(KV_VERSION, PB_VARINT): kv.version = (int64_t)f.value; break;
		case FIELD_KEY(KV_VALUE, PB_BYTES): kv.value = f.bytes; break;
		case FIELD_KEY(KV_LEASE, PB_VARINT): kv.lease = (int64_t)f.value; break;
		}
	}
	if (r.failed)
		return ERR_MALFORMED;
	*out = kv;
	return OK;
}

void event_encode(enum event_type type, struct slice kv, struct slice prev_kv, struct buf *out)
{
	size_t size = (type ? 2 : 0) + bytes_field_size(2, kv.size) +
		      (prev_kv.size ? bytes_field_size(3, prev_kv.size) : 0);
	uint8_t *at = buf_add(out, size);

	if (!at)
		return;
	at = number_write(at, 1, type);
	at = bytes_field_write(at, 2, kv);
	string_write(at, 3, prev_kv);
}
