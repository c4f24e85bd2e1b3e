/* applytool append WALDIR < records     appends entries to a stopped member's log; a record: type (1 byte), size (4 bytes BE), data
 * applytool dump DB                     every row of every bucket, one line each: bucket, key, value in hex */
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "bolt/bolt.h"
#include "wal/wal.h"

static int fail_with(const struct why *why)
{
	fprintf(stderr, "applytool: %s\n", why->text);
	return 1;
}

/* False at the end of the input. */
static bool record_read(struct raft_entry *e)
{
	uint8_t head[5];
	uint8_t *data;
	uint32_t size;

	if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
		return false;
	size = (uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 8 | head[4];
	data = mem_alloc(size + 1);
	ASSERT(fread(data, 1, size, stdin) == size);
	e->type = head[0];
	e->data = blob_copy(slice_of(data, size));
	mem_free(data);
	return true;
}

static int append(const char *dir)
{
	struct wal_options o = {.repair = true};
	struct wal_content content;
	struct raft_hard_state hs;
	struct raft_entry e = {0};
	struct wal *w;
	struct why why = {""};
	uint64_t index;

	if (wal_open(vfs_posix(), dir, (struct wal_pos){0, 0}, &o, &why, &content, &w))
		return fail_with(&why);
	hs = content.hard_state;
	index = content.entry_count ? content.entries[content.entry_count - 1].index : 0;
	while (record_read(&e)) {
		e.term = hs.term;
		e.index = ++index;
		wal_save(w, NULL, &e, 1);
		raft_entry_fini(&e);
	}
	hs.commit = index;
	wal_save(w, &hs, NULL, 0);
	if (wal_sync(w, &why))
		return fail_with(&why);
	wal_content_fini(&content);
	printf("%llu\n", (unsigned long long)index);
	return wal_close(w) ? 1 : 0;
}

static void hex(struct slice s)
{
	for (size_t i = 0; i < s.size; i++)
		printf("%02x", s.data[i]);
}

static err_t row(void *arg, struct slice key, struct slice value)
{
	printf("%s ", (const char *)arg);
	hex(key);
	printf(" ");
	hex(value);
	printf("\n");
	return OK;
}

static int dump(const char *path)
{
	struct bolt_options o = {.read_only = true, .must_exist = true};
	struct bolt_pin *pin;
	struct bolt *db;
	struct why why = {""};

	if (bolt_open(vfs_posix(), path, &o, &why, &db))
		return fail_with(&why);
	pin = bolt_pin(db);
	for (int b = 0; b < BACKEND_BUCKET_COUNT; b++) {
		char name[32];
		err_t err;

		snprintf(name, sizeof(name), "%.*s", SLICE_ARG(backend_bucket_name((enum backend_bucket)b)));
		err = backend_file_each(pin, (enum backend_bucket)b, row, name);
		if (err && err != ERR_NOT_EXIST)
			return 1;
	}
	bolt_pin_unref(pin);
	bolt_close(db);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "append"))
		return append(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "dump"))
		return dump(argv[2]);
	fprintf(stderr, "usage: applytool append WALDIR < records | dump DB\n");
	return 2;
}
