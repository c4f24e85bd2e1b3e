/* Alarms: which member has raised which alarm. Replicated through the log, kept in bucket alarm. Pure; core actor only.
 *
 *	alarms_init(&a, &store);  alarms_load(&a, key) for each row;
 *	alarm_activate(&a, member, ALARM_NOSPACE);   when the entry is applied
 *	if (alarm_present(&a, ALARM_CORRUPT)) …
 *
 * An alarm of any member counts for all. Limit: ALARMS_MAX entries, far above what members can raise by themselves;
 * any member id may be given by a client, so the bound matters: beyond it an activation is refused by the caller
 * before it proposes (alarms_full), never at apply, which must be equal on all members. */
#ifndef ALARM_ALARM_H
#define ALARM_ALARM_H

#include "backend/store.h"
#include "base/buf.h"

enum alarm_type { ALARM_NONE = 0, ALARM_NOSPACE = 1, ALARM_CORRUPT = 2 };

#define ALARMS_MAX 4096

struct alarm {
	uint64_t member;
	int32_t type; /* enum alarm_type, or a number that we do not know */
};

struct alarms {
	const struct store *store;
	VEC(struct alarm) list; /* ascending by type, then member */
};

/* store must outlive a. */
void alarms_init(struct alarms *a, const struct store *store);
void alarms_fini(struct alarms *a);
/* Forgets everything, before loading again after a snapshot. */
void alarms_clear(struct alarms *a);
/* One row of bucket alarm (its key; values are empty). ERR_CORRUPT_FILE. */
NODISCARD err_t alarms_load(struct alarms *a, struct slice key);

/* Applied ACTIVATE. Returns true if out is set: the alarm, new or already there. ALARM_NONE: false, nothing happens. */
bool alarm_activate(struct alarms *a, uint64_t member, int32_t type, struct alarm *out);
/* Applied DEACTIVATE: the exact pair. False: it was not set. */
bool alarm_deactivate(struct alarms *a, uint64_t member, int32_t type, struct alarm *out);
bool alarm_present(const struct alarms *a, int32_t type);
bool alarms_full(const struct alarms *a);

/* Those of a type (ALARM_NONE: all) as repeated AlarmMember fields with that number; AlarmResponse has number 2. */
void alarms_encode(const struct alarms *a, int32_t type, uint32_t number, struct buf *out);
/* One AlarmMember as a field. */
void alarm_encode(const struct alarm *al, uint32_t number, struct buf *out);

#endif
