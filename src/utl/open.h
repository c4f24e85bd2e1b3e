/* Opening databases that a server may hold. Private to utl. */
#ifndef UTL_OPEN_H
#define UTL_OPEN_H

#include "utl/utl.h"

/* As bolt_open with a lock; while ERR_LOCKED it tries again until the time is over.
 * A database that cannot be opened is ERR_MALFORMED here, to tell it from one found damaged later. */
NODISCARD err_t utl_open(struct vfs *fs, const char *path, const struct bolt_options *options,
			 const struct utl_wait *wait, struct why *why, struct bolt **out);
/* "stat PATH: no such file or directory" */
NODISCARD err_t utl_stat(struct vfs *fs, const char *path, struct why *why);
/* dir/name without what is superfluous ("a/./b//c/../d" is "a/b/d"), as upstream shows paths. Caller frees. */
char *utl_join(const char *dir, const char *name);
char *utl_db_path(const char *data_dir);  /* caller frees */
char *utl_wal_path(const char *data_dir); /* caller frees */

#endif
