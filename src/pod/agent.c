/* The agent's rounds: begin (begin.c), serve, stop. What is decided is in start.c and reconcile.c. */
#define LOG_LOGGER "agent"

#include "pod/agent.h"

#include <stdio.h>
#include <time.h>

#include "env/env.h"
#include "obs/log.h"

enum { ARENA_MAX = 8 * 1024 * 1024 };

/* How a life of the child ended. */
enum ending {
	ENDED,  /* exit_code is the agent's */
	AGAIN,  /* data was set aside, or is to be */
};

int64_t agent_now_ms(void)
{
	return (int64_t)(env_mono_ns() / 1000000);
}

void agent_say(struct agent *a, const char *what, const char *reason)
{
	char text[sizeof(a->said)];

	snprintf(text, sizeof(text), "%s: %s", what, reason);
	if (!strcmp(text, a->said))
		return;
	memcpy(a->said, text, sizeof(text));
	LOG_INFO(what, LOG_STR("reason", reason));
}

static void handle(struct agent *a, int s)
{
	if (s == SIGTERM || s == SIGINT) {
		a->hurried = a->stopping;
		a->stopping = true;
	} else if (s != SIGCHLD && a->child.pid) {
		kill(a->child.pid, s);
	}
}

void agent_pause(struct agent *a, unsigned ms)
{
	int64_t end = agent_now_ms() + ms;

	atomic_store(&a->probe.beat_ms, agent_now_ms());
	do {
		int64_t left = MAX(end - agent_now_ms(), (int64_t)0);
		struct timespec t = {left / 1000, left % 1000 * 1000000};
		int s = sigtimedwait(&a->signals, NULL, &t);

		if (s > 0) {
			handle(a, s);
			return;
		}
	} while (agent_now_ms() < end);
}

static void begin_round(struct agent *a)
{
	arena_reset(&a->arena);
	atomic_store(&a->probe.beat_ms, agent_now_ms());
}

static void see_members(struct agent *a, const struct members_seen *m)
{
	struct pod_world *w = &a->world;

	w->cluster_id = m->cluster_id;
	w->leader_id = a->member_id;
	w->member_count = m->count;
	memcpy(w->members, m->at, m->count * sizeof(*m->at));
	for (size_t i = 0; i < w->member_count; i++)
		w->members[i].is_connected =
			members_status(a, m->client_urls[i], w->members[i].id, w->leader_id, &w->members[i].raft_index) || w->members[i].id == w->leader_id;
}

static void carry_out(struct agent *a, const struct pod_action *act)
{
	char why[CLIENT_ERROR_SIZE] = "", message[CLIENT_ERROR_SIZE + 256];
	uint64_t id = act->member_id;
	bool ok = act->verb == POD_BIND ? world_bind(a, act) : members_do(a, act, &id, why);

	pod_reconciled(&a->reconciler, act, ok, id);
	a->acted = ok;
	snprintf(message, sizeof(message), "%s member %llx of %s-%d: %s%s%s", pod_verb_name(act->verb), (unsigned long long)id, a->cfg.set, act->ordinal,
		 act->reason, ok ? "" : ", refused: ", why);
	if (!ok) {
		agent_say(a, "a change of membership was refused", message);
		return;
	}
	a->said[0] = '\0';
	LOG_INFO("membership", LOG_STR("action", pod_verb_name(act->verb)), LOG_HEX("member-id", id), LOG_INT("ordinal", act->ordinal),
		 LOG_STR("reason", act->reason));
	if (act->verb != POD_BIND)
		world_event(a, false, "Membership", message);
}

static void reconcile(struct agent *a)
{
	struct members_seen *m = NEW(struct members_seen);
	struct pod_action act;
	char url[POD_URL_SIZE];

	a->acted = false;
	config_client_url(&a->cfg, a->cfg.ordinal, url);
	if (world_read(a) && members_list(a, url, CALL_MS, m)) {
		see_members(a, m);
		pod_reconcile(&a->reconciler, &a->world, &act);
		if (act.verb != POD_NOTHING)
			carry_out(a, &act);
		else if (act.reason)
			agent_say(a, "membership waits", act.reason);
		else
			a->said[0] = '\0';
	}
	mem_free(m);
}

