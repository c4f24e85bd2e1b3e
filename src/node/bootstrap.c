/* Who a member without a log is: member and cluster id, and who else is there (spec peer.md section 13).
 *
 *	new         --initial-cluster gives everybody's id; the others are asked whether this one was here before
 *	existing    the others say who they are; this one is who has its URLs among them; nothing is in the log, the leader sends it
 *
 * Actors do not run yet: questions wait for their answer (hooks.ask). */
#include "node/boot_impl.h"

enum { NEW_ASK_MS = 1000, EXISTING_ASK_MS = 10000 };

/* The answer needs a quorum, which a cluster that grows from one to two has not before this member runs; no answer means no downgrade.
 * Upstream waits for 5 s and two election timeouts. */
enum { DOWNGRADE_ASK_MS = 2000 };

static bool urls_same(const struct node *n, const struct member_urls *a, const struct member_urls *b)
{
	struct member_urls x = {0}, y = {0};
	bool same;

	if (a->list.count != b->list.count)
		return false;
	member_urls_copy(a, &x);
	member_urls_copy(b, &y);
	member_urls_sort(&x);
	member_urls_sort(&y);
	same = member_urls_equal(&x, &y);
	if (!same && n->cfg.hooks.same_urls)
		same = n->cfg.hooks.same_urls(n->cfg.hooks.arg, &x, &y);
	member_urls_clear(&x);
	member_urls_clear(&y);
	return same;
}

/* ---- questions ---- */

/* False: no answer with status 200. The answer is to be freed in either case. */
static bool ask(struct node *n, struct member_question *q, enum member_endpoint what, const char *url, uint32_t timeout_ms)
{
	*q = (struct member_question){.endpoint = what, .urls = url, .timeout_ms = timeout_ms, .first_answer_is_final = true, .err = ERR_IO};
	if (n->cfg.hooks.ask)
		n->cfg.hooks.ask(n->cfg.hooks.arg, q);
	else
		buf_init(&q->answer, 1);
	return !q->err && q->status == 200;
}

/* The peer URLs of all but the member of that name, sorted. */
static void other_urls(const struct members *ms, const char *name, struct member_urls *out)
{
	for (size_t i = 0; i < members_count(ms); i++) {
		const struct member *m = members_at(ms, i);

		for (size_t u = 0; strcmp(m->name, name) && u < m->peer_urls.list.count; u++)
			member_urls_add(out, slice_str(m->peer_urls.list.at[u]));
	}
	member_urls_sort(out);
}

struct answer {
	struct member *list;
	size_t count;
	uint64_t cluster_id;
};

static void answer_fini(struct answer *a)
{
	for (size_t i = 0; i < a->count; i++)
		member_fini(&a->list[i]);
	mem_free(a->list);
	*a = (struct answer){0};
}

static bool ask_members(struct node *n, const char *url, uint32_t timeout_ms, bool told, struct answer *out)
{
	struct member_question q;
	const char *trouble = NULL;

	if (!ask(n, &q, MEMBER_LIST, url, timeout_ms))
		trouble = q.err ? err_text(q.err) : "the status is not 200";
	else if (member_json_parse_list(buf_slice(&q.answer), &out->list, &out->count))
		trouble = "the answer is no list of members";
	else if (!q.has_cluster_id)
		trouble = "the answer has no cluster id";
	out->cluster_id = q.cluster_id;
	buf_fini(&q.answer);
	if (!trouble)
		return true;
	answer_fini(out);
	if (told)
		LOG_WARN("failed to get cluster response", LOG_STR("address", url), LOG_STR("error", trouble));
	return false;
}

/* The first usable answer. */
static err_t ask_cluster(struct node *n, const struct members *ms, uint32_t timeout_ms, bool told, struct answer *out, struct why *why)
{
	struct member_urls urls = {0};
	err_t err = why_set(why, ERR_UNHEALTHY, "could not retrieve cluster information from the given URLs");

	other_urls(ms, n->cfg.name, &urls);
	for (size_t i = 0; err && i < urls.list.count; i++)
		if (ask_members(n, urls.list.at[i], timeout_ms, told, out)) {
			err = OK;
			if (!out->count)
				err = why_set(why, ERR_INVALID, "failed to get raft cluster member(s) from the given URLs");
			break;
		}
	member_urls_clear(&urls);
	return err;
}

