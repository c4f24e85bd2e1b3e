/* A secret from the user: without echo on a terminal, else a line of stdin. */
#include <termios.h>
#include <unistd.h>

#include "ctl/ctl_impl.h"

enum { SECRET_MAX = 4096 };

/* Byte by byte: what follows the line belongs to the next reader. */
static void read_line(char *out, size_t size)
{
	size_t n = 0;
	char ch;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, &ch, 1);

		if (got <= 0)
			break;
		if (ch == '\n')
			break;
		if (n + 1 < size && ch != '\r')
			out[n++] = ch;
	}
	out[n] = '\0';
}

const char *ctl_ask(struct ctl *c, const char *prompt)
{
	struct termios before, silent;
	bool is_terminal = !tcgetattr(STDIN_FILENO, &before);
	char *line = arena_alloc(&c->arena, SECRET_MAX);

	put(c, "%s", prompt);
	ctl_flush(c);
	if (is_terminal) {
		silent = before;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	read_line(line, SECRET_MAX);
	if (is_terminal)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	put(c, "\n");
	ctl_flush(c);
	return line;
}
