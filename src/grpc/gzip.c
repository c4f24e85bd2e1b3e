/* gzip messages. Inflating is bounded by its output, so that a small body cannot become a large one. */
#include <zlib.h>

#include "grpc/grpc_impl.h"

#define WINDOW_GZIP (15 + 16)
#define INFLATE_FIRST 4096
#define GZIP_HEADER_SIZE 10

struct blob *grpc_gzip(const struct slice *slices, size_t count)
{
	z_stream z = {0};
	size_t total = 0;
	struct blob *b;

	for (size_t i = 0; i < count; i++)
		total += slices[i].size;
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		fatal("out of memory: deflate");
	b = blob_new(deflateBound(&z, total));
	z.next_out = b->data;
	z.avail_out = (uInt)b->size;
	for (size_t i = 0; i < count; i++) {
		z.next_in = (Bytef *)slices[i].data;
		z.avail_in = (uInt)slices[i].size;
		ASSERT(deflate(&z, Z_NO_FLUSH) != Z_STREAM_ERROR && z.avail_in == 0);
	}
	ASSERT(deflate(&z, Z_FINISH) == Z_STREAM_END);
	b->size = z.total_out;
	deflateEnd(&z);
	return b;
}

err_t grpc_gunzip(struct slice in, size_t size_max, struct blob **out)
{
	z_stream z = {0};
	struct buf b;
	err_t err = OK;
	int rc = Z_OK;

	buf_init(&b, size_max + 1);
	if (inflateInit2(&z, WINDOW_GZIP) != Z_OK)
		fatal("out of memory: inflate");
	z.next_in = (Bytef *)in.data;
	z.avail_in = (uInt)in.size;
	while (!err && rc != Z_STREAM_END) {
		size_t before = b.size;
		size_t step = MIN(MAX(b.size, INFLATE_FIRST), size_max + 1 - b.size);

		if (step == 0) {
			err = ERR_TOO_LARGE;
			break;
		}
		z.next_out = buf_add(&b, step);
		z.avail_out = (uInt)step;
		rc = inflate(&z, Z_NO_FLUSH);
		b.size = before + step - z.avail_out;
		if (rc == Z_BUF_ERROR || (rc == Z_DATA_ERROR && in.size < GZIP_HEADER_SIZE))
			err = ERR_CORRUPT_TAIL; /* the input ends early */
		else if (rc != Z_OK && rc != Z_STREAM_END)
			err = ERR_MALFORMED;
	}
	if (!err && b.size > size_max)
		err = ERR_TOO_LARGE;
	if (!err && z.avail_in)
		err = ERR_MALFORMED;
	if (!err)
		*out = blob_copy(buf_slice(&b));
	inflateEnd(&z);
	buf_fini(&b);
	return err;
}
