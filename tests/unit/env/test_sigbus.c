/* A fault in a mapping names file and page. In a child, for it ends the process. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../lib/test.h"
#include "env/env.h"
#include "env/vfs.h"

static char path[] = "/tmp/sigbusXXXXXX";
static char said[1024];

static void child(int out)
{
	struct vfs *fs = vfs_posix();
	struct vfs_file *f;
	const uint8_t *map;
	uint64_t reserved;

	dup2(out, STDERR_FILENO);
	env_sigbus_install();
	if (vfs_open(fs, path, VFS_WRITE, 0600, &f) || vfs_truncate(f, 8 * 4096) || vfs_map(f, 1 << 20, &map, &reserved))
		_exit(2);
	if (map[5 * 4096])
		_exit(3);
	if (vfs_truncate(f, 4096))
		_exit(4);
	_exit(map[5 * 4096 + 17] ? 5 : 6);
}

static void test_fault_names_file_and_page(void **state)
{
	int fds[2], status;
	ssize_t n;
	pid_t pid;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(fds[1]);
	close(fds[1]);
	n = read(fds[0], said, sizeof(said) - 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink(path);
	assert_true(n > 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_non_null(strstr(said, path));
	if (sysconf(_SC_PAGESIZE) == 4096)
		assert_non_null(strstr(said, "page 5 (of 4096 bytes, offset 20497) cannot be read"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_fault_names_file_and_page)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
