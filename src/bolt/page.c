/* Pages as they come from the file: hostile until checked. */
#include "bolt/impl.h"

err_t bolt_damage(struct bolt *db, uint64_t page, const char *fmt, ...)
{
	char reason[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	pthread_mutex_lock(&db->lock);
	if (!atomic_load(&db->damaged)) {
		(void)why_set(&db->damage, ERR_CORRUPT_FILE, "%s: page %llu: %s", db->path, (unsigned long long)page,
			      reason);
		atomic_store(&db->damaged, true);
	}
	pthread_mutex_unlock(&db->lock);
	return ERR_CORRUPT_FILE;
}

bool bolt_why(struct bolt *db, struct why *out)
{
	bool damaged;

	pthread_mutex_lock(&db->lock);
	damaged = atomic_load(&db->damaged);
	if (damaged)
		*out = db->damage;
	pthread_mutex_unlock(&db->lock);
	return damaged;
}

err_t page_load_at(struct bolt *db, uint64_t high_water, uint64_t id, const uint8_t *at, struct page *out)
{
	uint16_t flags;
	uint32_t overflow;
	struct page p;

	if (UNLIKELY(id < 2 || id >= high_water))
		return bolt_damage(db, id, "a reference to it, but pages end at %llu", (unsigned long long)high_water);
	flags = le16_get(at + 8);
	overflow = le32_get(at + 12);
	p = (struct page){at, ((uint64_t)overflow + 1) * db->page_size, le16_get(at + 10), flags == PAGE_LEAF};
	if (UNLIKELY(flags != PAGE_LEAF && flags != PAGE_BRANCH))
		return bolt_damage(db, id, "kind 0x%x is neither branch nor leaf", flags);
	if (UNLIKELY(le64_get(at) != id))
		return bolt_damage(db, id, "it says that it is page %llu", (unsigned long long)le64_get(at));
	if (UNLIKELY(overflow >= high_water - id))
		return bolt_damage(db, id, "%u overflow pages, but pages end at %llu", overflow,
				   (unsigned long long)high_water);
	if (UNLIKELY(PAGE_HEADER_SIZE + (uint64_t)p.count * PAGE_ELEMENT_SIZE > p.extent))
		return bolt_damage(db, id, "%u elements do not fit", p.count);
	if (UNLIKELY(!p.leaf && p.count == 0))
		return bolt_damage(db, id, "a branch without elements");
	*out = p;
	return OK;
}

err_t page_load(struct bolt *db, uint64_t high_water, uint64_t id, struct page *out)
{
	return page_load_at(db, high_water, id, db->map + id * db->page_size, out);
}

err_t page_load_inline(struct bolt *db, struct slice image, struct page *out)
{
	struct page p;

	if (UNLIKELY(image.size < PAGE_HEADER_SIZE))
		return bolt_damage(db, 0, "an inline bucket of %zu bytes", image.size);
	p = (struct page){image.data, image.size, le16_get(image.data + 10), true};
	if (UNLIKELY(le16_get(image.data + 8) != PAGE_LEAF))
		return bolt_damage(db, 0, "an inline bucket of kind 0x%x is no leaf", le16_get(image.data + 8));
	if (UNLIKELY(PAGE_HEADER_SIZE + (uint64_t)p.count * PAGE_ELEMENT_SIZE > p.extent))
		return bolt_damage(db, 0, "%u elements do not fit in an inline bucket of %zu bytes", p.count,
				   image.size);
	*out = p;
	return OK;
}

err_t bucket_value_parse(struct bolt *db, struct slice value, struct bolt_root *out)
{
	if (UNLIKELY(value.size < BUCKET_HEADER_SIZE))
		return bolt_damage(db, 0, "a bucket header of %zu bytes", value.size);
	*out = (struct bolt_root){
	    .page = le64_get(value.data),
	    .sequence = le64_get(value.data + 8),
	};
	if (out->page == 0)
		out->inline_page = slice_of(value.data + BUCKET_HEADER_SIZE, value.size - BUCKET_HEADER_SIZE);
	return OK;
}

err_t root_load(struct bolt *db, uint64_t high_water, const struct bolt_root *root, struct page *out)
{
	if (root->page == 0)
		return page_load_inline(db, root->inline_page, out);
	return page_load(db, high_water, root->page, out);
}

err_t tree_height(struct bolt *db, uint64_t high_water, uint64_t page, uint32_t *out)
{
	struct page p;

	for (uint32_t height = 1; height <= BOLT_DEPTH_MAX; height++) {
		err_t err = page_load(db, high_water, page, &p);

		if (err)
			return err;
		if (p.leaf) {
			*out = height;
			return OK;
		}
		page = page_child(&p, 0);
	}
	return bolt_damage(db, page, "more than %d levels of pages", BOLT_DEPTH_MAX);
}

err_t page_check(struct bolt *db, uint64_t id, const struct page *p)
{
	struct element e, before = {0};

	for (uint32_t i = 0; i < p->count; i++) {
		if (!page_element(p, i, &e))
			return bolt_damage(db, id, "element %u reaches beyond the page", i);
		if (e.key.size > BOLT_KEY_SIZE_MAX || (p->leaf && e.key.size == 0))
			return bolt_damage(db, id, "element %u has a key of %zu bytes", i, e.key.size);
		if (p->leaf && e.flags != 0 && e.flags != ELEMENT_BUCKET)
			return bolt_damage(db, id, "element %u is of unknown kind 0x%x", i, e.flags);
		if (i > 0 && slice_cmp(before.key, e.key) >= 0)
			return bolt_damage(db, id, "keys %u and %u are not in order", i - 1, i);
		before = e;
	}
	return OK;
}

err_t page_search(struct bolt *db, const struct page *p, struct slice key, uint32_t *index, bool *exact)
{
	uint32_t lo = 0, hi = p->count;
	struct slice k;

	*exact = false;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		int c;

		if (UNLIKELY(!page_key(p, mid, &k)))
			return bolt_damage(db, le64_get(p->at), "element %u reaches beyond the page", mid);
		c = slice_cmp(k, key);
		if (c == 0) {
			*index = mid;
			*exact = true;
			return OK;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*index = p->leaf || lo == 0 ? lo : lo - 1;
	return OK;
}
