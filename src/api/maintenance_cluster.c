/* etcdserverpb.Maintenance of clusters: MoveLeader, Downgrade. */
#include "api/api_impl.h"

#include <stdio.h>

#include "obs/log.h"
#include "pb/pbc.h"

/* ---- MoveLeader: an empty answer ---- */

static void moved(struct api_rpc *r)
{
	struct slice none = {0};

	if (r->call.err)
		api_fail(r, r->call.err);
	else
		api_reply(r, &none, 1);
}

/* {targetID 1} */
static void move_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct pb_field f;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			r->call.member_id = f.value;
	blob_unref(take_body);
	if (rd.failed)
		api_fail(r, ERR_MALFORMED);
	else
		api_call(r, CALL_TRANSFER, moved);
}

const struct api_row move_leader_row = {.name = "MoveLeader", .message = move_message, .permit_first = true};

/* ---- Downgrade: a linearizable look at the cluster, then DowngradeInfoSet through the log ---- */

enum action { VALIDATE = 0, ENABLE = 1, CANCEL = 2 };

struct downgrading {
	enum action action;
	struct version target;
};

static void downgrade_drop(struct api_rpc *r)
{
	mem_free(r->state);
	r->state = NULL;
}

/* version: the cluster's of now, without the patch, whatever the target is. */
static void downgrade_reply(struct api_rpc *r)
{
	const struct publication *p = node_view(r->io->node);
	struct response_header h = node_header(r->io->node, p);
	struct version v;
	char text[32] = "";
	struct slice msg;
	struct buf out;

	if (!version_parse(slice_str(p->cluster_version), &v))
		snprintf(text, sizeof(text), "%u.%u", v.major, v.minor);
	node_leave(r->io->node);
	buf_init(&out, 1024);
	response_header_encode(&h, 1, &out);
	pb_put_bytes(&out, 2, slice_str(text));
	msg = buf_slice(&out);
	api_reply(r, &msg, 1);
	buf_fini(&out);
}

static void downgrade_set(struct api_rpc *r)
{
	struct downgrading *d = r->state;

	if (r->call.err && d->action == CANCEL)
		LOG_ERROR("failed to cancel downgrade", LOG_ERR(r->call.err));
	if (r->call.err && d->action != CANCEL)
		api_fail(r, r->call.err);
	else
		downgrade_reply(r);
}

/* DowngradeInfoSetRequest {enabled 1, ver 2} */
static void downgrade_propose(struct api_rpc *r)
{
	struct downgrading *d = r->state;
	char text[40];
	struct buf body;

	buf_init(&body, 128);
	if (d->action == ENABLE) {
		snprintf(text, sizeof(text), "%u.%u.0", d->target.major, d->target.minor);
		pb_put_uint(&body, 1, 1);
		pb_put_bytes(&body, 2, slice_str(text));
	}
	api_propose(r, REQ_DOWNGRADE_INFO_SET, buf_slice(&body), downgrade_set);
	buf_fini(&body);
}

static err_t downgrade_judge(const struct publication *p, const struct downgrading *d)
{
	struct version cluster;

	if (d->action == CANCEL)
		return p->downgrade.enabled ? OK : ERR_NO_INFLIGHT_DOWNGRADE;
	if (version_parse(slice_str(p->cluster_version), &cluster))
		return ERR_CLUSTER_VERSION_UNAVAILABLE;
	if (d->target.major != cluster.major || d->target.minor + 1 != cluster.minor)
		return ERR_INVALID_DOWNGRADE_TARGET_VERSION;
	return p->downgrade.enabled ? ERR_DOWNGRADE_IN_PROCESS : OK;
}

static void downgrade_look(struct api_rpc *r)
{
	struct downgrading *d = r->state;
	err_t err = r->call.err;

	if (!err) {
		err = downgrade_judge(node_view(r->io->node), d);
		node_leave(r->io->node);
	}
	if (err && d->action == CANCEL) {
		LOG_ERROR("failed to cancel downgrade", LOG_ERR(err));
		downgrade_reply(r);
	} else if (err) {
		LOG_WARN("reject downgrade request", LOG_ERR(err));
		api_fail(r, err);
	} else if (d->action == VALIDATE) {
		downgrade_reply(r);
	} else {
		downgrade_propose(r);
	}
}

/* {action 1, version 2} */
static void downgrade_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct downgrading *d = NEW(struct downgrading);
	struct slice text = {0};
	struct pb_field f;
	int32_t action = 0;
	err_t err = pb_validate(rpc_methods[r->method].request, blob_slice(take_body));

	r->state = d;
	while (!err && pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			action = (int32_t)f.value;
		else if (f.number == 2 && f.wire == PB_BYTES)
			text = f.bytes;
	if (!err && (action < VALIDATE || action > CANCEL))
		err = ERR_UNKNOWN_ACTION;
	if (!err && action != CANCEL && version_parse(text, &d->target))
		err = ERR_WRONG_DOWNGRADE_VERSION_FORMAT;
	d->action = (enum action)action;
	blob_unref(take_body);
	if (err)
		api_fail(r, err);
	else
		api_linearizable(r, downgrade_look);
}

const struct api_row downgrade_row = {.name = "Downgrade", .message = downgrade_message, .permit_first = true, .drop = downgrade_drop};
