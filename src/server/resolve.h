/* Whether two lists of URLs mean the same addresses, as upstream decides it at the start of a member: as text with canonical IP
 * literals, else with every host but localhost resolved (first address; again each second, 30 s in all). Blocks. */
#ifndef SERVER_RESOLVE_H
#define SERVER_RESOLVE_H

#include "member/member.h"

bool resolve_same_urls(const struct member_urls *a, const struct member_urls *b);

#endif
