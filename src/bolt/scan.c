/* Reads every page that a meta reaches, once, and checks it.
 *
 * A tree's branch pages (about one in a hundred) come first, through the mapping, and leave a list of leaves with the
 * keys that bound each. The leaves are then read in the order of the file, in steps of 1 MiB, whatever bucket they
 * belong to; buckets found in them make the next round. How deep a tree is its first path says; a page that turns out
 * to be of another kind than that is taken as it is. A long list is read in two halves, beside each other if rows
 * are to be shown so.
 *
 * Checked: kinds, bounds and order within pages (page_check), keys of a page between the branch keys that lead to it,
 * every page reached once. So there are no cycles, and later readers need not look for them. */
#include "bolt/impl.h"

enum { NO_ROWS = UINT32_MAX, HALVES_FROM_LEAVES = 8 };

/* One bucket with pages of its own, or the top. */
struct tree {
	uint64_t page;
	uint32_t rows;   /* index of rows->names, or NO_ROWS */
	uint32_t level;  /* 0: the top */
	uint32_t height; /* levels of its first path */
};

/* A page to visit; keys in it are >= low and < high. No high: high.data is NULL. */
struct visit {
	struct slice low;
	struct slice high;
	uint32_t page;
	uint32_t tree;
	uint32_t depth;
};

/* The half that reads the back of the file is a copy with its own results: found and all below it, reached too. */
struct scan {
	struct bolt *db;
	const struct meta *meta;
	const struct bolt_rows *rows;
	bool strict;
	VEC(struct tree) trees;
	VEC(struct visit) leaves; /* of this round */
	uint32_t *leaf_of;        /* page -> index in leaves + 1 */
	uint64_t *reached;
	VEC(struct tree) found; /* in this round */
	struct bolt_stats stats;
	bool subbuckets;
	void *row_arg;
	uint8_t *buffer;
	const uint8_t *step;      /* bytes [step_start, step_end) of the file: in the mapping, or in buffer */
	uint64_t step_start, step_end;
};

static err_t page_claim(struct scan *s, uint64_t id, const struct page *p)
{
	uint64_t count = p->extent / s->db->page_size;

	for (uint64_t i = id; i < id + count; i++) {
		if (bit_get(s->reached, i))
			return bolt_damage(s->db, i, "reached twice");
		bit_set(s->reached, i);
	}
	s->stats.overflow_pages += count - 1;
	return OK;
}

static err_t page_bounds(struct scan *s, const struct visit *v, const struct page *p)
{
	struct slice first, last;

	if (p->count == 0)
		return OK;
	ASSERT(page_key(p, 0, &first));
	ASSERT(page_key(p, p->count - 1, &last));
	if (slice_cmp(first, v->low) < 0)
		return bolt_damage(s->db, v->page, "its first key is below the one that leads to it");
	if (v->high.data && slice_cmp(last, v->high) >= 0)
		return bolt_damage(s->db, v->page, "its last key is not below that of the next page");
	return OK;
}

/* ---- leaves ---- */

static uint32_t rows_index(const struct scan *s, uint32_t level, struct slice name)
{
	for (size_t i = 0; level == 1 && s->rows && i < s->rows->name_count; i++)
		if (slice_eq(s->rows->names[i], name))
			return (uint32_t)i;
	return NO_ROWS;
}

static err_t inline_scan(struct scan *s, struct slice image, uint32_t rows)
{
	struct element e;
	struct page p;
	err_t err = page_load_inline(s->db, image, &p);

	if (!err)
		err = page_check(s->db, 0, &p);
	for (uint32_t i = 0; !err && i < p.count; i++) {
		ASSERT(page_element(&p, i, &e));
		if (e.flags & ELEMENT_BUCKET)
			return bolt_damage(s->db, 0, "a bucket in an inline bucket");
		s->stats.key_count++;
		if (rows != NO_ROWS)
			err = s->rows->row(s->row_arg, rows, e.key, e.value);
	}
	return err;
}

static err_t bucket_scan(struct scan *s, const struct tree *t, const struct element *e)
{
	uint32_t rows = rows_index(s, t->level + 1, e->key);
	struct bolt_root root;
	err_t err = bucket_value_parse(s->db, e->value, &root);

	if (err)
		return err;
	s->stats.bucket_count++;
	if (t->level > 0)
		s->subbuckets = true;
	if (root.page == 0) {
		s->stats.inline_bucket_count++;
		return inline_scan(s, root.inline_page, rows);
	}
	VEC_PUSH(&s->found, ((struct tree){.page = root.page, .rows = rows, .level = t->level + 1}));
	return OK;
}

