#include "bolt/free.h"

#include "base/mem.h"

enum { WORD_BITS = 64 };

static uint32_t longest_run(uint64_t w)
{
	uint32_t n = 0;

	for (; w; w &= w << 1)
		n++;
	return n;
}

static struct free_run word_run(uint64_t w)
{
	if (w == UINT64_MAX)
		return (struct free_run){WORD_BITS, WORD_BITS, WORD_BITS};
	return (struct free_run){(uint32_t)__builtin_ctzll(~w), (uint32_t)__builtin_clzll(~w), longest_run(w)};
}

/* Two neighbours of half pages each. */
static struct free_run join(struct free_run a, struct free_run b, uint32_t half)
{
	return (struct free_run){
	    .front = a.front == half ? half + b.front : a.front,
	    .back = b.back == half ? half + a.back : b.back,
	    .longest = MAX(MAX(a.longest, b.longest), a.back + b.front),
	};
}

/* Recomputes what lies above words [first, last]. */
static void update(struct free_map *f, uint32_t first, uint32_t last)
{
	uint32_t lo = first + f->word_count, hi = last + f->word_count, half = WORD_BITS;

	for (uint32_t i = lo; i <= hi; i++)
		f->tree[i] = word_run(f->words[i - f->word_count]);
	for (lo /= 2, hi /= 2; lo; lo /= 2, hi /= 2, half *= 2)
		for (uint32_t i = lo; i <= hi; i++)
			f->tree[i] = join(f->tree[2 * i], f->tree[2 * i + 1], half);
}

static void grow(struct free_map *f, uint64_t page_end)
{
	uint64_t want = f->word_count ? f->word_count : 16;

	while (want * WORD_BITS < page_end)
		want *= 2;
	if (want == f->word_count)
		return;
	f->words = mem_realloc(f->words, want * sizeof(*f->words));
	memset(f->words + f->word_count, 0, (want - f->word_count) * sizeof(*f->words));
	f->tree = mem_realloc(f->tree, 2 * want * sizeof(*f->tree));
	f->word_count = (uint32_t)want;
	update(f, 0, f->word_count - 1);
}

void free_map_fini(struct free_map *f)
{
	mem_free(f->words);
	mem_free(f->tree);
	*f = (struct free_map){0};
}

static uint64_t word_mask(uint64_t page, uint64_t end, uint64_t word)
{
	uint64_t lo = MAX(page, word * WORD_BITS) - word * WORD_BITS;
	uint64_t hi = MIN(end, (word + 1) * WORD_BITS) - word * WORD_BITS;

	return (hi == WORD_BITS ? UINT64_MAX : ((uint64_t)1 << hi) - 1) & ~(((uint64_t)1 << lo) - 1);
}

void free_map_put(struct free_map *f, uint64_t page, uint64_t count)
{
	uint64_t end = page + count;

	if (!count)
		return;
	grow(f, end);
	for (uint64_t w = page / WORD_BITS; w <= (end - 1) / WORD_BITS; w++) {
		uint64_t mask = word_mask(page, end, w);

		ASSERT((f->words[w] & mask) == 0);
		f->words[w] |= mask;
	}
	f->count += count;
	update(f, (uint32_t)(page / WORD_BITS), (uint32_t)((end - 1) / WORD_BITS));
}

void free_map_remove(struct free_map *f, uint64_t page, uint64_t count)
{
	uint64_t end = page + count;

	if (!count)
		return;
	ASSERT(end <= (uint64_t)f->word_count * WORD_BITS);
	for (uint64_t w = page / WORD_BITS; w <= (end - 1) / WORD_BITS; w++) {
		uint64_t mask = word_mask(page, end, w);

		ASSERT((f->words[w] & mask) == mask);
		f->words[w] &= ~mask;
	}
	f->count -= count;
	update(f, (uint32_t)(page / WORD_BITS), (uint32_t)((end - 1) / WORD_BITS));
}

/* The lowest run of count <= 64 set bits of a word that has one. */
static uint32_t find_in_word(uint64_t w, uint64_t count)
{
	for (uint64_t i = 1; i < count; i++)
		w &= w >> 1;
	return (uint32_t)__builtin_ctzll(w);
}

uint64_t free_map_find(const struct free_map *f, uint64_t count)
{
	uint64_t pages = (uint64_t)f->word_count * WORD_BITS, at = 0;
	uint32_t i = 1;

	ASSERT(count > 0);
	if (!f->word_count || f->tree[1].longest < count)
		return UINT64_MAX;
	while (i < f->word_count) {
		const struct free_run *a = &f->tree[2 * i], *b = &f->tree[2 * i + 1];

		pages /= 2;
		if (a->longest >= count) {
			i = 2 * i;
		} else if ((uint64_t)a->back + b->front >= count) {
			return at + pages - a->back;
		} else {
			i = 2 * i + 1;
			at += pages;
		}
	}
	return at + find_in_word(f->words[i - f->word_count], count);
}

bool free_map_has(const struct free_map *f, uint64_t page)
{
	uint64_t w = page / WORD_BITS;

	return w < f->word_count && (f->words[w] >> (page % WORD_BITS) & 1);
}

bool free_map_any(const struct free_map *f, uint64_t page, uint64_t count)
{
	uint64_t end = MIN(page + count, (uint64_t)f->word_count * WORD_BITS);

	for (uint64_t w = page / WORD_BITS; page < end && w <= (end - 1) / WORD_BITS; w++)
		if (f->words[w] & word_mask(page, end, w))
			return true;
	return false;
}

uint64_t free_map_count_below(const struct free_map *f, uint64_t end)
{
	uint64_t n = 0;

	end = MIN(end, (uint64_t)f->word_count * WORD_BITS);
	for (uint64_t w = 0; w < end / WORD_BITS; w++)
		n += (uint64_t)__builtin_popcountll(f->words[w]);
	if (end % WORD_BITS)
		n += (uint64_t)__builtin_popcountll(f->words[end / WORD_BITS] & (((uint64_t)1 << end % WORD_BITS) - 1));
	return n;
}

uint64_t free_map_run_before(const struct free_map *f, uint64_t end)
{
	uint64_t page = end;

	while (page > 0 && free_map_has(f, page - 1)) {
		uint64_t w = page / WORD_BITS - 1;

		if (page % WORD_BITS == 0 && f->words[w] == UINT64_MAX)
			page -= WORD_BITS;
		else
			page--;
	}
	return end - page;
}
