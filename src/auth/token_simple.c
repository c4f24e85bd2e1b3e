/* The table of simple tokens: a fixed array of chains that any thread walks inside the epoch, changed by core alone.
 *
 *	slot -> token -> token          next pointers, atomic
 *	first <-> ... <-> last          the queue, core's: who was looked at longest ago is first
 *
 * A token is valid until ttl after its last use; the reader decides that by itself, so freeing may lag behind. */
#include <stdatomic.h>

#include <openssl/crypto.h>

#include "auth/token.h"
#include "base/crc.h"
#include "base/list.h"
#include "base/mem.h"

enum {
	SLOT_BITS = 16,
	EXPIRE_MIN = 64,                /* looked at in one call of tokens_expire, at least */
	USE_STEP_NS = 10000000,         /* a use within 10 ms of the last one is not noted: no shared line is written for it */
};

struct token {
	_Atomic(struct token *) next;
	_Atomic uint64_t used_ns;
	struct list queue;
	uint64_t hash;
	size_t text_size, user_size;
	uint8_t bytes[];                /* text, user */
};

struct tokens {
	struct epoch_domain *epoch;
	uint64_t ttl_ns, seed;
	bool enabled;
	size_t count;
	struct list queue;
	_Atomic(struct token *) *slots; /* 1 << SLOT_BITS */
};

struct tokens *tokens_new(struct epoch_domain *epoch, uint64_t ttl_ns, uint64_t hash_seed)
{
	struct tokens *t = NEW(struct tokens);

	t->epoch = epoch;
	t->ttl_ns = ttl_ns;
	t->seed = hash_seed;
	t->slots = mem_zalloc(sizeof(*t->slots) << SLOT_BITS);
	list_init(&t->queue);
	return t;
}

void tokens_free(struct tokens *t)
{
	if (!t)
		return;
	LIST_EACH_SAFE(l, &t->queue)
		mem_free(CONTAINER_OF(l, struct token, queue));
	mem_free(t->slots);
	mem_free(t);
}


static struct slice user_of(const struct token *k)
{
	return slice_of(k->bytes + k->text_size, k->user_size);
}

static _Atomic(struct token *) *slot_of(struct tokens *t, uint64_t hash)
{
	return &t->slots[hash >> (64 - SLOT_BITS)];
}

/* In constant time for texts of one length and hash. */
static bool is(const struct token *k, uint64_t hash, struct slice text)
{
	return k->hash == hash && k->text_size == text.size && CRYPTO_memcmp(k->bytes, text.data, text.size) == 0;
}

static struct token *lookup(struct tokens *t, uint64_t hash, struct slice text)
{
	struct token *k = atomic_load(slot_of(t, hash));

	while (k && !is(k, hash, text))
		k = atomic_load(&k->next);
	return k;
}

static void drop(struct tokens *t, struct token *k)
{
	_Atomic(struct token *) *at = slot_of(t, k->hash);

	while (atomic_load(at) != k)
		at = &atomic_load(at)->next;
	atomic_store(at, atomic_load(&k->next));        /* sequentially consistent, as the epoch asks of what is unpublished */
	list_remove(&k->queue);
	t->count--;
	epoch_retire(t->epoch, k, mem_free);
}

void tokens_enable(struct tokens *t)
{
	t->enabled = true;
}

void tokens_disable(struct tokens *t)
{
	t->enabled = false;
	LIST_EACH_SAFE(l, &t->queue)
		drop(t, CONTAINER_OF(l, struct token, queue));
}

static void insert(struct tokens *t, struct slice text, struct slice user, uint64_t now_ns)
{
	uint64_t hash = hash64(t->seed, text.data, text.size);
	struct token *k = lookup(t, hash, text);
	_Atomic(struct token *) *slot = slot_of(t, hash);

	if (k)
		drop(t, k);
	if (t->count >= TOKENS_MAX)
		drop(t, CONTAINER_OF(t->queue.next, struct token, queue));
	k = mem_zalloc(sizeof(*k) + text.size + user.size);
	k->hash = hash;
	k->text_size = text.size;
	k->user_size = user.size;
	memcpy(k->bytes, text.data, text.size);
	memcpy(k->bytes + text.size, user.data, user.size);
	k->used_ns = now_ns;
	atomic_store_explicit(&k->next, atomic_load_explicit(slot, memory_order_relaxed), memory_order_relaxed);
	atomic_store(slot, k);
	list_push_back(&t->queue, &k->queue);
	t->count++;
}

void tokens_add(struct tokens *t, struct slice user, struct slice prefix, uint64_t index, uint64_t now_ns, struct buf *out)
{
	struct buf text;

	buf_init(&text, prefix.size + 32);
	buf_put_slice(&text, prefix);
	buf_printf(&text, ".%llu", (unsigned long long)index);
	ASSERT(!buf_failed(&text));
	if (t->enabled)
		insert(t, buf_slice(&text), user, now_ns);
	if (out)
		buf_put_slice(out, buf_slice(&text));
	buf_fini(&text);
}

void tokens_drop_user(struct tokens *t, struct slice user)
{
	LIST_EACH_SAFE(l, &t->queue) {
		struct token *k = CONTAINER_OF(l, struct token, queue);

		if (slice_eq(user_of(k), user))
			drop(t, k);
	}
}

static bool over(const struct tokens *t, const struct token *k, uint64_t now_ns)
{
	uint64_t used_ns = atomic_load_explicit(&k->used_ns, memory_order_relaxed);

	return now_ns > used_ns && now_ns - used_ns > t->ttl_ns;
}

/* So many that, called once a second, each is looked at once in its time to live. */
void tokens_expire(struct tokens *t, uint64_t now_ns)
{
	size_t budget = t->count / MAX(t->ttl_ns / 1000000000, 1) + EXPIRE_MIN;

	for (budget = MIN(budget, t->count); budget; budget--) {
		struct token *k = CONTAINER_OF(t->queue.next, struct token, queue);

		if (over(t, k, now_ns)) {
			drop(t, k);
		} else {
			list_remove(&k->queue);
			list_push_back(&t->queue, &k->queue);
		}
	}
}

size_t tokens_count(const struct tokens *t)
{
	return t->count;
}

bool tokens_find(struct tokens *t, struct slice text, uint64_t now_ns, struct slice *user)
{
	struct token *k;

	if (!text.size || text.size > TOKEN_TEXT_SIZE)
		return false;
	k = lookup(t, hash64(t->seed, text.data, text.size), text);
	if (!k || over(t, k, now_ns))
		return false;
	if (now_ns > atomic_load_explicit(&k->used_ns, memory_order_relaxed) + USE_STEP_NS)
		atomic_store_explicit(&k->used_ns, now_ns, memory_order_relaxed);
	*user = user_of(k);
	return true;
}

bool token_parse(struct slice text, uint64_t *index)
{
	const uint8_t *dot = text.size ? memchr(text.data, '.', text.size) : NULL;
	const uint8_t *end = text.data + text.size;
	uint64_t v = 0;

	if (!dot || dot + 1 == end)
		return false;
	for (const uint8_t *p = dot + 1; p < end; p++) {
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	}
	*index = v;
	return true;
}

/* Each letter from a byte below 4 * 52, so that all are equally likely; 64 bytes do not suffice once in 10^20. */
void token_prefix(const uint8_t random[64], char out[TOKEN_PREFIX_SIZE])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	int at = 0;

	for (int i = 0; at < TOKEN_PREFIX_SIZE; i++) {
		uint8_t b = random[i % 64];

		if (b < 208 || i >= 64)
			out[at++] = letters[b % 52];
	}
}
