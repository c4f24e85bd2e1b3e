/* Calls made by calls: the sink of the inner one keeps its answer for the outer one. */
#include "api/api_impl.h"

static bool is_stream(const struct api_part *p)
{
	return p->message != NULL;
}

static bool part_send(void *sink, const struct slice *parts, size_t count)
{
	struct api_part *p = sink;

	buf_clear(&p->answer);
	for (size_t i = 0; i < count; i++)
		buf_put_slice(&p->answer, parts[i]);
	return !is_stream(p) || p->message(p->owner);
}

static void part_send_begin(void *sink, size_t total)
{
	buf_clear(&((struct api_part *)sink)->answer);
}

static bool part_send_part(void *sink, struct slice part)
{
	buf_put_slice(&((struct api_part *)sink)->answer, part);
	return true;
}

static bool part_writable(void *sink)
{
	struct api_part *p = sink;

	return !is_stream(p) || (api_alive(p->owner) && p->owner->ops->writable(p->owner->sink));
}

static size_t part_unsent(void *sink)
{
	return 0;
}

static void part_read_pause(void *sink, bool paused)
{
}

static void part_finish(void *sink, err_t err, const char *text)
{
	struct api_part *p = sink;

	p->inner = NULL;
	p->done(p->owner, err, text ? text : err_text(err));
}

static const struct api_sink_ops part_ops = {
	.send = part_send,
	.send_begin = part_send_begin,
	.send_part = part_send_part,
	.writable = part_writable,
	.unsent = part_unsent,
	.read_pause = part_read_pause,
	.finish = part_finish,
};

void api_part_init(struct api_part *p, struct api_rpc *owner)
{
	*p = (struct api_part){.owner = owner};
	buf_init(&p->answer, API_RESP_MAX);
}

void api_part_fini(struct api_part *p)
{
	buf_fini(&p->answer);
}

void api_part_open(struct api_part *p, enum rpc m, struct buf *take_request, bool (*message)(struct api_rpc *owner),
		   void (*done)(struct api_rpc *owner, err_t err, const char *text))
{
	struct api_meta meta = p->owner->meta;
	struct blob *body = blob_copy(buf_slice(take_request));

	ASSERT(!p->inner && !buf_failed(take_request));
	meta.internal = true;
	ASSERT(!meta.as_root);
	meta.trace = p->owner->trace;
	meta.has_leader = false;        /* was looked at when the outer call came */
	p->done = done;
	p->message = message;
	buf_clear(&p->answer);
	buf_fini(take_request);
	p->inner = api_begin(p->owner->io, m, &part_ops, p, &meta);
	api_message(p->inner, body);
}

void api_part_call(struct api_part *p, enum rpc m, struct buf *take_request, void (*done)(struct api_rpc *owner, err_t err, const char *text))
{
	api_part_open(p, m, take_request, NULL, done);
}

void api_part_writable(struct api_part *p)
{
	if (p->inner)
		api_writable(p->inner);
}

void api_part_stop(struct api_part *p)
{
	struct api_rpc *inner = p->inner;

	p->inner = NULL;
	if (inner)
		api_cancel(inner);
}
