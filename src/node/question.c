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

static void question_free(struct node *n, struct core_question *q)
{
	list_remove(&q->link);
	n->question_count--;
	buf_fini(&q->q.answer);
	buf_fini(&q->body);
	mem_free(q->urls);
	mem_free(q->token);
	mem_free(q);
}

void core_ask(struct node *n, struct core_question *take_q)
{
	const struct node_transport *t = n->cfg.transport;
	struct member_question *q = &take_q->q;

	q->reply = n->core;
	q->reply_kind = CORE_QUESTION;
	q->urls = take_q->urls;
	q->token = take_q->token;
	q->body = buf_slice(&take_q->body);
	if (!q->timeout_ms)
		q->timeout_ms = (uint32_t)(n->time_limit_ns / 1000000);
	list_push_back(&n->questions, &take_q->link);
	n->question_count++;
	if (t && n->question_count <= QUESTIONS_MAX) {
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

	if (!n->stopping)
		q->done(n, q);
	else if (q->call)
		core_answer(n, q->call, ERR_STOPPED);
	question_free(n, q);
}

void core_questions_forget_calls(struct node *n, err_t err)
{
	LIST_EACH(l, &n->questions) {
		struct core_question *q = CONTAINER_OF(l, struct core_question, link);

		if (q->call)
			core_answer(n, q->call, err);
		q->call = NULL;
	}
}

void core_questions_free(struct node *n)
{
	while (!list_empty(&n->questions))
		question_free(n, CONTAINER_OF(n->questions.next, struct core_question, link));
}
