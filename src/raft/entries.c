/* Lines of the log that people read, and runs of entries. */
#include "raft/log.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- lines ---- */

void raft_logf(const struct raft_logger *l, enum raft_log_level level, const char *fmt, ...)
{
	char text[512];
	char *long_text = NULL;
	va_list ap;

	if (!l->fn)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text)) {
		long_text = mem_alloc((size_t)n + 1);
		va_start(ap, fmt);
		vsnprintf(long_text, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	l->fn(l->ctx, level, long_text ? long_text : text);
	mem_free(long_text);
}

void raft_panic(const struct raft_logger *l, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (l->fn)
		l->fn(l->ctx, RAFT_LOG_FATAL, text);
	fatal("raft: %s", text);
}

/* ---- spans ---- */

uint64_t raft_entries_size(const struct raft_entry *at, size_t count)
{
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += raft_entry_size(&at[i]);
	return size;
}

uint64_t raft_entries_payload(const struct raft_entry *at, size_t count)
{
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += at[i].data ? at[i].data->size : 0;
	return size;
}

size_t raft_entries_fitting(const struct raft_entry *at, size_t count, uint64_t bytes_max)
{
	if (bytes_max == RAFT_NO_LIMIT || count <= 1)
		return count;

	uint64_t size = raft_entry_size(&at[0]);
	size_t n = 1;
	for (; n < count; n++) {
		size += raft_entry_size(&at[n]);
		if (size > bytes_max)
			break;
	}
	return n;
}

struct raft_entry *raft_span_copy(const struct raft_span *s)
{
	size_t n = raft_span_count(s);

	if (n == 0)
		return NULL;

	struct raft_entry *copy = mem_alloc(n * sizeof(*copy));
	size_t k = 0;
	for (int part = 0; part < 2; part++) {
		for (size_t i = 0; i < s->part[part].count; i++)
			copy[k++] = raft_entry_ref(&s->part[part].at[i]);
	}
	return copy;
}
