/* The check before a member with data serves (feature InitialCorruptCheck): its hash against the others' at the same revision, as far
 * as they answer. Nothing runs yet, so everything is waited for. */
#include "node/boot_impl.h"
#include "node/corrupt.h"

enum { HASH_ROWS = 2000 };

static err_t own_hash(struct node *n, struct mvcc_hash_result *out)
{
	struct mvcc_hash hash = {0};
	const struct publication *p = node_view(n);
	err_t err = mvcc_hash_init(&hash, &p->mvcc, 0);
	bool done = hash.stored;

	while (!err && !done)
		err = mvcc_hash_step(&hash, &p->mvcc, HASH_ROWS, &done);
	node_leave(n);
	*out = hash.result;
	mvcc_hash_fini(&hash);
	return err;
}

/* Its URLs in turn, until one gives a hash. */
static void ask(struct node *n, const struct member *m, int64_t rev, struct peer_hash *out)
{
	struct buf body;

	*out = (struct peer_hash){.id = m->id, .err = ERR_IO};
	buf_init(&body, 64);
	corrupt_question(rev, &body);
	for (size_t u = 0; n->cfg.hooks.ask && out->err && u < m->peer_urls.list.count; u++) {
		struct member_question q = {.endpoint = MEMBER_HASHKV, .urls = m->peer_urls.list.at[u], .body = buf_slice(&body),
			.timeout_ms = (uint32_t)(n->time_limit_ns / 1000000), .first_answer_is_final = true};

		n->cfg.hooks.ask(n->cfg.hooks.arg, &q);
		corrupt_answer(&q, out);
		if (out->err)
			LOG_WARN("failed hash kv request", LOG_HEX("local-member-id", n->member_id), LOG_INT("requested-revision", rev),
				 LOG_STR("remote-peer-endpoint", m->peer_urls.list.at[u]), LOG_ERR(out->err));
		buf_fini(&q.answer);
	}
	buf_fini(&body);
}

/* True: it has other data. */
static bool differs(const struct node *n, const struct mvcc_hash_result *own, const struct peer_hash *p)
{
	const char *text = NULL;

	if (p->err == ERR_FUTURE_REV)
		text = "cannot fetch hash from slow remote peer";
	else if (p->err == ERR_COMPACTED)
		text = "cannot fetch hash from remote peer; local member is behind";
	else if (p->err == ERR_CLUSTER_ID_MISMATCH)
		text = "cluster ID mismatch";
	else if (!p->err && p->crc != own->crc)
		text = p->compact_rev == own->compact_rev ? "found different hash values from remote peer" :
							    "found different compact revision values from remote peer";
	if (text)
		LOG_WARN(text, LOG_HEX("local-member-id", n->member_id), LOG_INT("local-member-revision", own->rev),
			 LOG_INT("local-member-compact-revision", own->compact_rev), LOG_UINT("local-member-hash", own->crc),
			 LOG_HEX("remote-peer-id", p->id), LOG_INT("remote-peer-revision", p->rev),
			 LOG_INT("remote-peer-compact-revision", p->compact_rev), LOG_UINT("remote-peer-hash", p->crc));
	return !p->err && p->crc != own->crc && p->compact_rev == own->compact_rev;
}

err_t boot_corrupt_check(struct node *n, struct why *why)
{
	struct mvcc_hash_result own;
	struct peer_hash p;
	size_t wrong = 0;
	err_t err = own_hash(n, &own);

	LOG_INFO("starting initial corruption check", LOG_HEX("local-member-id", n->member_id),
		 LOG_DURATION("timeout", (int64_t)n->time_limit_ns));
	if (err)
		return why_set(why, err, "%llx failed to fetch hash (%s)", (unsigned long long)n->member_id, err_text(err));
	for (size_t i = 0; i < members_count(n->members); i++) {
		const struct member *m = members_at(n->members, i);

		if (m->id == n->member_id)
			continue;
		ask(n, m, own.rev, &p);
		wrong += differs(n, &own, &p);
	}
	if (wrong) {
		why_set(why, ERR_CORRUPT, "%llx found data inconsistency with peers", (unsigned long long)n->member_id);
		LOG_ERROR("checkInitialHashKV failed", LOG_STR("error", why ? why->text : ""));
		return ERR_CORRUPT;
	}
	LOG_INFO("initial corruption checking passed; no corruption", LOG_HEX("local-member-id", n->member_id));
	return OK;
}
