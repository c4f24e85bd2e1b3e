/* Requests to the store, each signed on its own. */
#define LOG_LOGGER "agent"

#include "pod/s3.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kube/https.h"
#include "obs/log.h"

enum { PATH_SIZE = 8 * 1024, LIST_MAX = 8 * 1024 * 1024, PAGES_MAX = 1000, TIMEOUT_MS = 60 * 1000, TRIES = 3 };
enum { PARTS_MAX = 10 * 1000, PART_SIZE = 64 * 1024 * 1024, ID_SIZE = 2048, ETAG_SIZE = 128, COMPLETE_MAX = 4 * 1024 * 1024 };

static const char EMPTY_SHA256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct s3 {
	struct https *https;
	char *bucket, *prefix, *region, *access_key, *secret_key;
	uint64_t part_size;
};

err_t s3_open(const struct s3_opts *o, struct why *why, struct s3 **out)
{
	struct https_opts ho = {.url = o->endpoint, .ca_file = o->ca_file};
	struct s3 *s = NEW(struct s3);
	err_t err = https_open(&ho, why, &s->https);

	if (err) {
		mem_free(s);
		return err;
	}
	s->bucket = mem_strdup(o->bucket);
	s->prefix = mem_strdup(o->prefix ? o->prefix : "");
	s->region = mem_strdup(o->region && o->region[0] ? o->region : "us-east-1");
	s->access_key = mem_strdup(o->access_key);
	s->secret_key = mem_strdup(o->secret_key);
	s->part_size = o->part_size ? o->part_size : PART_SIZE;
	*out = s;
	return OK;
}

void s3_close(struct s3 *s)
{
	if (!s)
		return;
	https_close(s->https);
	explicit_bzero(s->secret_key, strlen(s->secret_key));
	mem_free(s->bucket);
	mem_free(s->prefix);
	mem_free(s->region);
	mem_free(s->access_key);
	mem_free(s->secret_key);
	mem_free(s);
}

static bool path_of(const struct s3 *s, const char *name, char out[PATH_SIZE])
{
	strcpy(out, "/");
	if (!s3_encode(out, PATH_SIZE, s->bucket, false))
		return false;
	return !name || (s3_encode(out, PATH_SIZE, "/", true) && s3_encode(out, PATH_SIZE, s->prefix, true) && s3_encode(out, PATH_SIZE, name, true));
}

/* Appends the text of an element, its references resolved; false: no room for all of it. */
static bool put_text(const char *from, const char *to, char *out, size_t size)
{
	static const struct {
		const char *name;
		char c;
	} entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
	size_t n = 0;

	while (from < to && n + 1 < size) {
		char c = *from, *end;
		size_t taken = 1;
		unsigned long code = 0;

		for (size_t i = 0; c == '&' && taken == 1 && i < ARRAY_COUNT(entities); i++)
			if (!strncmp(from, entities[i].name, strlen(entities[i].name))) {
				c = entities[i].c;
				taken = strlen(entities[i].name);
			}
		if (c == '&' && from[1] == '#') {
			code = from[2] == 'x' ? strtoul(from + 3, &end, 16) : strtoul(from + 2, &end, 10);
			/* names of ours are ASCII; what is not stays as it is */
			if (*end == ';' && code > 0 && code < 128) {
				c = (char)code;
				taken = (size_t)(end + 1 - from);
			}
		}
		out[n++] = c;
		from += taken;
	}
	out[n] = '\0';
	return from >= to;
}

/* The text between <tag> and </tag>; false: there is none, or it does not fit (then *out is its beginning). */
static bool element(const char *xml, const char *tag, char *out, size_t size, const char **end)
{
	char open[64], close[64];
	const char *from, *to;

	snprintf(open, sizeof(open), "<%s>", tag);
	snprintf(close, sizeof(close), "</%s>", tag);
	from = strstr(xml, open);
	to = from ? strstr(from, close) : NULL;
	if (end)
		*end = to;
	return to && put_text(from + strlen(open), to, out, size);
}

