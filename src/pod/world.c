/* Kubernetes as the agent sees and marks it. Reads are consistent ones (no resourceVersion): a decision on an older list could
 * take a fresh id for a lost one. */
#define LOG_LOGGER "agent"

#include <stdio.h>
#include <time.h>

#include "env/env.h"
#include "obs/log.h"
#include "pod/agent.h"

enum { ANNOTATE_AGAIN_MS = 5000 };

static const char *note(const json_t *object, const char *key)
{
	return kube_text(object, "metadata", "annotations", key);
}

static uint64_t note_id(const json_t *object, const char *key)
{
	return strtoull(note(object, key), NULL, 16);
}

static void copy(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", strlen(text) < size ? text : "");
}

/* True: the API has answered. */
static bool heard(struct agent *a, err_t err, const struct why *why)
{
	bool answers = !err || err == ERR_NOT_EXIST;

	if (answers && !a->api_answers)
		LOG_INFO("the Kubernetes API answers");
	if (!answers && !a->api_told)
		LOG_WARN("the Kubernetes API does not answer as it should", LOG_WHY(why));
	a->api_told = !answers;
	a->api_answers = answers;
	return answers;
}

static void see_set(struct agent *a, const json_t *set)
{
	const json_t *replicas = json_object_get(json_object_get(set, "spec"), "replicas");
	const char *recover = note(set, POD_ANNOTATION_RECOVER), *colon = strrchr(recover, ':');
	json_int_t n = json_is_integer(replicas) ? json_integer_value(replicas) : 1; /* as Kubernetes' preset */

	a->world.has_set = set != NULL;
	a->world.set_stops = kube_text(set, "metadata", "deletionTimestamp", NULL)[0];
	a->world.replicas = (uint32_t)MIN(MAX(n, (json_int_t)0), (json_int_t)POD_PLACES_MAX);
	a->recover_pod[0] = a->recover_nonce[0] = '\0';
	if (colon && colon[1] && colon - recover < HOST_SIZE && strlen(colon + 1) < POD_NONCE_SIZE) {
		snprintf(a->recover_pod, sizeof(a->recover_pod), "%.*s", (int)(colon - recover), recover);
		copy(a->recover_nonce, sizeof(a->recover_nonce), colon + 1);
	} else if (recover[0]) {
		agent_say(a, "annotation cetcd/recover is passed over", "it is not POD:NONCE, with a nonce below 40 bytes");
	}
}

bool world_read_set(struct agent *a)
{
	struct why why = {0};
	json_t *set = NULL;
	err_t err = kube_get(a->kube, "apps/v1", "statefulsets", a->cfg.set, &set, &why);

	if (!heard(a, err, &why))
		return false;
	see_set(a, set);
	json_decref(set);
	return true;
}

/* What a pod's annotations say; "": not there. */
struct pod_notes {
	const char *phase, *join, *cluster_id, *member_id, *claim_uid;
};

static void notes_text(char out[ANNOTATED_SIZE], const struct pod_notes *n)
{
	snprintf(out, ANNOTATED_SIZE, "%s|%s|%s|%s|%s", n->phase, n->join, n->cluster_id, n->member_id, n->claim_uid);
}

/* Without POD_UID our pod is the one that had our name at the first look. Another one of that name is not ours: ours was
 * deleted without us (its node was cut off), and a new one took its place. */
static void see_own_pod(struct agent *a, const json_t *pod)
{
	const char *uid = kube_text(pod, "metadata", "uid", NULL);
	struct pod_notes n = {note(pod, POD_ANNOTATION_PHASE), note(pod, POD_ANNOTATION_JOIN), note(pod, POD_ANNOTATION_CLUSTER_ID),
			      note(pod, POD_ANNOTATION_MEMBER_ID), note(pod, POD_ANNOTATION_CLAIM_UID)};

	if (!a->pod_uid[0])
		copy(a->pod_uid, sizeof(a->pod_uid), uid);
	a->has_own_pod = !strcmp(uid, a->pod_uid);
	if (a->has_own_pod)
		notes_text(a->annotated, &n);
	else
		agent_say(a, "annotations are left alone", "another pod has this pod's name");
}

