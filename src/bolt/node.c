/* Pages as lists of items, while a transaction changes them. A node never outgrows its page by more than the insertion
 * that is just being made: it is split at once, so that a commit only has to give out page numbers and write. */
#include "bolt/impl.h"

struct bolt_node *node_new(struct bolt_tx *tx, bool leaf)
{
	struct bolt_node *n = NEW(struct bolt_node);

	n->leaf = leaf;
	n->size = PAGE_HEADER_SIZE;
	n->next = tx->nodes;
	tx->nodes = n;
	return n;
}

err_t node_load(struct bolt_tx *tx, uint64_t id, const struct page *p, struct bolt_node **out)
{
	struct bolt_node *n;
	struct element e;
	err_t err = page_check(tx->db, id, p);

	if (err)
		return err;
	n = node_new(tx, p->leaf);
	n->page = id;
	n->page_count = id ? (uint32_t)(p->extent / tx->db->page_size) : 0;
	VEC_RESERVE(&n->items, p->count + 1u);
	for (uint32_t i = 0; i < p->count; i++) {
		struct item it = {0};

		ASSERT(page_element(p, i, &e));
		it.key = e.key.data;
		it.ksize = (uint32_t)e.key.size;
		if (p->leaf) {
			it.value = e.value.data;
			it.vsize = (uint32_t)e.value.size;
			it.flags = e.flags;
		} else {
			it.page = e.page;
		}
		n->items.at[n->items.count++] = it;
		n->size += item_size(n, &it);
	}
	*out = n;
	return OK;
}

err_t node_child(struct bolt_tx *tx, struct bolt_node *n, uint32_t index, struct bolt_node **out)
{
	struct item *it = &n->items.at[index];
	struct page p;
	err_t err = OK;

	ASSERT(!n->leaf && index < n->items.count);
	if (!it->child) {
		err = page_load(tx->db, tx->high_water_before, it->page, &p);
		if (!err)
			err = node_load(tx, it->page, &p, &it->child);
	}
	if (!err)
		*out = it->child;
	return err;
}

uint32_t node_search(const struct bolt_node *n, struct slice key, bool *exact)
{
	uint32_t lo = 0, hi = (uint32_t)n->items.count;

	*exact = false;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		int c = slice_cmp(item_key(&n->items.at[mid]), key);

		if (c == 0) {
			*exact = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return n->leaf || lo == 0 ? lo : lo - 1;
}

void node_insert(struct bolt_node *n, uint32_t index, struct item it)
{
	ASSERT(index <= n->items.count);
	VEC_RESERVE(&n->items, n->items.count + 1);
	memmove(n->items.at + index + 1, n->items.at + index, (n->items.count - index) * sizeof(it));
	n->items.at[index] = it;
	n->items.count++;
	n->size += item_size(n, &it);
	n->dirty = true;
}

void node_remove(struct bolt_node *n, uint32_t index)
{
	ASSERT(index < n->items.count);
	n->size -= item_size(n, &n->items.at[index]);
	n->items.count--;
	memmove(n->items.at + index, n->items.at + index + 1, (n->items.count - index) * sizeof(*n->items.at));
	n->dirty = true;
}

void node_append_all(struct bolt_node *to, struct bolt_node *from)
{
	ASSERT(to->leaf == from->leaf);
	VEC_RESERVE(&to->items, to->items.count + from->items.count);
	if (from->items.count)
		memcpy(to->items.at + to->items.count, from->items.at, from->items.count * sizeof(*from->items.at));
	to->items.count += from->items.count;
	to->size += from->size - PAGE_HEADER_SIZE;
	to->dirty = true;
	from->items.count = 0;
	from->size = PAGE_HEADER_SIZE;
}

/* Each part of a divided branch needs two children: bbolt asserts that. */
static uint32_t part_min(const struct bolt_node *n)
{
	return n->leaf ? 1 : 2;
}

bool node_too_big(const struct bolt_tx *tx, const struct bolt_node *n)
{
	return (n->size > tx->db->page_size && n->items.count >= 2 * part_min(n)) || n->items.count > PAGE_COUNT_MAX;
}

/* Where to divide: what was appended goes alone, since the next one will be behind it and the page it left stays as
 * full as it was; else half of the bytes each. */
static uint32_t divide_at(const struct bolt_node *n, bool appended)
{
	uint32_t min = part_min(n), count = (uint32_t)n->items.count, at = 0;
	uint64_t size = PAGE_HEADER_SIZE;

	if (appended)
		return count - min;
	while (at < count) {
		size += item_size(n, &n->items.at[at]);
		if (size > n->size / 2)
			break;
		at++;
	}
	return MIN(MAX(at, min), count - min);
}

static struct bolt_node *divide(struct bolt_tx *tx, struct bolt_node *n, bool appended)
{
	uint32_t at = divide_at(n, appended);
	struct bolt_node *right = node_new(tx, n->leaf);

	VEC_RESERVE(&right->items, n->items.count - at + 8);
	for (uint32_t i = at; i < n->items.count; i++)
		right->size += item_size(n, &n->items.at[i]);
	right->items.count = n->items.count - at;
	memcpy(right->items.at, n->items.at + at, right->items.count * sizeof(*right->items.at));
	n->items.count = at;
	n->size -= right->size - PAGE_HEADER_SIZE;
	n->dirty = right->dirty = true;
	return right;
}

void node_split_child(struct bolt_tx *tx, struct bolt_node *parent, uint32_t index, bool appended)
{
	uint32_t end = index + 1;

	while (index < end) {
		struct bolt_node *n = parent->items.at[index].child, *right;

		if (!node_too_big(tx, n)) {
			index++;
			continue;
		}
		right = divide(tx, n, appended);
		appended = false;
		node_insert(
		    parent, index + 1,
		    (struct item){.key = right->items.at[0].key, .ksize = right->items.at[0].ksize, .child = right});
		end++;
	}
}

void node_free_pages(struct bolt_tx *tx, struct bolt_node *n)
{
	if (n->page)
		VEC_PUSH(&tx->freed, ((struct run){n->page, n->page_count}));
	n->page = 0;
	n->page_count = 0;
}

void node_write(const struct bolt_node *n, uint64_t id, uint32_t page_count, uint8_t *image, uint64_t image_size)
{
	uint8_t *e = image + PAGE_HEADER_SIZE, *data = e + n->items.count * PAGE_ELEMENT_SIZE;

	ASSERT(n->size <= image_size);
	ASSERT(n->items.count <= PAGE_COUNT_MAX);
	page_header_put(image, id, n->leaf ? PAGE_LEAF : PAGE_BRANCH, (uint16_t)n->items.count, page_count - 1);
	for (size_t i = 0; i < n->items.count; i++, e += PAGE_ELEMENT_SIZE) {
		const struct item *it = &n->items.at[i];

		if (n->leaf) {
			le32_put(e, it->flags);
			le32_put(e + 4, (uint32_t)(data - e));
			le32_put(e + 8, it->ksize);
			le32_put(e + 12, it->vsize);
		} else {
			le32_put(e, (uint32_t)(data - e));
			le32_put(e + 4, it->ksize);
			le64_put(e + 8, it->page);
		}
		memcpy(data, it->key, it->ksize);
		data += it->ksize;
		if (n->leaf && it->vsize) {
			memcpy(data, it->value, it->vsize);
			data += it->vsize;
		}
	}
	ASSERT((uint64_t)(data - image) == n->size);
	memset(data, 0, image_size - n->size);
}
