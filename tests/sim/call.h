/* Private to the world: the site's end of calls. */
#ifndef TESTS_SIM_CALL_H
#define TESTS_SIM_CALL_H

#include "world.h"

enum { CALL_MSG_FIRST = 2000, CALL_BEGIN = CALL_MSG_FIRST, CALL_SEND, CALL_READ_ONE, CALL_READ_PART, CALL_CANCEL };

void call_receive(struct site *s, struct msg *m);       /* on the site's io actor */
void call_answered(struct msg *m);                      /* on the world's actor */
void calls_free(struct world *w);

#endif
