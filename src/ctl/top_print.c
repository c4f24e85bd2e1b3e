/* The three forms of a view. */
#include <inttypes.h>
#include <math.h>

#include "ctl/top.h"

enum { CELL_SIZE = 32 };

static const char *rate_text(char out[CELL_SIZE], double v)
{
	if (isnan(v))
		return "-";
	snprintf(out, CELL_SIZE, v < 10 ? "%.1f" : "%.0f", v);
	return out;
}

static const char *time_text(char out[CELL_SIZE], double seconds)
{
	if (isnan(seconds))
		return "-";
	snprintf(out, CELL_SIZE, seconds < 0.01 ? "%.2fms" : seconds < 1 ? "%.0fms" : "%.2fs",
		 seconds < 1 ? seconds * 1e3 : seconds);
	return out;
}

static const char *label_of(const struct top_member *m)
{
	return m->name[0] ? m->name : m->endpoint[0] ? m->endpoint : "(unnamed)";
}

/* --- members --- */

enum { COLUMNS = 15 };
static const char *const titles[COLUMNS] = {
    "member", "role", "version", "db size", "in use", "index", "lag", "req/s", "put/s", "range/s", "txn/s", "del/s", "req p99", "fsync p99",
    "commit p99",
};

static void fill_row(struct top *t, const struct top_member *m, char cells[COLUMNS][TOP_TEXT_SIZE])
{
	const struct top_reading *r = &m->now;
	char text[TEXT_BYTES_SIZE + CELL_SIZE];

	for (size_t i = 0; i < COLUMNS; i++)
		snprintf(cells[i], TOP_TEXT_SIZE, "-");
	snprintf(cells[0], TOP_TEXT_SIZE, "%s", label_of(m));
	snprintf(cells[1], TOP_TEXT_SIZE, "%s", top_role(m));
	if (!r->answered)
		return;
	snprintf(cells[2], TOP_TEXT_SIZE, "%s", r->version);
	snprintf(cells[3], TOP_TEXT_SIZE, "%s", text_bytes(text, r->db_bytes));
	snprintf(cells[4], TOP_TEXT_SIZE, "%s", text_bytes(text, r->db_in_use_bytes));
	snprintf(cells[5], TOP_TEXT_SIZE, "%" PRIu64, r->index);
	snprintf(cells[6], TOP_TEXT_SIZE, "%" PRIu64, top_lag(t, m));
	for (size_t i = 0; i < TOP_COUNTERS; i++)
		snprintf(cells[7 + i], TOP_TEXT_SIZE, "%s", rate_text(text, top_rate(m, (enum top_counter)i)));
	for (size_t i = 0; i < TOP_HISTOGRAMS; i++)
		snprintf(cells[12 + i], TOP_TEXT_SIZE, "%s", time_text(text, top_p99_s(m, (enum top_histogram)i)));
}

static void print_heading(struct top *t)
{
	const struct top_member *leader = top_leader(t);
	uint64_t leader_id = 0;
	size_t up = 0;

	for (size_t i = 0; i < t->count; i++) {
		up += t->at[i]->now.answered;
		if (t->at[i]->now.leader)
			leader_id = t->at[i]->now.leader;
	}
	put(t->c, "members %zu/%zu up", up, t->count);
	if (leader)
		put(t->c, "   leader %s   term %" PRIu64 "   revision %" PRId64 "   cluster %" PRIx64, label_of(leader),
		    leader->now.term, leader->now.revision, leader->now.cluster_id);
	else if (leader_id)
		put(t->c, "   leader %" PRIx64, leader_id);
	else
		put(t->c, "   no leader known");
	put(t->c, "\n");
	if (t->trouble[0])
		put(t->c, "member list: %s\n", t->trouble);
}

static void print_troubles(struct top *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct top_member *m = t->at[i];

		if (m->now.error[0] || m->now.alarms[0])
			put(t->c, "%s: %s%s\n", label_of(m), m->now.error, m->now.alarms);
	}
}

