/* etcdutl: words in, texts out; the work is done in src/utl. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "obs/log.h"
#include "utl/utl.h"

enum { TEXT_BYTES_MAX = 64 << 20 };

static bool put_all(int fd, struct slice s)
{
	while (s.size) {
		ssize_t n = write(fd, s.data, s.size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = slice_of(s.data + n, s.size - (size_t)n);
	}
	return true;
}

int main(int argc, char **argv)
{
	static const char *const outputs[] = {"stderr"};
	struct log_config log = {LOG_LEVEL_INFO, LOG_FORMAT_CONSOLE, outputs, 1};
	struct buf out, err;
	int code;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is an error like a full disk */
	fatal_set_hook(log_fatal_hook);
	err_ignore(log_setup(&log, NULL)); /* stderr is always there */
	buf_init(&out, TEXT_BYTES_MAX);
	buf_init(&err, TEXT_BYTES_MAX);
	code = utl_main(vfs_posix(), argc, (const char *const *)argv, &out, &err);
	if (!put_all(STDOUT_FILENO, buf_slice(&out)) && !code) {
		fprintf(stderr, "Error: write /dev/stdout: %s\n", strerror(errno));
		code = UTL_EXIT_ERROR;
	}
	put_all(STDERR_FILENO, buf_slice(&err));
	buf_fini(&out);
	buf_fini(&err);
	return code;
}