/* While the API is silent it is left at what it was. */
static void show_quorum(struct agent *a, int state, const char *message)
{
	if (a->quorum_shown != state && a->api_answers && a->has_own_pod && world_condition(a, state == 1, message))
		a->quorum_shown = state;
}

static void look_at_quorum(struct agent *a)
{
	static const char LOST[] = "no leader for long: the majority is gone. Bring the other pods back; only if their data is lost for good: "
				   "kubectl annotate statefulset NAME cetcd/recover=POD:NONCE (docs/etcd-agent.md)";
	int64_t now = agent_now_ms();

	if (a->has_leader) {
		a->led_ms = now;
		if (a->quorum_lost)
			LOG_INFO("the quorum is back");
		a->quorum_lost = false;
		show_quorum(a, 1, "the local member has a leader");
	} else if (!a->quorum_lost && now - a->led_ms > 1000ll * a->cfg.lost_s) {
		LOG_ERROR("the quorum is lost", LOG_STR("reason", LOST));
		world_event(a, true, "QuorumLost", LOST);
		a->quorum_lost = true;
	}
	if (a->quorum_lost)
		show_quorum(a, 2, LOST);
}

/* While etcd runs: is its data of the past? agent_begin then does the rest. */
static bool is_outdated(struct agent *a)
{
	struct members_seen *others = NEW(struct members_seen);
	struct pod_start s;
	const char *reason;
	enum pod_start_verb verb;

	a->suspect = !a->has_leader && agent_now_ms() - a->led_ms > LEADERLESS_SUSPECT_MS;
	agent_gather(a, &s, others);
	mem_free(others);
	s.record_uid[0] = '\0'; /* running copies are removed by the leader, one at a time */
	verb = pod_start_decide(&s, &reason);
	if (verb == POD_START_PLAIN && s.recover_is_me && a->api_answers)
		agent_say(a, "recovery", reason);
	return verb == POD_START_ASIDE || (verb == POD_START_RECOVER && !a->has_leader);
}

static void round_of_service(struct agent *a, bool leaving, int64_t *reconcile_ms)
{
	int64_t now = agent_now_ms();

	begin_round(a);
	members_local(a);
	if (a->answers) {
		if (!atomic_load(&a->probe.is_serving) || !a->has_data)
			a->has_data = data_look(a->cfg.data_dir, &a->cluster_id, &a->member_id);
		atomic_store(&a->probe.answered_ms, now);
		atomic_store(&a->probe.is_serving, true);
	}
	atomic_store(&a->probe.is_ready, a->answers && a->has_leader && !a->is_learner);
	look_at_quorum(a);
	if (a->answers && a->api_answers)
		world_annotate_pod(a, leaving ? "leaving" : "running");
	if (a->is_leader && now >= *reconcile_ms) {
		password_rotate(a);
		reconcile(a);
		*reconcile_ms = agent_now_ms() + (a->acted ? 0 : RECONCILE_MS);
	} else if (!a->is_leader) {
		a->reconciler.added_id = 0; /* what another leader did since is not known */
		a->acted = false;
		password_rotate(a);
	}
}

/* At SIGTERM. True: stay until removed. */
static bool may_have_to_leave(struct agent *a)
{
	bool answers = world_read_set(a), waits = pod_stop_waits(&a->world, answers, a->cfg.ordinal);

	if (waits)
		LOG_INFO("the StatefulSet has fewer replicas: this member waits until it is removed");
	return waits;
}

static enum ending serve(struct agent *a)
{
	int64_t reconcile_ms = 0, look_ms = agent_now_ms() + KUBE_WATCH_MS, leave_end_ms = 0;
	bool leaving = false;