static void print_members(struct top *t)
{
	char cells[COLUMNS][TOP_TEXT_SIZE];
	size_t first = strlen(titles[0]);

	for (size_t i = 0; i < t->count; i++)
		first = MAX(first, strlen(label_of(t->at[i])));
	put(t->c, "%-*s  %-9s %-8s %8s %8s %10s %6s %8s %8s %8s %8s %8s %8s %9s %10s\n", (int)first, "MEMBER", "ROLE", "VERSION", "DB SIZE",
	    "IN USE", "INDEX", "LAG", "REQ/S", "PUT/S", "RANGE/S", "TXN/S", "DEL/S", "REQ P99", "FSYNC P99", "COMMIT P99");
	for (size_t i = 0; i < t->count; i++) {
		fill_row(t, t->at[i], cells);
		put(t->c, "%-*s  %-9s %-8s %8s %8s %10s %6s %8s %8s %8s %8s %8s %8s %9s %10s\n", (int)first, cells[0], cells[1], cells[2],
		    cells[3], cells[4], cells[5], cells[6], cells[7], cells[8], cells[9], cells[10], cells[11], cells[12], cells[13],
		    cells[14]);
	}
}

/* --- prefixes --- */

static void print_hot(struct top *t, size_t max)
{
	const struct hot_row *rows[TOP_HOT_MAX];
	size_t count = hot_top(&t->hot, rows, MIN(max, (size_t)TOP_HOT_MAX));
	char events[CELL_SIZE], bytes[TEXT_BYTES_SIZE], all[TEXT_BYTES_SIZE];

	if (!t->c->o.depth)
		return;
	if (t->watch_trouble[0]) {
		put(t->c, "\nprefixes: the watch ended: %s\n", t->watch_trouble);
		return;
	}
	put(t->c, "\n%8s %10s %10s %10s  %s\n", "WRITES/S", "BYTES/S", "WRITES", "BYTES", count ? "HOTTEST PREFIXES" : "PREFIX (no writes seen)");
	for (size_t i = 0; i < count; i++) {
		const struct hot_row *r = rows[i];

		put(t->c, "%8s %10s %10" PRIu64 " %10s  ", rate_text(events, r->events_per_s),
		    text_bytes(bytes, (uint64_t)r->bytes_per_s), r->events_all, text_bytes(all, r->bytes_all));
		buf_put(&t->c->out, r->prefix, r->size);
		put(t->c, r->size ? "\n" : "(names without a level)\n");
	}
}

void top_print_text(struct top *t, size_t prefixes)
{
	print_heading(t);
	put(t->c, "\n");
	print_members(t);
	print_troubles(t);
	print_hot(t, prefixes);
}

void top_print_table(struct top *t, size_t prefixes)
{
	static const char *const hot_titles[] = {"prefix", "writes/s", "bytes/s", "writes", "bytes"};
	const struct hot_row *rows[TOP_HOT_MAX];
	size_t count = hot_top(&t->hot, rows, MIN(prefixes, (size_t)TOP_HOT_MAX));
	struct out_table *table = out_table_new(titles, COLUMNS);
	char cells[COLUMNS][TOP_TEXT_SIZE], text[TEXT_BYTES_SIZE + CELL_SIZE];

	for (size_t i = 0; i < t->count; i++) {
		fill_row(t, t->at[i], cells);
		for (size_t k = 0; k < COLUMNS; k++)
			out_table_cell(table, "%s", cells[k]);
	}
	out_table_box(table, &t->c->out);
	out_table_free(table);
	table = out_table_new(hot_titles, ARRAY_COUNT(hot_titles));
	for (size_t i = 0; i < count; i++) {
		out_table_cell_slice(table, slice_of(rows[i]->prefix, rows[i]->size));
		out_table_cell(table, "%s", rate_text(text, rows[i]->events_per_s));
		out_table_cell(table, "%s", text_bytes(text, (uint64_t)rows[i]->bytes_per_s));
		out_table_cell(table, "%" PRIu64, rows[i]->events_all);
		out_table_cell(table, "%s", text_bytes(text, rows[i]->bytes_all));
	}
	if (t->c->o.depth)
		out_table_box(table, &t->c->out);
	out_table_free(table);
}

