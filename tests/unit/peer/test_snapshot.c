/* A database on its way from one transport to another: whole, cut off, refused; what lies in the directory after. */
#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer/codec.h"
#include "side.h"
#include "snap/snap.h"

#define A 0xa
#define B 0xb

static struct side a, b;

struct image {
	struct peer_image base;
	uint64_t fail_at;               /* reading from there on fails */
	_Atomic unsigned *closed;
};

static _Atomic unsigned closed;

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 251);
}

static err_t image_read(struct peer_image *im, uint64_t offset, void *out, size_t size)
{
	struct image *i = CONTAINER_OF(im, struct image, base);

	if (offset >= i->fail_at)
		return ERR_IO;
	for (size_t k = 0; k < size; k++)
		((uint8_t *)out)[k] = byte_at(offset + k);
	return OK;
}

static void image_close(struct peer_image *im)
{
	closed++;
	mem_free(im);
}

static void send_snapshot(uint64_t to, uint64_t index, uint64_t size_bytes, uint64_t fail_at)
{
	struct image *i = NEW(struct image);
	struct raft_message m = {.type = MSG_SNAP, .from = A, .to = to, .term = 4, .snapshot = NEW(struct raft_snapshot)};

	*i = (struct image){.base = {size_bytes, image_read, image_close}, .fail_at = fail_at};
	m.snapshot->index = index;
	m.snapshot->term = 3;
	m.snapshot->data = blob_copy(SLICE_LIT("{}"));
	peer_send_snapshot(a.set, &m, &i->base);
	assert_null(m.snapshot);
}

static int open_pair(void **state)
{
	closed = 0;
	side_open(&a, A, CLUSTER, 0);
	side_open(&b, B, CLUSTER, 0);
	peer_add(a.set, B, b.url);
	peer_add(b.set, A, a.url);
	return 0;
}

static int close_pair(void **state)
{
	side_close(&a);
	side_close(&b);
	return 0;
}

static unsigned files_in(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	unsigned n = 0;
	struct dirent *e;

	while ((e = readdir(d)))
		n += e->d_name[0] != '.' && !strncmp(e->d_name, prefix, strlen(prefix));
	closedir(d);
	return n;
}

static void check_file(uint64_t index, uint64_t size_bytes)
{
	char name[SNAP_NAME_SIZE];
	struct buf content;
	char *path;

	snap_db_name(index, name);
	path = mem_printf("%s/%s", b.dir, name);
	buf_init(&content, 64 << 20);
	assert_ok(vfs_read_file(vfs_posix(), path, &content));
	assert_int_equal(content.size, size_bytes);
	for (uint64_t k = 0; k < size_bytes; k++)
		if (content.data[k] != byte_at(k))
			fail_msg("byte %llu", (unsigned long long)k);
	buf_fini(&content);
	mem_free(path);
}

static void arrives_whole(void **state)
{
	static const uint64_t sizes[] = {1, 4096, 256 * 1024, 256 * 1024 + 1, 9000000};

	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		send_snapshot(B, 100 + i, sizes[i], UINT64_MAX);
		SIDE_WAIT(&a, a.snapshots_ok == i + 1);
		SIDE_WAIT(&b, b.received.count == i + 1);
		assert_int_equal(b.received.at[i]->snapshot_bytes, sizes[i]);
		assert_int_equal(side_message(&b, i)->snapshot->index, 100 + i);
		assert_true(slice_eq(blob_slice(side_message(&b, i)->snapshot->data), SLICE_LIT("{}")));
		check_file(100 + i, sizes[i]);
	}
	WAIT_UNTIL(closed == ARRAY_COUNT(sizes));
	assert_int_equal(files_in(b.dir, "tmp"), 0);
	assert_int_equal(a.unreachable + a.snapshots_failed, 0);
}

static void reading_fails(void **state)
{
	send_snapshot(B, 7, 9000000, 3000000);
	SIDE_WAIT(&a, a.snapshots_failed == 1 && a.unreachable == 1);
	WAIT_UNTIL(closed == 1 && files_in(b.dir, "") == 0);
	assert_int_equal(b.received_count, 0);
}

static void one_at_a_time(void **state)
{
	send_snapshot(B, 7, 9000000, UINT64_MAX);
	send_snapshot(B, 8, 9000000, UINT64_MAX);
	SIDE_WAIT(&a, a.snapshots_failed == 1);
	SIDE_WAIT(&a, a.snapshots_ok == 1);
	WAIT_UNTIL(closed == 2);
	check_file(7, 9000000);
}

static void nobody_there(void **state)
{
	send_snapshot(0xc, 7, 100, UINT64_MAX);         /* unknown */
	SIDE_WAIT(&a, a.snapshots_failed == 1);
	peer_add(a.set, 0xd, "http://127.0.0.1:1");
	send_snapshot(0xd, 7, 100, UINT64_MAX);         /* refused connection */
	SIDE_WAIT(&a, a.snapshots_failed == 2);
	WAIT_UNTIL(closed == 2);
}