static err_t judge(const char *method, const char *path, struct https_answer *a, struct why *why)
{
	char message[512] = "", code[64] = "", here[64] = "", *text;
	time_t now = time(NULL);
	struct tm tm;
	err_t err = a->status == 404 ? ERR_NOT_EXIST : a->status == 403 ? ERR_PERMISSION : ERR_AGAIN;

	if (a->status >= 200 && a->status < 300)
		return OK;
	buf_put_byte(&a->body, '\0');
	text = (char *)a->body.data;
	if (!buf_failed(&a->body)) {
		element(text, "Message", message, sizeof(message), NULL);
		element(text, "Code", code, sizeof(code), NULL);
	}
	if (!strcmp(code, "RequestTimeTooSkewed") && gmtime_r(&now, &tm))
		strftime(here, sizeof(here), " (the clock here says %Y-%m-%dT%H:%M:%SZ)", &tm);
	return why_set(why, err, "%s %s: %d %s%s%s%s", method, path, a->status, code, code[0] ? ": " : "", message, here);
}

static err_t ask_once(struct s3 *s, struct https_request *r, const char *path, const char *query, const char *sha256, struct https_answer *out,
		      struct why *why)
{
	char date[32], authorization[1024], full[2 * PATH_SIZE];
	struct s3_header headers[] = {{"host", https_authority(s->https)}, {"x-amz-content-sha256", sha256}, {"x-amz-date", date}};
	struct s3_signing g = {.method = r->method, .path = path, .query = query, .headers = headers, .header_count = ARRAY_COUNT(headers),
			       .payload_sha256 = sha256, .date = date, .region = s->region, .access_key = s->access_key, .secret_key = s->secret_key};
	time_t now = time(NULL);
	struct buf b;
	struct tm tm;
	err_t err;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
	if (!s3_sign(&g, authorization, sizeof(authorization)))
		return why_set(why, ERR_TOO_LARGE, "the access key is too long");
	snprintf(full, sizeof(full), "%s%s%s", path, query[0] ? "?" : "", query);
	buf_init(&b, 16 * 1024);
	buf_printf(&b, "x-amz-content-sha256: %s\r\nx-amz-date: %s\r\nauthorization: %s\r\n", sha256, date, authorization);
	buf_put_byte(&b, '\0');
	r->path = full;
	r->headers = (const char *)b.data;
	r->timeout_ms = TIMEOUT_MS;
	r->body_size_max = LIST_MAX;
	err = https_do(s->https, r, out, why);
	buf_fini(&b);
	return err;
}

/* What was taken of an answer that broke off is not part of the next one. */
static err_t empty_sink(const struct https_request *r, struct why *why)
{
	if (r->sink && (ftruncate(r->sink_fd, 0) < 0 || lseek(r->sink_fd, 0, SEEK_SET) < 0))
		return why_set(why, err_from_errno(errno), "the file that receives: %s", strerror(errno));
	return OK;
}

/* r holds method and bodies; *out is the caller's if OK. A store that is busy (429, 5xx) or broke off is asked again: all we do to it can be done twice. */
static err_t ask(struct s3 *s, struct https_request *r, const char *path, const char *query, const char *sha256, struct https_answer *out,
		 struct why *why)
{
	err_t err;

	for (unsigned try = 1;; try++) {
		err = ask_once(s, r, path, query, sha256, out, why);
		if (err && ((err != ERR_IO && err != ERR_TIMEOUT) || try >= TRIES))
			return err;
		if (!err && (try >= TRIES || (out->status < 500 && out->status != 429)))
			break;
		if (!err)
			https_answer_fini(out);
		sleep(try);
		err = empty_sink(r, why);
		if (err)
			return err;
	}
	err = judge(r->method, path, out, why);
	if (err)
		https_answer_fini(out);
	return err;
}

/* About one object; *out, unless NULL, is the caller's if OK. */
static err_t ask_name(struct s3 *s, struct https_request *r, const char *name, const char *query, const char *sha256, struct https_answer *out,
		      struct why *why)
{
	struct https_answer a;
	char path[PATH_SIZE];
	err_t err;

	if (!path_of(s, name, path))
		return why_set(why, ERR_TOO_LARGE, "bucket, prefix and name are too long");
	err = ask(s, r, path, query, sha256, &a, why);
	if (!err && out)
		*out = a;
	else if (!err)
		https_answer_fini(&a);
	return err;
}

static err_t file_sha256(int fd, uint64_t start, uint64_t size, char out[65], struct why *why)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t *room = mem_alloc(256 * 1024), digest[32];
	err_t err = OK;

	ASSERT(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	for (uint64_t at = 0; at < size && !err;) {
		ssize_t n = pread(fd, room, (size_t)MIN(size - at, (uint64_t)256 * 1024), (off_t)(start + at));

		if (n <= 0)
			err = why_set(why, ERR_IO, "the file to be sent ends at %llu", (unsigned long long)(start + at));
		else
			EVP_DigestUpdate(ctx, room, (size_t)n);
		at += (uint64_t)MAX(n, (ssize_t)0);
	}
	EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
	mem_free(room);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
	return err;
}

