/* etcd-agent backup and restore: snapshots between a cluster and a place, a directory or an S3-compatible store. What is
 * done to snapshots is done by etcdctl and etcdutl beside the agent.
 *
 * Snapshots are called etcd-snapshot-YYYYMMDDTHHMMSSZ.db: by name is by age. Nothing else in the place is touched. */
#define LOG_LOGGER "agent"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "obs/log.h"
#include "pod/agent.h"
#include "pod/s3.h"

enum { NAME_SIZE = 64, PATH_SIZE = 4096, NAMES_MAX = 100 * 1000, PART_AGE_S = 24 * 3600 };

static const char NAME_START[] = "etcd-snapshot-", NAME_END[] = ".db", PART_END[] = ".part";

struct names {
	VEC(char *) v;
};

/* Either of them. */
struct place {
	const char *dir;
	struct s3 *s3;
	uint64_t keep;  /* of the newest; 0: all */
};

static const char *text_of(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

static bool is_snapshot(const char *name)
{
	static const char PATTERN[] = "dddddddd-dddddd-"; /* d: a digit; -: T, Z */
	size_t start = sizeof(NAME_START) - 1;

	if (strlen(name) != start + 16 + sizeof(NAME_END) - 1 || strncmp(name, NAME_START, start) || strcmp(name + start + 16, NAME_END))
		return false;
	for (size_t i = 0; i < 16; i++)
		if (PATTERN[i] == 'd' ? name[start + i] < '0' || name[start + i] > '9' : name[start + i] != (i == 8 ? 'T' : 'Z'))
			return false;
	return true;
}

static void add_name(void *arg, const char *name)
{
	struct names *n = arg;

	if (is_snapshot(name) && n->v.count < NAMES_MAX)
		VEC_PUSH(&n->v, mem_strdup(name));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_fini(struct names *n)
{
	for (size_t i = 0; i < n->v.count; i++)
		mem_free(n->v.at[i]);
	VEC_FREE(&n->v);
}

/* 0 if it is empty. */
static err_t number_of(const char *name, uint64_t *out, struct why *why)
{
	const char *text = text_of(name);

	*out = 0;
	if (text[0] && text_parse_uint(text, 64, out) != TEXT_NUMBER_OK)
		return why_set(why, ERR_INVALID, "%s: \"%s\" is no number", name, text);
	return OK;
}

static err_t place_open(struct place *p, struct why *why)
{
	struct s3_opts o = {.endpoint = text_of("S3_ENDPOINT"), .ca_file = text_of("S3_CACERT"), .bucket = text_of("S3_BUCKET"),
			    .prefix = text_of("S3_PREFIX"), .region = text_of("S3_REGION"), .access_key = text_of("AWS_ACCESS_KEY_ID"),
			    .secret_key = text_of("AWS_SECRET_ACCESS_KEY")};
	err_t err = number_of("S3_PART_SIZE", &o.part_size, why);

	*p = (struct place){.dir = text_of("BACKUP_DIR")};
	err = err ? err : number_of("BACKUP_KEEP", &p->keep, why);
	if (err || p->dir[0])
		return err;
	if (!o.endpoint[0] || !o.bucket[0] || !o.access_key[0] || !o.secret_key[0])
		return why_set(why, ERR_INVALID, "neither BACKUP_DIR is set, nor S3_ENDPOINT, S3_BUCKET, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
	return s3_open(&o, why, &p->s3);
}

/* Sorted, the oldest first. */
static err_t place_list(struct place *p, struct names *out, struct why *why)
{
	err_t err = OK;

	if (p->s3) {
		err = s3_list(p->s3, add_name, out, why);
	} else {
		DIR *d = opendir(p->dir);
		struct dirent *e;

		if (!d)
			return why_set(why, err_from_errno(errno), "%s: %s", p->dir, strerror(errno));
		while ((e = readdir(d)))
			add_name(out, e->d_name);
		closedir(d);
	}
	if (out->v.count)
		qsort(out->v.at, out->v.count, sizeof(*out->v.at), by_name);
	return err;
}

static err_t place_remove(struct place *p, const char *name, struct why *why)
{
	char path[PATH_SIZE];

	if (p->s3)
		return s3_delete(p->s3, name, why);
	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	return unlink(path) < 0 ? why_set(why, err_from_errno(errno), "%s: %s", path, strerror(errno)) : OK;
}

/* Runs a program that stands beside this one, and waits. */
static err_t run(const char *program, char *const *args, struct why *why)
{
	char path[PATH_SIZE];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	char *slash;
	int status = 0;
	pid_t pid;

	path[MAX(n, (ssize_t)0)] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, program);
	pid = fork();
	if (pid == 0) {
		execv(path, args);
		execvp(program, args);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
		return why_set(why, ERR_IO, "%s %s failed (%d)", program, args[1], pid < 0 ? errno : WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return OK;
}

static err_t set_ctl_environment(struct why *why)
{
	char password[PASSWORD_SIZE] = "";
	const char *file = text_of("ROOT_PASSWORD_FILE");
	int fd;

	snprintf(password, sizeof(password), "%s", text_of("ETCD_ROOT_PASSWORD"));
	unsetenv("ETCD_ROOT_PASSWORD");
	if (file[0]) {
		ssize_t n;

		fd = open(file, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, password, sizeof(password) - 1);
		if (n < 0)
			return why_set(why, err_from_errno(errno), "%s: %s", file, strerror(errno));
		close(fd);
		password[n] = '\0';
		password[strcspn(password, "\r\n")] = '\0';
	}
	setenv("ETCDCTL_ENDPOINTS", text_of("BACKUP_ENDPOINTS"), 1);
	if (password[0]) {
		setenv("ETCDCTL_USER", "root", 1);
		setenv("ETCDCTL_PASSWORD", password, 1);
	}
	if (text_of("CLIENT_CACERT")[0])
		setenv("ETCDCTL_CACERT", text_of("CLIENT_CACERT"), 1);
	if (text_of("CLIENT_CERT")[0]) {
		setenv("ETCDCTL_CERT", text_of("CLIENT_CERT"), 1);
		setenv("ETCDCTL_KEY", text_of("CLIENT_KEY"), 1);
	}
	explicit_bzero(password, sizeof(password));
	return OK;
}

static err_t take_snapshot(const char *path, struct why *why)
{
	char *save[] = {(char *)"etcdctl", (char *)"snapshot", (char *)"save", (char *)path, NULL};
	char *check[] = {(char *)"etcdutl", (char *)"snapshot", (char *)"status", (char *)path, NULL};
	err_t err = set_ctl_environment(why);

	err = err ? err : run("etcdctl", save, why);
	return err ? err : run("etcdutl", check, why);
}

static err_t upload(struct place *p, const char *path, const char *name, struct why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	err_t err;

	if (fd < 0 || fstat(fd, &st) < 0)
		err = why_set(why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	else
		err = s3_put(p->s3, name, fd, (uint64_t)st.st_size, why);
	if (fd >= 0)
		close(fd);
	unlink(path);
	return err;
}

static err_t prune(struct place *p, struct why *why)
{
	struct names names = {0};
	err_t err = p->keep ? place_list(p, &names, why) : OK;

	for (size_t i = 0; !err && i + p->keep < names.v.count; i++) {
		err = place_remove(p, names.v.at[i], why);
		if (!err)
			LOG_INFO("an old snapshot was removed", LOG_STR("name", names.v.at[i]));
	}
	names_fini(&names);
	return err;
}

/* What a job that was killed had of its snapshot stays under etcdctl's name for it: old enough, it is nobody's any more. */
static void remove_parts(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char name[NAME_SIZE], path[PATH_SIZE];
		size_t n = strlen(e->d_name), end = sizeof(PART_END) - 1;
		struct stat st;

		if (n <= end || n - end >= sizeof(name) || strcmp(e->d_name + n - end, PART_END))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(n - end), e->d_name);
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (is_snapshot(name) && !stat(path, &st) && time(NULL) - st.st_mtime > PART_AGE_S && !unlink(path))
			LOG_INFO("the rest of a backup that was cut off was removed", LOG_STR("name", e->d_name));
	}
	if (d)
		closedir(d);
}

/* *kept: the snapshot is where it belongs. */
static err_t back_up(bool *kept, struct why *why)
{
	char name[NAME_SIZE], path[PATH_SIZE];
	time_t now = time(NULL);
	struct place p;
	struct tm tm;
	err_t err = place_open(&p, why);

	if (err)
		return err;
	gmtime_r(&now, &tm);
	strftime(name, sizeof(name), "etcd-snapshot-%Y%m%dT%H%M%SZ.db", &tm);
	/* etcdctl writes under another name and renames what is whole. */
	snprintf(path, sizeof(path), "%s/%s", p.s3 ? "." : p.dir, name);
	if (!p.s3)
		remove_parts(p.dir);
	err = take_snapshot(path, why);
	if (!err && p.s3)
		err = upload(&p, path, name, why);
	*kept = !err;
	if (!err)
		LOG_INFO("a snapshot was kept", LOG_STR("name", name), LOG_STR("in", p.s3 ? text_of("S3_BUCKET") : p.dir));
	err = err ? err : prune(&p, why);
	s3_close(p.s3);
	return err;
}

int backup_run(void)
{
	struct why why = {0};
	bool kept = false;

	signal(SIGPIPE, SIG_IGN);
	if (!back_up(&kept, &why))
		return 0;
	LOG_ERROR(kept ? "older snapshots could not be removed" : "the backup failed", LOG_WHY(&why));
	return kept ? BACKUP_KEPT : 1;
}

/* --- restore --- */

static err_t pick_snapshot(struct place *p, char name[PATH_SIZE], struct why *why)
{
	const char *wanted = text_of("RESTORE_SNAPSHOT");
	struct names names = {0};
	err_t err;

	if (wanted[0] && strcmp(wanted, "latest")) {
		snprintf(name, PATH_SIZE, "%s", wanted);
		return OK;
	}
	err = place_list(p, &names, why);
	if (!err && !names.v.count)
		err = why_set(why, ERR_NOT_EXIST, "there is no snapshot to restore");
	if (!err)
		snprintf(name, PATH_SIZE, "%s", names.v.at[names.v.count - 1]);
	names_fini(&names);
	return err;
}

static err_t fetch_snapshot(struct place *p, const char *name, char path[PATH_SIZE], struct why *why)
{
	err_t err;
	int fd;

	if (!p->s3) {
		if (name[0] == '/')
			snprintf(path, PATH_SIZE, "%s", name);
		else
			snprintf(path, PATH_SIZE, "%s/%s", p->dir, name);
		return OK;
	}
	strcpy(path, "restore.db");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return why_set(why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	err = s3_get(p->s3, name, fd, why);
	if (close(fd) < 0 && !err)
		err = why_set(why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	return err;
}

static err_t restore_from(struct agent *a, struct why *why)
{
	char name[PATH_SIZE], path[PATH_SIZE], draft[PATH_SIZE], url[POD_URL_SIZE];
	char *cluster, *token;
	struct place p;
	err_t err = place_open(&p, why);

	err = err ? err : pick_snapshot(&p, name, why);
	err = err ? err : fetch_snapshot(&p, name, path, why);
	err = err ? err : data_draft(a->cfg.data_dir, draft, sizeof(draft), why);
	if (err)
		return err;
	config_peer_url(&a->cfg, a->cfg.ordinal, url);
	cluster = mem_printf("%s=%s", a->cfg.pod, url);
	token = mem_printf("%s-%s", a->cfg.token, a->world.places[a->cfg.ordinal].claim_uid);
	LOG_INFO("a snapshot becomes the data of a new cluster", LOG_STR("name", name));
	{
		char *args[] = {(char *)"etcdutl", (char *)"snapshot", (char *)"restore", path, (char *)"--name", (char *)a->cfg.pod,
				(char *)"--initial-cluster", cluster, (char *)"--initial-cluster-token", token,
				(char *)"--initial-advertise-peer-urls", url, (char *)"--data-dir", draft, NULL};

		err = run("etcdutl", args, why);
		err = err ? err : data_from_draft(a->cfg.data_dir, draft, why);
	}
	if (p.s3)
		unlink(path);
	mem_free(cluster);
	mem_free(token);
	s3_close(p.s3);
	return err;
}

/* As at a beginning: waits until it is known whether there is a cluster. */
static bool is_needed(struct agent *a, const char **reason)
{
	const struct pod_place *own = &a->world.places[a->cfg.ordinal];

	if (a->cfg.ordinal != 0) {
		*reason = "only ordinal 0 begins a cluster";
		return false;
	}
	if (data_look(a->cfg.data_dir, &a->cluster_id, &a->member_id)) {
		*reason = "there is data";
		return false;
	}
	while (!world_read(a) || !a->world.has_set || !own->has_claim)
		sleep(1);
	*reason = "a claim of the release belongs to a cluster already";
	return !a->cluster_known;
}

int restore_run(void)
{
	struct agent *a = NEW(struct agent);
	struct why why = {0};
	const char *reason = "";
	err_t err;

	signal(SIGPIPE, SIG_IGN);
	err = agent_open(a, &why);
	if (!err && !is_needed(a, &reason))
		LOG_INFO("nothing is restored", LOG_STR("reason", reason));
	else if (!err)
		err = restore_from(a, &why);
	if (err)
		LOG_ERROR("the restore failed", LOG_WHY(&why));
	kube_close(a->kube);
	mem_free(a);
	return err ? 1 : 0;
}
