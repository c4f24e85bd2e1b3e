/* A log file that is set aside when it has grown (--enable-log-rotation): NAME.EXT becomes NAME-2006-01-02T15-04-05.000.EXT, a new
 * NAME.EXT begins, and old ones are removed by number and age, and packed with gzip, by a thread of its own. Names and rules
 * as upstream's (lumberjack v2.2.1), so that what collects or removes these files goes on doing so.
 *
 *	err = log_rotate_open(path, &rotation, &why, &r);
 *	log_rotate_write(r, line, size);
 *	log_rotate_close(r);
 *
 * Thread: any for writing; a line is written whole, and lines of several threads do not mix. When setting aside fails the
 * line goes to the file as it is: nothing is lost for want of room or rights. */
#ifndef OBS_LOG_ROTATE_H
#define OBS_LOG_ROTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct log_rotation {
	uint64_t size_mib_max;          /* of a file; 0 = 100 */
	uint64_t age_days_max;          /* of one set aside, by the time in its name; 0 = any */
	uint64_t files_max;             /* set aside; 0 = any number */
	bool local_time;                /* in names; else UTC */
	bool compress;
};

struct log_rotate;

NODISCARD err_t log_rotate_open(const char *path, const struct log_rotation *cfg, struct why *why, struct log_rotate **out);
void log_rotate_write(struct log_rotate *r, const char *line, size_t size);
/* Waits until old files are dealt with. NULL allowed. */
void log_rotate_close(struct log_rotate *r);

/* For tests: bytes instead of MiB, and the wall clock in ns. */
void log_rotate_test(struct log_rotate *r, uint64_t size_bytes_max, int64_t (*now_ns)(void));

#endif
