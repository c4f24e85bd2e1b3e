#include "env/mem_node.h"

#include <sys/mman.h>

#include "base/crc.h"

#define PAGE 4096u
#define REGION_MAX ((uint64_t)64 << 30)

static uint64_t page_up(uint64_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

struct mem_node *mem_node_new(struct list *all, bool is_dir, uint32_t mode)
{
	struct mem_node *n = NEW(struct mem_node);

	n->refs = 1;
	n->is_dir = is_dir;
	n->mode = mode;
	list_push_back(all, &n->link);
	return n;
}

void mem_node_ref(struct mem_node *n)
{
	n->refs++;
}

void mem_node_unref(struct mem_node *n)
{
	if (!n || --n->refs > 0)
		return;
	for (size_t i = 0; i < n->names.count; i++) {
		mem_free(n->names.at[i].name);
		mem_node_unref(n->names.at[i].node);
	}
	VEC_FREE(&n->names);
	VEC_FREE(&n->undo);
	mem_free(n->slots);
	if (n->mapped)
		munmap(n->data, n->region_bytes);
	else
		mem_free(n->data);
	list_remove(&n->link);
	mem_free(n);
}

/* First position whose name is >= name. */
static size_t dir_seek(const struct mem_node *dir, const char *name)
{
	size_t from = 0, to = dir->names.count;

	while (from < to) {
		size_t mid = (from + to) / 2;

		if (strcmp(dir->names.at[mid].name, name) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

struct mem_node *mem_dir_get(const struct mem_node *dir, const char *name)
{
	size_t i = dir_seek(dir, name);

	return i < dir->names.count && strcmp(dir->names.at[i].name, name) == 0 ? dir->names.at[i].node : NULL;
}

void mem_dir_set(struct mem_node *dir, const char *name, struct mem_node *node)
{
	size_t i = dir_seek(dir, name);
	bool there = i < dir->names.count && strcmp(dir->names.at[i].name, name) == 0;

	if (node)
		mem_node_ref(node);
	if (there) {
		mem_node_unref(dir->names.at[i].node);
		dir->names.at[i].node = node;
		if (node)
			return;
		mem_free(dir->names.at[i].name);
		dir->names.count--;
		memmove(dir->names.at + i, dir->names.at + i + 1, (dir->names.count - i) * sizeof(*dir->names.at));
	} else if (node) {
		VEC_RESERVE(&dir->names, dir->names.count + 1);
		memmove(dir->names.at + i + 1, dir->names.at + i, (dir->names.count - i) * sizeof(*dir->names.at));
		dir->names.at[i] = (struct mem_name){mem_strdup(name), node};
		dir->names.count++;
	}
}

static size_t slot_of(const struct mem_node *n, uint64_t sector)
{
	size_t i = (size_t)hash64(0, &sector, sizeof(sector)) & (n->slot_count - 1);

	while (n->slots[i] && n->undo.at[n->slots[i] - 1].sector != sector)
		i = (i + 1) & (n->slot_count - 1);
	return i;
}

static void undo_index(struct mem_node *n, size_t slot_count)
{
	mem_free(n->slots);
	n->slots = NEW_ARRAY(uint32_t, slot_count);
	n->slot_count = slot_count;
	for (size_t i = 0; i < n->undo.count; i++)
		n->slots[slot_of(n, n->undo.at[i].sector)] = (uint32_t)i + 1;
}

static void sector_read(const struct mem_node *n, uint64_t sector, uint8_t *out)
{
	uint64_t at = sector * MEM_SECTOR;
	uint64_t left = at < n->room_bytes ? n->room_bytes - at : 0;
	size_t size = (size_t)MIN(left, (uint64_t)MEM_SECTOR);

	memset(out, 0, MEM_SECTOR);
	if (size)
		memcpy(out, n->data + at, size);
}

/* Whether a sector written before the power went reached the disk. */
static bool survives(const struct mem_node *n, struct rng *rng)
{
	return n->fate == MEM_FATE_KEPT || (n->fate == MEM_FATE_TORN && rng_below(rng, 2));
}

/* Called before the sector changes. */
static void undo_save(struct mem_node *n, struct rng *rng, uint64_t sector)
{
	bool off = n->fate != MEM_FATE_NONE;
	struct mem_undo *u;
	size_t slot;

	if (n->undo.count * 2 >= n->slot_count)
		undo_index(n, MAX(n->slot_count * 2, (size_t)16));
	slot = slot_of(n, sector);
	if (n->slots[slot]) {
		u = &n->undo.at[n->slots[slot] - 1];
		if (off && !u->stuck && survives(n, rng))
			sector_read(n, sector, u->before);
		u->stuck = off;
		return;
	}
	VEC_RESERVE(&n->undo, n->undo.count + 1);
	u = &n->undo.at[n->undo.count++];
	u->sector = sector;
	u->stuck = off;
	sector_read(n, sector, u->before);
	n->slots[slot] = (uint32_t)n->undo.count;
}

static void undo_save_range(struct mem_node *n, struct rng *rng, uint64_t from, uint64_t end)
{
	for (uint64_t s = from / MEM_SECTOR; s * MEM_SECTOR < end; s++)
		undo_save(n, rng, s);
}

/* Makes [0, size) accessible; new bytes are zero. */
static err_t room(struct mem_node *n, uint64_t size)
{
	uint64_t want = page_up(size);

	if (want <= n->room_bytes)
		return OK;
	if (n->mapped) {
		if (want > n->region_bytes)
			return ERR_DISK_FULL;
		if (mprotect(n->data, want, PROT_READ | PROT_WRITE) != 0)
			fatal("memory disk: cannot open %llu bytes of a region", (unsigned long long)want);
	} else {
		want = MAX(want, n->room_bytes * 2);
		n->data = mem_realloc(n->data, want);
		memset(n->data + n->room_bytes, 0, want - n->room_bytes);
	}
	n->room_bytes = want;
	return OK;
}

/* A mapping ends where its file does, as a real one (there SIGBUS, here SIGSEGV). */
static void room_close(struct mem_node *n)
{
	uint64_t end = page_up(n->size_bytes);

	if (!n->mapped || end >= n->room_bytes)
		return;
	madvise(n->data + end, n->room_bytes - end, MADV_DONTNEED);
	mprotect(n->data + end, n->room_bytes - end, PROT_NONE);
	n->room_bytes = end;
}

void mem_file_read(const struct mem_node *n, uint64_t offset, void *out, size_t size, size_t *got)
{
	uint64_t left = offset < n->size_bytes ? n->size_bytes - offset : 0;
	uint64_t held = offset < n->room_bytes ? n->room_bytes - offset : 0;

	size = (size_t)MIN((uint64_t)size, left);
	held = MIN(held, size);
	if (held)
		memcpy(out, n->data + offset, held);
	if (size > held)
		memset((uint8_t *)out + held, 0, size - held);
	*got = size;
}

err_t mem_file_write(struct mem_node *n, struct rng *rng, uint64_t offset, const void *data, size_t size)
{
	uint64_t end = offset + size;
	err_t err;

	if (size == 0)
		return OK;
	err = room(n, n->mapped ? MAX(end, n->size_bytes) : end);
	if (err)
		return err;
	undo_save_range(n, rng, offset, end);
	memcpy(n->data + offset, data, size);
	n->size_bytes = MAX(n->size_bytes, end);
	n->data_end = MAX(n->data_end, end);
	return OK;
}

void mem_file_spoil(struct mem_node *n, uint64_t offset, uint64_t size)
{
	uint64_t end = MIN(offset + size, n->data_end);

	if (n->fate == MEM_FATE_NONE && offset < end)
		memset(n->data + offset, 0xdb, (size_t)(end - offset));
}

err_t mem_file_resize(struct mem_node *n, struct rng *rng, uint64_t size)
{
	if (n->mapped && size > n->size_bytes) {
		err_t err = room(n, size);

		if (err)
			return err;
	}
	if (size < n->data_end) {
		undo_save_range(n, rng, size, n->data_end);
		memset(n->data + size, 0, n->data_end - size);
		n->data_end = size;
	}
	n->size_bytes = size;
	room_close(n);
	return OK;
}

static void undo_drop(struct mem_node *n, bool stuck_too)
{
	size_t kept = 0, slot_count = 16;

	for (size_t i = 0; i < n->undo.count && !stuck_too; i++)
		if (n->undo.at[i].stuck)
			n->undo.at[kept++] = n->undo.at[i];
	n->undo.count = kept;
	while (slot_count < kept * 4)
		slot_count *= 2;
	undo_index(n, slot_count);
}

void mem_file_sync(struct mem_node *n)
{
	if (n->fate != MEM_FATE_NONE)
		return;
	undo_drop(n, false);
	n->durable_size = n->size_bytes;
}

void mem_file_sync_fails(struct mem_node *n, struct rng *rng)
{
	if (n->fate != MEM_FATE_NONE)
		return;
	for (size_t i = 0; i < n->undo.count; i++)
		n->undo.at[i].stuck |= rng_below(rng, 2);
}

err_t mem_file_map(struct mem_node *n, uint64_t reserve, const uint8_t **out, uint64_t *reserved)
{
	uint64_t want = page_up(MAX(MIN(reserve, REGION_MAX), n->size_bytes));

	if (n->mapped) {
		*out = n->data;
		*reserved = n->region_bytes;
		return OK;
	}
	for (; want > 0 && want >= n->size_bytes; want = page_up(want / 2)) {
		uint8_t *at = mmap(NULL, want, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		uint8_t *old = n->data;
		uint64_t old_bytes = MIN(n->room_bytes, page_up(n->size_bytes));
		err_t err;

		if (at == MAP_FAILED && want > PAGE)
			continue;
		if (at == MAP_FAILED)
			break;
		n->data = at;
		n->mapped = true;
		n->region_bytes = want;
		n->room_bytes = 0;
		err = room(n, n->size_bytes);
		ASSERT(!err);
		if (old_bytes)
			memcpy(at, old, old_bytes);
		mem_free(old);
		*out = at;
		*reserved = want;
		return OK;
	}
	return ERR_IO;
}

void mem_file_power_off(struct mem_node *n, struct rng *rng)
{
	n->fate = MEM_FATE_KEPT + (enum mem_fate)rng_below(rng, 3);
	n->fate_size = n->fate == MEM_FATE_KEPT || (n->fate == MEM_FATE_TORN && rng_below(rng, 2)) ? n->size_bytes
												   : n->durable_size;
}

static void rot(struct mem_node *n, struct rng *rng, uint64_t sector)
{
	uint64_t at = sector * MEM_SECTOR;

	if (at + MEM_SECTOR > n->data_end || rng_below(rng, 1000) >= n->rot_per_mille)
		return;
	for (size_t i = 0; i < MEM_SECTOR; i++)
		n->data[at + i] = (uint8_t)rng_next(rng);
}

void mem_file_restart(struct mem_node *n, struct rng *rng)
{
	for (size_t i = 0; i < n->undo.count; i++) {
		struct mem_undo *u = &n->undo.at[i];
		uint64_t at = u->sector * MEM_SECTOR;
		err_t err;

		if (!u->stuck && survives(n, rng)) {
			if (n->rot_per_mille)
				rot(n, rng, u->sector);
			continue;
		}
		err = room(n, at + MEM_SECTOR);
		ASSERT(!err);
		memcpy(n->data + at, u->before, MEM_SECTOR);
		n->data_end = MAX(n->data_end, at + MEM_SECTOR);
	}
	undo_drop(n, true);
	n->size_bytes = n->fate_size;
	if (n->data_end > n->size_bytes) {
		memset(n->data + n->size_bytes, 0, n->data_end - n->size_bytes);
		n->data_end = n->size_bytes;
	}
	if (n->mapped) {
		err_t err = room(n, n->size_bytes);

		ASSERT(!err);
	}
	room_close(n);
	n->durable_size = n->size_bytes;
	n->fate = MEM_FATE_NONE;
	n->rot_per_mille = 0;
	n->lock_owner[0] = n->lock_owner[1] = NULL;
	n->lock_shared = 0;
}
