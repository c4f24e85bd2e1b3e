/* ETCD_ROOT_PASSWORD: the first start of a cluster makes user root with it and enables authentication, before any client is served.
 *
 *	struct root_password pw;
 *	root_password_take(environ, &pw);               first of all in main: nobody else meets it there
 *	root_password_use(&pw, node, cost, &why);       between node_open and node_start
 *
 * The text lives from the one to the other, in pw alone. main thread only. */
#ifndef SERVER_ROOT_PASSWORD_H
#define SERVER_ROOT_PASSWORD_H

#include "auth/password.h"
#include "base/err.h"
#include "node/node.h"

struct root_password {
	size_t size;                            /* 0: none was set, or an empty one */
	uint8_t text[AUTH_PASSWORD_SIZE_MAX + 1];
};

/* Takes the variable out of the environment and overwrites it where it stood, which is what /proc/PID/environ shows. */
void root_password_take(char **environ_, struct root_password *out);
/* Tells the node (node_secure), unless there is no password or authentication is enabled; wipes pw. cost outside of bcrypt's: its preset.
 * ERR_INVALID: longer than 72 bytes, or no UTF-8: no client could log in with it. */
NODISCARD err_t root_password_use(struct root_password *take_pw, struct node *n, uint32_t cost, struct why *why);

#endif
