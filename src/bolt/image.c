/* The file as a snapshot sends it, read from a pin. */
#include "bolt/impl.h"

/* Page 0 or 1 of the image. */
static void meta_image(const struct bolt_pin *pin, uint64_t id, uint8_t *page)
{
	struct meta m = pin->meta;

	m.txid -= id;
	meta_write(&m, id, page);
}

err_t bolt_image_read(struct bolt_pin *pin, uint64_t offset, void *out, size_t size)
{
	struct bolt *db = pin->db;
	uint64_t ps = db->page_size;
	uint8_t *at = out, *page = NULL;
	size_t got;
	err_t err = OK;

	ASSERT(size <= bolt_pin_size(pin) && offset <= bolt_pin_size(pin) - size);
	while (size && offset < 2 * ps) {
		size_t from = offset % ps, n = MIN(size, ps - from);

		if (!page)
			page = mem_alloc(ps);
		meta_image(pin, offset / ps, page);
		memcpy(at, page + from, n);
		at += n;
		offset += n;
		size -= n;
	}
	mem_free(page);
	if (size) {
		err = vfs_pread(db->file, offset, at, size, &got);
		if (!err && got < size)
			err = bolt_damage(db, (offset + got) / ps, "the file ends in front of it");
	}
	return err;
}
