/* From a command line to a call of the module, and from its result to text. */
#include "utl/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "member/member.h"
#include "obs/log.h"
#include "utl/open.h"

int utl_fail(struct cli *c, int code, const char *line)
{
	buf_printf(c->err, "Error: %s\n", line);
	return code;
}

int utl_failf(struct cli *c, int code, const char *fmt, ...)
{
	char line[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	return utl_fail(c, code, line);
}

static struct vfs *fs_of(const struct cli *c)
{
	return ((struct utl_tool *)c->user)->fs;
}

static struct utl_wait wait_of(const struct utl_options *o)
{
	return (struct utl_wait){o->timeout_ns};
}

/* -1: it is none, and that was said. */
static int format_of(struct cli *c, const struct utl_options *o)
{
	enum out_format f;

	if (out_format_parse(o->format, &f))
		return (int)f;
	utl_fail(c, UTL_EXIT_BAD_FEATURE, "unsupported output format");
	return -1;
}

/* One row under titles, for simple and table. */
static int print_row(struct cli *c, enum out_format f, struct out_table *take_t)
{
	int code = UTL_EXIT_OK;

	if (f == OUT_TABLE)
		out_table_box(take_t, c->out);
	else if (f == OUT_SIMPLE)
		out_table_lines(take_t, c->out);
	else
		code = utl_failf(c, UTL_EXIT_BAD_FEATURE, "%s not supported as output format", out_format_name(f));
	out_table_free(take_t);
	return code;
}

/* ---- snapshot status ---- */

static int print_status_json(struct cli *c, const struct utl_status *s)
{
	struct out_json j = {c->out, false};

	out_json_open(&j, '{');
	out_json_key(&j, "hash");
	out_json_uint(&j, s->hash);
	out_json_key(&j, "revision");
	out_json_int(&j, s->revision);
	out_json_key(&j, "totalKey");
	out_json_uint(&j, s->keys);
	out_json_key(&j, "totalSize");
	out_json_uint(&j, s->size_bytes);
	out_json_key(&j, "version");
	out_json_str(&j, slice_str(s->version));
	out_json_close(&j, '}');
	buf_put_byte(c->out, '\n');
	return UTL_EXIT_OK;
}

static int print_status_fields(struct cli *c, const struct utl_status *s)
{
	out_field(c->out, "Hash", "%u", s->hash);
	out_field(c->out, "Revision", "%lld", (long long)s->revision);
	out_field(c->out, "Keys", "%llu", (unsigned long long)s->keys);
	out_field(c->out, "Size", "%llu", (unsigned long long)s->size_bytes);
	out_field(c->out, "Version", "%s", s->version);
	return UTL_EXIT_OK;
}

static int print_status(struct cli *c, enum out_format f, const struct utl_status *s)
{
	static const char *const titles[] = {"hash", "revision", "total keys", "total size", "version"};
	char size[TEXT_BYTES_SIZE];
	struct out_table *t;

	if (f == OUT_JSON)
		return print_status_json(c, s);
	if (f == OUT_FIELDS)
		return print_status_fields(c, s);
	t = out_table_new(titles, ARRAY_COUNT(titles));
	out_table_cell(t, "%x", s->hash);
	out_table_cell(t, "%lld", (long long)s->revision);
	out_table_cell(t, "%llu", (unsigned long long)s->keys);
	out_table_cell(t, "%s", text_bytes(size, s->size_bytes));
	out_table_cell(t, "%s", s->version);
	return print_row(c, f, t);
}

int utl_status_run(struct cli *c)
{
	const struct utl_options *o = c->options;
	struct utl_wait wait = wait_of(o);
	struct utl_status s;
	struct why why = {""};
	err_t err;
	int format;

	if (c->arg_count != 1)
		return utl_fail(c, UTL_EXIT_BAD_ARGS, "snapshot status requires exactly one argument");
	if (utl_stat(fs_of(c), c->args[0], &why))
		return utl_fail(c, UTL_EXIT_ERROR, why.text);
	format = format_of(c, o);
	if (format < 0)
		return UTL_EXIT_BAD_FEATURE;
	err = utl_status(fs_of(c), c->args[0], &wait, &why, &s);
	if (err == ERR_CORRUPT_FILE || err == ERR_MALFORMED)
		return utl_failf(c, UTL_EXIT_ERROR, "snapshot file integrity check failed. 1 errors found.\n%s",
				 why.text);
	if (err)
		return utl_fail(c, UTL_EXIT_ERROR, why.text);
	return print_status(c, (enum out_format)format, &s);
}

/* ---- hashkv ---- */

static int print_hashkv(struct cli *c, enum out_format f, const struct utl_hashkv *h)
{
	static const char *const titles[] = {"hash", "hash revision", "compact revision"};
	struct out_json j = {c->out, false};
	struct out_table *t;

	if (f == OUT_JSON) {
		out_json_open(&j, '{');
		out_json_key(&j, "hash");
		out_json_uint(&j, h->hash);
		out_json_key(&j, "hashRevision");
		out_json_int(&j, h->revision);
		out_json_key(&j, "compactRevision");
		out_json_int(&j, h->compact_revision);
		out_json_close(&j, '}');
		buf_put_byte(c->out, '\n');
		return UTL_EXIT_OK;
	}
	if (f == OUT_FIELDS) {
		out_field(c->out, "Hash", "%u", h->hash);
		out_field(c->out, "Hash revision", "%lld", (long long)h->revision);
		out_field(c->out, "Compact revision", "%lld", (long long)h->compact_revision);
		return UTL_EXIT_OK;
	}
	t = out_table_new(titles, ARRAY_COUNT(titles));
	out_table_cell(t, "%u", h->hash);
	out_table_cell(t, "%lld", (long long)h->revision);
	out_table_cell(t, "%lld", (long long)h->compact_revision);
	return print_row(c, f, t);
}

/* A database that cannot be opened is a panic upstream. */
static int fail_open(struct cli *c, err_t err, const struct why *why)
{
	if (err == ERR_LOCKED || err == ERR_MALFORMED)
		return utl_failf(c, UTL_EXIT_PANIC, "failed to open database: %s", why->text);
	return utl_fail(c, UTL_EXIT_ERROR, why->text);
}

int utl_hashkv_run(struct cli *c)
{
	const struct utl_options *o = c->options;
	struct utl_wait wait = wait_of(o);
	struct utl_hashkv h;
	struct why why = {""};
	int format = format_of(c, o);
	err_t err;

	if (format < 0)
		return UTL_EXIT_BAD_FEATURE;
	if (utl_stat(fs_of(c), c->args[0], &why))
		return utl_fail(c, UTL_EXIT_ERROR, why.text);
	err = utl_hashkv(fs_of(c), c->args[0], o->rev, &wait, &why, &h);
	return err ? fail_open(c, err, &why) : print_hashkv(c, (enum out_format)format, &h);
}

/* ---- snapshot restore ---- */

/* Which signal came: a handler has nowhere else to put it. */
static volatile sig_atomic_t stop_signal;

static void on_stop(int sig)
{
	stop_signal = sig;
}

/* The first signal lets a restore clean up, the second one ends it at once. */
static void catch_stops(bool on)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction sa = {.sa_handler = on ? on_stop : SIG_DFL, .sa_flags = (int)SA_RESETHAND};

	for (size_t i = 0; i < ARRAY_COUNT(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

int utl_restore_run(struct cli *c)
{
	const struct utl_options *o = c->options;
	char *data_dir = *o->data_dir ? mem_strdup(o->data_dir) : mem_printf("%s.etcd", o->name);
	struct utl_restore r = {
	    .data_dir = data_dir,
	    .wal_dir = *o->wal_dir ? o->wal_dir : NULL,
	    .name = o->name,
	    .initial_cluster = o->initial_cluster,
	    .token = o->token,
	    .peer_urls = o->peer_urls,
	    .skip_hash_check = o->skip_hash_check,
	    .bump_revision = o->bump_revision,
	    .map_bytes = o->map_bytes,
	    .stop = &stop_signal,
	};
	struct why why = {""};
	int code = UTL_EXIT_OK;
	err_t err;

	if (c->arg_count != 1) {
		code = utl_fail(c, UTL_EXIT_BAD_ARGS, "snapshot restore requires exactly one argument");
	} else if ((o->bump_revision > 0) != o->mark_compacted) {
		code = utl_fail(c, UTL_EXIT_BAD_ARGS, "--mark-compacted required if --revision-bump > 0");
	} else {
		r.snapshot_path = c->args[0];
		catch_stops(true);
		err = utl_restore(fs_of(c), &r, &why);
		catch_stops(false);
		if (err == ERR_CANCELED)
			code = utl_fail(c, UTL_EXIT_BAD_ARGS + stop_signal, why.text);
		else if (err)
			code = utl_fail(c, err == ERR_MALFORMED ? UTL_EXIT_PANIC : UTL_EXIT_ERROR, why.text);
	}
	mem_free(data_dir);
	return code;
}

/* ---- defrag, migrate ---- */

static err_t stat_db(struct cli *c, const char *data_dir, struct why *why)
{
	char *path = utl_db_path(data_dir);
	err_t err = utl_stat(fs_of(c), path, why);

	mem_free(path);
	return err;
}

int utl_defrag_run(struct cli *c)
{
	const struct utl_options *o = c->options;
	struct utl_wait wait = wait_of(o);
	struct why why = {""};
	err_t err = stat_db(c, o->data_dir, &why);

	if (!err)
		err = utl_defrag(fs_of(c), o->data_dir, &wait, &why);
	if (err == ERR_LOCKED || err == ERR_MALFORMED)
		return fail_open(c, err, &why);
	return err ? utl_failf(c, UTL_EXIT_ERROR, "Failed to defragment etcd data[%s] (%s)", o->data_dir, why.text)
		   : UTL_EXIT_OK;
}

/* Why "X.Y" with one dot is no version, in the words of Go's semver and strconv. */
static void version_fault(const char *text, struct buf *out)
{
	size_t part = strcspn(text, "."), end = strcspn(text, "+-");
	const char *at = text;

	if (text[end]) {
		buf_printf(out, "%.*s is not in dotted-tri format", (int)end, text);
		return;
	}
	errno = 0;
	(void)strtoll(text, NULL, 10);
	if (part && strspn(text, "0123456789") == part && errno != ERANGE) {
		at = text + part + 1;
		part = strlen(at);
	}
	buf_printf(out, "strconv.ParseInt: parsing ");
	text_quote(out, slice_of((const uint8_t *)at, part));
	buf_printf(out, part && strspn(at, "0123456789") == part ? ": value out of range" : ": invalid syntax");
}

static int not_a_version(struct cli *c, const char *text)
{
	struct buf fault;
	int code;

	buf_init(&fault, 64 * 1024);
	version_fault(text, &fault);
	code = utl_failf(c, UTL_EXIT_BAD_ARGS, "failed to parse target version: %.*s", SLICE_ARG(buf_slice(&fault)));
	buf_fini(&fault);
	return code;
}

/* "X.Y" with X.Y at least 3.5. */
static int target_of(struct cli *c, const char *text, unsigned *minor)
{
	const char *dot = strchr(text, '.');
	struct version v;
	struct buf quoted;
	int code;

	if (!dot || strchr(dot + 1, '.')) {
		buf_init(&quoted, 4096);
		text_quote(&quoted, slice_str(text));
		code = utl_failf(c, UTL_EXIT_BAD_ARGS, "wrong target version format, expected \"X.Y\", got %.*s",
				 SLICE_ARG(buf_slice(&quoted)));
		buf_fini(&quoted);
		return code;
	}
	if (version_parse(slice_str(text), &v))
		return not_a_version(c, text);
	if (v.major < 3 || (v.major == 3 && v.minor < 5))
		return utl_failf(c, UTL_EXIT_BAD_ARGS, "target version \"%u.%u\" not supported. Minimal \"3.5\"",
				 v.major, v.minor);
	if (v.major > 3) {
		LOG_ERROR("Changing major storage version is not supported");
		return utl_fail(c, UTL_EXIT_ERROR,
				"cannot create migration plan: changing major storage version is not supported");
	}
	*minor = v.minor;
	return UTL_EXIT_OK;
}

int utl_migrate_run(struct cli *c)
{
	const struct utl_options *o = c->options;
	struct utl_wait wait = wait_of(o);
	struct why why = {""};
	unsigned minor = 0;
	int code = target_of(c, o->target_version, &minor);
	err_t err;

	if (code)
		return code;
	err = stat_db(c, o->data_dir, &why);
	if (!err)
		err = utl_migrate(fs_of(c), o->data_dir, minor, o->force, &wait, &why);
	return err ? fail_open(c, err, &why) : UTL_EXIT_OK;
}

/* ---- version, completion ---- */

int utl_version_run(struct cli *c)
{
	buf_printf(c->out, "etcdutl version: %s\nAPI version: %s\n", UTL_VERSION, UTL_API_VERSION);
	return UTL_EXIT_OK;
}

int utl_completion_run(struct cli *c)
{
	return cli_completion_script(c->program, c->args[0], c->out) ? UTL_EXIT_OK : UTL_EXIT_ERROR;
}

/* ---- all of it ---- */

int utl_main(struct vfs *fs, int argc, const char *const *argv, struct buf *out, struct buf *err)
{
	struct utl_tool tool = {fs};
	struct utl_options o = {0};
	struct cli c;
	int code;

	if (argc > 1 && !strcmp(argv[1], "__complete")) {
		cli_complete(&utl_program, argv + 2, (size_t)argc - 2, out);
		return UTL_EXIT_OK;
	}
	if (argc == 2 && !strcmp(argv[1], "__man")) {
		cli_man(&utl_program, UTL_VERSION, out);
		return UTL_EXIT_OK;
	}
	if (cli_parse(&utl_program, argc, argv, &o, &c, out, err)) {
		c.user = &tool;
		code = c.command->run(&c);
	} else {
		code = c.exit_code;
	}
	cli_fini(&c);
	return code;
}
