/* /livez and /readyz in plain HTTP, by a thread of its own: the agent may be waiting for a network. One request a
 * connection, 2 s and 4 KiB each. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pod/agent.h"

struct server {
	struct probe *probe;
	int fd;
};

static bool is_alive(struct probe *p)
{
	int64_t now = agent_now_ms();

	if (now - atomic_load(&p->beat_ms) > 2 * ALIVE_MS)
		return false;
	return !atomic_load(&p->is_serving) || now - atomic_load(&p->answered_ms) <= ALIVE_MS;
}

static bool is_ready(struct probe *p)
{
	return atomic_load(&p->is_ready) && agent_now_ms() - atomic_load(&p->answered_ms) <= READY_MS;
}

static void answer(struct probe *p, int fd)
{
	struct timeval limit = {.tv_sec = 2};
	char room[4096], out[256];
	ssize_t n;
	int status;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	n = recv(fd, room, sizeof(room) - 1, 0);
	if (n <= 0)
		return;
	room[n] = '\0';
	if (!strncmp(room, "GET /livez", 10))
		status = is_alive(p) ? 200 : 503;
	else if (!strncmp(room, "GET /readyz", 11))
		status = is_ready(p) ? 200 : 503;
	else
		status = 404;
	n = snprintf(out, sizeof(out), "HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\n%s", status,
		     status == 200 ? "OK" : status == 404 ? "Not Found" : "Service Unavailable", status == 200 ? "ok\n" : "no\n");
	send(fd, out, (size_t)n, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	struct server *s = arg;

	for (;;) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			answer(s->probe, fd);
			close(fd);
		} else if (errno != EINTR) {
			poll(NULL, 0, 100);
		}
	}
	return NULL;
}

err_t probe_start(struct probe *p, unsigned port, struct why *why)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, off = 0;
	struct server *s;
	pthread_t thread;
	bool bound = false;

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		bound = !bind(fd, (struct sockaddr *)&any6, sizeof(any6));
	}
	if (!bound) {
		if (fd >= 0)
			close(fd);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		bound = !bind(fd, (struct sockaddr *)&any, sizeof(any));
	}
	if (!bound || listen(fd, 16) < 0)
		return why_set(why, ERR_IO, "listening on port %u for probes: %s", port, strerror(errno));
	s = NEW(struct server); /* for as long as the process lives */
	*s = (struct server){.probe = p, .fd = fd};
	if (pthread_create(&thread, NULL, serve, s))
		return why_set(why, ERR_IO, "no thread for probes");
	pthread_detach(thread);
	return OK;
}
