/* agent.json, and the data directory as a whole: {"claim_uid": "…", "nonce": "…", "spent": true}.
 *
 * The nonce is drawn when the pod has no data and asks for an id, and is spent before etcd is started with that id. An
 * emptied volume has no nonce, one whose data alone vanished has a spent one: either asks with a new nonce, and the
 * leader sees that the id it gave is not to be used again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "env/env.h"
#include "pod/agent.h"
#include "wal/wal.h"

enum { PATH_SIZE = 4096, ASIDE_KEPT = 2, ASIDE_MAX = 64 };

static const char ASIDE[] = ".aside-";

static void path_beside(const char *data_dir, const char *name, char out[PATH_SIZE])
{
	const char *slash = strrchr(data_dir, '/');

	snprintf(out, PATH_SIZE, "%.*s%s", slash ? (int)(slash - data_dir + 1) : 0, data_dir, name);
}

void record_read(const char *data_dir, struct record *r)
{
	char path[PATH_SIZE];
	json_t *j;

	memset(r, 0, sizeof(*r));
	path_beside(data_dir, "agent.json", path);
	j = json_load_file(path, 0, NULL);
	snprintf(r->claim_uid, sizeof(r->claim_uid), "%s", kube_text(j, "claim_uid", NULL, NULL));
	snprintf(r->nonce, sizeof(r->nonce), "%s", kube_text(j, "nonce", NULL, NULL));
	r->spent = json_is_true(json_object_get(j, "spent"));
	json_decref(j);
}

static err_t sync_dir_of(const char *path, struct why *why)
{
	char dir[PATH_SIZE];
	int fd;
	err_t err = OK;

	path_beside(path, ".", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		err = why_set(why, err_from_errno(errno), "sync of %s: %s", dir, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

err_t record_write(const char *data_dir, const struct record *r, struct why *why)
{
	json_t *j = json_pack("{s:s, s:s, s:b}", "claim_uid", r->claim_uid, "nonce", r->nonce, "spent", r->spent);
	char path[PATH_SIZE], next[PATH_SIZE];
	bool ok;
	int fd;

	path_beside(data_dir, "agent.json", path);
	path_beside(data_dir, "agent.json.next", next);
	fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ok = fd >= 0 && !json_dumpfd(j, fd, JSON_COMPACT) && !fsync(fd);
	if (fd >= 0)
		ok &= !close(fd);
	json_decref(j);
	if (!ok || rename(next, path) < 0)
		return why_set(why, err_from_errno(errno), "writing %s: %s", path, strerror(errno));
	return sync_dir_of(path, why);
}

static err_t take_metadata(void *arg, const struct wal_scanned *r)
{
	struct wal_metadata *out = arg;

	if (r->kind != WAL_SCAN_METADATA)
		return OK;
	*out = r->metadata;
	return ERR_CANCELED; /* enough */
}

bool data_look(const char *data_dir, uint64_t *cluster_id, uint64_t *member_id)
{
	struct wal_metadata m = {0};
	struct wal_scan_end end;
	char dir[PATH_SIZE];

	*cluster_id = *member_id = 0;
	snprintf(dir, sizeof(dir), "%s/member/wal", data_dir);
	if (!wal_exists(vfs_posix(), dir))
		return false;
	err_ignore(wal_scan(vfs_posix(), dir, 0, take_metadata, &m, NULL, &end)); /* etcd will say what is wrong with it */
	*cluster_id = m.cluster_id;
	*member_id = m.node_id;
	return true;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names carry the time with equal digits. */
static void prune_asides(const char *data_dir)
{
	char prefix[PATH_SIZE], parent[PATH_SIZE], path[PATH_SIZE], *names[ASIDE_MAX];
	const char *slash = strrchr(data_dir, '/');
	size_t count = 0;
	struct dirent *e;
	DIR *d;

	snprintf(prefix, sizeof(prefix), "%s%s", slash ? slash + 1 : data_dir, ASIDE);
	path_beside(data_dir, ".", parent);
	d = opendir(parent);
	while (d && count < ASIDE_MAX && (e = readdir(d)))
		if (!strncmp(e->d_name, prefix, strlen(prefix)))
			names[count++] = mem_strdup(e->d_name);
	if (d)
		closedir(d);
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++) {
		path_beside(data_dir, names[i], path);
		if (i + ASIDE_KEPT < count)
			nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		mem_free(names[i]);
	}
}

err_t data_aside(const char *data_dir, struct why *why)
{
	char to[PATH_SIZE];

	snprintf(to, sizeof(to), "%s%s%lld", data_dir, ASIDE, (long long)(env_wall_ns() / 1000000));
	if (rename(data_dir, to) < 0)
		return why_set(why, err_from_errno(errno), "renaming %s to %s: %s", data_dir, to, strerror(errno));
	prune_asides(data_dir);
	return sync_dir_of(data_dir, why);
}

err_t data_draft(const char *data_dir, char *out, size_t size, struct why *why)
{
	if (snprintf(out, size, "%s.draft", data_dir) >= (int)size)
		return why_set(why, ERR_TOO_LARGE, "%s: the name is too long", data_dir);
	if (nftw(out, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		return why_set(why, err_from_errno(errno), "removing %s: %s", out, strerror(errno));
	return OK;
}

err_t data_from_draft(const char *data_dir, const char *draft, struct why *why)
{
	if (rename(draft, data_dir) < 0)
		return why_set(why, err_from_errno(errno), "renaming %s to %s: %s", draft, data_dir, strerror(errno));
	return sync_dir_of(data_dir, why);
}
