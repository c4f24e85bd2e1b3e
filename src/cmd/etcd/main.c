/* etcd: reads what it was told, starts the server, or a proxy, and waits for a signal. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "env/env.h"
#include "obs/log.h"
#include "proxy/proxy.h"
#include "server/server.h"

enum { FD_LIMIT_LEAST = 150 };

static void put(const struct buf *b, FILE *f)
{
	if (b->size)
		fwrite(b->data, 1, b->size, f);
	fflush(f);
}

/* All threads are born with the signals blocked; only main takes them. */
static void signals_block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void fd_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur <= FD_LIMIT_LEAST)
		LOG_FATAL("file descriptor limit of etcd process is too low; please set higher", LOG_UINT("limit", r.rlim_cur),
			  LOG_INT("recommended-limit", FD_LIMIT_LEAST));
}

/* Ends as upstream does: by the signal itself, so that a shell sees 128 + number; 0 when pid is 1. */
static int end_by(int sig)
{
	sigset_t set;

	if (getpid() == 1)
		return 0;
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	return 128 + sig;
}

/* The main thread has nothing else to do meanwhile. */
static int wait_signal(const sigset_t *set)
{
	const struct timespec look_every = {.tv_sec = 2};
	struct env_spare spare = {0};

	for (;;) {
		int sig = sigtimedwait(set, NULL, &look_every);

		if (sig > 0)
			return sig;
		if (errno == EAGAIN)
			env_spare_look(&spare);
	}
}

static int serve(struct config *cfg, struct root_password *take_root, const sigset_t *set)
{
	struct server *s;
	struct why why = {""};
	err_t err = server_start(cfg, take_root, &why, &s);
	int sig = 0;
	bool removed;

	if (err)
		LOG_FATAL("discovery failed", LOG_WHY(&why));
	sig = wait_signal(set);
	removed = server_is_removed(s);
	if (!removed)
		LOG_INFO("received signal; shutting down", LOG_STR("signal", sig == SIGINT ? "interrupt" : "terminated"));
	LOG_INFO("closing etcd server", LOG_STR("name", cfg->name), LOG_STR("data-dir", cfg->data_dir));
	server_stop(s);
	LOG_INFO("closed etcd server", LOG_STR("name", cfg->name), LOG_STR("data-dir", cfg->data_dir));
	return removed ? 0 : end_by(sig);
}

static int run_proxy(int argc, char **argv, const sigset_t *set)
{
	int code = 0;
	struct proxy *p;
	int sig;

	fd_limit();
	p = proxy_start(argc, argv, &code);
	if (!p)
		return code;
	sig = wait_signal(set);
	proxy_stop(p);
	return end_by(sig);
}

int main(int argc, char **argv)
{
	struct config cfg;
	struct config_outcome o;
	struct root_password root;
	sigset_t set;
	int code;

	root_password_take(environ, &root);     /* before anything reads, or tells of, the environment */
	signals_block(&set);
	fatal_set_hook(log_fatal_hook);
	env_sigbus_install();
	env_crash_install();
	if (proxy_is_command(argc, argv))
		return run_proxy(argc, argv, &set);
	config_load(argc, argv, environ, &cfg, &o);
	put(&o.out, stdout);
	put(&o.err, stderr);
	code = o.exit_code;
	if (o.run) {
		fd_limit();
		code = serve(&cfg, &root, &set);
	}
	config_outcome_fini(&o);
	config_free(&cfg);
	return code;
}
