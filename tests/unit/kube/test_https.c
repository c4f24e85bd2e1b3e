/* A server that answers as soon as it has the head of a request, and closes with the body unread. */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../lib/test.h"
#include "base/mem.h"
#include "kube/https.h"

enum { BODY_SIZE = 16 << 20 }; /* more than sockets hold */

static struct {
	int fd;
	const char *answer;
} server;

static void *serve_one(void *arg)
{
	int fd = accept(server.fd, NULL, NULL);
	char head[1024];

	assert_true(read(fd, head, sizeof(head)) > 0);
	assert_int_equal(write(fd, server.answer, strlen(server.answer)), strlen(server.answer));
	close(fd);
	return NULL;
}

static err_t put_large(const char *answer, struct https_answer *out)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct https_request r = {.method = "PUT", .path = "/o", .body_size_max = 1000, .timeout_ms = 30000};
	uint8_t *body = calloc(1, BODY_SIZE);
	socklen_t size = sizeof(addr);
	struct https *h;
	struct why why;
	char url[64];
	pthread_t t;
	err_t err;

	server.answer = answer;
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(server.fd, 1), 0);
	getsockname(server.fd, (struct sockaddr *)&addr, &size);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", ntohs(addr.sin_port));
	pthread_create(&t, NULL, serve_one, NULL);
	assert_int_equal(https_open(&(struct https_opts){.url = url}, &why, &h), OK);
	r.body = slice_of(body, BODY_SIZE);
	err = https_do(h, &r, out, &why);
	pthread_join(t, NULL);
	https_close(h);
	close(server.fd);
	free(body);
	return err;
}

static void a_refusal_before_the_body_is_read(void **state)
{
	struct https_answer a;

	assert_int_equal(put_large("HTTP/1.1 403 no\r\ncontent-length: 6\r\n\r\nbecaus", &a), OK);
	assert_int_equal(a.status, 403);
	assert_true(slice_eq(buf_slice(&a.body), SLICE_LIT("becaus")));
	https_answer_fini(&a);
}

/* What was not sent is not kept, whatever the server says. */
static void a_consent_before_the_body_is_none(void **state)
{
	struct https_answer a;

	assert_int_equal(put_large("HTTP/1.1 200 yes\r\ncontent-length: 0\r\n\r\n", &a), ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_before_the_body_is_read),
		cmocka_unit_test(a_consent_before_the_body_is_none),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
