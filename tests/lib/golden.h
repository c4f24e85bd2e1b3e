/* Directories and facts of Go etcd (tests/golden/README.md), for tests.
 *
 *	char *dir = golden_unpack("plain");             a copy of the data directory, golden_drop(dir) removes it
 *	json_t *facts = golden_facts("plain", "on_disk");       one reference to be dropped */
#ifndef TESTS_LIB_GOLDEN_H
#define TESTS_LIB_GOLDEN_H

#include <jansson.h>

char *golden_unpack(const char *name);
/* snapshot.db as a file; removed with golden_drop too. */
char *golden_unpack_file(const char *name);
void golden_drop(char *take_path);
json_t *golden_facts(const char *name, const char *part);
/* A number or string at a dotted path ("wal.hardstate.commit"); fails the test if it is not there. */
uint64_t golden_uint(const json_t *facts, const char *path);
uint64_t golden_hex(const json_t *facts, const char *path);
const json_t *golden_at(const json_t *facts, const char *path);

#endif
