/* Cells are kept as text until the widths are known; a box is drawn as
 *
 *	┌──────┬──────────┐
 *	│ HASH │ REVISION │        titles: centred, the odd blank on the right
 *	├──────┼──────────┤
 *	│   9f │       36 │        cells: to the right
 *	└──────┴──────────┘
 */
#include <stdarg.h>
#include <stdio.h>

#include "out/out.h"

struct out_table {
	const char *const *titles;
	size_t columns;
	VEC(char *) cells;
};

struct out_table *out_table_new(const char *const *titles, size_t columns)
{
	struct out_table *t = NEW(struct out_table);

	ASSERT(columns > 0);
	t->titles = titles;
	t->columns = columns;
	return t;
}

void out_table_free(struct out_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->cells.count; i++)
		mem_free(t->cells.at[i]);
	VEC_FREE(&t->cells);
	mem_free(t);
}

void out_table_cell_slice(struct out_table *t, struct slice text)
{
	char *cell = mem_alloc(text.size + 1);

	memcpy(cell, text.data ? text.data : (const uint8_t *)"", text.size);
	cell[text.size] = 0;
	VEC_PUSH(&t->cells, cell);
}

void out_table_cell(struct out_table *t, const char *fmt, ...)
{
	va_list args, again;
	int size;
	char *cell;

	va_start(args, fmt);
	va_copy(again, args);
	size = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	ASSERT(size >= 0);
	cell = mem_alloc((size_t)size + 1);
	vsnprintf(cell, (size_t)size + 1, fmt, again);
	va_end(again);
	VEC_PUSH(&t->cells, cell);
}

/* Line i of a cell without the blanks around it; empty behind the last. */
static struct slice cell_line(const char *cell, size_t i)
{
	const char *at = cell, *end;

	for (; i > 0; i--) {
		at = strchr(at, '\n');
		if (!at)
			return (struct slice){0};
		at++;
	}
	end = at + strcspn(at, "\n");
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
		at++;
	while (end > at && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	return slice_of(at, (size_t)(end - at));
}

static size_t cell_lines(const char *cell)
{
	size_t n = 1;

	for (const char *p = cell; (p = strchr(p, '\n')); p++)
		n++;
	return n;
}

static void fill(struct buf *out, const char *s, size_t count)
{
	while (count-- > 0)
		buf_put(out, s, strlen(s));
}

static void rule(struct buf *out, const size_t *widths, size_t columns, const char *left, const char *mid,
		 const char *right)
{
	for (size_t c = 0; c < columns; c++) {
		fill(out, c ? mid : left, 1);
		fill(out, "─", widths[c] + 2);
	}
	fill(out, right, 1);
	buf_put_byte(out, '\n');
}

static void draw(struct buf *out, struct slice text, size_t width, bool centred)
{
	size_t pad = width - out_text_columns(text), left = centred ? pad / 2 : pad;

	buf_printf(out, "│ %*s", (int)left, "");
	buf_put_slice(out, text);
	buf_printf(out, "%*s ", (int)(pad - left), "");
}

static void draw_title(struct buf *out, const char *title, size_t width)
{
	char upper[64];
	size_t i;

	for (i = 0; title[i] && i + 1 < sizeof(upper); i++)
		upper[i] = (char)(title[i] >= 'a' && title[i] <= 'z' ? title[i] - 'a' + 'A' : title[i]);
	draw(out, slice_of(upper, i), width, true);
}

static void draw_row(const struct out_table *t, char *const *cells, const size_t *widths, struct buf *out)
{
	size_t lines = 1;

	for (size_t c = 0; c < t->columns; c++)
		lines = MAX(lines, cell_lines(cells[c]));
	for (size_t i = 0; i < lines; i++) {
		for (size_t c = 0; c < t->columns; c++)
			draw(out, cell_line(cells[c], i), widths[c], false);
		fill(out, "│\n", 1);
	}
}

static size_t *column_widths(const struct out_table *t)
{
	size_t *widths = NEW_ARRAY(size_t, t->columns);

	for (size_t c = 0; c < t->columns; c++)
		widths[c] = out_text_columns(slice_str(t->titles[c]));
	for (size_t i = 0; i < t->cells.count; i++) {
		for (size_t k = 0; k < cell_lines(t->cells.at[i]); k++) {
			size_t *w = &widths[i % t->columns];

			*w = MAX(*w, out_text_columns(cell_line(t->cells.at[i], k)));
		}
	}
	return widths;
}

void out_table_box(const struct out_table *t, struct buf *out)
{
	size_t *widths = column_widths(t);

	ASSERT(t->cells.count % t->columns == 0);
	rule(out, widths, t->columns, "┌", "┬", "┐");
	for (size_t c = 0; c < t->columns; c++)
		draw_title(out, t->titles[c], widths[c]);
	fill(out, "│\n", 1);
	if (t->cells.count)
		rule(out, widths, t->columns, "├", "┼", "┤");
	for (size_t i = 0; i < t->cells.count; i += t->columns)
		draw_row(t, t->cells.at + i, widths, out);
	rule(out, widths, t->columns, "└", "┴", "┘");
	mem_free(widths);
}

void out_table_lines(const struct out_table *t, struct buf *out)
{
	ASSERT(t->cells.count % t->columns == 0);
	for (size_t i = 0; i < t->cells.count; i++) {
		buf_put(out, t->cells.at[i], strlen(t->cells.at[i]));
		buf_printf(out, "%s", (i + 1) % t->columns ? ", " : "\n");
	}
}
