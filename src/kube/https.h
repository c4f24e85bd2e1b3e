/* HTTP/1.1, from the client's side, blocking: for programs that are one thread and wait anyway (the agent in a pod, backups).
 *
 *	struct https *h;
 *	err = https_open(&opts, &why, &h);                       nothing is dialled yet
 *	err = https_do(h, &request, &answer, &why);              one after another; the connection is kept between them
 *	https_answer_fini(&answer);  https_close(h);
 *
 * Thread: one at a time per object. SIGPIPE is the program's to ignore. Each request has one deadline for all of it, but for the
 * resolver's own. Answers: headers up to HTTPS_HEADERS_SIZE_MAX, body up to body_size_max or into a file.
 * Errors: ERR_IO (not reached, lost, bad certificate), ERR_TIMEOUT, ERR_TOO_LARGE, ERR_MALFORMED, ERR_INVALID (URL, files). */
#ifndef KUBE_HTTPS_H
#define KUBE_HTTPS_H

#include "base/buf.h"

#define HTTPS_HEADERS_SIZE_MAX (32 * 1024)

struct https;

struct https_opts {
	const char *url;        /* http://host:port or https://host:port, a path is passed over; copied */
	const char *ca_file;    /* PEM; NULL, "": the system's */
	const char *cert_file, *key_file; /* PEM, shown to the server; NULL, "": none */
	bool skip_verify;
};

struct https_request {
	const char *method, *path;      /* path with its query, encoded */
	const char *headers;            /* lines that end in \r\n; host, content-length are added; NULL: none */
	struct slice body;
	int body_fd;                    /* if body_file: body_file_size bytes from body_file_start on, in place of body */
	bool body_file;
	uint64_t body_file_start, body_file_size;
	int sink_fd;                    /* if sink: a body of status 200 goes there */
	bool sink;
	size_t body_size_max;
	uint64_t timeout_ms;            /* with files: of each stall, not of the whole */
};

struct https_answer {
	int status;
	struct buf headers;     /* lines "name: value\n" */
	struct buf body;
	uint64_t sunk;          /* bytes that went to sink_fd */
};

NODISCARD err_t https_open(const struct https_opts *o, struct why *why, struct https **out);
void https_close(struct https *h);      /* NULL allowed */
/* A kept connection that turns out to be closed is dialled again, once. On failure *out is empty. */
NODISCARD err_t https_do(struct https *h, const struct https_request *r, struct https_answer *out, struct why *why);
void https_answer_fini(struct https_answer *a);
/* host[:port] as in the Host header */
const char *https_authority(const struct https *h);

#endif
