/* What the files of the agent share. The agent is one thread that looks, acts, and waits for signals; beside it are the
 * child, etcd, and a thread that answers probes.
 *
 *	             +-- no data: ask, wait, ask ... --+
 *	  start --> BEGIN -------------------------> SERVE ---- SIGTERM ----> stop, or LEAVING until removed
 *	             ^        data, or an id            |
 *	             +---- data is of the past ---------+ */
#ifndef POD_AGENT_H
#define POD_AGENT_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <uv.h>

#include "base/arena.h"
#include "client/client.h"
#include "kube/https.h"
#include "kube/kube.h"
#include "pod/pod.h"

enum {
	TICK_MS = 1000,
	RECONCILE_MS = 2000,
	KUBE_WATCH_MS = 10 * 1000,      /* how often a member that does not lead looks at the StatefulSet */
	LEADERLESS_SUSPECT_MS = 5 * 1000, /* then others are asked whether we were removed */
	CALL_MS = 3000,
	LOGIN_MS = 6000,                /* bcrypt, on a busy machine */
	OTHERS_MS = 1000,               /* for one of many, who may be gone */
	ALIVE_MS = 60 * 1000,
	READY_MS = 10 * 1000,
	GRACE_MARGIN_S = 15,
	HOST_SIZE = 300,
	PASSWORD_SIZE = 256,
};

/* config.c: texts are borrowed from the environment or static. */
struct config {
	const char *pod, *pod_uid, *namespace, *set, *service, *dns_base, *host_template, *selector, *claim_template;
	const char *client_scheme, *peer_scheme, *cacert, *cert, *key, *data_dir, *program, *password_file, *token;
	bool skip_verify;
	unsigned client_port, peer_port, agent_port, grace_s;
	unsigned lost_s; /* without a leader for so long the quorum is said to be lost */
	int ordinal;
	char set_room[HOST_SIZE], service_room[HOST_SIZE], program_room[4096], claim[HOST_SIZE];
};

NODISCARD err_t config_read(struct config *c, struct why *why);
/* The ordinal of a pod's name; -1: no pod of the StatefulSet, or beyond POD_PLACES_MAX. */
int config_ordinal(const struct config *c, const char *pod);
void config_host(const struct config *c, int ordinal, char out[HOST_SIZE]);
void config_peer_url(const struct config *c, int ordinal, char out[POD_URL_SIZE]);
void config_client_url(const struct config *c, int ordinal, char out[POD_URL_SIZE]);

/* record.c: agent.json beside the data directory, and that directory. */
struct record {
	char claim_uid[POD_UID_SIZE];
	char nonce[POD_NONCE_SIZE];
	bool spent;
};
void record_read(const char *data_dir, struct record *r); /* none, or damaged: empty */
NODISCARD err_t record_write(const char *data_dir, const struct record *r, struct why *why);
/* False: there is no log. Ids stay 0 if the log's head cannot be read. */
bool data_look(const char *data_dir, uint64_t *cluster_id, uint64_t *member_id);
NODISCARD err_t data_aside(const char *data_dir, struct why *why);
/* A directory beside it, in which data is made that gets its place when it is whole: empty, what another run left is gone. */
NODISCARD err_t data_draft(const char *data_dir, char *out, size_t size, struct why *why);
NODISCARD err_t data_from_draft(const char *data_dir, const char *draft, struct why *why);

/* probe.c: what the probes show; any thread. Times are env_mono_ns in ms. */
struct probe {
	_Atomic int64_t beat_ms;        /* the agent's last round */
	_Atomic int64_t answered_ms;    /* etcd's last answer; 0: never */
	_Atomic bool is_serving;        /* etcd has answered since it was started */
	_Atomic bool is_ready;          /* it is a voter and has a leader */
};
NODISCARD err_t probe_start(struct probe *p, unsigned port, struct why *why);

/* child.c */
struct child {
	pid_t pid; /* 0: none */
	int exit_code;
};
struct child_plan {
	const char *initial_cluster;    /* NULL: not set */
	const char *initial_state;
	const char *token;
	bool force_new_cluster;
};
NODISCARD err_t child_start(struct child *c, const struct config *cfg, const struct child_plan *plan, const char *password,
			    char *const *extra, struct why *why);
/* Reaps whatever has ended. True: etcd is not running, exit_code is set if it just ended. */
bool child_ended(struct child *c);
void child_stop(struct child *c, int signal_number, unsigned wait_s);

enum { ANNOTATED_SIZE = 512 };

