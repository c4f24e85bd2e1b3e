/* The permissions of a role in the order that Go's sort.Sort leaves them in, comparing keys alone: which of two permissions with
 * one key and different ends comes first is decided by the swaps of that algorithm, and these bytes must be equal on every member.
 * So this is a pattern-defeating quicksort with exactly the choices of Go 1.19 and later (package sort, zsortinterface.go; equal in
 * every release up to 1.26): insertion sort up to 12 elements, median of three from 8, of nine from 50, ... Its oddities are kept and
 * marked. Bounds are half open: [a, b). */
#include "auth/impl.h"

enum { INSERTION_MAX = 12, NINTHER_MIN = 50, SHIFT_MIN = 50, PIVOT_SWAPS_MAX = 12, OUT_OF_ORDER_MAX = 5 };

typedef struct role_permission item;

static bool less(const item *v, long i, long j)
{
	return slice_cmp(v[i].perm.key, v[j].perm.key) < 0;
}

static void swap(item *v, long i, long j)
{
	item t = v[i];

	v[i] = v[j];
	v[j] = t;
}

static void insertion(item *v, long a, long b)
{
	for (long i = a + 1; i < b; i++)
		for (long j = i; j > a && less(v, j, j - 1); j--)
			swap(v, j, j - 1);
}

static void sift(item *v, long root, long end, long base)
{
	for (long child; (child = 2 * root + 1) < end; root = child) {
		if (child + 1 < end && less(v, base + child, base + child + 1))
			child++;
		if (!less(v, base + root, base + child))
			return;
		swap(v, base + root, base + child);
	}
}

static void heap(item *v, long a, long b)
{
	long n = b - a;

	for (long i = (n - 1) / 2; i >= 0; i--)
		sift(v, i, n, a);
	for (long i = n - 1; i >= 0; i--) {
		swap(v, a, a + i);
		sift(v, 0, i, a);
	}
}

static void sort_pair(const item *v, long *x, long *y, int *swaps)
{
	long t = *x;

	if (!less(v, *y, *x))
		return;
	*x = *y;
	*y = t;
	(*swaps)++;
}

static long median(const item *v, long x, long y, long z, int *swaps)
{
	sort_pair(v, &x, &y, swaps);
	sort_pair(v, &y, &z, swaps);
	sort_pair(v, &x, &y, swaps);
	return y;
}

static long pivot_choose(const item *v, long a, long b, int *swaps)
{
	long quarter = (b - a) / 4;
	long i = a + quarter, j = a + 2 * quarter, k = a + 3 * quarter;

	*swaps = 0;
	if (b - a >= NINTHER_MIN) {
		i = median(v, i - 1, i, i + 1, swaps);
		j = median(v, j - 1, j, j + 1, swaps);
		k = median(v, k - 1, k, k + 1, swaps);
	}
	return b - a >= 8 ? median(v, i, j, k, swaps) : j;
}

/* Nearly sorted: mends at most five places. True: all in order. The shifts are bounded by the ends of the whole array on the left
 * (not by a), as in Go. */
static bool mend(item *v, long a, long b)
{
	long i = a + 1;

	for (int step = 0; step < OUT_OF_ORDER_MAX; step++) {
		while (i < b && !less(v, i, i - 1))
			i++;
		if (i == b)
			return true;
		if (b - a < SHIFT_MIN)
			return false;
		swap(v, i, i - 1);
		if (i - a >= 2)
			for (long j = i - 1; j >= 1 && less(v, j, j - 1); j--)
				swap(v, j, j - 1);
		if (b - i >= 2)
			for (long j = i + 1; j < b && less(v, j, j - 1); j++)
				swap(v, j, j - 1);
	}
	return false;
}

/* Three elements of the middle change places with ones drawn by xorshift, seeded with the length. */
static void scatter(item *v, long a, long b)
{
	long n = b - a, middle = a + n / 4 * 2;
	uint64_t random = (uint64_t)n;
	uint64_t mask;

	if (n < 8)
		return;
	mask = (UINT64_C(1) << (64 - __builtin_clzll((uint64_t)n))) - 1;
	for (long i = middle - 1; i <= middle + 1; i++) {
		long other;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		other = (long)(random & mask);
		swap(v, i, a + (other >= n ? other - n : other));
	}
}

/* Smaller ones, pivot, the others; the pivot's place. *sorted: nothing had to move. */
static long partition(item *v, long a, long b, long pivot, bool *sorted)
{
	long i = a + 1, j = b - 1;

	*sorted = true;
	swap(v, a, pivot);
	for (;;) {
		while (i <= j && less(v, i, a))
			i++;
		while (i <= j && !less(v, j, a))
			j--;
		if (i > j)
			break;
		*sorted = false;
		swap(v, i++, j--);
	}
	swap(v, j, a);
	return j;
}

/* None is below the pivot: those equal to it come first; where the greater ones begin. */
static long partition_equal(item *v, long a, long b, long pivot)
{
	long i = a + 1, j = b - 1;

	swap(v, a, pivot);
	for (;;) {
		while (i <= j && !less(v, a, i))
			i++;
		while (i <= j && less(v, a, j))
			j--;
		if (i > j)
			return i;
		swap(v, i++, j--);
	}
}

static void reverse(item *v, long a, long b)
{
	for (b--; a < b; a++, b--)
		swap(v, a, b);
}

/* limit: so many badly balanced partitions, then heap sort. Recursion goes into the smaller part. */
static void quick(item *v, long a, long b, int limit)
{
	bool balanced = true, partitioned = true;

	while (b - a > INSERTION_MAX) {
		long n = b - a, pivot, mid;
		int swaps;
		bool rising;

		if (!limit) {
			heap(v, a, b);
			return;
		}
		if (!balanced) {
			scatter(v, a, b);
			limit--;
		}
		pivot = pivot_choose(v, a, b, &swaps);
		rising = swaps == 0;
		if (swaps == PIVOT_SWAPS_MAX) {
			reverse(v, a, b);
			pivot = b - 1 - (pivot - a);
			rising = true;
		}
		if (balanced && partitioned && rising && mend(v, a, b))
			return;
		if (a > 0 && !less(v, a - 1, pivot)) {
			a = partition_equal(v, a, b, pivot);
			continue;
		}
		mid = partition(v, a, b, pivot, &partitioned);
		balanced = MIN(mid - a, b - mid) >= n / 8;
		if (mid - a < b - mid) {
			quick(v, a, mid, limit);
			a = mid + 1;
		} else {
			quick(v, mid + 1, b, limit);
			b = mid;
		}
	}
	insertion(v, a, b);
}

void permissions_sort(struct role_permission *p, size_t count)
{
	if (count > 1)
		quick(p, 0, (long)count, 64 - __builtin_clzll(count));
}
