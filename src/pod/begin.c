/* How this pod's etcd begins: what is known is gathered, start.c decides, and here it is done. */
#define LOG_LOGGER "agent"

#include <stdio.h>

#include "env/env.h"
#include "obs/log.h"
#include "pod/agent.h"

static void draw_nonce(struct agent *a)
{
	uint8_t random[16];
	struct why why = {0};

	env_random(random, sizeof(random));
	memset(&a->record, 0, sizeof(a->record));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(a->record.nonce + 2 * i, 3, "%02x", random[i]);
	if (record_write(a->cfg.data_dir, &a->record, &why)) {
		a->record.nonce[0] = '\0';
		LOG_ERROR("the agent's record could not be written", LOG_WHY(&why));
	}
}

void agent_gather(struct agent *a, struct pod_start *s, struct members_seen *others)
{
	bool named, other_claim;

	memset(s, 0, sizeof(*s));
	a->has_data = data_look(a->cfg.data_dir, &a->cluster_id, &a->member_id);
	record_read(a->cfg.data_dir, &a->record);
	s->ordinal = a->cfg.ordinal;
	s->has_data = a->has_data;
	s->data_cluster_id = a->cluster_id;
	s->data_member_id = a->member_id;
	s->record_spent = a->record.spent;
	snprintf(s->record_uid, sizeof(s->record_uid), "%s", a->record.claim_uid);
	snprintf(s->record_nonce, sizeof(s->record_nonce), "%s", a->record.nonce);
	s->api_answers = world_read(a);
	if (!s->api_answers)
		return;
	s->has_set = a->world.has_set && !a->world.set_stops;
	s->own = a->world.places[a->cfg.ordinal];
	s->cluster_known = a->cluster_known;
	named = a->recover_nonce[0] && strcmp(a->recover_nonce, a->recovered[a->cfg.ordinal]);
	s->recover_is_me = named && !strcmp(a->recover_pod, a->cfg.pod);
	s->recover_is_other = named && !s->recover_is_me;
	s->recover_is_ripe = agent_now_ms() - a->led_ms > 1000ll * a->cfg.lost_s;
	if (s->recover_is_other) {
		int o = config_ordinal(&a->cfg, a->recover_pod);

		s->recover_is_done = o >= 0 && !strcmp(a->recovered[o], a->recover_nonce);
	}
	other_claim = s->own.has_claim && s->record_uid[0] && strcmp(s->record_uid, s->own.claim_uid);
	if (s->has_data && !other_claim && !(s->recover_is_me && s->recover_is_ripe) && !a->suspect)
		return; /* a restart needs nobody */
	s->others_answer = members_of_others(a, others);
	s->others_have_leader = s->others_answer; /* the list was a linearizable read */
	s->others_cluster_id = others->cluster_id;
	for (size_t i = 0; s->others_answer && i < others->count; i++) {
		s->others_have_data_id |= others->at[i].id == s->data_member_id;
		s->others_have_bound_id |= others->at[i].id == s->own.bound_member_id && !strcmp(others->at[i].url, s->own.url);
	}
}

/* name=URL of all, own name for the bound id: etcd compares it with what the members say. */
static void put_cluster(struct agent *a, const struct members_seen *m, uint64_t own_id, struct buf *out)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->at[i].id == own_id)
			buf_printf(out, "%s%s=%s", i ? "," : "", a->cfg.pod, m->at[i].url);
		else if (m->names[i][0] && strcmp(m->names[i], a->cfg.pod))
			buf_printf(out, "%s%s=%s", i ? "," : "", m->names[i], m->at[i].url);
		else
			buf_printf(out, "%s%llx=%s", i ? "," : "", (unsigned long long)m->at[i].id, m->at[i].url);
	}
	buf_put_byte(out, '\0');
}

static bool record_spend(struct agent *a)
{
	struct why why = {0};

	a->record.spent = true;
	snprintf(a->record.claim_uid, sizeof(a->record.claim_uid), "%s", a->world.places[a->cfg.ordinal].claim_uid);
	if (!record_write(a->cfg.data_dir, &a->record, &why))
		return true;
	LOG_ERROR("the agent's record could not be written", LOG_WHY(&why));
	return false;
}

