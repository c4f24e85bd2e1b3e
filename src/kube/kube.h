/* The Kubernetes API, as far as an agent in a pod needs it: get, list by labels, merge patch, events. Blocking.
 *
 *	kube_open(&opts, &why, &k);
 *	err = kube_get(k, "apps/v1", "statefulsets", "R-etcd", &object, &why);       ERR_NOT_EXIST: there is none
 *	json_decref(object);
 *
 * The pod's service account speaks: its token is read again for each request (it is rotated), its ca.crt once a connection
 * fails. Answers are bounded by KUBE_BODY_SIZE_MAX, requests by timeout_ms. Thread: one.
 * Errors: ERR_NOT_EXIST (404), ERR_PERMISSION (401, 403), ERR_IO, ERR_TIMEOUT, ERR_MALFORMED, ERR_TOO_LARGE, ERR_AGAIN (any
 * other status); why has the server's message. */
#ifndef KUBE_KUBE_H
#define KUBE_KUBE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

#define KUBE_BODY_SIZE_MAX (16u * 1024 * 1024)

struct kube;

/* NULL: as Kubernetes gives them to a pod (environment and /var/run/secrets/kubernetes.io/serviceaccount). */
struct kube_opts {
	const char *url, *token_file, *ca_file;
	const char *namespace; /* required; copied */
	unsigned timeout_ms;   /* 0: 5 s */
};

NODISCARD err_t kube_open(const struct kube_opts *o, struct why *why, struct kube **out);
void kube_close(struct kube *k); /* NULL allowed */

/* api: "v1", or a group and version. *out: the caller's. */
NODISCARD err_t kube_get(struct kube *k, const char *api, const char *resource, const char *name, json_t **out, struct why *why);
/* selector: as after kubectl -l; *out: the array "items" */
NODISCARD err_t kube_list(struct kube *k, const char *api, const char *resource, const char *selector, json_t **out, struct why *why);
/* name may end in "/status". A merge patch (RFC 7396); strategic: lists merge by their keys, as conditions need it. */
NODISCARD err_t kube_patch(struct kube *k, const char *api, const char *resource, const char *name, bool strategic, json_t *patch, struct why *why);
NODISCARD err_t kube_create(struct kube *k, const char *api, const char *resource, json_t *object, struct why *why);

/* A text below an object, "metadata", "annotations", key; "" if it is not there. Borrowed. */
const char *kube_text(const json_t *object, const char *a, const char *b, const char *c);

#endif
