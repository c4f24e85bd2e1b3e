/* The bytes of a bbolt file. All integers little endian and unaligned; page n starts at n x page size. Private to bolt.
 *
 *   page, 16 bytes           meta, 64 bytes behind it        branch element   leaf element     bucket value
 *   0  u64 id                0  u32 magic                    0 u32 pos        0  u32 flags     0 u64 root page
 *   8  u16 flags: one bit    4  u32 version                  4 u32 ksize      4  u32 pos       8 u64 sequence
 *   10 u16 count             8  u32 page size                8 u64 page       8  u32 ksize     then, if root is 0,
 *   12 u32 overflow:         12 u32 flags                                     12 u32 vsize     a leaf page image
 *      pages that follow     16 u64 root, 24 u64 sequence    pos counts from the start of the element; elements
 *      without a header      32 u64 freelist                 directly behind the page header, then keys and values
 *                            40 u64 high water mark
 *                            48 u64 txid, 56 u64 FNV-1a of 0..55
 */
#ifndef BOLT_FORMAT_H
#define BOLT_FORMAT_H

#include "base/endian.h"
#include "base/mem.h"
#include "base/slice.h"

enum {
	PAGE_HEADER_SIZE = 16,
	PAGE_ELEMENT_SIZE = 16,
	PAGE_COUNT_MAX = 0xfffe, /* 0xffff has a meaning in free lists */
	PAGE_BRANCH = 1,
	PAGE_LEAF = 2,
	PAGE_META = 4,
	PAGE_FREELIST = 0x10,
	META_SIZE = 64,
	META_VERSION = 2,
	BUCKET_HEADER_SIZE = 16,
	ELEMENT_BUCKET = 1,
};

#define META_MAGIC 0xED0CDAEDu
#define FREELIST_NONE UINT64_MAX

struct meta {
	uint32_t page_size;
	uint64_t root;
	uint64_t sequence;
	uint64_t freelist;
	uint64_t high_water;
	uint64_t txid;
};

/* A branch or leaf page with the bounds that its elements must keep. extent: its bytes, overflow pages included. */
struct page {
	const uint8_t *at;
	uint64_t extent;
	uint32_t count;
	bool leaf;
};

struct element {
	struct slice key;
	struct slice value; /* leaf */
	uint32_t flags;     /* leaf */
	uint64_t page;      /* branch */
};

/* False: outside the page, or an impossible size. */
static inline bool page_key(const struct page *p, uint32_t i, struct slice *key)
{
	uint64_t offset = PAGE_HEADER_SIZE + (uint64_t)i * PAGE_ELEMENT_SIZE;
	const uint8_t *e = p->at + offset + (p->leaf ? 4 : 0);
	uint32_t ksize = le32_get(e + 4);

	offset += le32_get(e);
	if (UNLIKELY(offset + ksize > p->extent))
		return false;
	*key = slice_of(p->at + offset, ksize);
	return true;
}

static inline bool page_element(const struct page *p, uint32_t i, struct element *out)
{
	const uint8_t *e = p->at + PAGE_HEADER_SIZE + (uint64_t)i * PAGE_ELEMENT_SIZE;
	uint32_t vsize = p->leaf ? le32_get(e + 12) : 0;

	if (UNLIKELY(!page_key(p, i, &out->key)) ||
	    UNLIKELY((uint64_t)(out->key.data - p->at) + out->key.size + vsize > p->extent))
		return false;
	out->value = slice_of(out->key.data + out->key.size, vsize);
	out->flags = p->leaf ? le32_get(e) : 0;
	out->page = p->leaf ? 0 : le64_get(e + 8);
	return true;
}

static inline uint64_t page_child(const struct page *p, uint32_t i)
{
	return le64_get(p->at + PAGE_HEADER_SIZE + (uint64_t)i * PAGE_ELEMENT_SIZE + 8);
}

static inline void page_header_put(uint8_t *at, uint64_t id, uint16_t flags, uint16_t count, uint32_t overflow)
{
	le64_put(at, id);
	le16_put(at + 8, flags);
	le16_put(at + 10, count);
	le32_put(at + 12, overflow);
}

/* at: PAGE_HEADER_SIZE + META_SIZE readable bytes of page 0 or 1. */
bool meta_parse(const uint8_t *at, struct meta *out);
/* Fills page_size bytes: the whole page id. */
void meta_write(const struct meta *m, uint64_t id, uint8_t *at);

#endif
