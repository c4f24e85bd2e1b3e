/* The report of a check as text. */
#include "utl/commands.h"
#include "utl/open.h"

static const char *verdict(enum utl_state worst)
{
	switch (worst) {
	case UTL_GOOD:
	case UTL_NOTE:
		return "ok: a server starts on these files";
	case UTL_REPAIR:
		return "ok: a server starts on these files and puts right what is said above";
	case UTL_DAMAGED:
		break;
	}
	return "damaged: do not start a server on these files; copy them before anything else";
}

static void print_simple(const struct utl_report *r, struct buf *out)
{
	for (size_t i = 0; i < r->findings.count; i++) {
		const struct utl_finding *f = &r->findings.at[i];

		buf_printf(out, "%-8s %-8s %s\n", utl_state_name(f->state), f->part, f->text);
		if (f->loss[0])
			buf_printf(out, "%18sa repair loses: %s\n", "", f->loss);
	}
	buf_printf(out, "%s\n", verdict(r->worst));
}

static void print_json(const struct utl_report *r, struct buf *out)
{
	struct out_json j = {out, false};

	out_json_open(&j, '{');
	out_json_key(&j, "state");
	out_json_str(&j, slice_str(utl_state_name(r->worst)));
	out_json_key(&j, "findings");
	out_json_open(&j, '[');
	for (size_t i = 0; i < r->findings.count; i++) {
		const struct utl_finding *f = &r->findings.at[i];
		const char *const keys[] = {"state", "part", "text", "loss"}, *const values[] = {
										  utl_state_name(f->state), f->part,
										  f->text, f->loss};

		out_json_open(&j, '{');
		for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
			out_json_key(&j, keys[k]);
			out_json_str(&j, slice_str(values[k]));
		}
		out_json_close(&j, '}');
	}
	out_json_close(&j, ']');
	out_json_close(&j, '}');
	buf_put_byte(out, '\n');
}

static void print_fields(const struct utl_report *r, struct buf *out)
{
	for (size_t i = 0; i < r->findings.count; i++) {
		const struct utl_finding *f = &r->findings.at[i];

		out_field_quoted(out, "State", slice_str(utl_state_name(f->state)));
		out_field_quoted(out, "Part", slice_str(f->part));
		out_field_quoted(out, "Text", slice_str(f->text));
		out_field_quoted(out, "Loss", slice_str(f->loss));
	}
}

static void print_table(const struct utl_report *r, struct buf *out)
{
	static const char *const titles[] = {"state", "part", "what", "a repair loses"};
	struct out_table *t = out_table_new(titles, ARRAY_COUNT(titles));

	for (size_t i = 0; i < r->findings.count; i++) {
		const struct utl_finding *f = &r->findings.at[i];

		out_table_cell(t, "%s", utl_state_name(f->state));
		out_table_cell(t, "%s", f->part);
		out_table_cell(t, "%s", f->text);
		out_table_cell(t, "%s", f->loss);
	}
	out_table_box(t, out);
	out_table_free(t);
}

int utl_check_run(struct cli *c)
{
	const struct utl_options *o = c->options;
	struct utl_wait wait = {o->timeout_ns};
	struct utl_report r;
	struct why why = {""};
	enum out_format f;
	err_t err;

	if (!out_format_parse(o->format, &f))
		return utl_fail(c, UTL_EXIT_BAD_FEATURE, "unsupported output format");
	if (f == OUT_PROTOBUF)
		return utl_fail(c, UTL_EXIT_BAD_FEATURE, "protobuf not supported as output format");
	err = utl_check(((struct utl_tool *)c->user)->fs, c->args[0], *o->wal_dir ? o->wal_dir : NULL, &wait, &why, &r);
	if (err)
		return utl_fail(c, err == ERR_LOCKED ? UTL_EXIT_PANIC : UTL_EXIT_ERROR, why.text);
	if (f == OUT_JSON)
		print_json(&r, c->out);
	else if (f == OUT_FIELDS)
		print_fields(&r, c->out);
	else if (f == OUT_TABLE)
		print_table(&r, c->out);
	else
		print_simple(&r, c->out);
	err = r.worst == UTL_DAMAGED;
	utl_report_fini(&r);
	return err ? UTL_EXIT_ERROR : UTL_EXIT_OK;
}
