#include "base/crc.h"
#include "bolt/bolt.h"
#include "bolt/format.h"

static bool page_size_valid(uint32_t size)
{
	return size >= BOLT_PAGE_SIZE_MIN && size <= BOLT_PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

bool meta_parse(const uint8_t *at, struct meta *out)
{
	const uint8_t *m = at + PAGE_HEADER_SIZE;

	if (le32_get(m) != META_MAGIC || le32_get(m + 4) != META_VERSION || le64_get(m + 56) != fnv64a(m, 56) ||
	    !page_size_valid(le32_get(m + 8)))
		return false;
	*out = (struct meta){
	    .page_size = le32_get(m + 8),
	    .root = le64_get(m + 16),
	    .sequence = le64_get(m + 24),
	    .freelist = le64_get(m + 32),
	    .high_water = le64_get(m + 40),
	    .txid = le64_get(m + 48),
	};
	return true;
}

void meta_write(const struct meta *meta, uint64_t id, uint8_t *at)
{
	uint8_t *m = at + PAGE_HEADER_SIZE;

	memset(at, 0, meta->page_size);
	page_header_put(at, id, PAGE_META, 0, 0);
	le32_put(m, META_MAGIC);
	le32_put(m + 4, META_VERSION);
	le32_put(m + 8, meta->page_size);
	le64_put(m + 16, meta->root);
	le64_put(m + 24, meta->sequence);
	le64_put(m + 32, meta->freelist);
	le64_put(m + 40, meta->high_water);
	le64_put(m + 48, meta->txid);
	le64_put(m + 56, fnv64a(m, 56));
}
