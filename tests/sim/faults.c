/* Every call that changes or syncs a file, of one scripted run of the whole server, fails in turn.
 *
 *	faults SECONDS                  a sample of that many seconds, another one each day
 *	faults all                      all of them
 *	faults FAULT CALL END           one: as a failure names it
 *
 * The script is a list of calls of the API with time, restarts and a defragmentation between them; what it leaves after
 * step k is known from the naive key space, exactly. A run is a process of its own: it plays the script on the lying disk
 * with one planned fault. Whatever comes of it (nothing, an error at the start, a fatal end, a power cut), the server is
 * then started again without faults, either after a power cut or with what the page cache has ("kill"), and
 *
 *	F1  it starts
 *	F2  what it has is what the script leaves after the last answered step, or after the one that was under way: all of
 *	    it, at every revision, with leases, keys of leases and hash
 *	F3  the rest of the script gets the right answers; no answer before the fault was wrong
 *	F4  the database file is sound, and one more power cut loses nothing */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../model/draw.h"
#include "../model/twin_api.h"
#include "env/vfs_mem.h"

enum { BODY_MAX = 64 << 20, VALUE_LARGE = 20000 };
enum outcome { OUT_UNSEEN, OUT_REFUSED, OUT_FATAL, OUT_CUT, OUT_COUNT };     /* exit code: + 10 */
enum end { END_POWER, END_KILL, END_COUNT };

static const char *const outcome_names[] = {"not seen", "refused to start", "fatal", "power cut"};
static const char *const end_names[] = {"power", "kill"};
static const enum vfs_fault faults[] = {VFS_FAULT_EIO, VFS_FAULT_ENOSPC, VFS_FAULT_SHORT, VFS_FAULT_TORN, VFS_FAULT_CRASH};
static const char *const fault_names[] = {"eio", "enospc", "short", "torn", "crash"};

/* ---- the script ---- */

struct step {
	enum { STEP_CALL, STEP_TIME, STEP_RESTART } kind;
	enum rpc method;
	bool in_twin;                           /* the naive key space knows the call */
	struct blob *body;
	uint64_t ns;
};

struct script {
	VEC(struct step) steps;
	struct twin_api a;                      /* as it will be behind the last one */
	struct draw draw;
};

static void call(struct script *s, enum rpc method, const struct buf *body, bool in_twin)
{
	struct step st = {.kind = STEP_CALL, .method = method, .in_twin = in_twin, .body = blob_copy(buf_slice(body))};
	struct buf want;

	buf_init(&want, BODY_MAX);
	if (in_twin)
		err_ignore(twin_api_call(&s->a, method, buf_slice(body), true, &want));
	buf_fini(&want);
	VEC_PUSH(&s->steps, st);
}

static void call_plain(struct script *s, enum rpc method, bool in_twin)
{
	struct buf none;

	buf_init(&none, 1);
	call(s, method, &none, in_twin);
}

static void call_numbers(struct script *s, enum rpc method, uint64_t one, uint64_t two)
{
	struct buf b;

	buf_init(&b, 100);
	pb_put_uint(&b, 1, one);
	pb_put_uint(&b, 2, two);
	call(s, method, &b, true);
	buf_fini(&b);
}

static void put(struct script *s, const char *key, size_t value_size, int64_t lease)
{
	struct buf b;

	buf_init(&b, BODY_MAX);
	pb_put_bytes(&b, 1, slice_str(key));
	if (value_size) {
		size_t mark = pb_begin(&b, 2);

		memset(buf_add(&b, value_size), 'a' + (int)(s->steps.count % 26), value_size);
		pb_end(&b, mark);
	}
	pb_put_uint(&b, 3, (uint64_t)lease);
	call(s, RPC_PUT, &b, true);
	buf_fini(&b);
}

static void wait_ms(struct script *s, uint64_t ms)
{
	VEC_PUSH(&s->steps, ((struct step){.kind = STEP_TIME, .ns = ms * 1000000}));
}

static void restart(struct script *s)
{
	VEC_PUSH(&s->steps, ((struct step){.kind = STEP_RESTART}));
	s->a.t.hash_count = 0;
}

