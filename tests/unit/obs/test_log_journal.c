/* What the journal gets, at a socket in its place. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../lib/test.h"
#include "obs/log_journal.h"

static void test_datagram(void **state)
{
	static const char line[] = "{\"msg\":\"a\"}\nstack\n";
	static const char want[] = "PRIORITY=4\nPACKAGE=server\nSYSLOG_IDENTIFIER=";
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char got[512];
	const char *message;
	ssize_t n;
	int s = socket(AF_UNIX, SOCK_DGRAM, 0), fd;
	struct why why;

	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/journal-test.%d", (int)getpid());
	assert_err(ERR_NOT_EXIST, log_journal_open(at.sun_path, &why, &fd));
	assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_ok(log_journal_open(at.sun_path, &why, &fd));
	unlink(at.sun_path);
	assert_true(log_journal_send(fd, LOG_LEVEL_WARN, "../src/server/main.c", line, sizeof(line) - 1));
	n = recv(s, got, sizeof(got), 0);
	assert_true(n > (ssize_t)sizeof(want));
	assert_memory_equal(got, want, sizeof(want) - 1);
	message = memmem(got, (size_t)n, "\nMESSAGE\n", 9);
	assert_non_null(message);
	assert_int_equal(got + n - message, 9 + 8 + (ssize_t)sizeof(line) - 2 + 1);
	assert_memory_equal(message + 9, "\x11\0\0\0\0\0\0\0", 8);
	assert_memory_equal(message + 17, line, sizeof(line) - 1);      /* its last newline is the field's end */
	close(s);
	assert_false(log_journal_send(fd, LOG_LEVEL_WARN, "main.c", line, sizeof(line) - 1));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_datagram)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
