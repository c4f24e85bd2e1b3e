/* Membership: who belongs to the cluster, who was removed for ever, the cluster version and a running downgrade; ids of
 * members, clusters and requests. Replicated through the log (ConfChange, attributes, version, downgrade), rows in
 * buckets members, members_removed and cluster. Pure; core actor only, but for functions that take no struct members.
 *
 *	ms = members_new(&store, learners_max);
 *	members_load(ms, BUCKET_MEMBERS, key, value) for each row of the three buckets
 *	err = member_context_parse(conf_change_context, &ctx);  err = members_check(ms, type, id, &ctx);
 *	members_apply(ms, type, id, &ctx);                      writes the rows
 *
 * JSON is written byte for byte as upstream does (field order, escaping); it is parsed with bounds. URLs are kept as
 * the strings that were given; a string with a NUL is refused. Lists of members are ascending by id. */
#ifndef MEMBER_MEMBER_H
#define MEMBER_MEMBER_H

#include "backend/store.h"
#include "base/buf.h"

#define MEMBER_JSON_BYTES_MAX (1u << 20)
#define MEMBER_URLS_MAX 1024
#define MEMBERS_COUNT_MAX 4096 /* in lists that come from outside */

/* ---- one member ---- */

struct member_urls {
	VEC(char *) list; /* owned strings */
	bool null;        /* JSON null instead of [] */
};

struct member {
	uint64_t id;
	struct member_urls peer_urls;
	bool is_learner;
	char *name; /* "" = not started */
	struct member_urls client_urls;
};

void member_init(struct member *m);
void member_fini(struct member *m);
void member_copy(const struct member *from, struct member *out); /* out uninitialised before */
static inline bool member_is_started(const struct member *m)
{
	return m->name[0] != 0;
}
void member_urls_add(struct member_urls *u, struct slice url);
/* Splits at commas, each trimmed of white space as upstream does; empty text gives one empty string. */
void member_urls_split(struct member_urls *u, struct slice text);
void member_urls_clear(struct member_urls *u);
void member_urls_copy(const struct member_urls *from, struct member_urls *out);
/* Bytewise ascending. */
void member_urls_sort(struct member_urls *u);
/* Comma-joined; mem_free. */
char *member_urls_join(const struct member_urls *u);
bool member_urls_equal(const struct member_urls *a, const struct member_urls *b);

/* What MemberAdd demands of URLs, and flags: not empty, scheme http, https, unix, unixs; http(s) with host:port and no
 * path. ERR_MEMBER_BAD_URLS; why gets upstream's text. Sorts the list. */
NODISCARD err_t member_urls_check(struct member_urls *u, struct why *why);

/* {"id":..,"peerURLs":[..],"isLearner":true,"name":"..","clientURLs":[..]}: bucket members, ConfChange contexts
 * (plain), elements of GET /members. Empty isLearner, name, clientURLs are left out. */
void member_json_write(const struct member *m, struct buf *out);
/* out is initialised by the call and the caller's on success. Names match case-insensitively and unknown ones are
 * ignored, as in Go. ERR_MALFORMED; ERR_TOO_LARGE. */
NODISCARD err_t member_json_parse(struct slice json, struct member *out);
/* A JSON array of members, as GET /members answers. On success *list is the caller's: member_fini each, mem_free. */
NODISCARD err_t member_json_parse_list(struct slice json, struct member **list, size_t *count);

/* ---- ids ---- */

/* SHA-1 of the sorted URLs joined, then suffix: the cluster token at bootstrap, decimal unix seconds when added later.
 */
uint64_t member_id_compute(const struct member_urls *peer_urls, struct slice suffix);
/* SHA-1 over the ids, each 8 bytes big-endian; ids need not be sorted. */
uint64_t cluster_id_compute(const uint64_t *ids, size_t count);
/* Lower-case hex without padding, as in row keys, headers and logs; NUL-terminated. Returns out. */
#define MEMBER_ID_TEXT_SIZE 17
char *member_id_text(uint64_t id, char out[MEMBER_ID_TEXT_SIZE]);
NODISCARD err_t member_id_parse(struct slice hex, uint64_t *out); /* ERR_INVALID */

/* Request ids: member, time and a counter; unique among members and restarts. */
struct request_ids {
	uint64_t prefix;
	uint64_t suffix;
};
void request_ids_init(struct request_ids *r, uint64_t member_id, int64_t unix_ms);
uint64_t request_ids_next(struct request_ids *r);

/* ---- the cluster ---- */

struct downgrade_info {
	bool enabled;
	char target[16]; /* "3.6.0"; "" when not enabled */
};

struct members;

/* store: NULL while it is only an idea (bootstrap). It must outlive the members. */
struct members *members_new(const struct store *store, uint32_t learners_max);
void members_free(struct members *ms);  /* NULL allowed */
void members_clear(struct members *ms); /* before loading again after a snapshot */
/* From now on rows go there; writes none by itself. */
void members_set_store(struct members *ms, const struct store *store);
/* One row of BUCKET_MEMBERS, BUCKET_MEMBERS_REMOVED or BUCKET_CLUSTER; unknown keys of the last are ignored.
 * ERR_CORRUPT_FILE. */
