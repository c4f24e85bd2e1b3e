/* Moving pages from the end of the file to free ones in front, instead of rewriting the file.
 *
 * A run has passes; a pass has a cut line: as many pages as are in use, and a few for what moves with them. Step by step
 * it walks all trees in key order as the last commit has them, and marks nodes above the line (with those on the way to
 * them) as changed; committing then gives them the lowest places that fit. Leaves below the line are not even read. What
 * a step gave up is free in the next one, and free pages at the end are given back: the high water mark falls, and the
 * file is cut (commit.c).
 *
 *   idle -> walk (steps; position: bucket names and the key to go on at) -> settle -> idle, or the next pass
 *
 * A pass ends early when the free pages below its line run out, for others take some and pins hold some; the next one
 * draws a new line. A pass that moves nothing, or the third in a row that does not lower the high water mark, ends the
 * run, so it ends. Between steps others may commit what they like: a position is only a key. Each step is a transaction
 * like any other; at a crash nothing is lost but the position. Pins of others keep what was given up from being free;
 * then a run ends early, and a later one goes on. */
#include "bolt/impl.h"

enum { ROOM_MIN = 16, GAINLESS_MAX = 3 };

struct mover {
	struct bolt *db;
	struct bolt_tx *tx;
	struct move_state *state;
	uint64_t pages_left; /* of this step */
	uint64_t room;       /* free pages below the cut that nobody was promised */
	bool touched;
	bool stopped;
};

/* ---- the position ---- */

static void position_clear(struct move_state *m)
{
	for (uint32_t i = 0; i < m->depth; i++)
		buf_fini(&m->path[i]);
	m->depth = 0;
}

/* A walk that stops sets its keys from the inside out. */
static void position_set(struct move_state *m, uint32_t level, struct slice key)
{
	struct buf *b = &m->path[level];

	buf_init(b, BOLT_KEY_SIZE_MAX);
	buf_put_slice(b, key);
	m->depth = MAX(m->depth, level + 1);
}

void move_fini(struct bolt *db)
{
	position_clear(&db->move);
}

static void pass_end(struct move_state *m)
{
	position_clear(m);
	m->phase = MOVE_IDLE;
	m->moved = false;
}

/* ---- the walk ---- */

/* Wherever the walk goes on: the keys of all levels of the last position, taken out of the state. */
struct from {
	struct buf *path;
	uint32_t depth;
};

static err_t walk_bucket(struct mover *mv, struct bolt_bucket *b, uint32_t level, struct from from);

/* Marks page id if there is a better place for it and the step has room for it. */
static err_t touch(struct mover *mv, struct bolt_bucket *b, uint32_t level, struct slice key, uint64_t id,
		   uint64_t pages)
{
	uint64_t place = free_map_find(&mv->db->free, pages), cost = 0;
	err_t err;

	if (place == UINT64_MAX || place >= id || (pages == 1 && !mv->touched && mv->room == 0))
		return OK;
	if (mv->touched && (mv->pages_left < pages || mv->room < pages)) {
		mv->stopped = true;
		position_set(mv->state, level, key);
		return OK;
	}
	err = tree_touch(b, key, id, &cost);
	mv->touched = true;
	mv->pages_left -= MIN(cost, mv->pages_left);
	mv->room -= MIN(cost, mv->room);
	return err;
}

/* Sub-buckets named in a leaf. from.path[0] is of this level. */
static err_t walk_leaf(struct mover *mv, struct bolt_bucket *b, uint32_t level, const struct page *p, struct from from)
{
	struct slice first = from.depth ? buf_slice(&from.path[0]) : (struct slice){0};
	err_t err = OK;

	for (uint32_t i = 0; !err && !mv->stopped && i < p->count; i++) {
		struct from inner = {0};
		struct bolt_bucket *child;
		struct element e;
		int order;

		if (!page_element(p, i, &e))
			return bolt_damage(mv->db, le64_get(p->at), "element %u reaches beyond the page", i);
		order = slice_cmp(e.key, first);
		if (!(e.flags & ELEMENT_BUCKET) || order < 0)
			continue;
		if (order == 0 && from.depth > 1)
			inner = (struct from){from.path + 1, from.depth - 1};
		err = bolt_bucket_sub(b, e.key, false, &child);
		if (!err && child->page && level + 1 < ARRAY_COUNT(mv->state->path))
			err = walk_bucket(mv, child, level + 1, inner);
		if (!err && mv->stopped)
			position_set(mv->state, level, e.key);
	}
	return err;
}

/* key leads to page id. leaf_depth: where leaves are; those below the cut are passed over unless buckets may be in
 * them. */