/* Who to talk to until the log says more. */
static void note_peer(struct node *n, uint64_t id, const struct member_urls *urls)
{
	if (id != n->member_id)
		VEC_PUSH(&n->first_peers, ((struct first_peer){id, member_urls_join(urls)}));
}

/* ---- a new cluster ---- */

static void put_urls(struct buf *out, const char *name, const struct member_urls *urls)
{
	for (size_t i = 0; i < urls->list.count; i++)
		buf_printf(out, "%s%s%s%s", i ? "," : "", name, name[0] ? "=" : "", urls->list.at[i]);
}

static void urls_without(const struct member_urls *urls, const struct member_urls *known, struct member_urls *out)
{
	for (size_t i = 0; i < urls->list.count; i++) {
		bool found = false;

		for (size_t k = 0; k < known->list.count; k++)
			found = found || !strcmp(urls->list.at[i], known->list.at[k]);
		if (!found)
			member_urls_add(out, slice_str(urls->list.at[i]));
	}
}

static err_t advertised_mismatch(const struct node *n, const struct member_urls *advertised, const struct member_urls *initial,
				 struct why *why)
{
	struct member_urls missing = {0};
	struct buf odd, rest;
	err_t err;

	buf_init(&odd, 1 << 20);
	buf_init(&rest, 1 << 20);
	urls_without(initial, advertised, &missing);
	if (missing.list.count) {
		put_urls(&odd, n->cfg.name, &missing);
		put_urls(&rest, "", advertised);
		err = why_set(why, ERR_INVALID, "--initial-cluster has %.*s but missing from --initial-advertise-peer-urls=%.*s",
			      SLICE_ARG(buf_slice(&odd)), SLICE_ARG(buf_slice(&rest)));
	} else {
		urls_without(advertised, initial, &missing);
		put_urls(&odd, "", &missing);
		put_urls(&rest, n->cfg.name, advertised);
		err = why_set(why, ERR_INVALID, "--initial-advertise-peer-urls has %.*s but missing from --initial-cluster=%.*s",
			      SLICE_ARG(buf_slice(&odd)), SLICE_ARG(buf_slice(&rest)));
	}
	member_urls_clear(&missing);
	buf_fini(&odd);
	buf_fini(&rest);
	return err;
}

static err_t advertised_check(const struct node *n, const struct member *self, struct why *why)
{
	struct member_urls advertised = {0};
	err_t err = OK;

	for (size_t i = 0; i < n->cfg.peer_url_count; i++)
		member_urls_add(&advertised, slice_str(n->cfg.peer_urls[i]));
	member_urls_sort(&advertised);
	if (!urls_same(n, &advertised, &self->peer_urls))
		err = advertised_mismatch(n, &advertised, &self->peer_urls, why);
	member_urls_clear(&advertised);
	return err;
}

/* --initial-cluster as members with ids, this one among them. */
static err_t initial_members(struct node *n, struct members *out, const struct member **self, struct why *why)
{
	err_t err;

	if (!n->cfg.initial_cluster[0])
		return why_set(why, ERR_INVALID, "initial cluster unset and no discovery endpoints found");
	err = members_from_initial(out, n->cfg.initial_cluster, n->cfg.initial_token, why);
	if (err)
		return err;
	*self = members_find_name(out, n->cfg.name);
	return *self ? OK : why_set(why, ERR_INVALID, "couldn't find local name \"%s\" in the initial cluster configuration", n->cfg.name);
}

/* A member that lost its data must not come back as a new one: the others know it as started. */
static err_t refuse_known(struct node *n, const struct members *ms, uint64_t id, struct why *why)
{
	struct answer a = {0};
	err_t err = OK;

	if (members_count(ms) > 1 && !ask_cluster(n, ms, NEW_ASK_MS, false, &a, NULL))
		for (size_t i = 0; i < a.count; i++)
			if (a.list[i].id == id && a.list[i].client_urls.list.count)
				err = why_set(why, ERR_EXIST, "member %llx has already been bootstrapped", (unsigned long long)id);
	answer_fini(&a);
	return err;
}

