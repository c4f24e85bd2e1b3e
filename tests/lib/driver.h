/* A node driven step by step on one thread, through the API: for tests that want answers, not concurrency.
 *
 *	d = driver_open(vfs, "dir", &opts, &why);       NULL: it does not start, why tells
 *	err = driver_call(d, RPC_PUT, body, &answer);   runs the scheduler until the answer is there
 *	driver_close(d);                                orderly stop */
#ifndef TESTS_LIB_DRIVER_H
#define TESTS_LIB_DRIVER_H

#include "api/api.h"

struct driver {
	struct sched *sched;
	struct node *node;
	struct api *api;
	struct api_io *io;
	struct actor *io_actor;
	uint64_t random;
	struct slice token;             /* sent with each call; borrowed. Empty: none */
	bool ready;
	bool done;                      /* of the call under way */
	err_t err;
	char text[256];
	struct buf answer;              /* the last message */
	struct buf messages;            /* all messages of a stream, each as field 1 */
};

/* No log lines but errors, unless the environment has TEST_LOG. */
void driver_quiet(void);
/* Real files for a driver (vfs_posix ends asynchronous writes on threads of its own). */
struct vfs *driver_vfs_posix(void);
struct driver *driver_open(struct vfs *fs, const char *dir, const struct node_config *base, struct why *why);
/* Unary and server streams; *answer is borrowed until the next call. ERR_AGAIN: no end within a minute of virtual time. */
err_t driver_call(struct driver *d, enum rpc method, struct slice body, struct slice *answer);
/* Begins a call, cancels it before anything came back, and lets everything come back. */
void driver_start_and_cancel(struct driver *d, enum rpc method, struct slice body);
/* Lets virtual time pass. */
void driver_run(struct driver *d, uint64_t ns);
void driver_close(struct driver *d);
/* Without a word, as kill -9: what is in files stays there (power is the disk's business). */
void driver_kill(struct driver *d);

#endif
