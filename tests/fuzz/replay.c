/* main() of a fuzz target without libFuzzer: runs each file of the folders named on the command line once. */
#include <stdio.h>

#include "env/vfs.h"
#include "fuzz.h"

static void replay(const char *path)
{
	struct buf b;
	err_t err;

	buf_init(&b, 64 << 20);
	err = vfs_read_file(vfs_posix(), path, &b);
	ASSERT(!err);
	printf("%s\n", path);
	fflush(stdout); /* the last line names the one that crashed */
	LLVMFuzzerTestOneInput(b.data, b.size);
	buf_fini(&b);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct vfs_names names;
		err_t err = vfs_list(vfs_posix(), argv[i], &names);

		ASSERT(!err);
		ASSERT(names.count > 0);
		for (size_t k = 0; k < names.count; k++) {
			char *path = mem_printf("%s/%s", argv[i], names.at[k]);

			replay(path);
			mem_free(path);
		}
		vfs_names_free(&names);
	}
	return 0;
}
