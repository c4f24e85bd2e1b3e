/* etcdserverpb.Cluster: what a cluster of one serves. */
#include "api/api_impl.h"

static void member_list_serve(struct api_rpc *r)
{
	struct node *n = r->io->node;
	const struct publication *p;
	struct response_header h;
	struct slice parts[2];
	struct buf header;

	if (r->call.err) {
		api_fail(r, r->call.err);
		return;
	}
	p = node_view(n);
	h = node_header(n, p);
	h.revision = 0;                                 /* Cluster answers never have one */
	buf_init(&header, 128);
	response_header_encode(&h, 1, &header);
	parts[0] = buf_slice(&header);
	parts[1] = blob_slice(p->members);
	api_send(r, parts, 2);
	node_leave(n);
	buf_fini(&header);
	api_done(r);
}

static void member_list_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct pb_field f;
	bool linearizable = false;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			linearizable = f.value != 0;
	blob_unref(take_body);
	r->call.err = OK;
	if (rd.failed)
		api_fail(r, ERR_MALFORMED);
	else if (linearizable)
		api_linearizable(r, member_list_serve);
	else
		member_list_serve(r);
}

const struct api_row member_list_row = {.name = "MemberList", .message = member_list_message};