static err_t leaf_scan(struct scan *s, const struct visit *v, const struct page *p)
{
	struct tree t = s->trees.at[v->tree];
	err_t err = page_claim(s, v->page, p);

	if (!err)
		err = page_check(s->db, v->page, p);
	if (!err)
		err = page_bounds(s, v, p);
	if (!err && s->strict && p->count == 0 && v->depth > 1)
		err = bolt_damage(s->db, v->page, "an empty leaf that is no root");
	s->stats.leaf_pages++;
	s->stats.depth = MAX(s->stats.depth, v->depth);
	for (uint32_t i = 0; !err && i < p->count; i++) {
		struct element e;

		ASSERT(page_element(p, i, &e));
		if (e.flags & ELEMENT_BUCKET) {
			err = bucket_scan(s, &t, &e);
			continue;
		}
		s->stats.key_count++;
		if (t.rows != NO_ROWS)
			err = s->rows->row(s->row_arg, t.rows, e.key, e.value);
	}
	return err;
}

/* ---- branches ---- */

static err_t page_visit(struct scan *s, const struct visit *v, uint32_t height);

static err_t branch_scan(struct scan *s, const struct visit *v, const struct page *p, uint32_t height)
{
	err_t err = page_claim(s, v->page, p);

	if (!err)
		err = page_check(s->db, v->page, p);
	if (!err)
		err = page_bounds(s, v, p);
	if (!err && s->strict && p->count < 2)
		err = bolt_damage(s->db, v->page, "a branch with one child");
	s->stats.branch_pages++;
	for (uint32_t i = 0; !err && i < p->count; i++) {
		uint64_t id = page_child(p, i);
		struct visit child = {.high = v->high, .page = (uint32_t)id, .tree = v->tree, .depth = v->depth + 1};

		ASSERT(page_key(p, i, &child.low));
		if (i + 1 < p->count)
			ASSERT(page_key(p, i + 1, &child.high));
		if (id < 2 || id >= s->meta->high_water)
			err = bolt_damage(s->db, v->page, "child %u is page %llu, but pages end at %llu", i,
					  (unsigned long long)id, (unsigned long long)s->meta->high_water);
		else if (child.depth > BOLT_DEPTH_MAX)
			err = bolt_damage(s->db, v->page, "more than %d levels of pages", BOLT_DEPTH_MAX);
		else
			err = page_visit(s, &child, height);
	}
	return err;
}

/* At the depth where leaves are expected a page only joins the list; elsewhere it is looked at now. */
static err_t page_visit(struct scan *s, const struct visit *v, uint32_t height)
{
	struct page p;
	err_t err;

	if (v->depth == height) {
		if (s->leaf_of[v->page])
			return bolt_damage(s->db, v->page, "reached twice");
		VEC_PUSH(&s->leaves, *v);
		s->leaf_of[v->page] = (uint32_t)s->leaves.count;
		return OK;
	}
	err = page_load(s->db, s->meta->high_water, v->page, &p);
	if (err)
		return err;
	return p.leaf ? leaf_scan(s, v, &p) : branch_scan(s, v, &p, height);
}

static err_t tree_scan(struct scan *s, uint32_t tree)
{
	struct visit root = {.page = (uint32_t)s->trees.at[tree].page, .tree = tree, .depth = 1};
	uint32_t height = 0;
	err_t err = tree_height(s->db, s->meta->high_water, s->trees.at[tree].page, &height);

	return err ? err : page_visit(s, &root, height);
}

/* ---- the file in steps ---- */

static void step_end(struct scan *s)
{
	if (s->step && s->step != s->buffer)
		vfs_map_out(s->db->file, s->step, s->step_end - s->step_start);
	s->step = NULL;
	s->step_end = s->step_start = 0;
}

static err_t step_read(struct scan *s, uint64_t start, uint64_t end)
{
	size_t got;
	err_t err = OK;

	step_end(s);
	if (vfs_map_in(s->db->file, s->db->map + start, end - start)) {
		s->step = s->db->map + start;
	} else {
		if (!s->buffer)
			s->buffer = mem_alloc(MAX(BOLT_STEP_BYTES, s->db->page_size));
		err = vfs_pread(s->db->file, start, s->buffer, end - start, &got);
		if (!err && got < end - start)
			err = bolt_damage(s->db, start / s->db->page_size, "the file ends in front of it");
		s->step = s->buffer;
	}
	if (!err) {
		s->step_start = start;
		s->step_end = end;
	}
	return err;
}

/* The bytes of a page from the step that has it, which is read if it is not there yet; from the mapping if a node
 * crosses the end of its step. */
static err_t step_page(struct scan *s, uint64_t id, struct page *out)
{
	uint64_t offset = id * s->db->page_size, size = MAX(BOLT_STEP_BYTES, s->db->page_size);
	uint64_t start = offset / size * size;
	const uint8_t *at;
	err_t err = OK;

	if (offset < s->step_start || offset >= s->step_end)
		err = step_read(s, start, MIN(start + size, s->meta->high_water * s->db->page_size));
	if (err)
		return err;
	at = s->step + (offset - s->step_start);
	err = page_load_at(s->db, s->meta->high_water, id, at, out);
	if (!err && offset + out->extent > s->step_end)
		err = page_load(s->db, s->meta->high_water, id, out);
	return err;
}

