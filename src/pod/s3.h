/* An S3-compatible store, as far as backups need it: put a file, list, get, delete, signed with AWS Signature Version 4.
 *
 *	s3_open(&opts, &why, &s);
 *	s3_put(s, "a.db", fd, size, &why);  s3_list(s, fn, arg, &why);  s3_get(s, "a.db", fd, &why);  s3_delete(s, "a.db", &why);
 *
 * Addresses are endpoint/bucket/key ("path style"). Keys are prefix and name. A file up to part_size is one PUT, a larger one
 * an upload in parts, of part_size or as large as 10,000 of them have to be: the service takes 5 GiB a PUT, 5 MiB and more a part but the last.
 * What fails by the network, or with 429 or 5xx, is tried three times. s3_get's file begins at its start.
 * Blocking; thread: one. s3_sign is pure. Errors: those of kube/https.h; ERR_NOT_EXIST (404), ERR_PERMISSION (403), ERR_AGAIN (any other status). */
#ifndef POD_S3_H
#define POD_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct s3;

struct s3_opts {
	const char *endpoint;   /* http://host:port or https://… */
	const char *ca_file;    /* NULL, "": the system's */
	const char *bucket, *prefix, *region;
	const char *access_key, *secret_key;
	uint64_t part_size;     /* 0: 64 MiB */
};

NODISCARD err_t s3_open(const struct s3_opts *o, struct why *why, struct s3 **out);
void s3_close(struct s3 *s); /* NULL allowed */
NODISCARD err_t s3_put(struct s3 *s, const char *name, int fd, uint64_t size, struct why *why);
NODISCARD err_t s3_get(struct s3 *s, const char *name, int fd, struct why *why);
NODISCARD err_t s3_delete(struct s3 *s, const char *name, struct why *why);
/* Names below the prefix, in the store's order. */
NODISCARD err_t s3_list(struct s3 *s, void (*fn)(void *arg, const char *name), void *arg, struct why *why);

/* --- signing: pure --- */

struct s3_header {
	const char *name, *value; /* name in lower case */
};

struct s3_signing {
	const char *method;
	const char *path;       /* encoded */
	const char *query;      /* encoded, sorted, "key=" where there is no value */
	const struct s3_header *headers; /* sorted by name; all of them are signed */
	size_t header_count;
	const char *payload_sha256; /* hex */
	const char *date;       /* 20130524T000000Z */
	const char *region, *access_key, *secret_key;
};

/* The value of header authorization; false: it does not fit. */
bool s3_sign(const struct s3_signing *s, char *out, size_t size);
void s3_hex_sha256(struct slice data, char out[65]);
/* Appends text, percent-encoded; slashes stay if keep_slash. False: no room. */
bool s3_encode(char *out, size_t size, const char *text, bool keep_slash);

#endif
