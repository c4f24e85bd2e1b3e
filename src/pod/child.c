/* etcd as a child: its environment is the pod's, with the variables that are the agent's to decide. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pod/agent.h"

static void set(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void set_if_none(const char *name, const char *value)
{
	const char *v = getenv(name);

	if (!v || !v[0])
		setenv(name, value, 1);
}

/* etcd refuses a variable beside the flag of the same name. */
static void drop_given_flags(char *const *extra)
{
	for (; extra && *extra; extra++) {
		char name[128] = "ETCD_";
		size_t at = 5;
		const char *f = *extra;

		if (*f != '-')
			continue;
		f += strspn(f, "-");
		for (; *f && *f != '=' && at < sizeof(name) - 1; f++)
			name[at++] = *f == '-' ? '_' : (char)(*f >= 'a' && *f <= 'z' ? *f - 32 : *f);
		name[at] = '\0';
		unsetenv(name);
	}
}

static void set_environment(const struct config *cfg, const struct child_plan *plan, const char *password, char *const *extra)
{
	char url[POD_URL_SIZE], listen[64];
	const char *cert = getenv("ETCD_PEER_CERT_FILE");

	set("ETCD_NAME", cfg->pod);
	set("ETCD_DATA_DIR", cfg->data_dir);
	config_peer_url(cfg, cfg->ordinal, url);
	set("ETCD_INITIAL_ADVERTISE_PEER_URLS", url);
	config_client_url(cfg, cfg->ordinal, url);
	set("ETCD_ADVERTISE_CLIENT_URLS", url);
	set("ETCD_INITIAL_CLUSTER", plan->initial_cluster);
	set("ETCD_INITIAL_CLUSTER_STATE", plan->initial_state);
	set("ETCD_INITIAL_CLUSTER_TOKEN", plan->token);
	snprintf(listen, sizeof(listen), "%s://0.0.0.0:%u", cfg->peer_scheme, cfg->peer_port);
	set_if_none("ETCD_LISTEN_PEER_URLS", listen);
	snprintf(listen, sizeof(listen), "%s://0.0.0.0:%u", cfg->client_scheme, cfg->client_port);
	set_if_none("ETCD_LISTEN_CLIENT_URLS", listen);
	if (!strcmp(cfg->peer_scheme, "https") && (!cert || !cert[0]))
		set_if_none("ETCD_PEER_AUTO_TLS", "true");
	set("ETCD_ROOT_PASSWORD", password[0] ? password : NULL);
	unsetenv("ETCD_PROGRAM");
	drop_given_flags(extra);
}

static NORETURN void become_etcd(const struct config *cfg, const struct child_plan *plan, const char *password, char *const *extra)
{
	size_t count = 0, at = 0;
	char **args;
	sigset_t none;

	while (extra && extra[count])
		count++;
	args = NEW_ARRAY(char *, count + 3);
	args[at++] = (char *)cfg->program;
	if (plan->force_new_cluster)
		args[at++] = "--force-new-cluster";
	for (size_t i = 0; i < count; i++)
		args[at++] = extra[i];
	set_environment(cfg, plan, password, extra);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* outside of a container nobody else ends it */
	execvp(cfg->program, args);
	dprintf(STDERR_FILENO, "etcd-agent: %s cannot be started: %s\n", cfg->program, strerror(errno));
	_exit(127);
}

/* The probe's thread holds no lock that a child between fork and exec needs. */
err_t child_start(struct child *c, const struct config *cfg, const struct child_plan *plan, const char *password, char *const *extra,
		  struct why *why)
{
	pid_t pid = fork();

	if (pid < 0)
		return why_set(why, ERR_IO, "fork: %s", strerror(errno));
	if (pid == 0)
		become_etcd(cfg, plan, password, extra);
	c->pid = pid;
	c->exit_code = 0;
	return OK;
}

bool child_ended(struct child *c)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != c->pid)
			continue; /* an orphan that process 1 inherited */
		c->pid = 0;
		c->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return c->pid == 0;
}

void child_stop(struct child *c, int signal_number, unsigned wait_s)
{
	const struct timespec step = {.tv_nsec = 20 * 1000 * 1000};

	if (c->pid)
		kill(c->pid, signal_number);
	for (unsigned i = 0; i < wait_s * 50 && !child_ended(c); i++)
		nanosleep(&step, NULL);
	if (!child_ended(c)) {
		kill(c->pid, SIGKILL);
		while (!child_ended(c))
			nanosleep(&step, NULL);
	}
}
