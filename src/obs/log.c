/* The process's log: level, sampling, outputs. State is set by log_setup() while one thread runs and only read
 * afterwards; the sampling counters are the exception, atomics that may lose a count to a race, no more. */
#include "obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "obs/log_impl.h"
#include "obs/log_journal.h"
#include "obs/log_rotate.h"

#define SAMPLE_FIRST 100
#define SAMPLE_THEREAFTER 100
#define SAMPLE_SLOTS 4096               /* per level; texts that share a slot share its count, as in zap */
#define NS_PER_S 1000000000

struct sample {
	_Atomic int64_t until_ns;
	_Atomic uint32_t count;
};

struct output {
	int fd;
	bool owned;
	bool journal;
	struct log_rotate *rotate;      /* not NULL: it has the file */
};

static struct {
	enum log_format format;
	struct output outputs[LOG_OUTPUTS_MAX];
	size_t output_count;
	void (*write)(void *arg, const char *line, size_t size);
	void *write_arg;
	int64_t (*now_ns)(void);
	struct sample samples[LOG_LEVEL_FATAL + 1][SAMPLE_SLOTS];
} the_log = {.outputs = {{.fd = STDERR_FILENO}}, .output_count = 1};

_Atomic int log_level_min = LOG_LEVEL_INFO;

static const char *const level_names[] = {"debug", "info", "warn", "error", "dpanic", "panic", "fatal"};

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

bool log_level_parse(const char *s, enum log_level *out)
{
	if (!strcasecmp(s, "warning"))
		return *out = LOG_LEVEL_WARN, true;
	for (size_t i = 0; i < ARRAY_COUNT(level_names); i++) {
		if (!strcasecmp(s, level_names[i]))
			return *out = (enum log_level)i, true;
	}
	return false;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	if (the_log.now_ns)
		return the_log.now_ns();
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * (int64_t)NS_PER_S + ts.tv_nsec;
}

static uint32_t hash_text(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 16777619u;
	return h;
}

/* Counts the event; false when it is one of those that are left out. */
static bool sample(enum log_level level, const char *text, int64_t now)
{
	struct sample *s = &the_log.samples[level][hash_text(text) % SAMPLE_SLOTS];
	int64_t until = atomic_load_explicit(&s->until_ns, memory_order_relaxed);
	uint32_t n;

	if (now >= until && atomic_compare_exchange_strong(&s->until_ns, &until, now + NS_PER_S))
		atomic_store_explicit(&s->count, 0, memory_order_relaxed);
	n = atomic_fetch_add_explicit(&s->count, 1, memory_order_relaxed) + 1;
	return n <= SAMPLE_FIRST || (n - SAMPLE_FIRST) % SAMPLE_THEREAFTER == 0 || level == LOG_LEVEL_FATAL;
}

/* One write(2) as long as the output takes the line whole; a full pipe is waited for a second, then given up:
 * a stuck reader must not hold the server. */
static void write_line(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n > 0) {
			data += n;
			size -= (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			if (poll(&p, 1, 1000) == 1)
				continue;
		}
		return;
	}
}

static void output_line(const struct output *o, const struct log_site *site, const char *data, size_t size)
{
	if (o->rotate)
		log_rotate_write(o->rotate, data, size);
	else if (!o->journal)
		write_line(o->fd, data, size);
	else if (!log_journal_send(o->fd, site->level, site->file, data, size))
		write_line(STDERR_FILENO, data, size);
}

void log_event(const struct log_site *site, const char *text, const struct log_field *fields, size_t count)
{
	int saved_errno = errno;
	int64_t now = now_ns();
	struct log_line l;

	if (sample(site->level, text, now)) {
		log_line_build(&l, the_log.format, now, site, text, fields, count);
		if (the_log.write)
			the_log.write(the_log.write_arg, l.data, l.size);
		for (size_t i = 0; i < the_log.output_count && !the_log.write; i++)
			output_line(&the_log.outputs[i], site, l.data, l.size);
	}
	errno = saved_errno;
}

void log_exit(void)
{
	_exit(1);
}

void log_fatal_hook(const char *line)
{
	LOG_AT(LOG_LEVEL_FATAL, line);
}

static void close_outputs(struct output *outputs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		log_rotate_close(outputs[i].rotate);
		if (outputs[i].owned)
			close(outputs[i].fd);
	}
}

static err_t open_output(const char *path, const struct log_rotation *rotation, struct output *o, struct why *why)
{
	*o = (struct output){.fd = STDERR_FILENO};
	if (!strcmp(path, "stderr") || !strcmp(path, "default"))
		return OK;
	if (!strcmp(path, "stdout")) {
		o->fd = STDOUT_FILENO;
		return OK;
	}
	if (!strcmp(path, "systemd/journal")) {
		err_t err = log_journal_open(LOG_JOURNAL_SOCKET, why, &o->fd);

		o->journal = o->owned = !err;
		return err;
	}
	if (rotation)
		return log_rotate_open(path, rotation, why, &o->rotate);
	o->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (o->fd < 0) {
		char text[TEXT_ERRNO_SIZE];

		return why_set(why, err_from_errno(errno), "open sink \"%s\": open %s: %s", path, path,
			       text_errno(text, errno));
	}
	o->owned = true;
	return OK;
}

err_t log_setup(const struct log_config *cfg, struct why *why)
{
	struct output outputs[LOG_OUTPUTS_MAX];
	bool discard = false;
	size_t n = 0;

	ASSERT(cfg->outputs_count <= LOG_OUTPUTS_MAX);
	for (size_t i = 0; i < cfg->outputs_count; i++)
		discard = discard || !strcmp(cfg->outputs[i], "/dev/null");
	for (; n < cfg->outputs_count && !discard; n++) {
		err_t err = open_output(cfg->outputs[n], cfg->rotation, &outputs[n], why);

		if (err) {
			close_outputs(outputs, n);
			return err;
		}
	}
	close_outputs(the_log.outputs, the_log.output_count);
	memcpy(the_log.outputs, outputs, n * sizeof(*outputs));
	the_log.output_count = n;
	the_log.format = cfg->format;
	atomic_store(&log_level_min, (int)cfg->level);
	return OK;
}

void log_reset(void)
{
	static const char *const outputs[] = {"stderr"};
	static const struct log_config initial = {LOG_LEVEL_INFO, LOG_FORMAT_JSON, outputs, 1, NULL};

	if (log_setup(&initial, NULL) != OK)
		UNREACHABLE();
}

void log_set_writer(void (*write)(void *arg, const char *line, size_t size), void *arg)
{
	the_log.write = write;
	the_log.write_arg = arg;
}

void log_set_clock(int64_t (*now)(void))
{
	the_log.now_ns = now;
}
