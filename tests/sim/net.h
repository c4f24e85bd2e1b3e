/* Private to the world: the network's end of a site. */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "world.h"

enum { NET_MSG_ASKED = 3000 };

/* While from opens: the rest of the world goes on until the answer is there. */
void net_ask_now(struct site *from, struct member_question *q);
void net_asked(struct site *s, struct msg *m);          /* on the site's io actor */

#endif
