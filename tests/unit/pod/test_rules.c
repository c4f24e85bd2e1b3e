/* The rules one by one: a small world in a line of text, and the one action that must follow.
 *
 *	members "0* 1 2- 3l"     ordinal, * leader, - not connected, l learner that is ready, u learner that never started, x of no pod
 *	pods    "0 1 2j 3. 4J"   runs; j asks with the nonce it is bound for; J asks with another one; . no pod; s is being stopped */
#include "../../lib/test.h"
#include "pod/pod.h"

#include "base/mem.h"

static void url_of(char out[POD_URL_SIZE], int ordinal)
{
	snprintf(out, POD_URL_SIZE, "https://p-%d:2380", ordinal);
}

static void put_member(struct pod_world *w, const char *text)
{
	struct pod_member *m = &w->members[w->member_count++];
	int o = text[0] - '0';

	*m = (struct pod_member){.id = (uint64_t)(100 + o), .is_started = true, .is_connected = true, .raft_index = 1000};
	url_of(m->url, text[1] == 'x' ? 90 + o : o);
	if (text[1] == '*')
		w->leader_id = m->id;
	if (text[1] == '-')
		m->is_connected = false;
	if (text[1] == 'l' || text[1] == 'u')
		m->is_learner = true;
	if (text[1] == 'u')
		m->is_started = m->is_connected = false;
	if (text[1] == 'l')
		m->raft_index = text[2] == '<' ? 800 : 950;
}

static void put_place(struct pod_world *w, const char *text)
{
	int o = text[0] - '0';
	struct pod_place *p = &w->places[o];

	p->has_pod = text[1] != '.';
	p->pod_stops = text[1] == 's';
	p->has_claim = true;
	snprintf(p->claim_uid, sizeof(p->claim_uid), "uid-%d", o);
	snprintf(p->join_uid, sizeof(p->join_uid), "uid-%d", o);
	if (text[1] != 'N') { /* N: a claim that was never bound, its pod asks */
		snprintf(p->bound_uid, sizeof(p->bound_uid), "uid-%d", o);
		strcpy(p->bound_nonce, "n");
		p->bound_cluster_id = w->cluster_id;
		p->bound_member_id = (uint64_t)(100 + o);
	}
	if (text[1] == 'j' || text[1] == 'J' || text[1] == 'N')
		strcpy(p->join_nonce, text[1] == 'J' ? "another" : "n");
	else
		p->data_member_id = (uint64_t)(100 + o), p->data_cluster_id = w->cluster_id;
	if (text[1] == 'b') /* runs, and its claim is not bound yet */
		p->bound_member_id = 0;
	if (text[1] == 'C')
		strcpy(p->join_uid, "uid-original");
	if (text[1] == 'c') /* its claim is a copy: bound, but under another uid */
		strcpy(p->claim_uid, "uid-copy");
}

static void each_word(struct pod_world *w, const char *text, void put(struct pod_world *, const char *))
{
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save))
		put(w, t);
}

static void build(struct pod_world *w, uint32_t replicas, const char *members, const char *places)
{
	memset(w, 0, sizeof(*w));
	w->has_set = true;
	w->replicas = replicas;
	w->cluster_id = 7;
	w->place_count = 10;
	for (int o = 0; o < 10; o++)
		url_of(w->places[o].url, o);
	each_word(w, members, put_member);
	each_word(w, places, put_place);
}

