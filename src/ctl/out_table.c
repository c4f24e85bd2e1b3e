/* Tables with box drawing lines: titles in upper case, in the middle of their column; cells to the right. Width counts
 * characters, not bytes. */
#include <ctype.h>

#include "ctl/ctl_impl.h"

static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((uint8_t)*s & 0xc0) != 0x80;
	return n;
}

static void fill(const char *what, size_t count)
{
	while (count--)
		fputs(what, stdout);
}

static void rule(const size_t *widths, size_t columns, const char *left, const char *cross, const char *right)
{
	for (size_t i = 0; i < columns; i++) {
		fputs(i ? cross : left, stdout);
		fill("─", widths[i] + 2);
	}
	printf("%s\n", right);
}

static void title_row(const char *const *titles, const size_t *widths, size_t columns)
{
	for (size_t i = 0; i < columns; i++) {
		size_t pad = widths[i] - width_of(titles[i]);

		fputs("│ ", stdout);
		fill(" ", pad / 2);
		for (const char *at = titles[i]; *at; at++)
			putchar(*at == '_' ? ' ' : toupper((uint8_t)*at));
		fill(" ", pad - pad / 2);
		putchar(' ');
	}
	printf("│\n");
}

static void cell_row(const char *const *cells, const size_t *widths, size_t columns)
{
	for (size_t i = 0; i < columns; i++) {
		fputs("│ ", stdout);
		fill(" ", widths[i] - width_of(cells[i]));
		printf("%s ", cells[i]);
	}
	printf("│\n");
}

void table_print(const char *const *titles, size_t columns, const char *const *cells, size_t rows)
{
	size_t *widths = NEW_ARRAY(size_t, columns);

	for (size_t i = 0; i < columns; i++) {
		widths[i] = width_of(titles[i]);
		for (size_t r = 0; r < rows; r++)
			widths[i] = MAX(widths[i], width_of(cells[r * columns + i]));
	}
	rule(widths, columns, "┌", "┬", "┐");
	title_row(titles, widths, columns);
	rule(widths, columns, "├", "┼", "┤");
	for (size_t r = 0; r < rows; r++)
		cell_row(cells + r * columns, widths, columns);
	rule(widths, columns, "└", "┴", "┘");
	mem_free(widths);
}
