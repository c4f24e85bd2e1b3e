/* Users and roles as the log makes them, naively: a few names and keys, bits for all else. Part of the model (model.h); in worlds
 * with knob `rights` clients are users, named by their certificates, and what they may is judged with this.
 *
 *	users    u0..u3 and root         roles    r0..r3 and root
 *	keys     k0..k9: key i is the points 2i (itself) and 2i + 1 (what lies behind it), the last point is all from "l" on
 *
 * A role has at most one permission for a key, whose end the key's number says (rights_end): so the order in which upstream keeps
 * permissions, which is not stable, shows nowhere. */
#ifndef TESTS_SIM_RIGHTS_H
#define TESTS_SIM_RIGHTS_H

#include "pb/rpc.h"

enum { RIGHTS_ROOT = 4, RIGHTS_NOBODY = 5, RIGHTS_NAMES = 5, RIGHTS_KEYS = 10 };
enum { RIGHTS_READ = 1, RIGHTS_WRITE = 2 };

struct rights {
	bool enabled;
	uint64_t revision;
	struct {
		bool exists;
		uint8_t roles;          /* bits */
	} users[RIGHTS_NAMES];
	struct {
		bool exists;
		uint8_t perms[RIGHTS_KEYS];     /* bits of RIGHTS_READ, RIGHTS_WRITE; 0: none */
	} roles[RIGHTS_NAMES];
};

/* Of a user; NULL: nobody's. */
const char *rights_user(unsigned who);
/* Of that name; RIGHTS_NOBODY: the name is empty. */
unsigned rights_who(struct slice user);
/* Empty: the permission for key i is for it alone. */
struct slice rights_end(unsigned key);

void rights_init(struct rights *r);
/* One applied request about users and roles, by who. False: it is none of those. */
bool rights_apply(struct rights *r, const struct internal_req *q, err_t *err);

/* May who, whose right was looked at in that revision, do it? revision 0: now. */
err_t rights_range(const struct rights *r, unsigned who, uint64_t revision, unsigned right, struct slice key, struct slice end);
bool rights_is_root(const struct rights *r, unsigned who);

#endif
