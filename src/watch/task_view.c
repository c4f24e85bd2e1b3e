/* A task over a publication's view of the store, in slices. */
#include "watch/task.h"

static err_t prev_of(void *arg, struct slice key, int64_t rev, struct slice *out)
{
	return mvcc_get(arg, key, rev, out);
}

err_t watch_task_slice(struct watch_task *t, const struct mvcc_view *v, size_t budget_rows, bool *done)
{
	struct backend_cursor c;
	struct backend_row row;
	bool found = true;

	backend_cursor_init(&c, &v->rows, (struct rev){t->at.main, t->at.sub + 1});
	for (; budget_rows && found && !t->full; budget_rows--) {
		err_t err = backend_cursor_next(&c, &row, &found);

		if (err)
			return err;
		if (found)
			watch_task_row(t, row.rev, row.tombstone, row.value, prev_of, (void *)v);
		if (t->corrupt)
			return ERR_CORRUPT_FILE;
	}
	*done = t->full || !found;
	if (*done)
		watch_task_end(t, v->rev, !found);
	return OK;
}