/* --- a file in parts ("Multipart upload overview", S3 user guide): begin, each part, then one request that names them all --- */

struct upload {
	struct s3 *s;
	const char *name;
	char id[ID_SIZE];
	struct buf parts;       /* the body of the last request, as far as it goes */
};

static err_t upload_query(const struct upload *u, unsigned part, char query[PATH_SIZE], struct why *why)
{
	query[0] = '\0';
	if (part)
		snprintf(query, PATH_SIZE, "partNumber=%u&", part);
	strcat(query, "uploadId=");
	return s3_encode(query, PATH_SIZE, u->id, false) ? OK : why_set(why, ERR_TOO_LARGE, "the id of the upload is too long");
}

static err_t upload_begin(struct upload *u, struct why *why)
{
	struct https_request r = {.method = "POST"};
	struct https_answer a;
	err_t err = ask_name(u->s, &r, u->name, "uploads=", EMPTY_SHA256, &a, why);

	if (err)
		return err;
	buf_put_byte(&a.body, '\0');
	if (buf_failed(&a.body) || !element((const char *)a.body.data, "UploadId", u->id, sizeof(u->id), NULL))
		err = why_set(why, ERR_MALFORMED, "the store began an upload without an id");
	https_answer_fini(&a);
	return err;
}

static bool etag_of(const struct https_answer *a, char out[ETAG_SIZE])
{
	const char *at = (const char *)a->headers.data, *end = at + a->headers.size;

	while (at && at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t size = (size_t)((line_end ? line_end : end) - at);

		if (size > 6 && size - 6 < ETAG_SIZE && !strncasecmp(at, "etag: ", 6)) {
			snprintf(out, ETAG_SIZE, "%.*s", (int)(size - 6), at + 6);
			return true;
		}
		at = line_end ? line_end + 1 : NULL;
	}
	return false;
}

