/* A secret from the user: without echo on a terminal, else a line of stdin. */
#include <termios.h>
#include <unistd.h>

#include "ctl/ctl_impl.h"

enum { SECRET_MAX = 4096 };

/* Byte by byte: what follows the line belongs to the next reader. */
static bool read_line(char *out, size_t size)
{
	size_t n = 0;
	char ch;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, &ch, 1);

		if (got <= 0)
			break;
		if (ch == '\n') {
			out[n] = '\0';
			return true;
		}
		if (n + 1 < size && ch != '\r')
			out[n++] = ch;
	}
	out[n] = '\0';
	return n > 0;
}

bool ctl_ask(struct ctl *c, const char *prompt, const char **out)
{
	struct termios before, silent;
	bool is_terminal = !tcgetattr(STDIN_FILENO, &before);
	char *line = arena_alloc(&c->arena, SECRET_MAX);
	bool ok;

	printf("%s", prompt);
	fflush(stdout);
	if (is_terminal) {
		silent = before;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	ok = read_line(line, SECRET_MAX);
	if (is_terminal)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	printf("\n");
	*out = line;
	return ok;
}