static void drawn(struct script *s, unsigned count)
{
	struct buf b;

	buf_init(&b, BODY_MAX);
	while (count--) {
		uint64_t dice = draw_below(&s->draw, 10);

		draw_begin(&s->draw);
		buf_clear(&b);
		if (dice < 4) {
			struct put_req r = draw_put(&s->draw);

			draw_encode_put(&r, &b);
			call(s, RPC_PUT, &b, true);
		} else if (dice < 6) {
			struct delete_req r = draw_delete(&s->draw);

			draw_encode_delete(&r, &b);
			call(s, RPC_DELETE_RANGE, &b, true);
		} else if (dice < 8) {
			struct txn_req *t = draw_txn(&s->draw, 0, true);

			draw_encode_txn(t, &b);
			call(s, RPC_TXN, &b, true);
		} else {
			struct range_req r = draw_range(&s->draw);

			draw_encode_range(&r, &b);
			call(s, RPC_RANGE, &b, true);
		}
	}
	buf_fini(&b);
}

static void script_init(struct script *s)
{
	memset(s, 0, sizeof(*s));
	twin_api_init(&s->a);
	draw_init(&s->draw, 3, &s->a.t, TWIN_LEASES);
	put(s, "a", 3, 0);
	put(s, "b", 0, 0);
	drawn(s, 6);
	wait_ms(s, 30);                         /* into the file */
	call_numbers(s, RPC_LEASE_GRANT, 1000000, 1);
	call_numbers(s, RPC_LEASE_GRANT, 1000000, 2);
	put(s, "a", 10, 1);
	put(s, "leased", VALUE_LARGE, 1);
	put(s, "leased too", VALUE_LARGE, 2);
	drawn(s, 6);
	restart(s);
	for (int i = 0; i < 4; i++)
		put(s, "large", VALUE_LARGE, 0);
	call_numbers(s, RPC_COMPACT, (uint64_t)s->a.t.rev - 2, 1);
	call_plain(s, RPC_HASH_KV, true);
	call_plain(s, RPC_DEFRAGMENT, false);
	drawn(s, 4);
	call_plain(s, RPC_SNAPSHOT, false);
	call_numbers(s, RPC_LEASE_REVOKE, 1, 0);
	call_numbers(s, RPC_COMPACT, (uint64_t)s->a.t.rev, 0);
	drawn(s, 4);
	wait_ms(s, 31000);                      /* old files are purged */
	put(s, "large", VALUE_LARGE, 2);
	restart(s);
	drawn(s, 3);
	call_plain(s, RPC_DEFRAGMENT, false);
	put(s, "last", 1, 0);
}

static void script_fini(struct script *s)
{
	for (size_t i = 0; i < s->steps.count; i++)
		blob_unref(s->steps.at[i].body);
	VEC_FREE(&s->steps);
	twin_api_fini(&s->a);
	draw_fini(&s->draw);
}

/* ---- one run ---- */

struct run {
	const struct script *script;
	struct vfs_mem *disk;
	struct driver *d;
	struct twin_api a;                      /* behind steps [0, at) */
	size_t at;
	struct buf got, want;
};

static struct {
	char name[64];
	jmp_buf jump;
	char line[1024];
	bool armed;
} self;

static void failed(const struct run *r, const char *why)
{
	fprintf(stderr, "FAILED: faults %s: step %zu of %zu: %s\n", self.name, r->at, r->script->steps.count, why);
	fflush(NULL);
	_exit(1);
}

static void on_fatal(const char *line)
{
	snprintf(self.line, sizeof(self.line), "%s", line);
	if (!self.armed) {
		fprintf(stderr, "FAILED: faults %s: fatal without a fault: %s\n", self.name, line);
		_exit(1);
	}
	longjmp(self.jump, 1);
}

static const struct node_config options = {
	.backend_batch_ms = 10,
	.backend_batch_limit = 20,
	.compaction_batch_limit = 5,
	.snapshot_count = 12,
	.snapshot_catchup_entries = 5,
	.wal_segment_bytes = 16384,
	.wal_files_max = 2,
	.snap_files_max = 1,
};

