/* The image's entrypoint: what follows runs with authentication on, or not at all.
 *
 * The images of the click-to-deploy application start a server, make user root, and kill the server again. Ours does that
 * inside the cluster, before a client is served (docs/security.md); what is left to do here is to insist on a password. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *password = getenv("ETCD_ROOT_PASSWORD");

	if (!password || !*password) {
		fprintf(stderr, "ETCD_ROOT_PASSWORD is required: the password of user root\n");
		return 1;
	}
	if (argc < 2) {
		fprintf(stderr, "etcd-entrypoint: no command to run\n");
		return 1;
	}
	execvp(argv[1], argv + 1);
	fprintf(stderr, "etcd-entrypoint: %s: %s\n", argv[1], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
