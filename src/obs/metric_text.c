/* Prometheus text 0.0.4, as Go's client writes it:
 *
 *	# HELP name help
 *	# TYPE name histogram
 *	name_bucket{label="value",le="0.001"} 3
 *	name_sum{label="value"} 0.25
 *
 * Families by name, series by their label values, floats in their shortest form. */
#include "base/text.h"
#include "obs/metric_impl.h"

static int compare_views(const void *a, const void *b)
{
	const struct metric_view *x = a, *y = b;
	const char *p = x->names, *q = y->names;
	int c;

	if (x->row != y->row)
		return strcmp(metric_rows[x->row].name, metric_rows[y->row].name);
	for (const char *l = metric_rows[x->row].labels; l && *l; l = strchr(l + 1, ',')) {
		c = strcmp(p, q);
		if (c)
			return c;
		p += strlen(p) + 1;
		q += strlen(q) + 1;
	}
	return 0;
}

static void put_value(struct buf *out, const char *v)
{
	for (; *v; v++) {
		if (*v == '\\' || *v == '"')
			buf_printf(out, "\\%c", *v);
		else if (*v == '\n')
			buf_put(out, "\\n", 2);
		else
			buf_put_byte(out, (uint8_t)*v);
	}
}

/* {a="1",b="2",le="0.5"}; nothing without labels. */
static void put_labels(struct buf *out, const struct metric_view *v, const double *le)
{
	const char *l = metric_rows[v->row].labels, *value = v->names;
	char lead = '{';

	while (*l) {
		size_t n = strcspn(l, ",");

		buf_printf(out, "%c%.*s=\"", lead, (int)n, l);
		put_value(out, value);
		buf_put_byte(out, '"');
		value += strlen(value) + 1;
		l += n + (l[n] == ',');
		lead = ',';
	}
	if (le) {
		buf_printf(out, "%cle=\"", lead);
		text_float(out, *le);
		buf_put_byte(out, '"');
		lead = ',';
	}
	if (lead == ',')
		buf_put_byte(out, '}');
}

static void put_sample(struct buf *out, const struct metric_view *v, const char *suffix, const double *le, double value)
{
	buf_printf(out, "%s%s", metric_rows[v->row].name, suffix);
	put_labels(out, v, le);
	buf_put_byte(out, ' ');
	text_float(out, value);
	buf_put_byte(out, '\n');
}

static void put_histogram(struct buf *out, const struct metric_view *v)
{
	const struct metric_buckets *b = &metric_rows[v->row].buckets;
	uint64_t below = 0;

	for (uint32_t i = 0; i <= b->count; i++) {
		double le = i < b->count ? (double)metric_bound(b, i) / b->per_shown : __builtin_inf();

		below += v->buckets[i];
		put_sample(out, v, "_bucket", &le, (double)below);
	}
	put_sample(out, v, "_sum", NULL, (double)v->sum / b->per_shown);
	put_sample(out, v, "_count", NULL, (double)below);
}

void metric_write(struct buf *out)
{
	static const char *const types[] = {"counter", "gauge", "counter", "histogram"};
	struct metric_view *views;
	size_t count;

	metric_read_process();
	views = metric_collect(&count);
	qsort(views, count, sizeof(*views), compare_views);
	for (size_t i = 0; i < count; i++) {
		const struct metric_row *row = &metric_rows[views[i].row];

		if (i == 0 || views[i - 1].row != views[i].row)
			buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
				   types[row->type]);
		if (row->type == METRIC_HISTOGRAM)
			put_histogram(out, &views[i]);
		else
			put_sample(out, &views[i], "", NULL, views[i].value);
	}
	mem_free(views);
}
