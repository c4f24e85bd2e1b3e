#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "net/net_impl.h"

static void print_unix(const struct sockaddr_un *u, socklen_t size, char *out, size_t out_size)
{
	size_t path_size =
	    size > offsetof(struct sockaddr_un, sun_path) ? size - offsetof(struct sockaddr_un, sun_path) : 0;

	if (path_size == 0)
		snprintf(out, out_size, "@");
	else if (u->sun_path[0] == '\0')
		snprintf(out, out_size, "@%.*s", (int)path_size - 1, u->sun_path + 1);
	else
		snprintf(out, out_size, "%.*s", (int)strnlen(u->sun_path, path_size), u->sun_path);
}

void net_addr_print(const struct sockaddr_storage *a, socklen_t size, char *out, size_t out_size)
{
	char ip[INET6_ADDRSTRLEN];

	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)a;

		inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip));
		snprintf(out, out_size, "%s:%u", ip, ntohs(v4->sin_port));
	} else if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)a;

		/* A dual listener sees IPv4 peers as ::ffff:a.b.c.d; Go prints the IPv4 form. */
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
			inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], ip, sizeof(ip));
			snprintf(out, out_size, "%s:%u", ip, ntohs(v6->sin6_port));
		} else {
			inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip));
			snprintf(out, out_size, "[%s]:%u", ip, ntohs(v6->sin6_port));
		}
	} else if (a->ss_family == AF_UNIX) {
		print_unix((const void *)a, size, out, out_size);
	} else {
		snprintf(out, out_size, "?");
	}
}

bool net_addr_split(const char *address, char *host, size_t host_size, char *port, size_t port_size)
{
	const char *host_end, *colon;
	size_t n;

	if (address[0] == '[') {
		address++;
		host_end = strchr(address, ']');
		if (!host_end || host_end[1] != ':')
			return false;
		colon = host_end + 1;
	} else {
		colon = strrchr(address, ':');
		if (!colon || strchr(address, ':') != colon)
			return false;
		host_end = colon;
	}
	n = (size_t)(host_end - address);
	if (n >= host_size || strlen(colon + 1) >= port_size)
		return false;
	memcpy(host, address, n);
	host[n] = '\0';
	strcpy(port, colon + 1);
	return true;
}

bool net_addr_unix(const char *path, struct sockaddr_storage *out, socklen_t *size)
{
	struct sockaddr_un *u = (void *)out;
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(u->sun_path))
		return false;
	memset(out, 0, sizeof(*out));
	u->sun_family = AF_UNIX;
	memcpy(u->sun_path, path, n);
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (path[0] == '@')
		u->sun_path[0] = '\0';
	else
		*size += 1;
	return true;
}

const char *net_errno_text(int sys_errno, char *buf, size_t size)
{
	snprintf(buf, size, "%s", strerrordesc_np(sys_errno) ? strerrordesc_np(sys_errno) : "unknown error");
	buf[0] = (char)tolower((unsigned char)buf[0]);
	return buf;
}
