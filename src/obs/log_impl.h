/* Inside obs: building one line. */
#ifndef OBS_LOG_IMPL_H
#define OBS_LOG_IMPL_H

#include "obs/log.h"

/* A line under construction, on the stack of who logs. tail bytes are kept free for what closes the line. */
struct log_line {
	size_t size;
	bool full;
	char data[LOG_LINE_SIZE_MAX];
};

/* Builds a whole line, newline included. */
void log_line_build(struct log_line *l, enum log_format format, int64_t now_ns, const struct log_site *site,
		    const char *text, const struct log_field *fields, size_t count);

#endif