static void see_pod(struct agent *a, const json_t *pod)
{
	const char *name = kube_text(pod, "metadata", "name", NULL), *join = note(pod, POD_ANNOTATION_JOIN);
	const char *slash = strchr(join, '/'), *phase = kube_text(pod, "status", "phase", NULL);
	int o = config_ordinal(&a->cfg, name);
	struct pod_place *p;

	if (o < 0)
		return;
	if (o == a->cfg.ordinal)
		see_own_pod(a, pod);
	p = &a->world.places[o];
	p->has_pod = strcmp(phase, "Failed") && strcmp(phase, "Succeeded");
	p->pod_stops = kube_text(pod, "metadata", "deletionTimestamp", NULL)[0];
	p->data_cluster_id = note_id(pod, POD_ANNOTATION_CLUSTER_ID);
	p->data_member_id = note_id(pod, POD_ANNOTATION_MEMBER_ID);
	copy(p->join_uid, sizeof(p->join_uid), note(pod, POD_ANNOTATION_CLAIM_UID));
	if (slash && slash - join < POD_UID_SIZE) {
		snprintf(p->join_uid, sizeof(p->join_uid), "%.*s", (int)(slash - join), join);
		copy(p->join_nonce, sizeof(p->join_nonce), slash + 1);
	}
}

static void see_claim(struct agent *a, const json_t *claim)
{
	const char *name = kube_text(claim, "metadata", "name", NULL);
	size_t skip = strlen(a->cfg.claim_template);
	struct pod_place *p;
	int o;

	if (strncmp(name, a->cfg.claim_template, skip) || name[skip] != '-')
		return;
	o = config_ordinal(&a->cfg, name + skip + 1);
	if (o < 0)
		return;
	p = &a->world.places[o];
	p->has_claim = true;
	p->claim_stops = kube_text(claim, "metadata", "deletionTimestamp", NULL)[0];
	copy(p->claim_uid, sizeof(p->claim_uid), kube_text(claim, "metadata", "uid", NULL));
	copy(p->bound_uid, sizeof(p->bound_uid), note(claim, POD_ANNOTATION_CLAIM_UID));
	copy(p->bound_nonce, sizeof(p->bound_nonce), note(claim, POD_ANNOTATION_JOIN));
	p->bound_cluster_id = note_id(claim, POD_ANNOTATION_CLUSTER_ID);
	p->bound_member_id = note_id(claim, POD_ANNOTATION_MEMBER_ID);
	a->cluster_known |= note(claim, POD_ANNOTATION_CLUSTER_ID)[0] != '\0';
	copy(a->recovered[o], sizeof(a->recovered[o]), note(claim, POD_ANNOTATION_RECOVERED));
}

bool world_read(struct agent *a)
{
	json_t *pods = NULL, *claims = NULL, *item;
	struct why why = {0};
	bool ok = world_read_set(a);
	size_t i;

	ok = ok && heard(a, kube_list(a->kube, "v1", "pods", a->cfg.selector, &pods, &why), &why) && pods;
	ok = ok && heard(a, kube_list(a->kube, "v1", "persistentvolumeclaims", a->cfg.selector, &claims, &why), &why) && claims;
	if (ok) {
		memset(a->world.places, 0, sizeof(a->world.places));
		memset(a->recovered, 0, sizeof(a->recovered));
		a->cluster_known = a->has_own_pod = false;
		a->world.place_count = POD_PLACES_MAX;
		for (int o = 0; o < POD_PLACES_MAX; o++)
			config_peer_url(&a->cfg, o, a->world.places[o].url);
		json_array_foreach(pods, i, item)
			see_pod(a, item);
		json_array_foreach(claims, i, item)
			see_claim(a, item);
	}
	json_decref(pods);
	json_decref(claims);
	return ok;
}

/* uid: of the object that is meant, if known; another one that has its name by now answers with 409. */
static bool patch_notes(struct agent *a, const char *resource, const char *name, const char *uid, json_t *take_notes)
{
	json_t *patch = json_pack("{s:{s:o, s:s*}}", "metadata", "annotations", take_notes, "uid", uid[0] ? uid : NULL);
	struct why why = {0};
	err_t err = kube_patch(a->kube, "v1", resource, name, false, patch, &why);

	json_decref(patch);
	if (err)
		LOG_WARN("an annotation could not be written", LOG_STR("on", name), LOG_WHY(&why));
	return !err;
}

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static const char *hex(char out[24], uint64_t id)
{
	out[0] = '\0';
	if (id)
		snprintf(out, 24, "%llx", (unsigned long long)id);
	return out;
}