NODISCARD err_t members_load(struct members *ms, enum backend_bucket b, struct slice key, struct slice value);
/* Adds members of --initial-cluster ("name=url,name=url"; a name may come again) with ids from URLs and token.
 * ERR_INVALID with upstream's text. */
NODISCARD err_t members_from_initial(struct members *ms, const char *initial_cluster, const char *token,
				     struct why *why);

size_t members_count(const struct members *ms);
size_t members_voter_count(const struct members *ms);
size_t members_learner_count(const struct members *ms);
const struct member *members_at(const struct members *ms, size_t i);      /* ascending by id */
const struct member *members_find(const struct members *ms, uint64_t id); /* NULL: none */
const struct member *members_find_name(const struct members *ms, const char *name);
bool members_is_removed(const struct members *ms, uint64_t id);
size_t members_removed_count(const struct members *ms);
uint64_t members_removed_at(const struct members *ms, size_t i);
uint64_t members_cluster_id(const struct members *ms); /* computed from the present ids */

/* strict-reconfig-check on who has started; connectivity is the caller's. */
bool members_may_add_voter(const struct members *ms);
bool members_may_remove(const struct members *ms, uint64_t id); /* learners: always */
bool members_may_promote(const struct members *ms, uint64_t id);

/* ---- ConfChange ---- */

/* raftpb.ConfChangeType */
enum member_change { MEMBER_ADD = 0, MEMBER_REMOVE = 1, MEMBER_UPDATE = 2, MEMBER_ADD_LEARNER = 3 };

struct member_context {
	struct member member;
	bool is_promote;
};

/* out is initialised by the call and on success the caller's, to be freed with member_fini(&out->member).
 * ERR_MALFORMED. */
NODISCARD err_t member_context_parse(struct slice json, struct member_context *out);
/* As v3.7 proposes it: with isPromote only when it is true (then URLs null). */
void member_context_write(const struct member_context *c, struct buf *out);

/* Validation at apply, in upstream's order; ctx NULL for MEMBER_REMOVE. ERR_MEMBER_NOT_FOUND (also: id removed before),
 * ERR_MEMBER_EXIST, ERR_PEER_URL_EXIST, ERR_MEMBER_NOT_LEARNER, ERR_TOO_MANY_LEARNERS, ERR_UNSUPPORTED (unknown type).
 */
NODISCARD err_t members_check(const struct members *ms, enum member_change type, uint64_t id,
			      const struct member_context *ctx);
/* What passed the check: memory and rows. */
void members_apply(struct members *ms, enum member_change type, uint64_t id, const struct member_context *ctx);

/* cluster_member_attr_set: overwrites name and client URLs. Replay with persist false: memory only. OK also for a
 * removed member (ignored); ERR_MEMBER_NOT_FOUND: unknown, upstream panics. */
NODISCARD err_t members_set_attributes(struct members *ms, uint64_t id, struct slice name,
				       const struct member_urls *client_urls, bool persist);

/* ---- version and downgrade ---- */

struct version {
	uint32_t major, minor, patch;
};

/* "X.Y" or "X.Y.Z", digits only. ERR_INVALID. */
NODISCARD err_t version_parse(struct slice text, struct version *out);
int version_cmp(struct version a, struct version b);
/* major and minor only */
int version_cmp_minor(struct version a, struct version b);

/* Body of GET /version: {"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}; texts that are not versions ("not_decided",
 * "unknown") and too long ones come out as they are, cut. */
struct member_versions {
	char server[24], cluster[24], storage[24];
};
/* ERR_MALFORMED. */
NODISCARD err_t member_versions_parse(struct slice json, struct member_versions *out);

/* "" before it was set. */
const char *members_version(const struct members *ms);
/* cluster_version_set; persist false on replay. ERR_INVALID; ERR_UNSUPPORTED: above the server's major.minor, upstream
 * panics. */
NODISCARD err_t members_set_version(struct members *ms, struct slice version, struct version server, bool persist);
const struct downgrade_info *members_downgrade(const struct members *ms);
/* downgrade_info_set; disabled clears the target. ERR_INVALID: target too long. */
NODISCARD err_t members_set_downgrade(struct members *ms, bool enabled, struct slice target, bool persist);

/* ---- for others ---- */

/* etcdserverpb.Member as repeated field `number`; MemberListResponse has 2, MemberAddResponse member 2, members 3. */
void members_encode(const struct members *ms, uint32_t number, struct buf *out);
void member_encode(const struct member *m, uint32_t number, struct buf *out);
/* GET /members of peers: the array, without a newline. _encoded: from encoded etcdserverpb.Member fields (number 2 each). */
void members_json_write(const struct members *ms, struct buf *out);
void members_json_write_encoded(struct slice fields, struct buf *out);
/* Data of raft snapshots (.snap and MsgSnap): the v2 store as 3.6 and older read it. */
void members_v2_json_write(const struct members *ms, struct buf *out);

/* Deep: order, rows of one id, disjoint with removed. */
void members_check_invariants(const struct members *ms);

#endif
