/* The deep check, and figures of one bucket. */
#include "bolt/impl.h"

/* Every page is one of: reached, pending, free; none is two of them (I2). */
static err_t pages_add_up(struct bolt *db, const struct meta *m, uint64_t *reached)
{
	for (size_t i = 0; i < db->pending.count; i++) {
		const struct pending *p = &db->pending.at[i];

		for (size_t k = 0; k < p->runs.count; k++) {
			for (uint64_t id = p->runs.at[k].page; id < p->runs.at[k].page + p->runs.at[k].count; id++) {
				if (id >= m->high_water || bit_get(reached, id))
					return bolt_damage(db, id, "given up, and in use");
				bit_set(reached, id);
			}
		}
	}
	for (uint64_t id = 2; id < m->high_water; id++) {
		if (free_map_has(&db->free, id) && bit_get(reached, id))
			return bolt_damage(db, id, "free, and in use");
		if (!free_map_has(&db->free, id) && !bit_get(reached, id))
			return bolt_damage(db, id, "neither in use nor free");
	}
	return OK;
}

err_t bolt_check(struct bolt *db, struct bolt_stats *stats, struct why *why)
{
	struct bolt_stats s = {0};
	struct bolt_pin *pin = bolt_pin(db);
	uint64_t *reached = NEW_ARRAY(uint64_t, pin->meta.high_water / 64 + 1);
	err_t err = scan_run(db, &pin->meta, NULL, true, reached, &s);

	ASSERT(!db->tx);
	s.free_pages = db->free.count;
	if (!err)
		err = pages_add_up(db, &pin->meta, reached);
	if (!err && stats)
		*stats = s;
	if (err && !(why && bolt_why(db, why)))
		(void)why_set(why, err, "%s: %s", db->path, err_text(err));
	mem_free(reached);
	bolt_pin_unref(pin);
	return err;
}

static err_t count_page(struct bolt_pin *pin, const struct bolt_root *root, uint32_t depth, struct bolt_stats *s)
{
	struct page p;
	err_t err = root_load(pin->db, pin->meta.high_water, root, &p);

	if (!err)
		err = page_check(pin->db, root->page, &p);
	if (!err && depth > BOLT_DEPTH_MAX)
		err = bolt_damage(pin->db, root->page, "more than %d levels of pages", BOLT_DEPTH_MAX);
	if (err)
		return err;
	s->depth = MAX(s->depth, depth);
	s->branch_pages += !p.leaf;
	s->leaf_pages += p.leaf && root->page;
	s->overflow_pages += root->page ? p.extent / pin->db->page_size - 1 : 0;
	for (uint32_t i = 0; !err && i < p.count; i++) {
		struct element e;

		ASSERT(page_element(&p, i, &e));
		if (!p.leaf)
			err = e.page ? count_page(pin, &(struct bolt_root){.page = e.page}, depth + 1, s)
				     : bolt_damage(pin->db, root->page, "child %u is page 0", i);
		else if (e.flags & ELEMENT_BUCKET)
			s->bucket_count++;
		else
			s->key_count++;
	}
	return err;
}

err_t bolt_bucket_stats(struct bolt_pin *pin, const struct bolt_root *root, struct bolt_stats *out)
{
	struct bolt_stats s = {0};
	err_t err = count_page(pin, root, 1, &s);

	if (!err)
		*out = s;
	return err;
}
