/* etcdctl: the whole program but main().
 *
 *	int main(int argc, char **argv) { return ctl_main(argc, argv); }
 *
 * The command tree, its flags and its help are one table (tree.c); a command is one function that gets what was parsed
 * and returns the exit code. Output goes to stdout in the form that --write-out names, trouble to stderr. Exit codes: 0
 * done, 1 refused or failed, 2 no connection or login, 3 bad input lines, 4 bad value of a choice, 5 interrupted, 128
 *bad arguments. One thread. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

int ctl_main(int argc, char **argv);

#endif
