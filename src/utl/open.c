#include "utl/open.h"

#include <time.h>

#include "env/env.h"

enum { POLL_MS = 50 };

static void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

err_t utl_open(struct vfs *fs, const char *path, const struct bolt_options *options, const struct utl_wait *wait,
	       struct why *why, struct bolt **out)
{
	uint64_t start_ns = env_mono_ns();
	struct bolt_options o = *options;
	err_t err;

	o.lock = true;
	while ((err = bolt_open(fs, path, &o, why, out)) == ERR_LOCKED) {
		if (wait->timeout_ns && env_mono_ns() - start_ns >= (uint64_t)wait->timeout_ns)
			return why_set(why, err,
				       "%s: timeout: another process holds the lock; stop the server that uses it",
				       path);
		sleep_ms(POLL_MS);
	}
	return err == ERR_CORRUPT_FILE ? ERR_MALFORMED : err;
}

err_t utl_stat(struct vfs *fs, const char *path, struct why *why)
{
	struct vfs_stat st;
	err_t err = vfs_stat(fs, path, &st);

	return err ? why_set(why, err, "stat %s: %s", path, err_text(err)) : OK;
}

/* One part of a path joins what was cleaned so far; n: its size. top: it begins with a slash. */
static size_t part_add(char *out, size_t n, const char *part, size_t size, bool top)
{
	size_t last = n;

	if (!size || (size == 1 && part[0] == '.'))
		return n;
	while (last > 0 && out[last - 1] != '/')
		last--;
	if (size == 2 && part[0] == '.' && part[1] == '.') {
		if (n > (size_t)top && !(n - last == 2 && out[last] == '.' && out[last + 1] == '.'))
			return last > (size_t)top ? last - 1 : last;
		if (top)
			return n;
	}
	if (n && out[n - 1] != '/')
		out[n++] = '/';
	memcpy(out + n, part, size);
	return n + size;
}

char *utl_join(const char *dir, const char *name)
{
	char *whole = *dir ? mem_printf("%s/%s", dir, name) : mem_strdup(name), *out = mem_alloc(strlen(whole) + 2);
	bool top = whole[0] == '/';
	size_t n = top;

	out[0] = '/';
	for (const char *at = whole; *at;) {
		size_t size = strcspn(at, "/");

		n = part_add(out, n, at, size, top);
		at += size + (at[size] == '/');
	}
	if (!n)
		out[n++] = '.';
	out[n] = 0;
	mem_free(whole);
	return out;
}

char *utl_db_path(const char *data_dir)
{
	return utl_join(data_dir, "member/snap/db");
}

char *utl_wal_path(const char *data_dir)
{
	return utl_join(data_dir, "member/wal");
}