err_t boot_new_cluster(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	struct members *ms = members_new(NULL, n->cfg.learners_max);
	const struct member *self = NULL;
	err_t err = initial_members(n, ms, &self, why);

	if (!err)
		err = advertised_check(n, self, why);
	if (!err)
		err = refuse_known(n, ms, self->id, why);
	if (err) {
		members_free(ms);
		return err;
	}
	n->member_id = self->id;
	n->cluster_id = members_cluster_id(ms);
	for (size_t i = 0; i < members_count(ms); i++)
		note_peer(n, members_at(ms, i)->id, &members_at(ms, i)->peer_urls);
	b->first = ms;
	return OK;
}

/* ---- a running cluster ---- */

/* As upstream prints its cluster in the error. */
static void put_answer(struct buf *out, const struct answer *a)
{
	buf_printf(out, "{ClusterID:%llx Members:[", (unsigned long long)a->cluster_id);
	for (size_t i = 0; i < a->count; i++) {
		const struct member *m = &a->list[i];

		buf_printf(out, "%s&{ID:%llx RaftAttributes:{PeerURLs:[", i ? " " : "", (unsigned long long)m->id);
		for (size_t u = 0; u < m->peer_urls.list.count; u++)
			buf_printf(out, "%s%s", u ? " " : "", m->peer_urls.list.at[u]);
		buf_printf(out, "] IsLearner:%s} Attributes:{Name:%s ClientURLs:[", m->is_learner ? "true" : "false", m->name);
		for (size_t u = 0; u < m->client_urls.list.count; u++)
			buf_printf(out, "%s%s", u ? " " : "", m->client_urls.list.at[u]);
		buf_printf(out, "]}}");
	}
	buf_printf(out, "] RemovedMemberIDs:[]}");
}

static const struct member *with_urls(const struct node *n, const struct members *ms, const struct member_urls *urls)
{
	for (size_t i = 0; i < members_count(ms); i++)
		if (urls_same(n, &members_at(ms, i)->peer_urls, urls))
			return members_at(ms, i);
	return NULL;
}

/* Every member of the cluster has its like in --initial-cluster; *own_id is that of ours. */
static err_t match(const struct node *n, const struct members *initial, const struct answer *a, uint64_t *own_id, struct why *why)
{
	struct buf text;
	err_t err = OK;

	if (a->count != members_count(initial))
		err = why_set(why, ERR_INVALID, "member count is unequal");
	for (size_t i = 0; !err && i < a->count; i++)
		if (!a->list[i].id || a->list[i].id >= RAFT_APPLY_THREAD)
			err = why_set(why, ERR_INVALID, "%llx cannot be a member's id", (unsigned long long)a->list[i].id);
	for (size_t i = 0; !err && i < a->count; i++) {
		const struct member *like = with_urls(n, initial, &a->list[i].peer_urls);

		if (!like) {
			buf_init(&text, 4096);
			for (size_t u = 0; u < a->list[i].peer_urls.list.count; u++)
				buf_printf(&text, "%s%s", u ? " " : "", a->list[i].peer_urls.list.at[u]);
			err = why_set(why, ERR_INVALID, "PeerURLs: no match found for existing member (%llx, [%.*s]), last resolver error "
				      "(the URLs are not equal)", (unsigned long long)a->list[i].id, SLICE_ARG(buf_slice(&text)));
			buf_fini(&text);
		} else if (!strcmp(like->name, n->cfg.name)) {
			*own_id = a->list[i].id;
		}
	}
	if (!err && !*own_id)
		err = why_set(why, ERR_INVALID, "PeerURLs: no existing member has those of \"%s\"", n->cfg.name);
	if (err && why) {
		buf_init(&text, 1 << 20);
		put_answer(&text, a);
		err = why_add(why, err, "error validating peerURLs %.*s", SLICE_ARG(buf_slice(&text)));
		buf_fini(&text);
	}
	return err;
}