static err_t upload_part(struct upload *u, unsigned number, int fd, uint64_t start, uint64_t size, struct why *why)
{
	struct https_request r = {.method = "PUT", .body_file = true, .body_fd = fd, .body_file_start = start, .body_file_size = size};
	char sha256[65], query[PATH_SIZE], etag[ETAG_SIZE];
	struct https_answer a;
	err_t err = upload_query(u, number, query, why);

	err = err ? err : file_sha256(fd, start, size, sha256, why);
	err = err ? err : ask_name(u->s, &r, u->name, query, sha256, &a, why);
	if (err)
		return err;
	if (etag_of(&a, etag))
		buf_printf(&u->parts, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", number, etag);
	else
		err = why_set(why, ERR_MALFORMED, "the store gave part %u no ETag", number);
	https_answer_fini(&a);
	return err;
}

/* Status 200 may carry an error: the store answers before it is done. */
static err_t upload_complete(struct upload *u, struct why *why)
{
	struct https_request r = {.method = "POST"};
	char sha256[65], query[PATH_SIZE], message[512] = "";
	struct https_answer a;
	err_t err = upload_query(u, 0, query, why);

	buf_printf(&u->parts, "</CompleteMultipartUpload>");
	if (!err && buf_failed(&u->parts))
		err = why_set(why, ERR_TOO_LARGE, "too many parts");
	r.body = buf_slice(&u->parts);
	s3_hex_sha256(r.body, sha256);
	err = err ? err : ask_name(u->s, &r, u->name, query, sha256, &a, why);
	if (err)
		return err;
	buf_put_byte(&a.body, '\0');
	if (buf_failed(&a.body) || !strstr((const char *)a.body.data, "CompleteMultipartUploadResult")) {
		if (!buf_failed(&a.body))
			element((const char *)a.body.data, "Message", message, sizeof(message), NULL);
		err = why_set(why, ERR_AGAIN, "the store did not put the parts together: %s", message);
	}
	https_answer_fini(&a);
	return err;
}

/* Parts of an upload that nobody ends are paid for. */
static void upload_abort(struct upload *u)
{
	struct https_request r = {.method = "DELETE"};
	char query[PATH_SIZE];
	struct why ignored = {0};

	if (!upload_query(u, 0, query, &ignored) && ask_name(u->s, &r, u->name, query, EMPTY_SHA256, NULL, &ignored))
		LOG_WARN("the upload could not be aborted: its parts stay in the store", LOG_STR("name", u->name), LOG_WHY(&ignored));
}

static err_t put_in_parts(struct s3 *s, const char *name, int fd, uint64_t size, struct why *why)
{
	uint64_t part = MAX(s->part_size, (size + PARTS_MAX - 1) / PARTS_MAX);
	struct upload u = {.s = s, .name = name};
	unsigned number = 1;
	err_t err = upload_begin(&u, why);

	if (err)
		return err;
	buf_init(&u.parts, COMPLETE_MAX);
	buf_printf(&u.parts, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (uint64_t at = 0; !err && at < size; at += part)
		err = upload_part(&u, number++, fd, at, MIN(part, size - at), why);
	err = err ? err : upload_complete(&u, why);
	if (err)
		upload_abort(&u);
	buf_fini(&u.parts);
	return err;
}

err_t s3_put(struct s3 *s, const char *name, int fd, uint64_t size, struct why *why)
{
	struct https_request r = {.method = "PUT", .body_file = true, .body_fd = fd, .body_file_size = size};
	char sha256[65];
	err_t err;

	if (size > s->part_size)
		return put_in_parts(s, name, fd, size, why);
	err = file_sha256(fd, 0, size, sha256, why);
	return err ? err : ask_name(s, &r, name, "", sha256, NULL, why);
}

err_t s3_get(struct s3 *s, const char *name, int fd, struct why *why)
{
	struct https_request r = {.method = "GET", .sink = true, .sink_fd = fd};

	return ask_name(s, &r, name, "", EMPTY_SHA256, NULL, why);
}

err_t s3_delete(struct s3 *s, const char *name, struct why *why)
{
	struct https_request r = {.method = "DELETE"};

	return ask_name(s, &r, name, "", EMPTY_SHA256, NULL, why);
}

/* Sorted by name: continuation-token, list-type, prefix. */
static bool list_query(const struct s3 *s, const char *token, char out[PATH_SIZE])
{
	out[0] = '\0';
	if (token[0] && !(s3_encode(out, PATH_SIZE, "continuation-token", false) && strcat(out, "=") && s3_encode(out, PATH_SIZE - 64, token, false) &&
			  strcat(out, "&")))
		return false;
	strcat(out, "list-type=2&prefix=");
	return s3_encode(out, PATH_SIZE, s->prefix, false);
}

static void each_key(const struct s3 *s, const char *xml, void (*fn)(void *arg, const char *name), void *arg)
{
	char key[1025];

	for (const char *at = xml; at;)
		if (element(at, "Key", key, sizeof(key), &at) && !strncmp(key, s->prefix, strlen(s->prefix)))
			fn(arg, key + strlen(s->prefix));
}

/* *token: where the next page begins, empty after the last one. */
static err_t next_page(const char *xml, char token[ID_SIZE], struct why *why)
{
	char more[8];
	bool has_more = element(xml, "IsTruncated", more, sizeof(more), NULL) && !strcmp(more, "true");

	token[0] = '\0';
	if (has_more && !element(xml, "NextContinuationToken", token, ID_SIZE, NULL))
		return why_set(why, ERR_MALFORMED, "the store's list goes on, but does not say where");
	return OK;
}

err_t s3_list(struct s3 *s, void (*fn)(void *arg, const char *name), void *arg, struct why *why)
{
	char path[PATH_SIZE], query[PATH_SIZE], token[ID_SIZE] = "";

	for (int page = 0; page < PAGES_MAX; page++) {
		struct https_request r = {.method = "GET"};
		struct https_answer a;
		err_t err;

		if (!path_of(s, NULL, path) || !list_query(s, token, query))
			return why_set(why, ERR_TOO_LARGE, "bucket and prefix are too long");
		err = ask(s, &r, path, query, EMPTY_SHA256, &a, why);
		if (err)
			return err;
		buf_put_byte(&a.body, '\0');
		if (buf_failed(&a.body)) {
			err = why_set(why, ERR_TOO_LARGE, "the list of %s is too long", path);
		} else {
			each_key(s, (const char *)a.body.data, fn, arg);
			err = next_page((const char *)a.body.data, token, why);
		}
		https_answer_fini(&a);
		if (err || !token[0])
			return err;
	}
	return why_set(why, ERR_TOO_LARGE, "the list of %s has no end", path);
}
