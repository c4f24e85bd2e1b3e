/* alarm, defrag, move-leader, downgrade. */
#include <inttypes.h>
#include <time.h>

#include "ctl/ctl_impl.h"

/* --- alarm --- */

static const char *alarm_name(Etcdserverpb__AlarmType t)
{
	static const char *const names[] = {"NONE", "NOSPACE", "CORRUPT"};

	return (unsigned)t < ARRAY_COUNT(names) ? names[t] : "UNKNOWN";
}

/* As Go prints a message: what is not its default. */
static void alarm_simple(struct ctl *c, const Etcdserverpb__AlarmMember *m)
{
	if (m->memberid)
		put(c, "memberID:%" PRIu64, m->memberid);
	if (m->alarm)
		put(c, "%salarm:%s", m->memberid ? "  " : "", alarm_name(m->alarm));
	put(c, "\n");
}

static int print_alarms(struct ctl *c, const Etcdserverpb__AlarmResponse *r)
{
	bool done = false;
	int code = EXIT_OK;

	if (c->format == OUT_FIELDS)
		fields_header(c, r->header);
	else
		code = out_plain(c, &r->base, NULL, &done);
	for (size_t i = 0; i < r->n_alarms && !done; i++) {
		if (c->format == OUT_SIMPLE) {
			alarm_simple(c, r->alarms[i]);
			continue;
		}
		fields_id(c, "MemberID", r->alarms[i]->memberid, false);
		out_field(&c->out, "AlarmType", "%s", alarm_name(r->alarms[i]->alarm));
		put(c, "\n");
	}
	return code;
}

RUN(alarm_list)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AlarmRequest req = ETCDSERVERPB__ALARM_REQUEST__INIT;
	Etcdserverpb__AlarmResponse *resp;
	int code;

	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "alarm list command accepts no arguments");
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_ALARM, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	return print_alarms(c, resp);
}

/* All that there are, one by one; what is printed is a response put together from theirs, without a header. */
RUN(alarm_disarm)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AlarmRequest req = ETCDSERVERPB__ALARM_REQUEST__INIT;
	Etcdserverpb__AlarmResponse all = ETCDSERVERPB__ALARM_RESPONSE__INIT;
	Etcdserverpb__AlarmResponse *list, *one;
	VEC(Etcdserverpb__AlarmMember *) gone = {0};
	int code;

	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "alarm disarm command accepts no arguments");
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_ALARM, &req.base, 0, &list))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	req.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
	for (size_t i = 0; i < list->n_alarms && !code; i++) {
		req.memberid = list->alarms[i]->memberid;
		req.alarm = list->alarms[i]->alarm;
		if (!ctl_call(c, RPC_ALARM, &req.base, 0, &one))
			code = ctl_call_failed(c, EXIT_ERROR, "", "");
		for (size_t k = 0; !code && k < one->n_alarms; k++)
			VEC_PUSH(&gone, one->alarms[k]);
	}
	all.alarms = gone.at;
	all.n_alarms = gone.count;
	if (!code)
		code = print_alarms(c, &all);
	VEC_FREE(&gone);
	return code;
}

/* --- defrag --- */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

RUN(defrag)
{
	struct ctl *c = cli->user;
	Etcdserverpb__DefragmentRequest req = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
	Etcdserverpb__DefragmentResponse *resp;
	char took[TEXT_DURATION_SIZE];
	struct endpoints eps;
	int failed = EXIT_OK, code = ctl_setup(c);

	if (!code)
		code = ctl_cluster(c, &eps);
	for (size_t i = 0; !code && i < eps.count; i++) {
		int64_t start;
		bool ok;

		code = ctl_connect_to(c, &eps.at[i], 1);
		if (code)
			break;
		start = now_ns();
		ok = ctl_call(c, RPC_DEFRAGMENT, &req.base, 0, &resp);
		text_duration(took, now_ns() - start);
		if (ok) {
			put(c, "Finished defragmenting etcd member[%s]. took %s\n", eps.at[i], took);
			ctl_flush(c);
			continue;
		}
		fprintf(stderr, "Failed to defragment etcd member[%s]. took %s. (%s)\n", eps.at[i], took,
			ctl_call_error(c));
		failed = EXIT_ERROR;
	}
	return code ? code : failed;
}

