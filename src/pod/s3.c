/* Requests to the store, each signed on its own. */
#include "pod/s3.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kube/https.h"

enum { PATH_SIZE = 2048, LIST_MAX = 8 * 1024 * 1024, PAGES_MAX = 1000, TIMEOUT_MS = 60 * 1000 };

static const char EMPTY_SHA256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct s3 {
	struct https *https;
	char *bucket, *prefix, *region, *access_key, *secret_key;
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

/* The text between <tag> and </tag>; false: there is none. */
static bool element(const char *xml, const char *tag, char *out, size_t size, const char **end)
{
	char open[64], close[64];
	const char *from, *to;

	snprintf(open, sizeof(open), "<%s>", tag);
	snprintf(close, sizeof(close), "</%s>", tag);
	from = strstr(xml, open);
	to = from ? strstr(from, close) : NULL;
	if (!to)
		return false;
	from += strlen(open);
	snprintf(out, size, "%.*s", (int)(to - from), from);
	if (end)
		*end = to;
	return true;
}

static err_t judge(const char *method, const char *path, struct https_answer *a, struct why *why)
{
	char message[512] = "", *text;
	err_t err = a->status == 404 ? ERR_NOT_EXIST : a->status == 403 ? ERR_PERMISSION : ERR_AGAIN;

	if (a->status >= 200 && a->status < 300)
		return OK;
	buf_put_byte(&a->body, '\0');
	text = (char *)a->body.data;
	if (!buf_failed(&a->body))
		element(text, "Message", message, sizeof(message), NULL);
	return why_set(why, err, "%s %s: %d %s", method, path, a->status, message);
}

/* r holds method and bodies; *out is the caller's if OK. */
static err_t ask(struct s3 *s, struct https_request *r, const char *path, const char *query, const char *sha256, struct https_answer *out,
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
	if (err)
		return err;
	err = judge(r->method, path, out, why);
	if (err)
		https_answer_fini(out);
	return err;
}

static err_t ask_name(struct s3 *s, struct https_request *r, const char *name, const char *sha256, struct why *why)
{
	struct https_answer a;
	char path[PATH_SIZE];
	err_t err;

	if (!path_of(s, name, path))
		return why_set(why, ERR_TOO_LARGE, "bucket, prefix and name are too long");
	err = ask(s, r, path, "", sha256, &a, why);
	if (!err)
		https_answer_fini(&a);
	return err;
}

static err_t file_sha256(int fd, uint64_t size, char out[65], struct why *why)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t *room = mem_alloc(256 * 1024), digest[32];
	err_t err = OK;

	ASSERT(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	for (uint64_t at = 0; at < size && !err;) {
		ssize_t n = pread(fd, room, (size_t)MIN(size - at, (uint64_t)256 * 1024), (off_t)at);

		if (n <= 0)
			err = why_set(why, ERR_IO, "the file to be sent ends at %llu", (unsigned long long)at);
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

err_t s3_put(struct s3 *s, const char *name, int fd, uint64_t size, struct why *why)
{
	struct https_request r = {.method = "PUT", .body_file = true, .body_fd = fd, .body_file_size = size};
	char sha256[65];
	err_t err = file_sha256(fd, size, sha256, why);

	return err ? err : ask_name(s, &r, name, sha256, why);
}

err_t s3_get(struct s3 *s, const char *name, int fd, struct why *why)
{
	struct https_request r = {.method = "GET", .sink = true, .sink_fd = fd};

	return ask_name(s, &r, name, EMPTY_SHA256, why);
}

err_t s3_delete(struct s3 *s, const char *name, struct why *why)
{
	struct https_request r = {.method = "DELETE"};

	return ask_name(s, &r, name, EMPTY_SHA256, why);
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

	while (element(xml, "Key", key, sizeof(key), &xml))
		if (!strncmp(key, s->prefix, strlen(s->prefix)))
			fn(arg, key + strlen(s->prefix));
}

err_t s3_list(struct s3 *s, void (*fn)(void *arg, const char *name), void *arg, struct why *why)
{
	char path[PATH_SIZE], query[PATH_SIZE], token[1024] = "", more[8];

	for (int page = 0; page < PAGES_MAX; page++) {
		struct https_request r = {.method = "GET"};
		struct https_answer a;
		bool ends;
		err_t err;

		if (!path_of(s, NULL, path) || !list_query(s, token, query))
			return why_set(why, ERR_TOO_LARGE, "bucket and prefix are too long");
		err = ask(s, &r, path, query, EMPTY_SHA256, &a, why);
		if (err)
			return err;
		buf_put_byte(&a.body, '\0');
		if (buf_failed(&a.body)) {
			https_answer_fini(&a);
			return why_set(why, ERR_TOO_LARGE, "the list of %s is too long", path);
		}
		each_key(s, (const char *)a.body.data, fn, arg);
		ends = !element((const char *)a.body.data, "IsTruncated", more, sizeof(more), NULL) || strcmp(more, "true") ||
		       !element((const char *)a.body.data, "NextContinuationToken", token, sizeof(token), NULL);
		https_answer_fini(&a);
		if (ends)
			return OK;
	}
	return why_set(why, ERR_TOO_LARGE, "the list of %s has no end", path);
}