/* False: it does not start, why says. */
static bool start(struct run *r, struct why *why)
{
	r->d = driver_open(vfs_mem_vfs(r->disk), "/data", &options, why);
	return r->d;
}

static void call_step(struct run *r, const struct step *st)
{
	struct slice answer;
	int64_t header_rev;
	err_t got = driver_call(r->d, st->method, blob_slice(st->body), &answer), want = OK;

	if (vfs_mem_crashed(r->disk))
		return;                         /* nobody hears this answer */
	buf_clear(&r->got);
	buf_clear(&r->want);
	if (st->in_twin)
		want = twin_api_call(&r->a, st->method, blob_slice(st->body), true, &r->want);
	if (got != want)
		failed(r, err_text(got));
	if (got || !st->in_twin)
		return;
	answer_split(answer, &header_rev, &r->got);
	if (header_rev != r->a.t.rev || !slice_eq(buf_slice(&r->got), buf_slice(&r->want)))
		failed(r, "a wrong answer");
}

/* Goes on with the script until its end or until the power is gone. */
static void play(struct run *r)
{
	for (; r->at < r->script->steps.count; r->at++) {
		const struct step *st = &r->script->steps.at[r->at];
		struct why why = {""};

		switch (st->kind) {
		case STEP_CALL: call_step(r, st); break;
		case STEP_TIME: driver_run(r->d, st->ns); break;
		case STEP_RESTART:
			driver_close(r->d);
			r->d = NULL;
			r->a.t.hash_count = 0;
			if (!start(r, &why) && !vfs_mem_crashed(r->disk)) {
				snprintf(self.line, sizeof(self.line), "%s", why.text);
				self.armed = false;
				longjmp(self.jump, 2);
			}
			break;
		}
		if (vfs_mem_crashed(r->disk))
			return;
	}
}

static enum outcome play_with_fault(struct run *r)
{
	struct why why = {""};
	int jumped = setjmp(self.jump);

	if (jumped) {
		actor_mark(NULL);
		self.armed = false;
		return jumped == 1 ? OUT_FATAL : OUT_REFUSED;
	}
	self.armed = true;
	if (start(r, &why))
		play(r);
	else if (!vfs_mem_crashed(r->disk))
		longjmp(self.jump, 2);
	self.armed = false;
	return vfs_mem_crashed(r->disk) ? OUT_CUT : OUT_UNSEEN;
}

/* ---- after it ---- */

static void start_sound(struct run *r)
{
	struct why why = {""};

	if (!start(r, &why))
		failed(r, why.text);            /* F1 */
}

static void twin_replay(struct run *r, size_t count)
{
	twin_api_fini(&r->a);
	twin_api_init(&r->a);
	for (size_t i = 0; i < count; i++) {
		const struct step *st = &r->script->steps.at[i];

		buf_clear(&r->want);
		if (st->kind == STEP_CALL && st->in_twin)
			err_ignore(twin_api_call(&r->a, st->method, blob_slice(st->body), true, &r->want));
	}
	r->a.t.hash_count = 0;
}

/* F2; sets at to the step to go on with. */
static void find_step(struct run *r)
{
	struct why one = {""}, two = {""};

	twin_replay(r, r->at);
	if (twin_api_same(&r->a, r->d, &one))
		return;
	if (r->at < r->script->steps.count && r->script->steps.at[r->at].kind == STEP_CALL) {
		twin_replay(r, r->at + 1);
		if (twin_api_same(&r->a, r->d, &two)) {
			r->at++;
			return;
		}
	}
	fprintf(stderr, "without the step: %s; with it: %s\n", one.text, two.text);
	failed(r, "what was answered is not there");
}

static void check_file(struct run *r)
{
	struct bolt_options o = {.must_exist = true, .read_only = true};
	struct why why = {""};
	struct bolt *db;

	if (bolt_open(vfs_mem_vfs(r->disk), "/data/member/snap/db", &o, &why, &db) || bolt_check(db, NULL, &why))
		failed(r, why.text);
	bolt_close(db);
}