static void one_action_at_a_time(void **state)
{
	static const struct {
		const char *name;
		uint32_t replicas;
		const char *members, *places;
		enum pod_verb verb;
		int ordinal; /* of the action */
	} cases[] = {
		{"all is well", 3, "0* 1 2", "0 1 2", POD_NOTHING, -1},
		{"P1: no replicas", 0, "0* 1 2", "0 1 2", POD_NOTHING, -1},
		{"P2: the leader's claim is bound first", 3, "0*", "0b 1N 2N", POD_BIND, 0},
		{"a new pod", 3, "0*", "0 1N 2N", POD_ADD, 1},
		{"P3: one learner at a time", 3, "0* 1u", "0 1j 2N", POD_NOTHING, 1},
		{"P3: it catches up", 3, "0* 1l<", "0 1 2N", POD_NOTHING, 1},
		{"P3: it has caught up", 3, "0* 1l", "0 1 2N", POD_PROMOTE, 1},
		{"P3: also while a voter is away", 3, "0* 1- 2l", "0 1. 2", POD_PROMOTE, 2},
		{"P4: an emptied volume", 3, "0* 1- 2", "0 1J 2", POD_REMOVE, 1},
		{"P4: a learner's emptied volume", 3, "0* 1 2u", "0 1 2J", POD_REMOVE, 2},
		{"P4: a learner of which the claim is not known", 3, "0* 1u", "0 1N", POD_REMOVE, 1},
		{"P5: not without a quorum of the rest", 3, "0* 1- 2-", "0 1J 2.", POD_NOTHING, 1},
		{"P4: removed, so it is added", 3, "0* 2", "0 1J 2", POD_ADD, 1},
		{"removed by hand, so it is added", 3, "0* 2", "0 1j 2", POD_ADD, 1},
		{"P6: the highest first", 3, "0* 1 2 3 4", "0 1 2 3s 4s", POD_REMOVE, 4},
		{"P6: a dead one too", 3, "0* 1 2 3- 4-", "0 1 2", POD_REMOVE, 4},
		{"P6: surplus learners before voters", 3, "0* 1 2 3u 4", "0 1 2 3j 4", POD_REMOVE, 3},
		{"P6: a leader among them hands over", 3, "0 1 2 3 4*", "0 1 2 3s 4s", POD_MOVE_LEADER, 0},
		{"P6: not to one that is not connected", 3, "0- 1 2 3 4*", "0. 1 2 3s 4s", POD_MOVE_LEADER, 1},
		{"P6: to nobody", 1, "0- 1 2*", "0. 1s 2s", POD_NOTHING, 2},
		{"P5: surplus, but too few connected", 3, "0* 1- 2- 3 4", "0 1. 2. 3s 4s", POD_NOTHING, 4},
		{"P7: a member of no pod", 3, "0* 1 2 5x", "0 1 2", POD_NOTHING, -1},
		{"P8: a pod that is away", 3, "0* 1 2-", "0 1 2.", POD_NOTHING, -1},
		{"P8: a pod that is being stopped", 3, "0* 1 2", "0 1 2s", POD_NOTHING, -1},
		{"P4: the leader's data was made on another claim", 3, "0* 1 2", "0c 1 2", POD_MOVE_LEADER, 1},
		{"P4: a member's data was made on another claim", 3, "0* 1 2", "0 1C 2", POD_REMOVE, 1},
		{"another URL", 3, "0* 1x 2", "0 1 2", POD_UPDATE, 1},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct pod_reconciler r;
		struct pod_action act;
		struct pod_world *w = NEW(struct pod_world);

		pod_reconciler_init(&r);
		build(w, cases[i].replicas, cases[i].members, cases[i].places);
		pod_reconcile(&r, w, &act);
		if (act.verb != cases[i].verb || act.ordinal != cases[i].ordinal)
			fail_msg("%s: %s of %d (%s)", cases[i].name, pod_verb_name(act.verb), act.ordinal, act.reason ? act.reason : "");
		w->set_stops = true;
		pod_reconcile(&r, w, &act);
		assert_int_equal(act.verb, POD_NOTHING); /* P1 */
		mem_free(w);
	}
}

/* What was added is bound by who added it; another leader, who does not know for whom it was, removes it. */
static void added_then_bound(void **state)
{
	struct pod_world *w = NEW(struct pod_world);
	struct pod_reconciler r, other;
	struct pod_action act;

	pod_reconciler_init(&r);
	pod_reconciler_init(&other);
	build(w, 3, "0*", "0 1N");
	pod_reconcile(&r, w, &act);
	assert_int_equal(act.verb, POD_ADD);
	assert_string_equal(act.url, "https://p-1:2380");
	pod_reconciled(&r, &act, true, 101);
	build(w, 3, "0* 1u", "0 1N");
	pod_reconcile(&r, w, &act);
	assert_int_equal(act.verb, POD_BIND);
	assert_true(act.member_id == 101);
	assert_string_equal(act.uid, "uid-1");
	assert_string_equal(act.nonce, "n");
	pod_reconcile(&other, w, &act);
	assert_int_equal(act.verb, POD_REMOVE);
	strcpy(w->places[1].join_nonce, "later"); /* emptied meanwhile */
	pod_reconcile(&r, w, &act);
	assert_int_equal(act.verb, POD_REMOVE);
	mem_free(w);
}