	a->led_ms = agent_now_ms();
	a->quorum_lost = a->suspect = false;
	for (;;) {
		if (child_ended(&a->child))
			return ENDED;
		if (a->stopping && !leaving && !a->hurried) {
			leaving = may_have_to_leave(a);
			leave_end_ms = agent_now_ms() + 1000ll * (a->cfg.grace_s > GRACE_MARGIN_S ? a->cfg.grace_s - GRACE_MARGIN_S : 0);
		}
		if (a->stopping && (!leaving || a->hurried || agent_now_ms() > leave_end_ms)) {
			if (leaving)
				LOG_WARN("stopping without having been removed: the leader will do that later");
			child_stop(&a->child, SIGTERM, a->cfg.grace_s);
			return ENDED;
		}
		round_of_service(a, leaving, &reconcile_ms);
		if (!leaving && !a->is_leader && agent_now_ms() >= look_ms) {
			if (is_outdated(a)) {
				child_stop(&a->child, SIGTERM, a->cfg.grace_s);
				return AGAIN;
			}
			look_ms = agent_now_ms() + (a->has_leader ? KUBE_WATCH_MS : LEADERLESS_SUSPECT_MS);
		}
		agent_pause(a, a->acted ? 100 : TICK_MS);
	}
}

/* etcd ended by itself: perhaps because it was removed while the pod is to stay. */
static bool was_removed(struct agent *a)
{
	if (a->stopping)
		return false;
	begin_round(a);
	a->has_leader = false;
	a->led_ms = MIN(a->led_ms, agent_now_ms() - LEADERLESS_SUSPECT_MS - 1);
	return is_outdated(a);
}

/* Until the agent ends. */
static int live(struct agent *a)
{
	for (;;) {
		while (!a->stopping && !a->child.pid) {
			begin_round(a);
			if (!agent_begin(a))
				agent_pause(a, TICK_MS);
		}
		if (!a->child.pid)
			return 0;
		if (serve(a) == ENDED && !was_removed(a))
			break;
		a->has_leader = a->is_leader = false;
		a->annotated[0] = '\0';
		a->suspect = true;
		atomic_store(&a->probe.is_ready, false);
		atomic_store(&a->probe.is_serving, false);
	}
	LOG_INFO("etcd has ended", LOG_INT("exit-code", a->child.exit_code));
	return a->stopping && !a->hurried && a->child.exit_code == 128 + SIGTERM ? 0 : a->child.exit_code;
}

err_t agent_open(struct agent *a, struct why *why)
{
	struct kube_opts ko = {.url = getenv("KUBE_URL"), .token_file = getenv("KUBE_TOKEN_FILE"), .ca_file = getenv("KUBE_CA_FILE"), .timeout_ms = 3000};
	err_t err = config_read(&a->cfg, why);

	snprintf(a->pod_uid, sizeof(a->pod_uid), "%s", a->cfg.pod_uid);
	ko.namespace = a->cfg.namespace;
	return err ? err : kube_open(&ko, why, &a->kube);
}

/* Signals are taken one by one in agent_pause; threads that are made later inherit that. */
static void take_signals(struct agent *a)
{
	static const int taken[] = {SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT};

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&a->signals);
	for (size_t i = 0; i < ARRAY_COUNT(taken); i++)
		sigaddset(&a->signals, taken[i]);
	sigprocmask(SIG_BLOCK, &a->signals, NULL);
}

int agent_run(int argc, char **argv)
{
	struct agent *a = NEW(struct agent);
	struct why why = {0};
	int code = 1;

	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], "--"))
			a->extra = argv + i + 1;
	if (argc && !a->extra) {
		fprintf(stderr, "etcd-agent: flags of etcd stand behind --, %s is none of the agent's\n", argv[0]);
		return 2;
	}
	take_signals(a);
	arena_init(&a->arena, ARENA_MAX);
	uv_loop_init(&a->loop);
	pod_reconciler_init(&a->reconciler);
	atomic_store(&a->probe.beat_ms, agent_now_ms());
	a->led_ms = agent_now_ms();
	if (agent_open(a, &why) || (a->cfg.agent_port && probe_start(&a->probe, a->cfg.agent_port, &why))) {
		LOG_ERROR("etcd-agent cannot start", LOG_WHY(&why));
	} else {
		password_read(a);
		code = live(a);
	}
	kube_close(a->kube);
	https_close(a->local);
	uv_loop_close(&a->loop);
	arena_fini(&a->arena);
	explicit_bzero(a->password, sizeof(a->password));
	explicit_bzero(a->wanted, sizeof(a->wanted));
	return code; /* the probe's thread still looks at *a */
}
