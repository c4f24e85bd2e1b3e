/* snapshot save: the stream goes to NAME.part as it comes; only a whole file whose hash is right gets its name.
 *
 * Stream: messages {header, remaining_bytes, blob, version}; the blobs together are the database file and behind it the
 * SHA-256 of it. A database is a multiple of 512 bytes, so the size tells a stream that was cut. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "ctl/signals.h"

enum { HASH_SIZE = 32, SECTOR_SIZE = 512, ARENA_MAX = 64 << 20, PROGRESS_BYTES = 16 << 20 };

struct saving {
	struct ctl *c;
	const char *path, *part;
	int fd;
	EVP_MD_CTX *hash;
	uint8_t tail[HASH_SIZE]; /* the last bytes so far: they are hashed when others follow */
	size_t tail_size;
	uint64_t size;
	uint64_t shown;
	const char *version;
	struct arena arena;
};

static const char *trouble(struct saving *s, int sys_errno)
{
	char text[TEXT_ERRNO_SIZE];

	return ctl_copy(s->c, "%s", text_errno(text, sys_errno));
}

static int open_part(struct saving *s)
{
	s->fd = open(s->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (s->fd >= 0)
		return 0;
	return ctl_fail(EXIT_INTERRUPTED, "could not open %s (open %s: %s)", s->part, s->part, trouble(s, errno));
}

static int write_all(struct saving *s, struct slice data)
{
	while (data.size) {
		ssize_t n = write(s->fd, data.data, data.size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ctl_fail(EXIT_INTERRUPTED, "could not write snapshot: write %s: %s", s->part,
					trouble(s, errno));
		data = slice_of(data.data + n, data.size - (size_t)n);
	}
	return 0;
}

/* All but the last HASH_SIZE bytes of what has come so far is hashed. */
static void hash_more(struct saving *s, struct slice data)
{
	size_t keep = MIN(data.size, (size_t)HASH_SIZE);
	size_t old = s->tail_size + keep > HASH_SIZE ? s->tail_size + keep - HASH_SIZE : 0;

	EVP_DigestUpdate(s->hash, s->tail, old);
	memmove(s->tail, s->tail + old, s->tail_size - old);
	s->tail_size -= old;
	EVP_DigestUpdate(s->hash, data.data, data.size - keep);
	memcpy(s->tail + s->tail_size, data.data + data.size - keep, keep);
	s->tail_size += keep;
}

/* On a terminal. */
static void show_progress(struct saving *s, uint64_t left)
{
	char done[TEXT_BYTES_SIZE], all[TEXT_BYTES_SIZE];

	if (!isatty(STDERR_FILENO) || (left && s->size - s->shown < PROGRESS_BYTES))
		return;
	s->shown = s->size;
	fprintf(stderr, "\r%s of %s   %s", text_bytes(done, s->size), text_bytes(all, s->size + left),
		left ? "" : "\n");
}

static int take(struct saving *s, struct slice body)
{
	Etcdserverpb__SnapshotResponse *r;
	int code;

	arena_reset(&s->arena);
	if (pb_unpack(&s->arena, &etcdserverpb__snapshot_response__descriptor, body, &r))
		return ctl_fail(EXIT_INTERRUPTED, "could not write snapshot: the server's answer cannot be read");
	if (r->version[0] && !s->version[0])
		s->version = ctl_copy(s->c, "%s", r->version);
	code = write_all(s, pb_slice(r->blob));
	if (code)
		return code;
	s->size += r->blob.len;
	if (r->blob.len)
		hash_more(s, pb_slice(r->blob));
	show_progress(s, r->remaining_bytes);
	return 0;
}

static int receive(struct saving *s)
{
	struct client_call_opts opts = {
	    .timeout_ms = s->c->command_timeout_set ? MAX(ms_of(s->c->o.command_timeout), (uint64_t)1) : 0};
	struct client_stream *stream = client_open(s->c->client, RPC_SNAPSHOT, (struct slice){NULL, 0}, &opts);
	struct client_status st;
	enum client_recv got;
	bool any = false;
	int code = 0;

	while (!code && (got = client_recv(stream, 0, &s->c->response, &st)) == CLIENT_MESSAGE) {
		any = true;
		code = take(s, buf_slice(&s->c->response));
	}
	client_stream_close(stream);
	if (code)
		return code;
	if (got == CLIENT_INTERRUPTED)
		return ctl_fail(EXIT_INTERRUPTED, "interrupted; nothing is saved");
	if (st.code == GRPC_OK)
		return 0;
	s->c->status = st;
	ctl_explain(s->c, s->c->client);
	if (any)
		return ctl_call_failed(s->c, EXIT_INTERRUPTED, "could not write snapshot: ", "");
	if (st.is_local)
		return ctl_call_failed(s->c, EXIT_INTERRUPTED, "", "");
	/* Upstream prints what the first receive says as it is. */
	return ctl_fail(EXIT_INTERRUPTED, "rpc error: code = %s desc = %s", client_code_name(st.code), st.text);
}

static int check_hash(struct saving *s)
{
	uint8_t sum[HASH_SIZE];

	if (s->size % SECTOR_SIZE != HASH_SIZE)
		return ctl_fail(EXIT_INTERRUPTED, "sha256 checksum not found [bytes: %" PRIu64 "]", s->size);
	EVP_DigestFinal_ex(s->hash, sum, NULL);
	if (memcmp(sum, s->tail, HASH_SIZE))
		return ctl_fail(EXIT_INTERRUPTED,
				"sha256 of what arrived is not the one that came with it; nothing is saved");
	return 0;
}

/* The new name is on disk when the directory is. */
static int sync_directory(struct saving *s)
{
	const char *slash = strrchr(s->path, '/');
	const char *dir = slash ? ctl_copy(s->c, "%.*s", (int)MAX(slash - s->path, 1), s->path) : ".";
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return 0; /* a directory that may be written but not read: nothing more can be done */
	fsync(fd);
	close(fd);
	return 0;
}

static int finish(struct saving *s)
{
	if (fsync(s->fd))
		return ctl_fail(EXIT_INTERRUPTED, "could not fsync snapshot: %s", trouble(s, errno));
	if (close(s->fd)) {
		s->fd = -1;
		return ctl_fail(EXIT_INTERRUPTED, "could not close file descriptor: %s", trouble(s, errno));
	}
	s->fd = -1;
	if (rename(s->part, s->path))
		return ctl_fail(EXIT_INTERRUPTED, "could not rename %s to %s (rename %s %s: %s)", s->part, s->path,
				s->part, s->path, trouble(s, errno));
	return sync_directory(s);
}

static int save(struct saving *s)
{
	struct signals signals;
	int code = open_part(s);

	if (code)
		return code;
	signals_begin(&signals, s->c);
	code = receive(s);
	signals_end(&signals);
	if (!code)
		code = check_hash(s);
	if (!code)
		code = finish(s);
	if (s->fd >= 0)
		close(s->fd);
	if (code)
		unlink(s->part);
	return code;
}

RUN(snapshot_save)
{
	struct ctl *c = cli->user;
	struct saving s = {.c = c, .fd = -1, .version = ""};
	struct buf list;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "snapshot save expects one argument <filename>");
	c->command_timeout_set |= cli_is_set(cli, "command-timeout");
	code = ctl_setup(c);
	if (code)
		return code;
	if (c->endpoints.count != 1) {
		buf_init(&list, SIZE_MAX / 2);
		for (size_t i = 0; i < c->endpoints.count; i++)
			buf_printf(&list, "%s%s", i ? " " : "", c->endpoints.at[i]);
		ctl_fail(EXIT_INTERRUPTED, "snapshot must be requested to one selected node, not multiple [%.*s]",
			 SLICE_ARG(buf_slice(&list)));
		buf_fini(&list);
		return EXIT_INTERRUPTED;
	}
	code = ctl_connect(c);
	if (code)
		return code == EXIT_CONNECTION ? EXIT_INTERRUPTED : code;
	s.path = c->args[0];
	s.part = ctl_copy(c, "%s.part", s.path);
	s.hash = EVP_MD_CTX_new();
	EVP_DigestInit_ex(s.hash, EVP_sha256(), NULL);
	arena_init(&s.arena, ARENA_MAX);
	code = save(&s);
	arena_fini(&s.arena);
	EVP_MD_CTX_free(s.hash);
	if (code)
		return code;
	put(c, "Snapshot saved at %s\n", s.path);
	if (s.version[0])
		put(c, "Server version %s\n", s.version);
	return EXIT_OK;
}