/* --- move-leader --- */

/* The endpoint that says that it leads becomes c->client. 0 or exit code. */
static int find_leader(struct ctl *c, uint64_t *leader)
{
	Etcdserverpb__StatusRequest req = ETCDSERVERPB__STATUS_REQUEST__INIT;
	Etcdserverpb__StatusResponse *resp;
	struct buf list;

	for (size_t i = 0; i < c->endpoints.count; i++) {
		int code = ctl_connect_to(c, &c->endpoints.at[i], 1);

		if (code)
			return code;
		if (!ctl_call(c, RPC_STATUS, &req.base, 0, &resp))
			return ctl_call_failed(c, EXIT_ERROR, "", "");
		if (resp->header && resp->header->member_id == resp->leader) {
			*leader = resp->leader;
			return 0;
		}
	}
	buf_init(&list, SIZE_MAX / 2);
	for (size_t i = 0; i < c->endpoints.count; i++)
		buf_printf(&list, "%s%s", i ? " " : "", c->endpoints.at[i]);
	ctl_fail(EXIT_ARGS, "no leader endpoint given at [%.*s]", SLICE_ARG(buf_slice(&list)));
	buf_fini(&list);
	return EXIT_ARGS;
}

RUN(move_leader)
{
	struct ctl *c = cli->user;
	Etcdserverpb__MoveLeaderRequest req = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
	Etcdserverpb__MoveLeaderResponse *resp;
	uint64_t leader = 0;
	struct why why;
	bool done;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "move-leader command needs 1 argument");
	if (ctl_parse_uint(c->args[0], 16, &req.targetid, &why))
		return ctl_fail(EXIT_ARGS, "%s", why.text);
	code = ctl_connect(c);
	if (!code)
		code = find_leader(c, &leader);
	if (code)
		return code;
	if (!ctl_call(c, RPC_MOVE_LEADER, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (c->format == OUT_FIELDS)
		return out_unsupported("fields");
	code = out_plain(c, &resp->base, NULL, &done);
	if (!done)
		put(c, "Leadership transferred from %" PRIx64 " to %" PRIx64 "\n", leader, req.targetid);
	return code;
}

/* --- downgrade --- */

static int downgrade(struct ctl *c, Etcdserverpb__DowngradeRequest__DowngradeAction action, const char *name)
{
	Etcdserverpb__DowngradeRequest req = ETCDSERVERPB__DOWNGRADE_REQUEST__INIT;
	Etcdserverpb__DowngradeResponse *resp;
	bool done;
	int code;

	req.action = action;
	if (action != ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL) {
		if (!c->arg_count)
			return ctl_fail(EXIT_ARGS, "TARGET_VERSION not provided");
		if (c->arg_count > 1)
			return ctl_fail(EXIT_ARGS, "too many arguments");
		if (!c->args[0][0])
			return ctl_fail(EXIT_ARGS, "target version not provided");
		req.version = (char *)c->args[0];
	}
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_DOWNGRADE, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (c->format == OUT_FIELDS)
		return out_unsupported("fields");
	code = out_plain(c, &resp->base, NULL, &done);
	if (!done)
		put(c, "Downgrade %s success, cluster version %s\n", name, resp->version);
	return code;
}

RUN(downgrade_validate)
{
	return downgrade(cli->user, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__VALIDATE, "validate");
}

RUN(downgrade_enable)
{
	return downgrade(cli->user, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE, "enable");
}

RUN(downgrade_cancel)
{
	return downgrade(cli->user, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL, "cancel");
}
