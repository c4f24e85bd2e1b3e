/* The datagram: NAME=value\n for a value without a newline, else NAME\n, its size as 64 bits little endian, the value, \n. */
#include "obs/log_journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/mem.h"
#include "base/text.h"

/* syslog's: 7 debug, 6 info, 4 warning, 3 error, 2 critical */
static const char priorities[] = {'7', '6', '4', '3', '2', '2', '2'};

err_t log_journal_open(const char *path, struct why *why, int *fd)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int s;

	ASSERT(strlen(path) < sizeof(to.sun_path));
	strcpy(to.sun_path, path);
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof(to))) {
		err_t err = err_from_errno(errno);
		char text[TEXT_ERRNO_SIZE];

		text_errno(text, errno);
		if (s >= 0)
			close(s);
		return why_set(why, err, "can't find journal (dial unixgram %s: connect: %s)", path, text);
	}
	*fd = s;
	return OK;
}

/* Last directory of the source's path. */
static size_t package_of(const char *source, const char **out)
{
	const char *end = strrchr(source, '/'), *at = end;

	while (at && at > source && at[-1] != '/')
		at--;
	*out = at ? at : source;
	return end ? (size_t)(end - at) : 0;
}

bool log_journal_send(int fd, enum log_level level, const char *source, const char *line, size_t size)
{
	char head[160];
	uint8_t length[8];
	const char *package;
	size_t package_size = package_of(source, &package);
	struct iovec parts[] = {{head, 0}, {length, sizeof(length)}, {(void *)(uintptr_t)line, 0}, {"\n", 1}};
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = ARRAY_COUNT(parts)};
	ssize_t sent;

	if (size && line[size - 1] == '\n')
		size--;
	parts[0].iov_len = (size_t)snprintf(head, sizeof(head), "PRIORITY=%c\nPACKAGE=%.*s\nSYSLOG_IDENTIFIER=%.32s\nMESSAGE\n",
					    priorities[level], (int)MIN(package_size, 64), package, program_invocation_short_name);
	le64_put(length, size);
	parts[2].iov_len = size;
	do
		sent = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent >= 0;
}
