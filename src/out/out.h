/* What command line tools print: formats of -w, tables, fields, JSON. Pure: text goes to a struct buf, the caller
 * writes it. One thread at a time.
 *
 *	if (!out_format_parse(text, &format)) …                           unsupported output format
 *
 *	static const char *const titles[] = {"hash", "revision"};
 *	t = out_table_new(titles, 2);
 *	out_table_cell(t, "%x", hash);  out_table_cell(t, "%lld", rev);    row by row
 *	out_table_box(t, out);                                             -w table
 *	out_table_lines(t, out);                                           -w simple: "9f, 36"
 *	out_table_free(t);
 *
 *	out_field(out, "Revision", "%lld", rev);                           -w fields: "Revision" : 36
 *
 *	struct out_json j = {out};
 *	out_json_open(&j, '{');  out_json_key(&j, "revision");  out_json_int(&j, rev);  out_json_close(&j, '}');
 *
 * Bytes are those of Go's etcdctl and etcdutl v3.7.1, for scripts read them. Limits: those of the buf. */
#ifndef OUT_OUT_H
#define OUT_OUT_H

#include "base/buf.h"

enum out_format {
	OUT_SIMPLE,
	OUT_FIELDS,
	OUT_JSON,
	OUT_PROTOBUF,
	OUT_TABLE,
};

/* False: no such format. Names are exact, in lower case. */
NODISCARD bool out_format_parse(const char *text, enum out_format *out);
const char *out_format_name(enum out_format f);

/* ---- tables ---- */

struct out_table;

/* Titles are borrowed; they are printed in upper case, centred; cells to the right. columns > 0. */
struct out_table *out_table_new(const char *const *titles, size_t columns);
void out_table_free(struct out_table *t); /* NULL allowed */
/* The next cell, left to right, row after row. Blanks around it are dropped in a box; a cell with newlines makes its
 * row as many lines high. */
void out_table_cell(struct out_table *t, const char *fmt, ...) PRINTF(2, 3);
void out_table_cell_slice(struct out_table *t, struct slice text);
/* With box drawing characters. All rows are whole. */
void out_table_box(const struct out_table *t, struct buf *out);
/* Cells as they are, joined by ", ", one line a row; no titles. */
void out_table_lines(const struct out_table *t, struct buf *out);

/* How many columns of a terminal the text takes: wide characters two, combining ones none. */
size_t out_text_columns(struct slice utf8);

/* ---- fields ---- */

/* "Name" : value, and a newline. */
void out_field(struct buf *out, const char *name, const char *fmt, ...) PRINTF(3, 4);
/* "Name" : "value", with Go's escapes. */
void out_field_quoted(struct buf *out, const char *name, struct slice value);

/* ---- JSON, as Go's encoding/json writes it ---- */

/* {.out = buf} begins one. Commas come by themselves; what is opened must be closed, and a key be followed by a value:
 * that is the caller's care. */
struct out_json {
	struct buf *out;
	bool comma; /* something stands before at this level */
};

void out_json_open(struct out_json *j, char bracket);  /* '{' or '[' */
void out_json_close(struct out_json *j, char bracket); /* '}' or ']' */
void out_json_key(struct out_json *j, const char *name);
/* Escapes <, >, & and U+2028, U+2029 as well; bytes that are no UTF-8 become \ufffd. */
void out_json_str(struct out_json *j, struct slice text);
void out_json_base64(struct out_json *j, struct slice bytes);
void out_json_int(struct out_json *j, int64_t v);
void out_json_uint(struct out_json *j, uint64_t v);
void out_json_bool(struct out_json *j, bool v);
void out_json_null(struct out_json *j);
/* A value that is JSON already. */
void out_json_raw(struct out_json *j, struct slice json);

#endif