/* Each URL of the member until one gives a usable answer. */
static bool ask_version(struct node *n, const struct member *m, uint32_t timeout_ms, struct member_versions *out)
{
	bool have = false;

	for (size_t u = 0; !have && u < m->peer_urls.list.count; u++) {
		struct member_question q;

		have = ask(n, &q, MEMBER_VERSION, m->peer_urls.list.at[u], timeout_ms) && !member_versions_parse(buf_slice(&q.answer), out);
		if (!have)
			LOG_WARN("failed to reach the peer URL", LOG_STR("address", m->peer_urls.list.at[u]), LOG_HEX("remote-member-id", m->id),
				 LOG_STR("error", q.err ? err_text(q.err) : "the answer cannot be used"));
		buf_fini(&q.answer);
	}
	return have;
}

static bool ask_downgrading(struct node *n, const struct answer *a, uint64_t own_id)
{
	for (size_t i = 0; i < a->count; i++)
		for (size_t u = 0; a->list[i].id != own_id && u < a->list[i].peer_urls.list.count; u++) {
			struct member_question q;
			bool have = ask(n, &q, MEMBER_DOWNGRADE_ENABLED, a->list[i].peer_urls.list.at[u], DOWNGRADE_ASK_MS);
			bool enabled = have && slice_eq(buf_slice(&q.answer), SLICE_LIT("true"));
			bool usable = enabled || (have && slice_eq(buf_slice(&q.answer), SLICE_LIT("false")));

			buf_fini(&q.answer);
			if (usable)
				return enabled;
		}
	return false;
}

/* At least one of the others runs a cluster version that this one can serve, and nobody another. */
static err_t versions_check(struct node *n, const struct answer *a, uint64_t own_id, struct why *why)
{
	const err_t refused = ERR_UNSUPPORTED;
	uint32_t timeout_ms = 5000 + 2 * n->cfg.election_ms;
	struct version low = {3, 0, 0}, high, v;
	bool some = false;

	if (version_parse(SLICE_LIT(NODE_CLUSTER_VERSION), &high))
		UNREACHABLE();
	if (ask_downgrading(n, a, own_id)) {
		high.minor++;
		low = high;
	}
	for (size_t i = 0; i < a->count; i++) {
		struct member_versions vs;

		if (a->list[i].id == own_id || !ask_version(n, &a->list[i], timeout_ms, &vs) || version_parse(slice_str(vs.cluster), &v))
			continue;
		if (version_cmp(v, low) < 0 || version_cmp(v, high) > 0) {
			LOG_WARN(version_cmp(v, low) < 0 ? "cluster version of remote member is not compatible; too low" :
				 "cluster version of remote member is not compatible; too high", LOG_HEX("remote-member-id", a->list[i].id),
				 LOG_STR("remote-member-cluster-version", vs.cluster));
			return why_set(why, refused, "incompatible with current running cluster");
		}
		some = true;
	}
	return some ? OK : why_set(why, refused, "incompatible with current running cluster");
}

static err_t learners_check(const struct node *n, const struct answer *a, struct why *why)
{
	size_t learners = 0;

	for (size_t i = 0; i < a->count; i++)
		learners += a->list[i].is_learner;
	return learners > (size_t)n->cfg.learners_max ? why_set(why, ERR_TOO_MANY_LEARNERS, "membership: too many learner members in cluster") : OK;
}

err_t boot_existing_cluster(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	struct members *ms = members_new(NULL, n->cfg.learners_max);
	const struct member *self = NULL;
	struct answer a = {0};
	uint64_t own_id = 0;
	err_t err = initial_members(n, ms, &self, why);

	if (!err) {
		err = ask_cluster(n, ms, EXISTING_ASK_MS, true, &a, why);
		if (err)
			why_add(why, err, "cannot fetch cluster info from peer urls");
	}
	if (!err)
		err = match(n, ms, &a, &own_id, why);
	if (!err)
		err = versions_check(n, &a, own_id, why);
	if (!err)
		err = learners_check(n, &a, why);
	if (!err) {
		n->member_id = own_id;
		n->cluster_id = a.cluster_id;
		for (size_t i = 0; i < a.count; i++)
			note_peer(n, a.list[i].id, &a.list[i].peer_urls);
	}
	answer_fini(&a);
	members_free(ms);
	return err;
}