struct agent {
	struct config cfg;
	struct kube *kube;
	uv_loop_t loop;
	struct arena arena;             /* of one round */
	struct https *local;            /* to etcd's client port */
	struct probe probe;
	struct child child;
	char *const *extra;
	sigset_t signals;
	bool stopping;                  /* SIGTERM was seen */
	bool hurried;                   /* and another one */

	char password[PASSWORD_SIZE];   /* the last one that worked, else the first that was read */
	char wanted[PASSWORD_SIZE];     /* that of the file, or the environment */
	char token[256];                /* etcd's, fetched with the password; "": none */
	int64_t password_at_ms;
	bool password_told;

	/* as read from Kubernetes */
	bool api_answers;
	bool api_told;                  /* its silence was logged */
	struct pod_world world;
	bool cluster_known;
	char recover_pod[HOST_SIZE], recover_nonce[POD_NONCE_SIZE];
	char recovered[POD_PLACES_MAX][POD_NONCE_SIZE];

	struct record record;
	uint64_t cluster_id, member_id; /* of the data */
	bool has_data, suspect;
	bool has_own_pod;               /* the pod of our name is ours */
	char annotated[ANNOTATED_SIZE]; /* what it was last seen to carry, or given since */
	int64_t annotate_ms;            /* not before, after a failure */

	/* of the local member */
	bool answers, has_leader, is_leader, is_learner;
	int64_t led_ms;                 /* when it last had a leader */
	bool quorum_lost;
	int quorum_shown;               /* by the pod's condition: 0 nothing, 1 there, 2 lost */

	struct pod_reconciler reconciler;
	bool acted;                     /* the last round changed something: look again soon */
	char said[256];                 /* the last reason that was logged */
	char pod_uid[POD_UID_SIZE];     /* ours: POD_UID, or as first seen */
};

int64_t agent_now_ms(void);
/* Logs a reason once, until another one comes. */
void agent_say(struct agent *a, const char *what, const char *reason);
/* Waits for a signal, at most ms. Handles it: child's end, stop, what is passed on. */
void agent_pause(struct agent *a, unsigned ms);
int agent_run(int argc, char **argv);

/* begin.c: one look at how to start, and what follows from it. True: etcd runs. */
bool agent_begin(struct agent *a);
struct members_seen;
/* What start.c decides upon. Others are asked only where it matters; *others is then what they say. */
void agent_gather(struct agent *a, struct pod_start *s, struct members_seen *others);
/* Configuration and the Kubernetes API. */
NODISCARD err_t agent_open(struct agent *a, struct why *why);

/* backup.c: exit codes. BACKUP_KEPT: the snapshot was taken, but older ones could not be removed; another one would not help. */
enum { BACKUP_KEPT = 3 };
int backup_run(void);
int restore_run(void);

/* world.c: Kubernetes. Each false if the API was silent; that is logged. */
bool world_read(struct agent *a);       /* the set, pods and claims into a->world.places */
bool world_read_set(struct agent *a);   /* the set alone */
bool world_annotate_pod(struct agent *a, const char *phase);
bool world_bind(struct agent *a, const struct pod_action *act);
bool world_recovered(struct agent *a, const char *nonce);
bool world_condition(struct agent *a, bool has_quorum, const char *message);
void world_event(struct agent *a, bool warning, const char *reason, const char *message);

/* members.c: etcd */
struct members_seen {
	uint64_t cluster_id;
	size_t count;
	struct pod_member at[POD_MEMBERS_MAX];
	char names[POD_MEMBERS_MAX][128];
	char client_urls[POD_MEMBERS_MAX][POD_URL_SIZE];
};
void members_local(struct agent *a);    /* /metrics of the local member into a->answers, … */
/* Linearizable list, of url. */
bool members_list(struct agent *a, const char *url, unsigned timeout_ms, struct members_seen *out);
/* The same of any other pod. */
bool members_of_others(struct agent *a, struct members_seen *out);
bool members_status(struct agent *a, const char *url, uint64_t id, uint64_t leader_id, uint64_t *raft_index);
bool members_do(struct agent *a, const struct pod_action *act, uint64_t *id, char why[CLIENT_ERROR_SIZE]);
/* Root's password follows the file. */
void password_read(struct agent *a);
void password_rotate(struct agent *a);
/* False: wrong password, or no answer (code). */
bool members_login(struct agent *a, const char *url, const char *password, struct client_status *st);
bool members_set_password(struct agent *a, const char *from, const char *to, struct client_status *st);

#endif
