#include "apply/apply_impl.h"

enum alarm_action { ALARM_GET = 0, ALARM_ACTIVATE = 1, ALARM_DEACTIVATE = 2 };

err_t apply_alarm(struct apply_in *in)
{
	struct pb_reader r = pb_reader_of(in->body);
	struct pb_field f;
	struct alarm al;
	int32_t action = 0, type = 0;
	uint64_t member = 0;

	while (pb_next(&r, &f)) {
		if (f.wire != PB_VARINT)
			continue;
		if (f.number == 1)
			action = (int32_t)f.value;
		else if (f.number == 2)
			member = f.value;
		else if (f.number == 3)
			type = (int32_t)f.value;
	}
	if (r.failed)
		return ERR_MALFORMED;
	switch (action) {
	case ALARM_GET:
		if (in->resp)
			alarms_encode(in->a->alarms, type, 2, in->resp);
		break;
	case ALARM_ACTIVATE:
		if (alarm_activate(in->a->alarms, member, type, &al) && in->resp)
			alarm_encode(&al, 2, in->resp);
		in->out->effects |= APPLY_ALARMS;
		break;
	case ALARM_DEACTIVATE:
		if (alarm_deactivate(in->a->alarms, member, type, &al) && in->resp)
			alarm_encode(&al, 2, in->resp);
		in->out->effects |= APPLY_ALARMS;
		break;
	default:
		/* Upstream answers nil and goes on: no answer but the header. */
		break;
	}
	apply_header(in);
	return OK;
}
