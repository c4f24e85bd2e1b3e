#include "obs/log_rotate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/text.h"

enum { SIZE_MIB_PRESET = 100, STAMP_SIZE = 23, COPY_SIZE = 64 * 1024, OLD_MAX = 65536 };

static const char packed_suffix[] = ".gz";

struct log_rotate {
	struct log_rotation cfg;
	uint64_t size_bytes_max;
	char *path, *dir;
	char *prefix;                   /* of the names set aside: base name without extension, and '-' */
	char *ext;                      /* with its dot, or "" */
	int64_t (*now_ns)(void);

	pthread_mutex_t lock;           /* of what follows */
	int fd;
	uint64_t size;
	pthread_t sweeper;
	bool sweeping;                  /* sweeper was started and not joined */
	bool sweep_again;
	bool sweep_ended;               /* it will not look at sweep_again any more */
};

static int64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* ---- old files ---- */

struct old_file {
	char *name;
	char stamp[STAMP_SIZE + 1];     /* sorts by time */
	bool packed;
};

/* NAME-2006-01-02T15-04-05.000.EXT, perhaps with .gz */
static bool old_name_parse(const struct log_rotate *r, const char *name, struct old_file *out)
{
	static const char form[] = "dddd-dd-ddTdd-dd-dd.ddd";
	size_t prefix = strlen(r->prefix), ext = strlen(r->ext), size = strlen(name);
	const char *rest;

	if (size < prefix + STAMP_SIZE + ext || strncmp(name, r->prefix, prefix) != 0)
		return false;
	for (size_t i = 0; i < STAMP_SIZE; i++) {
		char c = name[prefix + i];

		if (form[i] == 'd' ? c < '0' || c > '9' : c != form[i])
			return false;
	}
	rest = name + prefix + STAMP_SIZE;
	if (strncmp(rest, r->ext, ext) != 0 || (rest[ext] && strcmp(rest + ext, packed_suffix) != 0))
		return false;
	memcpy(out->stamp, name + prefix, STAMP_SIZE);
	out->stamp[STAMP_SIZE] = 0;
	out->packed = rest[ext] != 0;
	return true;
}

/* The stamp is read as UTC, also where local time was written: as upstream does. */
static int64_t stamp_ns(const char *stamp)
{
	struct tm tm = {0};
	int ms = 0;

	sscanf(stamp, "%4d-%2d-%2dT%2d-%2d-%2d.%3d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return timegm(&tm) * INT64_C(1000000000) + ms * INT64_C(1000000);
}

static int newest_first(const void *a, const void *b)
{
	return strcmp(((const struct old_file *)b)->stamp, ((const struct old_file *)a)->stamp);
}

static char *in_dir(const struct log_rotate *r, const char *name)
{
	return mem_printf("%s/%s", r->dir, name);
}

static bool pack_into(const char *from, int in, const char *to, mode_t mode)
{
	char *data = mem_alloc(COPY_SIZE);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	gzFile gz = out < 0 ? NULL : gzdopen(out, "wb");
	bool good = gz != NULL;
	ssize_t n = 0;

	while (good && (n = read(in, data, COPY_SIZE)) > 0)
		good = gzwrite(gz, data, (unsigned)n) == (int)n;
	good = good && n == 0;
	if (gz)
		good = gzclose(gz) == Z_OK && good;
	else if (out >= 0)
		close(out);
	mem_free(data);
	unlink(good ? from : to);
	return good;
}

static void pack(const struct log_rotate *r, const struct old_file *f)
{
	char *from = in_dir(r, f->name), *to = mem_printf("%s%s", from, packed_suffix);
	int in = open(from, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (in >= 0) {
		if (!fstat(in, &st))
			pack_into(from, in, to, st.st_mode & 0777);     /* else it is tried again next time */
		close(in);
	}
	mem_free(from);
	mem_free(to);
}

static void drop(const struct log_rotate *r, const struct old_file *f)
{
	char *path = in_dir(r, f->name);

	unlink(path);
	mem_free(path);
}

/* Who may stay: newest first, a packed file and what it was made of count once. */
static void sweep_list(struct log_rotate *r, const struct old_file *files, size_t count)
{
	int64_t (*clock_ns)(void);
	int64_t oldest;
	uint64_t kept = 0;

	pthread_mutex_lock(&r->lock);
	clock_ns = r->now_ns;                   /* log_rotate_test may set it while the first sweep is under way */
	pthread_mutex_unlock(&r->lock);
	oldest = clock_ns() - (int64_t)r->cfg.age_days_max * 86400 * INT64_C(1000000000);

	for (size_t i = 0; i < count; i++) {
		bool same = i && strcmp(files[i].stamp, files[i - 1].stamp) == 0;

		kept += !same;
		if ((r->cfg.files_max && kept > r->cfg.files_max) || (r->cfg.age_days_max && stamp_ns(files[i].stamp) < oldest))
			drop(r, &files[i]);
		else if (r->cfg.compress && !files[i].packed)
			pack(r, &files[i]);
	}
}

static void sweep(struct log_rotate *r)
{
	VEC(struct old_file) files = {0};
	struct old_file f;
	struct dirent *e;
	DIR *d = opendir(r->dir);

	if (!d)
		return;
	while (files.count < OLD_MAX && (e = readdir(d)))
		if (old_name_parse(r, e->d_name, &f)) {
			f.name = mem_strdup(e->d_name);
			VEC_PUSH(&files, f);
		}
	closedir(d);
	if (files.count)
		qsort(files.at, files.count, sizeof(files.at[0]), newest_first);
	sweep_list(r, files.at, files.count);
	for (size_t i = 0; i < files.count; i++)
		mem_free(files.at[i].name);
	VEC_FREE(&files);
}

static void *sweeper_main(void *arg)
{
	struct log_rotate *r = arg;
	bool again;

	do {
		sweep(r);
		pthread_mutex_lock(&r->lock);
		again = r->sweep_again;
		r->sweep_again = false;
		r->sweep_ended = !again;
		pthread_mutex_unlock(&r->lock);
	} while (again);
	return NULL;
}

/* Lock held. */
static void sweep_start(struct log_rotate *r)
{
	if (!r->cfg.files_max && !r->cfg.age_days_max && !r->cfg.compress)
		return;
	if (r->sweeping && !r->sweep_ended) {
		r->sweep_again = true;
		return;
	}
	if (r->sweeping)
		pthread_join(r->sweeper, NULL);
	r->sweep_ended = false;
	r->sweeping = pthread_create(&r->sweeper, NULL, sweeper_main, r) == 0;
}

/* ---- the file ---- */

static char *old_path(const struct log_rotate *r)
{
	int64_t now = r->now_ns();
	time_t s = now / 1000000000;
	struct tm tm;

	if (r->cfg.local_time)
		localtime_r(&s, &tm);
	else
		gmtime_r(&s, &tm);
	return mem_printf("%s/%s%04d-%02d-%02dT%02d-%02d-%02d.%03d%s", r->dir, r->prefix, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			  tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now / 1000000 % 1000), r->ext);
}

/* Lock held. The new file has the old one's mode and, if that is allowed, its owner. */
static void set_aside(struct log_rotate *r)
{
	char *old = old_path(r);
	struct stat st;
	int fd = -1;

	if (!fstat(r->fd, &st) && rename(r->path, old) == 0) {
		fd = open(r->path, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, st.st_mode & 0777);
		if (fd < 0)
			rename(old, r->path);
	}
	if (fd >= 0) {
		if (fchown(fd, st.st_uid, st.st_gid)) {
			/* ours then */
		}
		close(r->fd);
		r->fd = fd;
	}
	r->size = 0;                    /* after a failure: again when as much was written */
	mem_free(old);
	sweep_start(r);
}

static void write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		data += n;
		size -= (size_t)n;
	}
}

