/* What runs in a pod of the Kubernetes application: the rules of membership under a StatefulSet, and the agent around
 * them (docs/etcd-agent.md).
 *
 *	struct pod_reconciler r;
 *	pod_reconciler_init(&r);
 *	for (;;) {                                       in the agent whose local member leads, and nowhere else
 *		... observe ...
 *		pod_reconcile(&r, &world, &action);      pure
 *		... do the one action, if any, then tell: pod_reconciled(&r, &action, ok, id) ...
 *	}
 *
 * The reconciler has no clock, socket or file. It is called again and again with what is to be seen now, and answers with
 * at most one change; what it remembers (struct pod_reconciler) only saves work: a new leader begins with an empty one.
 *
 * Rules, cited by number in reconcile.c and checked by the model test:
 *  P1  nothing is changed while the StatefulSet is absent, being deleted, or has 0 replicas;
 *  P2  nobody joins before the leader's own claim carries the cluster's id, so that no second cluster can begin;
 *  P3  who joins does so as a learner, one at a time, and is promoted when it has caught up;
 *  P4  an id belongs to one (claim uid, join nonce): another uid or an emptied volume gets a new id, the old one is
 *      removed first;
 *  P5  after each removal of a voter the connected voters are a quorum of those left, and somebody is left;
 *  P6  surplus members (ordinal >= replicas) go one at a time, the highest first; a leader among them hands over first;
 *  P7  members whose URL is of no pod of this StatefulSet are left alone;
 *  P8  a pod that is only stopped or gone for a while keeps its membership.
 *
 * Sizes: POD_PLACES_MAX ordinals, POD_MEMBERS_MAX members. Thread: one. */
#ifndef POD_POD_H
#define POD_POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	POD_PLACES_MAX = 64,
	POD_MEMBERS_MAX = 64,
	POD_UID_SIZE = 64,
	POD_NONCE_SIZE = 40,
	POD_URL_SIZE = 320,
};

/* Annotations. Those of a pod are its agent's, those of a claim the leader's, but for RECOVERED. */
#define POD_ANNOTATION_PHASE "cetcd/phase"           /* pod: waiting, joining, running, leaving */
#define POD_ANNOTATION_JOIN "cetcd/join"             /* pod: "<claim uid>/<nonce>", wants an id; claim: nonce it was given for */
#define POD_ANNOTATION_CLUSTER_ID "cetcd/cluster-id" /* pod: of its data; claim: of the binding. hex */
#define POD_ANNOTATION_MEMBER_ID "cetcd/member-id"
#define POD_ANNOTATION_CLAIM_UID "cetcd/claim-uid"   /* the binding holds for this uid only */
#define POD_ANNOTATION_RECOVER "cetcd/recover"       /* StatefulSet: "<pod>:<nonce>" */
#define POD_ANNOTATION_RECOVERED "cetcd/recovered"   /* claim: the nonce that was carried out here */

/* One ordinal of the StatefulSet: its pod and its claim, as far as they exist. Texts are "" when unknown. */
struct pod_place {
	char url[POD_URL_SIZE];         /* the peer URL its member should have */
	bool has_pod;
	bool pod_stops;                 /* deletionTimestamp */
	char join_uid[POD_UID_SIZE];    /* the claim that the pod says it mounts */
	char join_nonce[POD_NONCE_SIZE]; /* not "": it has no data and wants an id */
	uint64_t data_cluster_id;       /* of the data that it runs; 0: none */
	uint64_t data_member_id;
	bool has_claim;
	bool claim_stops;
	char claim_uid[POD_UID_SIZE];
	char bound_uid[POD_UID_SIZE];   /* the binding on the claim */
	char bound_nonce[POD_NONCE_SIZE];
	uint64_t bound_cluster_id;
	uint64_t bound_member_id;
};

struct pod_member {
	uint64_t id;
	char url[POD_URL_SIZE];         /* the first peer URL */
	bool is_started;                /* has published a name */
	bool is_learner;
	bool is_connected;              /* answers, and follows the same leader */
	uint64_t raft_index;            /* of its Status; 0: none */
};

