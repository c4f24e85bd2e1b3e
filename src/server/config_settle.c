/* Values that follow from others once all are known: the cluster of a member that only has a name, the data
 * directory, and the address to advertise when one listens on all of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "obs/log.h"
#include "server/config_impl.h"

/* The address that the kernel would take to reach the world. Connecting a UDP socket sends nothing; the
 * destination is from the range reserved for documentation (RFC 5737). */
static bool default_host(char out[INET_ADDRSTRLEN], int *sys_errno)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, me;
	socklen_t size = sizeof(me);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool found;

	inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
	found = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		getsockname(fd, (struct sockaddr *)&me, &size) == 0 &&
		inet_ntop(AF_INET, &me.sin_addr, out, INET_ADDRSTRLEN);
	*sys_errno = errno;
	if (fd >= 0)
		close(fd);
	return found;
}

/* localhost is replaced where the operator left the preset and listens on every address. */
static bool advertise(struct config *cfg, struct url_list *advertised, enum flag preset, const struct url_list *listen,
		      const char *host)
{
	char text[128];
	struct url u;

	if (advertised->count != 1 || strcmp(advertised->at[0].text, flag_rows[preset].preset) || !listen->count ||
	    strcmp(listen->at[0].host, "0.0.0.0"))
		return false;
	snprintf(text, sizeof(text), "http://%s:%s", host, listen->at[0].port);
	if (url_parse(&cfg->arena, slice_str(text), &u, NULL))
		UNREACHABLE();
	advertised->at[0] = u;
	return true;
}

/* name=URL for each peer URL. */
static const char *own_cluster(struct config *cfg)
{
	const struct url_list *l = &cfg->initial_advertise_peer_urls;
	const char *text;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < l->count; i++)
		buf_printf(&b, "%s%s=%s", i ? "," : "", cfg->name[0] ? cfg->name : "default", l->at[i].text);
	text = config_keep(cfg, buf_slice(&b));
	buf_fini(&b);
	return text;
}

void config_settle(struct config *cfg)
{
	char host[INET_ADDRSTRLEN], text[TEXT_ERRNO_SIZE];
	bool used = false, found;
	int sys_errno;

	found = default_host(host, &sys_errno);
	if (found)
		used = advertise(cfg, &cfg->initial_advertise_peer_urls, FLAG_initial_advertise_peer_urls,
				 &cfg->listen_peer_urls, host);
	if (strcmp(cfg->name, "default") && !flag_changed(cfg, FLAG_initial_cluster))
		cfg->initial_cluster = own_cluster(cfg);
	if (found && advertise(cfg, &cfg->advertise_client_urls, FLAG_advertise_client_urls, &cfg->listen_client_urls, host))
		used = true;
	if (used)
		LOG_INFO("detected default host for advertise", LOG_STR("host", host));
	if (!found)
		LOG_INFO("failed to detect default host", LOG_STR("error", text_errno(text, sys_errno)));
	if (!cfg->data_dir[0]) {
		char *dir = mem_printf("%s.etcd", cfg->name);

		cfg->data_dir = config_keep(cfg, slice_str(dir));
		mem_free(dir);
		LOG_WARN("'data-dir' was empty; using default", LOG_STR("data-dir", cfg->data_dir));
	}
}
