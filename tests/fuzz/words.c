/* Lines that users type into etcdctl txn and watch -i. Words hold no more than their line does, and a string in quotes
 * that was read is read again as the same from Go's quotes. */
#include "ctl/ctl_impl.h"
#include "fuzz.h"

static void again(struct ctl *c, struct slice value)
{
	const char *at = ctl_quoted(c, value);
	struct buf b;

	buf_init(&b, 1 << 20);
	ASSERT(read_quoted(&at, &b));
	ASSERT(*at == '\0');
	ASSERT(slice_eq(buf_slice(&b), value));
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl c = {0};
	const char **words, *line;
	size_t count, total = 0;

	if (size > 4096)
		return 0;
	arena_init(&c.arena, 1 << 26);
	line = ctl_copy(&c, "%.*s", (int)size, (const char *)data);
	if (split_words(&c, line, &words, &count)) {
		for (size_t i = 0; i < count; i++)
			total += strlen(words[i]);
		ASSERT(total <= strlen(line));
	}
	again(&c, slice_of(data, size));
	arena_fini(&c.arena);
	return 0;
}