static void starting(void **state)
{
	static const struct {
		const char *name;
		bool data, api, cluster, others, data_known, bound_known, me, other, ripe, done, copy, spent;
		int ordinal;
		enum pod_start_verb want;
	} cases[] = {
		{"restart, API silent", .data = true, .want = POD_START_PLAIN},
		{"restart", .data = true, .api = true, .cluster = true, .want = POD_START_PLAIN},
		{"no data, API silent", .want = POD_START_WAIT},
		{"the first of all", .api = true, .want = POD_START_NEW},
		{"the second of all", .api = true, .ordinal = 1, .want = POD_START_ASK},
		{"ordinal 0 with an empty volume", .api = true, .cluster = true, .want = POD_START_ASK},
		{"ordinal 0, no claim says so, but members answer", .api = true, .others = true, .want = POD_START_ASK},
		{"an id was added", .api = true, .cluster = true, .others = true, .bound_known = true, .ordinal = 1, .want = POD_START_JOIN},
		{"but nobody confirms it", .api = true, .cluster = true, .bound_known = true, .ordinal = 1, .want = POD_START_ASK},
		{"but it was used", .api = true, .cluster = true, .others = true, .bound_known = true, .spent = true, .ordinal = 1, .want = POD_START_ASK},
		{"removed", .data = true, .api = true, .cluster = true, .others = true, .want = POD_START_ASIDE},
		{"not removed", .data = true, .api = true, .cluster = true, .others = true, .data_known = true, .want = POD_START_PLAIN},
		{"a copied volume", .data = true, .api = true, .cluster = true, .others = true, .data_known = true, .copy = true, .want = POD_START_ASIDE},
		{"copied, nobody answers", .data = true, .api = true, .cluster = true, .copy = true, .want = POD_START_WAIT},
		{"recovery", .data = true, .api = true, .cluster = true, .me = true, .ripe = true, .want = POD_START_RECOVER},
		{"recovery, too early", .data = true, .api = true, .cluster = true, .me = true, .want = POD_START_PLAIN},
		{"recovery while there is a quorum", .data = true, .api = true, .cluster = true, .me = true, .ripe = true, .others = true, .data_known = true,
		 .want = POD_START_PLAIN},
		{"recovery without data", .api = true, .cluster = true, .me = true, .ripe = true, .want = POD_START_ASK},
		{"another is to recover", .data = true, .api = true, .cluster = true, .other = true, .want = POD_START_PLAIN},
		{"another has recovered", .data = true, .api = true, .cluster = true, .other = true, .done = true, .want = POD_START_ASIDE},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct pod_start s = {.ordinal = cases[i].ordinal, .has_data = cases[i].data, .data_cluster_id = 7, .data_member_id = 101,
				      .record_nonce = "n", .record_spent = cases[i].spent, .api_answers = cases[i].api, .has_set = true,
				      .cluster_known = cases[i].cluster, .recover_is_me = cases[i].me, .recover_is_other = cases[i].other,
				      .recover_is_ripe = cases[i].ripe, .recover_is_done = cases[i].done, .others_answer = cases[i].others,
				      .others_have_leader = cases[i].others, .others_cluster_id = 7, .others_have_data_id = cases[i].data_known,
				      .others_have_bound_id = cases[i].bound_known,
				      .own = {.has_claim = true, .claim_uid = "u", .bound_uid = "u", .bound_nonce = "n", .bound_cluster_id = 7,
					      .bound_member_id = cases[i].cluster ? 102 : 0}};
		const char *reason = NULL;
		enum pod_start_verb got;

		strcpy(s.record_uid, cases[i].copy ? "v" : "u");
		got = pod_start_decide(&s, &reason);
		if (got != cases[i].want || !reason)
			fail_msg("%s: %d", cases[i].name, got);
	}
}

static void stopping(void **state)
{
	struct pod_world *w = NEW(struct pod_world);

	w->has_set = true;
	w->replicas = 3;
	assert_true(pod_stop_waits(w, true, 3));
	assert_false(pod_stop_waits(w, true, 2));
	assert_false(pod_stop_waits(w, false, 3));
	w->set_stops = true;
	assert_false(pod_stop_waits(w, true, 3));
	w->set_stops = false;
	w->replicas = 0;
	assert_false(pod_stop_waits(w, true, 3));
	w->replicas = 3;
	w->has_set = false;
	assert_false(pod_stop_waits(w, true, 3));
	mem_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_action_at_a_time),
		cmocka_unit_test(added_then_bound),
		cmocka_unit_test(starting),
		cmocka_unit_test(stopping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
