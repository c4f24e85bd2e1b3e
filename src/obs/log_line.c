/* One line, JSON:    {"level":"info","ts":"2026-11-24T20:22:17.390467Z","caller":"server/main.c:12","msg":"..",FIELDS}
 * or console:        ts TAB level TAB [logger TAB] caller TAB msg [TAB {FIELDS}]
 *
 * The line never outgrows its array: each field is written whole or taken back, and room for the end is kept. */
#include "obs/log_impl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"

#define TAIL_SIZE 512                   /* stacktrace, "truncated":true, braces, newline */
#define TEXT_SIZE_MAX 4096

static void put(struct log_line *l, const char *data, size_t size)
{
	if (l->full || size > sizeof(l->data) - TAIL_SIZE - l->size) {
		l->full = true;
		return;
	}
	if (size)
		memcpy(l->data + l->size, data, size);
	l->size += size;
}

static void puts_(struct log_line *l, const char *s)
{
	put(l, s, strlen(s));
}

static size_t utf8_size(const uint8_t *p, size_t left)
{
	for (size_t n = 2; n <= 4 && n <= left; n++) {
		if (slice_is_utf8(slice_of(p, n)))
			return n;
	}
	return 0;
}

/* As zap escapes: quotes, backslash, controls; nothing for HTML; a byte that is no UTF-8 becomes \ufffd. */
static void put_escaped(struct log_line *l, const uint8_t *p, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t plain = 0, i = 0;

	while (i < size) {
		char esc[8] = {'\\', 0};
		size_t esc_size = 2, used = 1;
		uint8_t c = p[i];

		if (c >= 0x80) {
			used = utf8_size(p + i, size - i);
			if (used) {
				i += used;
				continue;
			}
			used = 1;
			esc_size = 6;
			memcpy(esc, "\\ufffd", 6);
		} else if (c == '"' || c == '\\') {
			esc[1] = (char)c;
		} else if (c == '\n' || c == '\r' || c == '\t') {
			esc[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
		} else if (c < 0x20) {
			esc_size = 6;
			memcpy(esc, "\\u00", 4);
			esc[4] = hex[c >> 4];
			esc[5] = hex[c & 15];
		} else {
			i++;
			continue;
		}
		put(l, (const char *)p + plain, i - plain);
		put(l, esc, esc_size);
		i += used;
		plain = i;
	}
	put(l, (const char *)p + plain, size - plain);
}

static void put_string(struct log_line *l, struct slice s)
{
	size_t size = MIN(s.size, LOG_STRING_SIZE_MAX);

	/* never cut inside a character */
	while (size < s.size && size > 0 && (s.data[size] & 0xc0) == 0x80)
		size--;
	puts_(l, "\"");
	if (size)
		put_escaped(l, s.data, size);
	puts_(l, size < s.size ? "...\"" : "\"");
}

static void put_strs(struct log_line *l, const struct log_field *f, bool console)
{
	puts_(l, "[");
	for (size_t i = 0; i < f->count; i++) {
		if (i)
			puts_(l, console ? ", " : ",");
		put_string(l, slice_str(f->strs[i]));
	}
	puts_(l, "]");
}

static void put_value(struct log_line *l, const struct log_field *f, bool console)
{
	char text[TEXT_DURATION_SIZE + 2];

	switch (f->kind) {
	case LOG_KIND_STR:
		put_string(l, slice_str(f->str ? f->str : ""));
		return;
	case LOG_KIND_SLICE:
		put_string(l, f->slice);
		return;
	case LOG_KIND_STRS:
		put_strs(l, f, console);
		return;
	case LOG_KIND_RAW:
		puts_(l, f->str);
		return;
	case LOG_KIND_DURATION: {
		char ns[TEXT_DURATION_SIZE];

		snprintf(text, sizeof(text), "\"%s\"", text_duration(ns, f->i));
		break;
	}
	case LOG_KIND_INT:
		snprintf(text, sizeof(text), "%lld", (long long)f->i);
		break;
	case LOG_KIND_UINT:
		snprintf(text, sizeof(text), "%llu", (unsigned long long)f->u);
		break;
	case LOG_KIND_BOOL:
		snprintf(text, sizeof(text), "%s", f->u ? "true" : "false");
		break;
	case LOG_KIND_HEX:
		snprintf(text, sizeof(text), "\"%llx\"", (unsigned long long)f->u);
		break;
	default:
		UNREACHABLE();
	}
	puts_(l, text);
}

/* "key":value, whole or not at all; console text has blanks behind : and , */
static void put_field(struct log_line *l, const struct log_field *f, bool first, bool console)
{
	size_t before = l->size;

	if (!first)
		puts_(l, console ? ", " : ",");
	put_string(l, slice_str(f->key));
	puts_(l, console ? ": " : ":");
	put_value(l, f, console);
	if (l->full)
		l->size = before;
}

static void put_fields(struct log_line *l, const struct log_field *fields, size_t count, bool first, bool console)
{
	for (size_t i = 0; i < count && !l->full; i++)
		put_field(l, &fields[i], first && i == 0, console);
	if (l->full) {
		static const struct log_field cut = {.key = "truncated", .kind = LOG_KIND_BOOL, .u = 1};
		bool comma = l->size && l->data[l->size - 1] != '{';

		l->full = false;
		l->size += (size_t)sprintf(l->data + l->size, "%s\"%s\":%strue", comma ? console ? ", " : "," : "",
					   cut.key, console ? " " : "");
	}
}

/* 2026-11-24T20:22:17.390467Z, or +0200 for the zone. */
const char *log_time_text(char out[LOG_TIME_SIZE], int64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / 1000000000);
	struct tm tm;
	char zone[16] = "Z";
	size_t n;

	localtime_r(&s, &tm);
	n = strftime(out, LOG_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	if (tm.tm_gmtoff)
		strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(out + n, LOG_TIME_SIZE - n, ".%06d%s", (int)(wall_ns % 1000000000 / 1000), zone);
	return out;
}

static void put_time(struct log_line *l, int64_t now_ns)
{
	char text[LOG_TIME_SIZE];

	puts_(l, log_time_text(text, now_ns));
}

/* Last directory and file of the source, and the line. */
static void put_caller(struct log_line *l, const struct log_site *site)
{
	const char *file = site->file;
	int slashes = 0;
	char line[16];

	for (const char *p = file + strlen(file); p > file; p--) {
		if (p[-1] == '/' && ++slashes == 2) {
			file = p;
			break;
		}
	}
	puts_(l, file);
	snprintf(line, sizeof(line), ":%d", site->line);
	puts_(l, line);
}

static void build_json(struct log_line *l, int64_t now_ns, const struct log_site *site, struct slice text,
		       const struct log_field *fields, size_t count)
{
	puts_(l, "{\"level\":\"");
	puts_(l, log_level_name(site->level));
	puts_(l, "\",\"ts\":\"");
	put_time(l, now_ns);
	if (site->logger) {
		puts_(l, "\",\"logger\":\"");
		puts_(l, site->logger);
	}
	puts_(l, "\",\"caller\":\"");
	put_caller(l, site);
	puts_(l, "\",\"msg\":");
	put_string(l, text);
	put_fields(l, fields, count, false, false);
	if (site->level >= LOG_LEVEL_ERROR)
		l->size += (size_t)snprintf(l->data + l->size, TAIL_SIZE / 2, ",\"stacktrace\":\"%.80s\\n\\t%.80s:%d\"",
					    site->func, site->file, site->line);
	memcpy(l->data + l->size, "}\n", 2);
	l->size += 2;
}

static void build_console(struct log_line *l, int64_t now_ns, const struct log_site *site, struct slice text,
			  const struct log_field *fields, size_t count)
{
	put_time(l, now_ns);
	puts_(l, "\t");
	puts_(l, log_level_name(site->level));
	puts_(l, "\t");
	if (site->logger) {
		puts_(l, site->logger);
		puts_(l, "\t");
	}
	put_caller(l, site);
	puts_(l, "\t");
	put(l, (const char *)text.data, text.size);
	if (count) {
		puts_(l, "\t{");
		put_fields(l, fields, count, true, true);
		l->data[l->size++] = '}';
	}
	if (site->level >= LOG_LEVEL_ERROR)
		l->size += (size_t)snprintf(l->data + l->size, TAIL_SIZE / 2, "\n%.80s\n\t%.80s:%d", site->func,
					    site->file, site->line);
	l->data[l->size++] = '\n';
}

void log_line_build(struct log_line *l, enum log_format format, int64_t now_ns, const struct log_site *site,
		    const char *text, const struct log_field *fields, size_t count)
{
	struct slice t = slice_of(text, strnlen(text, TEXT_SIZE_MAX));

	l->size = 0;
	l->full = false;
	if (format == LOG_FORMAT_JSON)
		build_json(l, now_ns, site, t, fields, count);
	else
		build_console(l, now_ns, site, t, fields, count);
}
