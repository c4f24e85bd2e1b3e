/* --auth-token made into what makes and takes tokens. Private to src/server. */
#ifndef SERVER_TOKENS_H
#define SERVER_TOKENS_H

#include "auth/token.h"
#include "server/config.h"

/* Reads key files. *out NULL unless kind is TOKEN_JWT; the caller's, jwt_close. ERR_INVALID with upstream's words. */
NODISCARD err_t tokens_configure(const struct config *cfg, struct why *why, enum token_kind *kind, struct jwt **out);

#endif