struct pod_world {
	bool has_set;
	bool set_stops;                 /* deletionTimestamp */
	uint32_t replicas;              /* spec */
	uint64_t cluster_id;
	uint64_t leader_id;             /* the local member */
	struct pod_place places[POD_PLACES_MAX]; /* by ordinal */
	size_t place_count;
	struct pod_member members[POD_MEMBERS_MAX];
	size_t member_count;
};

enum pod_verb {
	POD_NOTHING,
	POD_BIND,        /* patch the claim of `ordinal`: cluster id, member_id, uid, nonce */
	POD_ADD,         /* MemberAdd as learner with url */
	POD_PROMOTE,     /* member_id */
	POD_UPDATE,      /* member_id gets url */
	POD_REMOVE,      /* member_id */
	POD_MOVE_LEADER, /* to member_id */
};

struct pod_action {
	enum pod_verb verb;
	int ordinal;                    /* -1: of no place */
	uint64_t member_id;
	char url[POD_URL_SIZE];
	char uid[POD_UID_SIZE];         /* POD_BIND */
	char nonce[POD_NONCE_SIZE];
	const char *reason;             /* static; for the log and an event. With POD_NOTHING: what is being waited for, NULL: all is well */
};

struct pod_reconciler {
	uint64_t added_id;              /* our last POD_ADD, and for whom: may still be bound */
	int added_ordinal;
	char added_uid[POD_UID_SIZE];
	char added_nonce[POD_NONCE_SIZE];
};

void pod_reconciler_init(struct pod_reconciler *r);
void pod_reconcile(const struct pod_reconciler *r, const struct pod_world *w, struct pod_action *out);
/* How it went; id: what POD_ADD gave. */
void pod_reconciled(struct pod_reconciler *r, const struct pod_action *a, bool ok, uint64_t id);
const char *pod_verb_name(enum pod_verb v);

/* The voters, how many of them are connected, and how many of these run data that was made on their claim. */
struct pod_quorum {
	unsigned voters, connected, lasting;
};
struct pod_quorum pod_quorum(const struct pod_world *w);
/* P5 for the removal of members[i]. */
bool pod_may_remove(const struct pod_world *w, size_t i);

/* --- how a pod starts and stops: pure as well --- */

/* What its agent knows. record_*: agent.json beside the data. */
struct pod_start {
	int ordinal;
	bool has_data;                  /* there is a log */
	uint64_t data_cluster_id, data_member_id;
	char record_uid[POD_UID_SIZE];  /* claim that the data was made on; "": not known */
	char record_nonce[POD_NONCE_SIZE];
	bool record_spent;              /* etcd was started with the nonce's id: it is not for another beginning */
	bool api_answers;               /* set, pods and claims were read just now; without it the rest is empty */
	bool has_set;                   /* exists, and is not being deleted */
	struct pod_place own;
	bool cluster_known;             /* a claim of the release carries a cluster id */
	bool recover_is_me, recover_is_other;   /* the StatefulSet asks for a recovery that this claim has not seen */
	bool recover_is_ripe;           /* no leader was seen for so long that the quorum counts as lost */
	bool recover_is_done;           /* the claim of the pod named has */
	bool others_answer;             /* members of other pods, agreed by a quorum of them */
	bool others_have_leader;        /* one of them says so */
	uint64_t others_cluster_id;
	bool others_have_data_id;
	bool others_have_bound_id;
};

enum pod_start_verb {
	POD_START_WAIT,      /* and look again */
	POD_START_PLAIN,     /* with the data that is there */
	POD_START_NEW,       /* begin a cluster, alone */
	POD_START_ASK,       /* ask for an id, with the record's nonce; a new one if it has none or it is spent */
	POD_START_JOIN,      /* `existing`, with the bound id */
	POD_START_ASIDE,     /* move the data aside, then look again */
	POD_START_RECOVER,   /* write the nonce on the claim, then --force-new-cluster once */
};
/* reason: static, for the log. */
enum pod_start_verb pod_start_decide(const struct pod_start *s, const char **reason);

/* What to do at SIGTERM: true: stay until removed, false: stop plainly. w: only set and replicas are looked at. */
bool pod_stop_waits(const struct pod_world *w, bool api_answers, int ordinal);

/* The program etcd-agent, its subcommands included; the exit code. environ is the contract of docs/etcd-agent.md. */
int pod_main(int argc, char **argv);

#endif
