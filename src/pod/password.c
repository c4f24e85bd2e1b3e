/* Root's password: from a file that is looked at again, else from the environment, once. */
#define LOG_LOGGER "agent"

#include <fcntl.h>
#include <unistd.h>

#include "obs/log.h"
#include "pod/agent.h"

enum { LOOK_MS = 5000, TELL_MS = 60 * 1000 };

static bool read_file(const char *path, char out[PASSWORD_SIZE])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, PASSWORD_SIZE - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	while (n && (out[n - 1] == '\n' || out[n - 1] == '\r'))
		n--;
	out[n] = '\0';
	return true;
}

void password_read(struct agent *a)
{
	char now[PASSWORD_SIZE] = "";
	const char *env = getenv("ETCD_ROOT_PASSWORD");

	if (a->cfg.password_file ? !read_file(a->cfg.password_file, now) : !env || strlen(env) >= sizeof(now))
		return;
	if (!a->cfg.password_file)
		memcpy(now, env, strlen(env) + 1);
	if (strcmp(now, a->wanted)) {
		if (a->wanted[0])
			LOG_INFO("the file with root's password has changed");
		memcpy(a->wanted, now, sizeof(now));
		a->password_at_ms = 0;
	}
	if (!a->password[0])
		memcpy(a->password, a->wanted, sizeof(a->password));
	explicit_bzero(now, sizeof(now));
}

static bool is_refused(const struct client_status *st)
{
	return client_error_row(st) == ERR_AUTH_FAILED;
}

/* Only what is refused is changed; a server without authentication refuses nothing that matters here. */
void password_rotate(struct agent *a)
{
	char url[POD_URL_SIZE];
	struct client_status st;
	int64_t now = agent_now_ms();

	if (a->password_at_ms && now < a->password_at_ms)
		return;
	a->password_at_ms = now + LOOK_MS;
	password_read(a);
	if (!a->is_leader || !a->wanted[0] || (!strcmp(a->wanted, a->password) && !a->password_told))
		return;
	config_client_url(&a->cfg, a->cfg.ordinal, url);
	if (members_login(a, url, a->wanted, &st) || client_error_row(&st) == ERR_AUTH_NOT_ENABLED) {
		memcpy(a->password, a->wanted, sizeof(a->password));
		a->password_told = false;
		return;
	}
	if (!is_refused(&st))
		return;
	if (strcmp(a->wanted, a->password) && members_set_password(a, a->password, a->wanted, &st)) {
		memcpy(a->password, a->wanted, sizeof(a->password));
		a->token[0] = '\0';
		a->password_told = false;
		LOG_INFO("root's password in etcd was changed to that of the file");
		world_event(a, false, "PasswordChanged", "root's password in etcd was changed to that of the secret");
		return;
	}
	if (!is_refused(&st))
		return; /* no answer in time, say: once more, soon */
	a->password_at_ms = now + TELL_MS;
	a->password_told = true;
	LOG_ERROR("root's password in the file is not the one in etcd, and no older one that works is held: set it by etcdctl user passwd root, or "
		  "put the old one back");
	world_event(a, true, "PasswordUnknown",
		    "root's password in the secret is not the one in etcd, and the agent holds none that works: put the old one back, or change it with "
		    "etcdctl user passwd root");
}