static void peer_goes_while_sending(void **state)
{
	send_snapshot(B, 7, 200000000, UINT64_MAX);
	WAIT_UNTIL(files_in(b.dir, "tmp") == 1);
	peer_remove(a.set, B);
	SIDE_WAIT(&a, a.snapshots_failed == 1);
	WAIT_UNTIL(closed == 1 && files_in(b.dir, "") == 0);
	assert_int_equal(b.received_count, 0);
}

static void set_goes_while_sending(void **state)
{
	send_snapshot(B, 7, 200000000, UINT64_MAX);
	WAIT_UNTIL(files_in(b.dir, "tmp") == 1);
	side_close(&a);
	assert_int_equal(closed, 1);
	WAIT_UNTIL(files_in(b.dir, "") == 0);
	side_open(&a, A, CLUSTER, 0);
}

static void set_goes_while_receiving(void **state)
{
	send_snapshot(B, 7, 200000000, UINT64_MAX);
	WAIT_UNTIL(files_in(b.dir, "tmp") == 1);
	side_close(&b);
	SIDE_WAIT(&a, a.snapshots_failed == 1);
	side_open(&b, B, CLUSTER, 0);
}

/* Without a directory to write to: refused with upstream's words, the sender told. */
static void cannot_be_stored(void **state)
{
	char *elsewhere = mem_printf("%s.away", b.dir);

	assert_int_equal(rename(b.dir, elsewhere), 0);
	send_snapshot(B, 7, 9000000, UINT64_MAX);
	SIDE_WAIT(&a, a.snapshots_failed == 1);
	assert_int_equal(rename(elsewhere, b.dir), 0);
	assert_int_equal(b.received_count, 0);
	mem_free(elsewhere);
}

/* --- bodies that a sender should not send --- */

static char *post_body(struct slice body)
{
	static char answer[2048];
	char head[600];
	int fd = raw_connect(side_port(&b));
	size_t n = 0;
	ssize_t got;

	snprintf(head, sizeof(head), "POST /raft/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Server-From: a\r\n"
		"X-Server-Version: 3.7.1\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: dc50b8daae93b3e0\r\n"
		"Content-Length: %zu\r\n\r\n", body.size);
	assert_int_equal(write(fd, head, strlen(head)), strlen(head));
	assert_int_equal(write(fd, body.data, body.size), body.size);
	while (n < sizeof(answer) - 1 && (got = read(fd, answer + n, sizeof(answer) - 1 - n)) > 0)
		n += (size_t)got;
	answer[n] = 0;
	close(fd);
	return answer;
}

static char *post_snapshot(enum raft_msg_type type, uint64_t to, const char *database)
{
	struct raft_snapshot snap = {.index = 77, .term = 1};
	struct raft_message m = {.type = type, .from = A, .to = to, .term = 2, .snapshot = type == MSG_SNAP ? &snap : NULL};
	struct buf body;
	char *answer;

	buf_init(&body, 1 << 16);
	snapshot_head_encode(&m, &body);
	buf_put(&body, database, strlen(database));
	answer = post_body(buf_slice(&body));
	buf_fini(&body);
	return answer;
}

static void bad_bodies(void **state)
{
	char *answer = post_body(SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff"));

	assert_non_null(strstr(answer, "400 Bad Request"));
	assert_non_null(strstr(answer, "failed to decode raft message ("));
	assert_non_null(strstr(post_body(SLICE_LIT("abc")), "failed to decode raft message ("));
	assert_non_null(strstr(post_snapshot(MSG_APP, B, "db"), "wrong raft message type\n"));
	assert_non_null(strstr(post_snapshot(MSG_SNAP, 0xc, "db"), "failed to process raft message ("));
	assert_non_null(strstr(post_snapshot(MSG_SNAP, B, ""), "failed to save KV snapshot ("));
	assert_int_equal(b.received_count, 0);
	assert_non_null(strstr(post_snapshot(MSG_SNAP, B, "db"), "204 No Content"));
	SIDE_WAIT(&b, b.received.count == 1);
	WAIT_UNTIL(files_in(b.dir, "tmp") == 0);
	assert_int_equal(files_in(b.dir, ""), 1);
}

/* MSG_SNAP by the ordinary way: no database, reported as failed only if it does not get there. */
static void without_database(void **state)
{
	struct raft_message m = {.type = MSG_SNAP, .from = A, .to = B, .term = 4, .snapshot = NEW(struct raft_snapshot)};

	m.snapshot->index = 5;
	peer_send(a.set, &m, 1);
	SIDE_WAIT(&b, b.received.count == 1);
	assert_int_equal(b.received.at[0]->snapshot_bytes, 0);
	SIDE_WAIT(&a, a.snapshots_ok == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(arrives_whole, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(reading_fails, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(one_at_a_time, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(nobody_there, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(peer_goes_while_sending, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(set_goes_while_sending, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(set_goes_while_receiving, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(cannot_be_stored, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(bad_bodies, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(without_database, open_pair, close_pair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