/* --- JSON: names in snake case, times in seconds; what is not known is not there --- */

static void json_number(struct out_json *j, const char *name, double v)
{
	char text[64];

	if (isnan(v))
		return;
	out_json_key(j, name);
	snprintf(text, sizeof(text), "%.6g", v);
	out_json_raw(j, slice_str(text));
}

static void json_uint(struct out_json *j, const char *name, uint64_t v)
{
	out_json_key(j, name);
	out_json_uint(j, v);
}

static void json_text(struct out_json *j, const char *name, const char *text)
{
	out_json_key(j, name);
	out_json_str(j, slice_str(text));
}

static void json_member(struct top *t, struct out_json *j, const struct top_member *m)
{
	static const char *const rates[TOP_COUNTERS] = {"requests_per_s", "puts_per_s", "ranges_per_s", "txns_per_s", "deletes_per_s"};
	static const char *const times[TOP_HISTOGRAMS] = {"request_p99_s", "fsync_p99_s", "commit_p99_s"};
	const struct top_reading *r = &m->now;

	out_json_open(j, '{');
	json_text(j, "name", m->name);
	json_text(j, "endpoint", m->endpoint);
	json_text(j, "role", top_role(m));
	if (r->error[0])
		json_text(j, "error", r->error);
	if (r->answered) {
		json_uint(j, "id", r->id);
		json_text(j, "version", r->version);
		json_uint(j, "term", r->term);
		json_uint(j, "index", r->index);
		json_uint(j, "applied", r->applied);
		json_uint(j, "lag", top_lag(t, m));
		json_uint(j, "revision", (uint64_t)r->revision);
		json_uint(j, "db_bytes", r->db_bytes);
		json_uint(j, "db_in_use_bytes", r->db_in_use_bytes);
		json_text(j, "alarms", r->alarms);
	}
	for (size_t i = 0; i < TOP_COUNTERS; i++)
		json_number(j, rates[i], top_rate(m, (enum top_counter)i));
	for (size_t i = 0; i < TOP_HISTOGRAMS; i++)
		json_number(j, times[i], top_p99_s(m, (enum top_histogram)i));
	out_json_close(j, '}');
}

static void json_hot(struct top *t, struct out_json *j, size_t max)
{
	const struct hot_row *rows[TOP_HOT_MAX];
	size_t count = hot_top(&t->hot, rows, MIN(max, (size_t)TOP_HOT_MAX));

	out_json_open(j, '[');
	for (size_t i = 0; i < count; i++) {
		out_json_open(j, '{');
		out_json_key(j, "prefix");
		out_json_str(j, slice_of(rows[i]->prefix, rows[i]->size));
		json_number(j, "writes_per_s", rows[i]->events_per_s);
		json_number(j, "bytes_per_s", rows[i]->bytes_per_s);
		json_uint(j, "writes", rows[i]->events_all);
		json_uint(j, "bytes", rows[i]->bytes_all);
		out_json_close(j, '}');
	}
	out_json_close(j, ']');
}

void top_print_json(struct top *t, size_t prefixes)
{
	const struct top_member *leader = top_leader(t);
	struct out_json j = {.out = &t->c->out};

	out_json_open(&j, '{');
	if (leader) {
		json_uint(&j, "cluster_id", leader->now.cluster_id);
		json_uint(&j, "leader", leader->now.id);
	}
	if (t->trouble[0])
		json_text(&j, "error", t->trouble);
	out_json_key(&j, "members");
	out_json_open(&j, '[');
	for (size_t i = 0; i < t->count; i++)
		json_member(t, &j, t->at[i]);
	out_json_close(&j, ']');
	out_json_key(&j, "prefixes");
	json_hot(t, &j, prefixes);
	if (t->watch_trouble[0])
		json_text(&j, "watch_error", t->watch_trouble);
	out_json_close(&j, '}');
	put(t->c, "\n");
}
