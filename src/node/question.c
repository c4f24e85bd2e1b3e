/* Core asks other members: one question, an answer or an error, then whatever the asker wants done. */
#include "node/node_impl.h"

struct core_question *core_question_new(enum member_endpoint endpoint, const struct member_urls *urls, core_answered *done)
{
	struct core_question *q = NEW(struct core_question);

	q->urls = member_urls_join(urls);
	q->done = done;
	buf_init(&q->body, 1 << 20);
	q->q.endpoint = endpoint;
	return q;
}

void core_ask(struct node *n, struct core_question *take_q)
{
	const struct node_transport *t = n->cfg.transport;
	struct member_question *q = &take_q->q;

	q->reply = n->core;
	q->reply_kind = CORE_QUESTION;
	q->urls = take_q->urls;
	q->body = buf_slice(&take_q->body);
	if (!q->timeout_ms)
		q->timeout_ms = (uint32_t)(n->time_limit_ns / 1000000);
	n->jobs++;
	if (t) {
		t->ask(t->arg, q);
		return;
	}
	buf_init(&q->answer, 1);
	q->err = ERR_IO;
	q->msg.kind = CORE_QUESTION;
	actor_post(n->core, &q->msg);
}

void core_question_back(struct node *n, struct msg *m)
{
	struct core_question *q = CONTAINER_OF(CONTAINER_OF(m, struct member_question, msg), struct core_question, q);

	n->jobs--;
	q->done(n, q);
	buf_fini(&q->q.answer);
	buf_fini(&q->body);
	mem_free(q->urls);
	mem_free(q);
}
