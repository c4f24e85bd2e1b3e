/* A struct store for tests: rows in a list, last write wins; counts writes. */
#ifndef TESTS_LIB_STORE_MAP_H
#define TESTS_LIB_STORE_MAP_H

#include "backend/store.h"
#include "base/buf.h"

struct store_map_row {
	enum backend_bucket bucket;
	struct buf key;
	struct buf value;
};

struct store_map {
	struct store store;
	VEC(struct store_map_row) rows;
	size_t writes;
};

static inline struct store_map_row *store_map_find(struct store_map *m, enum backend_bucket b, struct slice key)
{
	for (size_t i = 0; i < m->rows.count; i++)
		if (m->rows.at[i].bucket == b && slice_eq(buf_slice(&m->rows.at[i].key), key))
			return &m->rows.at[i];
	return NULL;
}

static inline void store_map_put(void *arg, enum backend_bucket b, struct slice key, struct slice value)
{
	struct store_map *m = arg;
	struct store_map_row *row = store_map_find(m, b, key);

	m->writes++;
	if (!row) {
		VEC_PUSH(&m->rows, (struct store_map_row){.bucket = b});
		row = &m->rows.at[m->rows.count - 1];
		buf_init(&row->key, 1 << 20);
		buf_init(&row->value, 1 << 24);
		buf_put_slice(&row->key, key);
	}
	buf_clear(&row->value);
	buf_put_slice(&row->value, value);
}

static inline void store_map_delete(void *arg, enum backend_bucket b, struct slice key)
{
	struct store_map *m = arg;
	struct store_map_row *row = store_map_find(m, b, key);

	m->writes++;
	if (!row)
		return;
	buf_fini(&row->key);
	buf_fini(&row->value);
	*row = m->rows.at[--m->rows.count];
}

static inline void store_map_init(struct store_map *m)
{
	*m = (struct store_map){.store = {m, store_map_put, store_map_delete}};
}

static inline void store_map_fini(struct store_map *m)
{
	for (size_t i = 0; i < m->rows.count; i++) {
		buf_fini(&m->rows.at[i].key);
		buf_fini(&m->rows.at[i].value);
	}
	VEC_FREE(&m->rows);
}

/* The value as text, "" for an empty one; NULL if there is no such row. Valid until the next call with the same buffer.
 */
static inline const char *store_map_text(struct store_map *m, enum backend_bucket b, struct slice key)
{
	struct store_map_row *row = store_map_find(m, b, key);

	if (!row)
		return NULL;
	buf_put_byte(&row->value, 0);
	row->value.size--;
	return (const char *)row->value.data;
}

#endif