static void end_well(struct run *r)
{
	struct why why = {""};

	if (!twin_api_same(&r->a, r->d, &why))
		failed(r, why.text);
	driver_close(r->d);
	check_file(r);
	vfs_mem_crash(r->disk);
	start_sound(r);
	if (!twin_api_same(&r->a, r->d, &why))
		failed(r, why.text);            /* F4 */
	driver_close(r->d);
}

/* n 0: no fault. *calls: how many there were. */
static enum outcome run(const struct script *s, uint64_t n, enum vfs_fault fault, enum end end, uint64_t *calls)
{
	struct run r = {.script = s, .disk = vfs_mem_new(n)};
	enum outcome out;

	fatal_set_hook(on_fatal);
	buf_init(&r.got, BODY_MAX);
	buf_init(&r.want, BODY_MAX);
	twin_api_init(&r.a);
	vfs_mem_fault(r.disk, n, fault);
	out = play_with_fault(&r);
	*calls = vfs_mem_calls(r.disk);
	vfs_mem_fault(r.disk, 0, VFS_FAULT_NONE);
	if (out != OUT_UNSEEN) {                /* the node that ended in a step is left as it is */
		if (end == END_POWER || out == OUT_CUT)
			vfs_mem_crash(r.disk);
		else
			vfs_mem_kill(r.disk);
		start_sound(&r);
		find_step(&r);
		play(&r);                       /* F3 */
	}
	end_well(&r);
	return out;
}

/* ---- all runs ---- */

struct tally {
	uint64_t runs, failed, out[OUT_COUNT];
};

static void one(const struct script *s, uint64_t n, size_t fault, enum end end, struct tally *t)
{
	uint64_t calls;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		snprintf(self.name, sizeof(self.name), "%s %llu %s", fault_names[fault], (unsigned long long)n, end_names[end]);
		alarm(60);
		_exit(10 + (int)run(s, n, faults[fault], end, &calls));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		exit(1);
	}
	t->runs++;
	if (WIFEXITED(status) && WEXITSTATUS(status) >= 10) {
		t->out[WEXITSTATUS(status) - 10]++;
		return;
	}
	t->failed++;
	fprintf(stderr, "FAILED: faults %s %llu %s: status %x\n", fault_names[fault], (unsigned long long)n, end_names[end], (unsigned)status);
}

static int report(const struct tally *t, uint64_t calls)
{
	printf("%llu calls; %llu runs, %llu failed", (unsigned long long)calls, (unsigned long long)t->runs, (unsigned long long)t->failed);
	for (int i = 0; i < OUT_COUNT; i++)
		printf(", %llu %s", (unsigned long long)t->out[i], outcome_names[i]);
	printf("\n");
	return t->failed != 0;
}

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t index_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	fprintf(stderr, "faults: what is %s?\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct script s;
	struct tally t = {0};
	uint64_t calls = 0, total;
	int result;

	driver_quiet();
	script_init(&s);
	snprintf(self.name, sizeof(self.name), "none");
	if (run(&s, 0, VFS_FAULT_NONE, END_POWER, &calls) != OUT_UNSEEN)
		return 1;
	total = calls * ARRAY_COUNT(faults) * END_COUNT;
	if (argc > 3) {
		one(&s, strtoull(argv[2], NULL, 0), index_of(argv[1], fault_names, ARRAY_COUNT(faults)),
		    (enum end)index_of(argv[3], end_names, END_COUNT), &t);
	} else {
		double until = argc > 1 && strcmp(argv[1], "all") != 0 ? seconds_now() + atof(argv[1]) : 1e300;
		uint64_t i = (uint64_t)time(NULL) / 86400 * 7919 % total, step = until < 1e300 ? 7919 : 1;

		for (uint64_t k = 0; k < total && seconds_now() < until; k++, i = (i + step) % total) {
			size_t fault = i / calls % ARRAY_COUNT(faults);
			enum end end = (enum end)(i / calls / ARRAY_COUNT(faults));

			if (faults[fault] != VFS_FAULT_CRASH || end == END_POWER)
				one(&s, 1 + i % calls, fault, end, &t);
		}
	}
	result = report(&t, calls);
	script_fini(&s);
	return result;
}
