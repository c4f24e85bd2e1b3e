/* /health, /livez, /readyz: spec http-endpoints.md. */
#include "api/web_impl.h"

#include "obs/log.h"
#include "obs/metric.h"

static const char TEXT_PLAIN[] = "text/plain; charset=utf-8";

/* ---- /health ---- */

static void health_answer(struct web_req *w, const char *reason, const char *detail)
{
	struct buf b;

	buf_init(&b, 4096);
	if (!reason) {
		metric_add(METRIC_SERVER_HEALTH_SUCCESS, 1);
		web_reply(w, 200, TEXT_PLAIN, SLICE_LIT("{\"health\":\"true\",\"reason\":\"\"}"), false);
		return;
	}
	metric_add(METRIC_SERVER_HEALTH_FAILURES, 1);
	buf_printf(&b, "{\"health\":\"false\",\"reason\":\"%s%s\"}", reason, detail);
	{
		char *text = mem_printf("%.*s", SLICE_ARG(buf_slice(&b)));

		LOG_WARN("/health error", LOG_STR("output", text), LOG_INT("status-code", 503));
		mem_free(text);
	}
	buf_put_byte(&b, '\n');
	web_reply(w, 503, TEXT_PLAIN, buf_slice(&b), true);
	buf_fini(&b);
}

static void health_read(struct web_req *w, err_t err)
{
	if (err)
		LOG_WARN("serving /health false; Range fails", LOG_ERR(err));
	health_answer(w, err ? "RANGE ERROR:" : NULL, err ? err_text(err) : "");
}

static bool excluded(struct web_req *w, const char *name)
{
	struct slice v;
	size_t at = 0;

	while (web_query_next(w, "exclude", &at, &v))
		if (slice_eq(v, slice_str(name)))
			return true;
	return false;
}

void web_health(struct web_req *w)
{
	const struct publication *p;
	const char *reason = NULL;
	struct slice v = {0};
	size_t at = 0;
	bool serializable;

	if (!w->is_get) {
		web_wrong_method(w, "GET");
		return;
	}
	serializable = web_query_next(w, "serializable", &at, &v) && slice_eq(v, SLICE_LIT("true"));
	p = node_view(w->io->node);
	if (p->alarm_nospace && !excluded(w, "NOSPACE"))
		reason = "ALARM NOSPACE";
	else if (p->alarm_corrupt && !excluded(w, "CORRUPT"))
		reason = "ALARM CORRUPT";
	else if (!p->leader && !serializable)
		reason = "RAFT NO LEADER";
	else if (!node_secured(w->io->node))
		reason = "AUTH NOT ENABLED";            /* ours; only where a root password was given, and only until it is done */
	node_leave(w->io->node);
	if (reason)
		health_answer(w, reason, "");
	else
		web_probe(w, serializable, health_read);
}

/* ---- /livez, /readyz ---- */

/* The last one is ours, and there only while the member waits for authentication (node_secure). */
enum check { CHECK_CORRUPTION, CHECK_SERIALIZABLE, CHECK_LINEARIZABLE, CHECK_LEARNER, CHECK_SECURED, CHECK_COUNT };

static const char *const check_names[] = {"data_corruption", "serializable_read", "linearizable_read", "non_learner", "auth_enabled"};

struct checks {
	bool ready;
	bool wanted[CHECK_COUNT];
	bool failed[CHECK_COUNT];
	const char *reason[CHECK_COUNT];
	unsigned next;
};

void web_health_drop(struct web_req *w)
{
	mem_free(w->state);
	w->state = NULL;
}

static void checks_count(const struct checks *c, enum check i)
{
	const char *type = c->ready ? "readyz" : "livez";

	if (i == CHECK_SECURED)                 /* never asked again once it succeeds: a gauge would stay at its failure */
		return;
	metric_set(metric_series(METRIC_SERVER_HEALTHCHECK, (const char *[]){check_names[i], type}), !c->failed[i]);
	metric_add(metric_series(METRIC_SERVER_HEALTHCHECKS_TOTAL, (const char *[]){check_names[i], c->failed[i] ? "error" : "success", type}), 1);
}

static void checks_answer(struct web_req *w)
{
	struct checks *c = w->state;
	bool failed = false;
	struct buf b;

	buf_init(&b, 8192);
	for (int i = 0; i < CHECK_COUNT; i++)
		failed |= c->wanted[i] && c->failed[i];
	for (int i = 0; i < CHECK_COUNT; i++) {
		if (!c->wanted[i])
			continue;
		checks_count(c, (enum check)i);
		if (c->failed[i])
			buf_printf(&b, "[-]%s failed: %s\n", check_names[i], c->reason[i]);
		else if (failed || web_query_has(w, "verbose"))
			buf_printf(&b, "[+]%s ok\n", check_names[i]);
		if (c->failed[i])
			LOG_ERROR("Health check error", LOG_STR("path", c->ready ? "/readyz" : "/livez"), LOG_STR("reason", c->reason[i]),
				  LOG_INT("status-code", 503));
	}
	buf_printf(&b, failed ? "\n" : "ok\n");
	web_reply(w, failed ? 503 : 200, TEXT_PLAIN, buf_slice(&b), true);
	buf_fini(&b);
}

static void checks_next(struct web_req *w);

static void checks_probed(struct web_req *w, err_t err)
{
	struct checks *c = w->state;

	c->failed[c->next] = err != OK;
	c->reason[c->next] = err_text(err);
	c->next++;
	checks_next(w);
}

static void checks_next(struct web_req *w)
{
	struct checks *c = w->state;

	for (; c->next < CHECK_COUNT; c->next++)
		if (c->wanted[c->next] && (c->next == CHECK_SERIALIZABLE || c->next == CHECK_LINEARIZABLE)) {
			web_probe(w, c->next == CHECK_SERIALIZABLE, checks_probed);
			return;
		}
	checks_answer(w);
}

static bool checks_pick(struct web_req *w, struct checks *c, struct slice sub)
{
	bool found = sub.size == 0;
	bool secured = node_secured(w->io->node);

	for (int i = 0; i < CHECK_COUNT; i++) {
		bool offered = i == CHECK_SECURED ? c->ready && !secured : c->ready || i == CHECK_SERIALIZABLE;

		if (sub.size) {
			c->wanted[i] = offered && slice_eq(sub, slice_str(check_names[i]));
			found |= c->wanted[i];
		} else {
			c->wanted[i] = offered && !excluded(w, check_names[i]);
		}
	}
	return found;
}

void web_checks(struct web_req *w, bool ready, struct slice sub)
{
	struct checks *c = NEW(struct checks);
	const struct publication *p;

	w->state = c;
	c->ready = ready;
	if (!checks_pick(w, c, sub)) {
		web_reply(w, 404, TEXT_PLAIN, SLICE_LIT("404 page not found\n"), true);
		return;
	}
	if (!w->is_get) {
		web_wrong_method(w, "GET");
		return;
	}
	p = node_view(w->io->node);
	c->failed[CHECK_CORRUPTION] = p->alarm_corrupt;
	c->reason[CHECK_CORRUPTION] = "alarm activated: CORRUPT";
	c->failed[CHECK_LEARNER] = p->is_learner;
	c->reason[CHECK_LEARNER] = "not supported for learner";
	c->failed[CHECK_SECURED] = true;
	c->reason[CHECK_SECURED] = "a root password was given and authentication is not enabled yet";
	node_leave(w->io->node);
	checks_next(w);
}