static bool start_with(struct agent *a, const struct child_plan *plan)
{
	struct why why = {0};

	password_read(a);
	atomic_store(&a->probe.is_serving, false);
	if (!child_start(&a->child, &a->cfg, plan, a->wanted, a->extra, &why))
		return true;
	LOG_ERROR("etcd could not be started", LOG_WHY(&why));
	return false;
}

static bool start_new(struct agent *a)
{
	const char *uid = a->world.places[a->cfg.ordinal].claim_uid;
	char *cluster = mem_printf("%s=%s", a->cfg.pod, a->world.places[a->cfg.ordinal].url);
	char *token = mem_printf("%s-%s", a->cfg.token, uid);
	struct child_plan plan = {.initial_cluster = cluster, .initial_state = "new", .token = token};
	/* A recovery asked for before this beginning is not for it. */
	bool ok = (!a->recover_nonce[0] || world_recovered(a, a->recover_nonce)) && record_spend(a) && start_with(a, &plan);

	mem_free(cluster);
	mem_free(token);
	return ok;
}

static bool start_join(struct agent *a, const struct members_seen *others)
{
	struct child_plan plan = {.initial_state = "existing", .token = a->cfg.token};
	struct buf cluster;
	bool ok;

	/* A recovery that took place before: this data comes after it. */
	if (a->recover_nonce[0] && strcmp(a->recover_nonce, a->recovered[a->cfg.ordinal]) && !world_recovered(a, a->recover_nonce))
		return false;
	buf_init(&cluster, 64 * 1024);
	put_cluster(a, others, a->world.places[a->cfg.ordinal].bound_member_id, &cluster);
	plan.initial_cluster = (const char *)cluster.data;
	ok = !buf_failed(&cluster) && record_spend(a) && start_with(a, &plan);
	buf_fini(&cluster);
	return ok;
}

static bool start_data(struct agent *a, bool force)
{
	struct child_plan plan = {.token = a->cfg.token, .force_new_cluster = force};

	if (force && !world_recovered(a, a->recover_nonce))
		return false;
	/* Data of which nobody knows the claim: restored, or made before there was an agent. And a recovery makes it this one's. */
	if (a->api_answers && a->world.places[a->cfg.ordinal].claim_uid[0] && (force || !a->record.claim_uid[0]) && !record_spend(a))
		return false;
	if (force)
		world_event(a, true, "Recovered", "this pod's data became the cluster, as annotation cetcd/recover asks");
	return start_with(a, &plan);
}

bool agent_begin(struct agent *a)
{
	struct members_seen *others = NEW(struct members_seen);
	enum pod_start_verb verb;
	const char *reason;
	struct pod_start s;
	struct why why = {0};
	bool runs = false;

	agent_gather(a, &s, others);
	verb = pod_start_decide(&s, &reason);
	switch (verb) {
	case POD_START_WAIT:
		agent_say(a, "waiting to start etcd", reason);
		if (a->api_answers)
			world_annotate_pod(a, "waiting");
		break;
	case POD_START_ASK:
		agent_say(a, "asking for a member id", reason);
		if (!a->record.nonce[0] || a->record.spent)
			draw_nonce(a);
		world_annotate_pod(a, "joining");
		break;
	case POD_START_ASIDE:
		LOG_WARN("the data is moved aside", LOG_STR("reason", reason), LOG_HEX("member-id", a->member_id));
		if (data_aside(a->cfg.data_dir, &why))
			LOG_ERROR("the data could not be moved aside", LOG_WHY(&why));
		else
			world_event(a, true, "DataAside", reason);
		a->suspect = false;
		break;
	case POD_START_PLAIN:
	case POD_START_RECOVER:
		LOG_INFO("starting etcd with its data", LOG_STR("reason", reason), LOG_BOOL("force-new-cluster", verb == POD_START_RECOVER));
		runs = start_data(a, verb == POD_START_RECOVER);
		break;
	case POD_START_NEW:
		LOG_INFO("starting etcd: a new cluster begins", LOG_STR("reason", reason));
		runs = start_new(a);
		break;
	case POD_START_JOIN:
		LOG_INFO("starting etcd: it joins as a learner", LOG_STR("reason", reason), LOG_HEX("member-id", s.own.bound_member_id));
		runs = start_join(a, others);
		break;
	}
	mem_free(others);
	return runs;
}
