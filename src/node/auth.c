/* Who may: the parts of the node around src/auth. Writes are judged when they are applied (src/apply), reads in the publication they
 * are answered from (src/api); here are the questions that core answers itself, all about leases. */
#include "node/node_impl.h"

enum { TOKENS_EXPIRE_EVERY_NS = 1000000000 };

void core_auth_loaded(struct node *n)
{
	auth_loaded(n->auth);
	if (n->tokens && auth_state(n->auth)->enabled)
		tokens_enable(n->tokens);
	metric_set(METRIC_DEBUGGING_AUTH_REVISION, auth_state(n->auth)->revision);
	n->changed = true;
}

void core_auth_changed(struct node *n)
{
	metric_set(METRIC_DEBUGGING_AUTH_REVISION, auth_state(n->auth)->revision);
	n->changed = true;
}

void core_auth_tick(struct node *n, uint64_t now_ns)
{
	if (!n->tokens || now_ns < n->next_token_expire_ns)
		return;
	n->next_token_expire_ns = now_ns + TOKENS_EXPIRE_EVERY_NS;
	tokens_expire(n->tokens, now_ns);
}

void node_random(struct node *n, void *out, size_t size)
{
	n->cfg.hooks.random(n->cfg.hooks.arg, out, size);
}

struct tokens *node_tokens(struct node *n)
{
	return n->tokens;
}

/* What upstream asks of lists, renewals and times to live (v3_server.go checkLease*): another member has asked its client already. */
err_t core_lease_permitted(struct node *n, const struct call *c, int64_t lease, enum auth_right right)
{
	struct auth_leases leases = apply_auth_leases(n->lessor);
	const struct auth_state *s = auth_state(n->auth);
	err_t err = c->local ? OK : auth_check_user(s, &c->who);

	return err || c->local ? err : auth_check_lease(s, &c->who, &leases, lease, right);
}

err_t core_lease_list_permitted(struct node *n, const struct call *c)
{
	const struct auth_state *s = auth_state(n->auth);
	err_t err = auth_check_user(s, &c->who);
	int64_t *ids;
	size_t count;

	if (err || auth_check_admin(s, &c->who) == OK)
		return err;
	count = lease_list(n->lessor, &ids);
	for (size_t i = 0; !err && i < count; i++)
		err = core_lease_permitted(n, c, ids[i], AUTH_READ);
	mem_free(ids);
	return err;
}
