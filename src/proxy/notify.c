/* sd_notify(3), the one line of it that is needed. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "obs/log.h"
#include "proxy/proxy_impl.h"

/* 0, or an errno. */
static int send_ready(const char *path)
{
	static const char state[] = "READY=1";
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t size = strlen(path);
	int fd, code = 0;

	if (size >= sizeof(a.sun_path))
		return ENAMETOOLONG;
	memcpy(a.sun_path, path, size);
	if (a.sun_path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (sendto(fd, state, sizeof(state) - 1, MSG_NOSIGNAL, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0)
		code = errno;
	close(fd);
	return code;
}

void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	char text[TEXT_ERRNO_SIZE];
	int code;

	LOG_INFO("notifying init daemon");
	code = path && path[0] ? send_ready(path) : 0;
	if (code)
		LOG_ERROR("failed to notify systemd for readiness", LOG_STR("error", text_errno(text, code)));
	else
		LOG_INFO("successfully notified init daemon");
}
