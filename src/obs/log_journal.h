/* Lines to systemd's journal (--log-outputs systemd/journal), by its native protocol: one datagram an event, with the fields MESSAGE
 * (the line), PRIORITY, PACKAGE (directory of the source) and SYSLOG_IDENTIFIER, as upstream sends them. What cannot be sent goes to
 * stderr. Any thread. */
#ifndef OBS_LOG_JOURNAL_H
#define OBS_LOG_JOURNAL_H

#include "obs/log.h"

#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* ERR_NOT_EXIST with why: there is no journal here. *fd is the caller's, to be closed. path: LOG_JOURNAL_SOCKET, but in tests. */
NODISCARD err_t log_journal_open(const char *path, struct why *why, int *fd);
/* False: not sent. */
bool log_journal_send(int fd, enum log_level level, const char *source, const char *line, size_t size);

#endif
