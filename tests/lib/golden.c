#include "test.h"

#include "golden.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/vfs.h"

static void run(const char *const *argv, const char *to_file)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (to_file && !freopen(to_file, "w", stdout))
			_exit(126);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* <tmp>/name, where <tmp> is a new directory. */
static char *place(const char *name)
{
	const char *base = getenv("TMPDIR");
	char *dir = mem_printf("%s/golden_XXXXXX", base ? base : "/tmp");
	char *path;

	assert_non_null(mkdtemp(dir));
	path = mem_printf("%s/%s", dir, name);
	mem_free(dir);
	return path;
}

static char *parent(const char *path)
{
	return mem_printf("%.*s", (int)(strrchr(path, '/') - path), path);
}

char *golden_unpack(const char *name)
{
	char *archive = mem_printf("%s/%s.tar.xz", GOLDEN_DIR, name);
	char *path = place(name);
	char *dir = parent(path);

	run((const char *const[]){"tar", "-C", dir, "-xJf", archive, NULL}, NULL);
	mem_free(dir);
	mem_free(archive);
	return path;
}

char *golden_unpack_file(const char *name)
{
	char *archive = mem_printf("%s/%s.xz", GOLDEN_DIR, name);
	char *path = place(name);

	run((const char *const[]){"xz", "-dc", archive, NULL}, path);
	mem_free(archive);
	return path;
}

void golden_drop(char *take_path)
{
	char *dir = parent(take_path);

	assert_int_equal(vfs_remove_all(vfs_posix(), dir), OK);
	mem_free(dir);
	mem_free(take_path);
}

json_t *golden_facts(const char *name, const char *part)
{
	json_error_t error;
	json_t *all = json_load_file(GOLDEN_DIR "/expected.json", 0, &error);
	json_t *facts = json_incref(json_object_get(json_object_get(all, name), part));

	assert_non_null(facts);
	json_decref(all);
	return facts;
}

const json_t *golden_at(const json_t *facts, const char *path)
{
	while (facts) {
		size_t size = strcspn(path, ".");
		char key[64] = {0};

		assert_true(size < sizeof(key));
		memcpy(key, path, size);
		facts = json_object_get(facts, key);
		if (!path[size])
			break;
		path += size + 1;
	}
	assert_non_null(facts);
	return facts;
}

uint64_t golden_uint(const json_t *facts, const char *path)
{
	const json_t *v = golden_at(facts, path);

	return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10) : (uint64_t)json_integer_value(v);
}

uint64_t golden_hex(const json_t *facts, const char *path)
{
	return strtoull(json_string_value(golden_at(facts, path)), NULL, 16);
}
