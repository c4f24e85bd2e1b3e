/* Roles, for the commands of users as well. */
#ifndef CTL_ROLE_H
#define CTL_ROLE_H

#include "ctl/ctl_impl.h"

/* What a role may do, in any form. 0 or exit code. */
int role_print(struct ctl *c, const char *name, const Etcdserverpb__AuthRoleGetResponse *r);
/* A call whose response is a header; text is the line of simple form. 0 or exit code. */
int auth_change(struct ctl *c, enum rpc rpc, const ProtobufCMessage *req, const char *text);

#endif