static err_t leaves_scan(struct scan *s, uint64_t from, uint64_t to)
{
	err_t err = OK;

	for (uint64_t id = from; !err && id < to; id++) {
		struct visit v;
		struct page p;

		if (!s->leaf_of[id])
			continue;
		v = s->leaves.at[s->leaf_of[id] - 1];
		s->leaf_of[id] = 0;
		err = step_page(s, id, &p);
		if (err)
			break;
		if (!p.leaf)
			err = page_visit(s, &v, 0); /* deeper here than on the first path; through the mapping */
		else
			err = leaf_scan(s, &v, &p);
	}
	return err;
}

/* ---- two halves ---- */

struct halves {
	struct scan *front;
	struct scan back;
	uint64_t middle;
	err_t front_err, back_err;
};

/* The page that has as many leaves in front of it as behind. */
static uint64_t leaves_middle(const struct scan *s)
{
	uint64_t id = 2;

	for (size_t before = 0; before < s->leaves.count / 2; id++)
		before += s->leaf_of[id] != 0;
	return id;
}

static void front_scan(void *work)
{
	struct halves *h = work;

	h->front_err = leaves_scan(h->front, 2, h->middle);
}

static void back_scan(void *work)
{
	struct halves *h = work;

	h->back_err = leaves_scan(&h->back, h->middle, h->back.meta->high_water);
}

static void stats_add(struct bolt_stats *s, const struct bolt_stats *more)
{
	s->branch_pages += more->branch_pages;
	s->leaf_pages += more->leaf_pages;
	s->overflow_pages += more->overflow_pages;
	s->key_count += more->key_count;
	s->bucket_count += more->bucket_count;
	s->inline_bucket_count += more->inline_bucket_count;
	s->depth = MAX(s->depth, more->depth);
}

/* Takes what the other half found; a page that both reached is damage. */
static err_t halves_join(struct scan *s, struct scan *take_back)
{
	err_t err = OK;

	for (uint64_t i = 0; i < s->meta->high_water / 64 + 1; i++) {
		uint64_t twice = s->reached[i] & take_back->reached[i];

		if (!err && twice)
			err = bolt_damage(s->db, i * 64 + (unsigned)__builtin_ctzll(twice), "reached twice");
		s->reached[i] |= take_back->reached[i];
	}
	for (size_t i = 0; i < take_back->found.count; i++)
		VEC_PUSH(&s->found, take_back->found.at[i]);
	stats_add(&s->stats, &take_back->stats);
	s->subbuckets |= take_back->subbuckets;
	VEC_FREE(&take_back->found);
	mem_free(take_back->reached);
	step_end(take_back);
	mem_free(take_back->buffer);
	return err;
}

static err_t halves_scan(struct scan *s)
{
	struct halves h = {.front = s, .back = *s, .middle = leaves_middle(s)};
	err_t err;

	step_end(s);
	h.back.reached = NEW_ARRAY(uint64_t, s->meta->high_water / 64 + 1);
	memset(&h.back.found, 0, sizeof(h.back.found));
	h.back.stats = (struct bolt_stats){0};
	h.back.subbuckets = false;
	h.back.row_arg = s->rows->arg_beside;
	h.back.buffer = NULL;
	h.back.step = NULL;
	h.back.step_start = h.back.step_end = 0;
	beside_run(s->rows->beside, back_scan, front_scan, &h);
	err = halves_join(s, &h.back);
	return h.front_err ? h.front_err : h.back_err ? h.back_err : err;
}

static err_t round_scan(struct scan *s)
{
	bool halves = s->rows && s->rows->arg_beside && s->leaves.count >= HALVES_FROM_LEAVES;
	err_t err = halves ? halves_scan(s) : leaves_scan(s, 2, s->meta->high_water);

	s->leaves.count = 0;
	for (size_t i = 0; i < s->found.count; i++)
		VEC_PUSH(&s->trees, s->found.at[i]);
	s->found.count = 0;
	return err;
}

err_t scan_run(struct bolt *db, const struct meta *m, const struct bolt_rows *rows, bool strict, uint64_t *reached,
	       struct bolt_stats *stats)
{
	struct scan s = {.db = db,
			 .meta = m,
			 .rows = rows,
			 .strict = strict,
			 .reached = reached,
			 .row_arg = rows ? rows->arg : NULL};
	uint32_t next = 0;
	err_t err = OK;

	s.leaf_of = NEW_ARRAY(uint32_t, m->high_water);
	VEC_PUSH(&s.trees, ((struct tree){.page = m->root, .rows = NO_ROWS}));
	while (!err && next < s.trees.count) {
		uint32_t end = (uint32_t)s.trees.count;

		for (; !err && next < end; next++)
			err = tree_scan(&s, next);
		if (!err)
			err = round_scan(&s);
	}
	db->has_subbuckets |= s.subbuckets;
	if (stats)
		*stats = s.stats;
	VEC_FREE(&s.trees);
	VEC_FREE(&s.found);
	VEC_FREE(&s.leaves);
	mem_free(s.leaf_of);
	step_end(&s);
	mem_free(s.buffer);
	return err;
}
