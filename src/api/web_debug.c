/* /debug/pprof/: upstream's are profiles of the Go runtime, which is not here. What can be answered is: the command line, in the
 * form of the original, and the processor time of each thread; the rest says what to use in its place. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "api/web_impl.h"

static const char TEXT_PLAIN[] = "text/plain; charset=utf-8";

enum { PAGE_MAX = 1 << 20, READ_SIZE = 4096 };

/* Files of /proc have no size of their own. */
bool web_proc_read(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char part[READ_SIZE];
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, part, sizeof(part))) > 0)
		buf_put(out, part, (size_t)n);
	if (fd >= 0)
		close(fd);
	return n == 0 && !buf_failed(out);
}

static void page_index(struct web_req *w)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "This server is not a Go program: it has no profiles of a Go runtime.\n"
		 "cmdline   the command line\n"
		 "threads   seconds of user and system time of each thread\n"
		 "Instead of profile:  perf record -g -p %ld -- sleep 30\n"
		 "Instead of heap:     process_resident_memory_bytes in /metrics\n",
		 (long)getpid());
	web_reply(w, 200, TEXT_PLAIN, slice_str(text), true);
}

static void page_cmdline(struct web_req *w)
{
	struct buf b;

	buf_init(&b, PAGE_MAX);
	if (web_proc_read("/proc/self/cmdline", &b) && b.size && !b.data[b.size - 1])
		b.size--;
	web_reply(w, 200, TEXT_PLAIN, buf_slice(&b), true);
	buf_fini(&b);
}

/* Name, and fields 14 and 15 of /proc/self/task/TID/stat, behind the name in brackets. */
static void thread_line(const char *tid, struct buf *out)
{
	char path[64], name[32] = "";
	unsigned long user = 0, system = 0;
	double hz = (double)sysconf(_SC_CLK_TCK);
	struct buf b;
	char *end;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", tid);
	buf_init(&b, 4096);
	if (web_proc_read(path, &b)) {
		buf_put_byte(&b, 0);
		end = strrchr((char *)b.data, ')');
		if (end && sscanf((char *)b.data, "%*d (%31[^)]", name) == 1 &&
		    sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
			buf_printf(out, "%-16s %10.2f %10.2f\n", name, (double)user / hz, (double)system / hz);
	}
	buf_fini(&b);
}

static void page_threads(struct web_req *w)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	struct buf b;

	buf_init(&b, PAGE_MAX);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			thread_line(e->d_name, &b);
	if (d)
		closedir(d);
	web_reply(w, 200, TEXT_PLAIN, buf_slice(&b), true);
	buf_fini(&b);
}

bool web_debug(struct web_req *w)
{
	struct slice base = SLICE_LIT("/debug/pprof/"), sub;

	if (!w->listener->debug || !slice_has_prefix(w->path, base))
		return false;
	sub = slice_of(w->path.data + base.size, w->path.size - base.size);
	if (!sub.size)
		page_index(w);
	else if (slice_eq(sub, SLICE_LIT("cmdline")))
		page_cmdline(w);
	else if (slice_eq(sub, SLICE_LIT("threads")))
		page_threads(w);
	else
		web_reply(w, 501, TEXT_PLAIN, SLICE_LIT("not a Go program: /debug/pprof/ says what there is\n"), true);
	return true;
}
