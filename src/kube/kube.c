/* Paths, headers and status codes of the API; the transport is https.c. */
#include "kube/kube.h"

#include <stdio.h>
#include <unistd.h>
#include <fcntl.h>

#include "kube/https.h"

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

enum { TIMEOUT_MS = 5000, TOKEN_SIZE_MAX = 16 * 1024, PATH_SIZE = 1024 };

struct kube {
	struct https *https;
	char *url, *token_file, *ca_file, *namespace;
	unsigned timeout_ms;
};

static err_t dial(struct kube *k, struct why *why)
{
	struct https_opts o = {.url = k->url, .ca_file = k->ca_file};

	https_close(k->https);
	k->https = NULL;
	return https_open(&o, why, &k->https);
}

err_t kube_open(const struct kube_opts *o, struct why *why, struct kube **out)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	bool given = o->url && o->url[0];
	struct kube *k;
	err_t err;

	if (!given && (!host || !host[0] || !port))
		return why_set(why, ERR_INVALID, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: not in a pod of Kubernetes");
	k = NEW(struct kube);
	k->url = given ? mem_strdup(o->url) : mem_printf(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
	k->token_file = mem_strdup(o->token_file && o->token_file[0] ? o->token_file : ACCOUNT "token");
	k->ca_file = mem_strdup(o->ca_file && o->ca_file[0] ? o->ca_file : ACCOUNT "ca.crt");
	k->namespace = mem_strdup(o->namespace);
	k->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	err = dial(k, why);
	if (err) {
		kube_close(k);
		return err;
	}
	*out = k;
	return OK;
}

void kube_close(struct kube *k)
{
	if (!k)
		return;
	https_close(k->https);
	mem_free(k->url);
	mem_free(k->token_file);
	mem_free(k->ca_file);
	mem_free(k->namespace);
	mem_free(k);
}

/* Without one the request goes out all the same: the server says what it thinks of it. */
static void put_token(struct kube *k, struct buf *headers)
{
	char token[TOKEN_SIZE_MAX];
	int fd = open(k->token_file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, token, sizeof(token));

	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] > '~') {
			n = i;
			break;
		}
	if (n > 0)
		buf_printf(headers, "authorization: Bearer %.*s\r\n", (int)n, token);
	explicit_bzero(token, sizeof(token));
}

static err_t judge(const struct https_answer *a, const char *method, const char *path, const json_t *body, struct why *why)
{
	const char *text = json_string_value(json_object_get(body, "message"));
	err_t err = a->status == 404 ? ERR_NOT_EXIST : a->status == 401 || a->status == 403 ? ERR_PERMISSION : ERR_AGAIN;

	if (a->status >= 200 && a->status < 300)
		return OK;
	return why_set(why, err, "%s %s: %d %s", method, path, a->status, text ? text : "");
}

static err_t ask(struct kube *k, const char *method, const char *path, const char *type, json_t *object, json_t **out, struct why *why)
{
	struct https_request r = {.method = method, .path = path, .timeout_ms = k->timeout_ms, .body_size_max = KUBE_BODY_SIZE_MAX};
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	struct https_answer a;
	struct buf headers;
	json_t *body = NULL;
	err_t err = k->https ? OK : dial(k, why);

	buf_init(&headers, 2 * TOKEN_SIZE_MAX);
	put_token(k, &headers);
	buf_printf(&headers, "accept: application/json\r\nuser-agent: etcd-agent\r\n");
	if (text)
		buf_printf(&headers, "content-type: %s\r\n", type);
	buf_put_byte(&headers, '\0');
	r.headers = (const char *)headers.data;
	r.body = text ? slice_str(text) : (struct slice){0};
	if (!err)
		err = https_do(k->https, &r, &a, why);
	if (!err) {
		body = json_loadb((const char *)a.body.data, a.body.size, 0, NULL);
		err = judge(&a, method, path, body, why);
		if (!err && !json_is_object(body))
			err = why_set(why, ERR_MALFORMED, "%s %s: the answer is no JSON object", method, path);
		https_answer_fini(&a);
	} else if (k->https) {
		https_close(k->https); /* ca.crt may be a new one */
		k->https = NULL;
	}
	buf_fini(&headers);
	free(text);
	if (!err && out)
		*out = body;
	else
		json_decref(body);
	return err;
}

static void path_of(struct kube *k, char out[PATH_SIZE], const char *api, const char *resource, const char *name)
{
	snprintf(out, PATH_SIZE, "/%s/%s/namespaces/%s/%s%s%s", strchr(api, '/') ? "apis" : "api", api, k->namespace, resource,
		 name ? "/" : "", name ? name : "");
}

err_t kube_get(struct kube *k, const char *api, const char *resource, const char *name, json_t **out, struct why *why)
{
	char path[PATH_SIZE];

	path_of(k, path, api, resource, name);
	return ask(k, "GET", path, NULL, NULL, out, why);
}

static void put_encoded(char *path, const char *text)
{
	size_t at = strlen(path);

	for (; *text && at + 4 < PATH_SIZE; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') ||
			     strchr("-._~", *text);

		at += (size_t)snprintf(path + at, PATH_SIZE - at, plain ? "%c" : "%%%02X", (unsigned char)*text);
	}
}

err_t kube_list(struct kube *k, const char *api, const char *resource, const char *selector, json_t **out, struct why *why)
{
	char path[PATH_SIZE];
	json_t *list, *items;
	err_t err;

	path_of(k, path, api, resource, NULL);
	strcat(path, "?labelSelector=");
	put_encoded(path, selector);
	err = ask(k, "GET", path, NULL, NULL, &list, why);
	if (err)
		return err;
	items = json_object_get(list, "items");
	if (!json_is_array(items))
		err = why_set(why, ERR_MALFORMED, "GET %s: the answer is no list", path);
	else
		*out = json_incref(items);
	json_decref(list);
	return err;
}

err_t kube_patch(struct kube *k, const char *api, const char *resource, const char *name, bool strategic, json_t *patch, struct why *why)
{
	char path[PATH_SIZE];

	path_of(k, path, api, resource, name);
	return ask(k, "PATCH", path, strategic ? "application/strategic-merge-patch+json" : "application/merge-patch+json", patch, NULL, why);
}

err_t kube_create(struct kube *k, const char *api, const char *resource, json_t *object, struct why *why)
{
	char path[PATH_SIZE];

	path_of(k, path, api, resource, NULL);
	return ask(k, "POST", path, "application/json", object, NULL, why);
}

const char *kube_text(const json_t *object, const char *a, const char *b, const char *c)
{
	const char *keys[] = {a, b, c}, *text;

	for (size_t i = 0; i < 3 && keys[i]; i++)
		object = json_object_get(object, keys[i]);
	text = json_string_value(object);
	return text ? text : "";
}