void log_rotate_write(struct log_rotate *r, const char *line, size_t size)
{
	pthread_mutex_lock(&r->lock);
	if (r->size && r->size + size > r->size_bytes_max)
		set_aside(r);
	write_all(r->fd, line, size);
	r->size += size;
	pthread_mutex_unlock(&r->lock);
}

static void names_set(struct log_rotate *r, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');

	r->path = mem_strdup(path);
	r->dir = !slash ? mem_strdup(".") : slash == path ? mem_strdup("/") : mem_printf("%.*s", (int)(slash - path), path);
	r->prefix = mem_printf("%.*s-", dot ? (int)(dot - base) : (int)strlen(base), base);
	r->ext = mem_strdup(dot ? dot : "");
}

err_t log_rotate_open(const char *path, const struct log_rotation *cfg, struct why *why, struct log_rotate **out)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	struct log_rotate *r;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		char text[TEXT_ERRNO_SIZE];
		err_t err = err_from_errno(errno);

		why_set(why, err, "open sink \"%s\": open %s: %s", path, path, text_errno(text, errno));
		if (fd >= 0)
			close(fd);
		return err;
	}
	r = NEW(struct log_rotate);
	r->cfg = *cfg;
	r->size_bytes_max = (cfg->size_mib_max ? cfg->size_mib_max : SIZE_MIB_PRESET) << 20;
	r->now_ns = wall_ns;
	r->fd = fd;
	r->size = (uint64_t)st.st_size;
	pthread_mutex_init(&r->lock, NULL);
	names_set(r, path);
	pthread_mutex_lock(&r->lock);
	sweep_start(r);
	pthread_mutex_unlock(&r->lock);
	*out = r;
	return OK;
}

void log_rotate_close(struct log_rotate *r)
{
	if (!r)
		return;
	if (r->sweeping)
		pthread_join(r->sweeper, NULL);
	close(r->fd);
	pthread_mutex_destroy(&r->lock);
	mem_free(r->path);
	mem_free(r->dir);
	mem_free(r->prefix);
	mem_free(r->ext);
	mem_free(r);
}

void log_rotate_test(struct log_rotate *r, uint64_t size_bytes_max, int64_t (*now_ns)(void))
{
	pthread_mutex_lock(&r->lock);
	r->size_bytes_max = size_bytes_max;
	r->now_ns = now_ns;
	pthread_mutex_unlock(&r->lock);
}