static err_t walk_page(struct mover *mv, struct bolt_bucket *b, uint32_t level, struct slice key, uint64_t id,
		       uint32_t depth, uint32_t leaf_depth, struct from from)
{
	bool buckets = level == 0 || mv->db->has_subbuckets, exact;
	struct page p;
	uint32_t i = 0;
	err_t err;

	if (depth == leaf_depth && id < mv->state->cut && !buckets)
		return OK;
	if (depth > BOLT_DEPTH_MAX)
		return bolt_damage(mv->db, id, "more than %d levels of pages", BOLT_DEPTH_MAX);
	err = page_load(mv->db, mv->tx->high_water_before, id, &p);
	if (!err && id + p.extent / mv->db->page_size > mv->state->cut)
		err = touch(mv, b, level, key, id, p.extent / mv->db->page_size);
	if (err || mv->stopped)
		return err;
	if (p.leaf)
		return buckets ? walk_leaf(mv, b, level, &p, from) : OK;
	if (from.depth)
		err = page_search(mv->db, &p, buf_slice(&from.path[0]), &i, &exact);
	for (; !err && !mv->stopped && i < p.count; i++) {
		if (!page_key(&p, i, &key))
			return bolt_damage(mv->db, id, "element %u reaches beyond the page", i);
		err = walk_page(mv, b, level, key, page_child(&p, i), depth + 1, leaf_depth, from);
		from = (struct from){0};
	}
	return err;
}

static err_t walk_bucket(struct mover *mv, struct bolt_bucket *b, uint32_t level, struct from from)
{
	uint64_t page = b->page;
	uint32_t height = 0;
	err_t err = tree_height(mv->db, mv->tx->high_water_before, page, &height);

	return err ? err : walk_page(mv, b, level, (struct slice){0}, page, 1, height, from);
}

/* ---- steps ---- */

/* A few free pages are what every commit leaves behind. */
static bool worthwhile(const struct bolt_tx *tx)
{
	return tx->db->free.count > 2 + tx->meta.high_water / 128;
}

/* Nodes above the moved ones are written anew as well, and others' commits take pages meanwhile. */
static uint64_t cut_line(uint64_t pages_in_use)
{
	return pages_in_use + 2 + pages_in_use / 256;
}

static err_t step_walk(struct mover *mv, size_t pages_max)
{
	struct move_state *m = mv->state;
	struct move_state before = *m;
	struct from from = {before.path, before.depth};
	err_t err;

	mv->pages_left = pages_max;
	mv->room = free_map_count_below(&mv->db->free, m->cut);
	if (m->depth && mv->room < MIN(pages_max, ROOM_MIN)) {
		m->phase = MOVE_SETTLE;
		return OK;
	}
	m->depth = 0;
	err = walk_bucket(mv, &mv->tx->top, 0, from);
	position_clear(&before);
	m->moved |= mv->touched;
	if (!err && !mv->stopped)
		m->phase = MOVE_SETTLE;
	return err;
}

static void step_settle(struct mover *mv, bool *done)
{
	struct move_state *m = mv->state;
	uint64_t high_water = mv->tx->meta.high_water - free_map_run_before(&mv->db->free, mv->tx->meta.high_water);

	m->gainless = high_water < m->start_high_water ? 0 : m->gainless + 1;
	*done = !m->moved || m->gainless == GAINLESS_MAX || !worthwhile(mv->tx);
	pass_end(m);
}

err_t bolt_move_step(struct bolt *db, size_t pages_max, bool *out)
{
	struct mover mv = {.db = db, .state = &db->move};
	bool done = false;
	err_t err = bolt_begin(db, &mv.tx);

	if (err)
		return err;
	if (mv.state->phase == MOVE_IDLE) {
		mv.state->phase = MOVE_WALK;
		mv.state->cut = cut_line(mv.tx->meta.high_water - db->free.count);
		mv.state->start_high_water = mv.tx->meta.high_water;
		if (!worthwhile(mv.tx)) {
			pass_end(mv.state);
			done = true;
		}
	} else if (mv.state->phase == MOVE_SETTLE) {
		step_settle(&mv, &done);
	}
	if (mv.state->phase == MOVE_WALK)
		err = step_walk(&mv, pages_max);
	mv.tx->trim = true;
	if (!err && (mv.touched || free_map_run_before(&db->free, mv.tx->meta.high_water))) {
		err = bolt_commit(mv.tx);
	} else {
		bolt_rollback(mv.tx);
	}
	if (err)
		pass_end(mv.state);
	if (err || done)
		mv.state->gainless = 0;
	if (!err)
		*out = done;
	return err;
}

bool bolt_pages_held(const struct bolt *db)
{
	return db->pending.count || db->cut_txid;
}

err_t bolt_move_all(struct bolt *db)
{
	bool done = false;
	err_t err = OK;

	while (!err && !done)
		err = bolt_move_step(db, 4096, &done);
	return err;
}