bool world_annotate_pod(struct agent *a, const char *phase)
{
	const char *uid = a->world.places[a->cfg.ordinal].claim_uid;
	char join[POD_UID_SIZE + POD_NONCE_SIZE] = "", cluster[24], member[24], wanted[ANNOTATED_SIZE];
	struct pod_notes n = {phase, join, hex(cluster, a->has_data ? a->cluster_id : 0), hex(member, a->has_data ? a->member_id : 0),
			      a->has_data ? a->record.claim_uid : ""};

	if (!a->has_data && a->record.nonce[0] && uid[0])
		snprintf(join, sizeof(join), "%s/%s", uid, a->record.nonce);
	notes_text(wanted, &n);
	if (!strcmp(wanted, a->annotated))
		return true;
	if (!a->has_own_pod || agent_now_ms() < a->annotate_ms)
		return false;
	a->annotate_ms = agent_now_ms() + ANNOTATE_AGAIN_MS;
	if (!patch_notes(a, "pods", a->cfg.pod, a->pod_uid,
			 json_pack("{s:s, s:o, s:o, s:o, s:o}", POD_ANNOTATION_PHASE, phase, POD_ANNOTATION_JOIN, text_or_null(join),
				   POD_ANNOTATION_CLUSTER_ID, text_or_null(cluster), POD_ANNOTATION_MEMBER_ID, text_or_null(member),
				   POD_ANNOTATION_CLAIM_UID, text_or_null(n.claim_uid))))
		return false;
	memcpy(a->annotated, wanted, sizeof(wanted));
	a->annotate_ms = 0;
	return true;
}

static void claim_name(struct agent *a, int ordinal, char out[2 * HOST_SIZE])
{
	snprintf(out, 2 * HOST_SIZE, "%s-%s-%d", a->cfg.claim_template, a->cfg.set, ordinal);
}

bool world_bind(struct agent *a, const struct pod_action *act)
{
	char name[2 * HOST_SIZE], cluster[24], member[24];

	claim_name(a, act->ordinal, name);
	return patch_notes(a, "persistentvolumeclaims", name, act->uid,
			   json_pack("{s:o, s:o, s:s, s:o}", POD_ANNOTATION_CLUSTER_ID, text_or_null(hex(cluster, a->world.cluster_id)),
				     POD_ANNOTATION_MEMBER_ID, text_or_null(hex(member, act->member_id)), POD_ANNOTATION_CLAIM_UID, act->uid,
				     POD_ANNOTATION_JOIN, text_or_null(act->nonce)));
}

bool world_recovered(struct agent *a, const char *nonce)
{
	const char *uid = a->world.places[a->cfg.ordinal].claim_uid;

	return patch_notes(a, "persistentvolumeclaims", a->cfg.claim, uid, json_pack("{s:s}", POD_ANNOTATION_RECOVERED, nonce));
}

static void time_text(char out[32])
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

bool world_condition(struct agent *a, bool has_quorum, const char *message)
{
	char now[32], path[2 * HOST_SIZE];
	struct why why = {0};
	json_t *patch;
	err_t err;

	time_text(now);
	snprintf(path, sizeof(path), "%s/status", a->cfg.pod);
	patch = json_pack("{s:{s:s}, s:{s:[{s:s, s:s, s:s, s:s, s:s}]}}", "metadata", "uid", a->pod_uid, "status", "conditions", "type", "cetcd/Quorum", "status",
			  has_quorum ? "True" : "False", "reason", has_quorum ? "HasLeader" : "QuorumLost", "message", message,
			  "lastTransitionTime", now);
	err = kube_patch(a->kube, "v1", "pods", path, true, patch, &why);
	json_decref(patch);
	if (err && err != ERR_NOT_EXIST) /* the pod is going */
		LOG_WARN("the pod's condition could not be written", LOG_WHY(&why));
	return !err;
}

void world_event(struct agent *a, bool warning, const char *reason, const char *message)
{
	char now[32];
	struct why why = {0};
	uint64_t tail;
	char name[HOST_SIZE + 24];
	json_t *e;

	env_random(&tail, sizeof(tail));
	time_text(now);
	snprintf(name, sizeof(name), "%s.%016llx", a->cfg.pod, (unsigned long long)tail);
	e = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:s, s:s, s:s, s:i, s:{s:s}}", "apiVersion", "v1", "kind",
		      "Event", "metadata", "name", name, "namespace", a->cfg.namespace, "involvedObject", "apiVersion", "v1", "kind", "Pod", "name",
		      a->cfg.pod, "namespace", a->cfg.namespace, "uid", a->pod_uid, "reason", reason, "message", message, "type",
		      warning ? "Warning" : "Normal", "firstTimestamp", now, "lastTimestamp", now, "count", 1, "source", "component", "etcd-agent");
	if (kube_create(a->kube, "v1", "events", e, &why))
		LOG_WARN("an event could not be written", LOG_WHY(&why));
	json_decref(e);
}
