/* The method table: a hash of full paths, built once, read by all loops. */
#include "base/crc.h"
#include "grpc/grpc_impl.h"

static uint64_t path_hash(struct slice path)
{
	return hash64(0x67525043, path.data, path.size) | 1;
}

static void insert(struct grpc_server *g, const struct grpc_method *m)
{
	struct grpc_entry e = {.path = mem_printf("/%s/%s", m->service, m->name), .method = m};
	uint32_t i;

	e.hash = path_hash(slice_str(e.path));
	for (i = (uint32_t)e.hash & g->mask; g->table[i].hash; i = (i + 1) & g->mask)
		ASSERT(strcmp(g->table[i].path, e.path) != 0);
	g->table[i] = e;
}

struct grpc_server *grpc_server_new(const struct grpc_opts *opts)
{
	struct grpc_server *g = NEW(struct grpc_server);
	uint32_t size = 16;

	g->opts = *opts;
	while (size < opts->method_count * 4)
		size *= 2;
	g->mask = size - 1;
	g->table = NEW_ARRAY(struct grpc_entry, size);
	for (size_t i = 0; i < opts->method_count; i++) {
		ASSERT(opts->methods[i].handler && opts->methods[i].handler->on_message);
		insert(g, &opts->methods[i]);
	}
	return g;
}

void grpc_server_free(struct grpc_server *g)
{
	if (!g)
		return;
	for (uint32_t i = 0; i <= g->mask; i++)
		mem_free(g->table[i].path);
	mem_free(g->table);
	mem_free(g);
}

const struct grpc_method *grpc_lookup(const struct grpc_server *g, struct slice path)
{
	uint64_t hash = path_hash(path);

	for (uint32_t i = (uint32_t)hash & g->mask; g->table[i].hash; i = (i + 1) & g->mask)
		if (g->table[i].hash == hash && slice_eq(slice_str(g->table[i].path), path))
			return g->table[i].method;
	return NULL;
}

bool grpc_service_known(const struct grpc_server *g, struct slice service)
{
	for (size_t i = 0; i < g->opts.method_count; i++)
		if (slice_eq(slice_str(g->opts.methods[i].service), service))
			return true;
	return false;
}

struct grpc_io *grpc_io_new(struct grpc_server *g, struct http_io *io, void *user, void *stats_arg)
{
	struct grpc_io *gio = NEW(struct grpc_io);

	gio->server = g;
	gio->io = io;
	gio->user = user;
	gio->stats_arg = stats_arg;
	return gio;
}

void grpc_io_free(struct grpc_io *gio)
{
	if (!gio)
		return;
	for (size_t i = 0; i < gio->slots.count; i++) {
		ASSERT(!gio->slots.at[i]->active);
		mem_free(gio->slots.at[i]);
	}
	VEC_FREE(&gio->slots);
	mem_free(gio);
}

void *grpc_io_user(struct grpc_io *gio)
{
	return gio->user;
}

static bool is_grpc_type(struct slice type)
{
	struct slice base = SLICE_LIT("application/grpc");

	return slice_has_prefix(type, base) &&
	       (type.size == base.size || type.data[base.size] == '+' || type.data[base.size] == ';');
}

bool grpc_is(const struct http_req *r)
{
	struct slice type;

	return r->is_http2 && http_header_get(r, SLICE_LIT("content-type"), &type) && is_grpc_type(type);
}

const struct http_handler *grpc_accept(struct grpc_io *gio, struct http_req *r)
{
	ASSERT(r->is_http2);
	r->user = gstream_new(gio, r);
	return &grpc_http_handler;
}
