/* What the files of etcdctl share: the state of one run, calls, printing. */
#ifndef CTL_CTL_IMPL_H
#define CTL_CTL_IMPL_H

#include <stdio.h>

#include "base/arena.h"
#include "base/text.h"
#include "cli/cli.h"
#include "client/client.h"
#include "ctl/ctl.h"
#include "ctl/options.h"
#include "out/out.h"
#include "pb/pbc.h"
#include "pb/rpc.pb-c.h"

#define CTL_VERSION "3.7.1"
#define CTL_API_VERSION "3.7"

enum ctl_exit {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_CONNECTION = 2,
	EXIT_INPUT = 3,
	EXIT_FEATURE = 4,
	EXIT_INTERRUPTED = 5,
	EXIT_ARGS = 128,
};

/* tree.c. Global flags are in order of names, which is that of --debug. */
extern const struct cli_program ctl_program;
extern const struct cli_program ctl_txn_program;   /* put, get, del: the lines of a txn */
extern const struct cli_program ctl_watch_program; /* watch: the lines of watch -i */
extern const struct cli_flag ctl_global_flags[];
extern const size_t ctl_global_flag_count;

struct endpoints {
	const char **at;
	size_t count;
};

struct ctl {
	int argc;
	char **argv;
	struct cli cli;
	struct ctl_options o;
	const char **args; /* operands */
	size_t arg_count;
	bool command_timeout_set;

	uv_loop_t loop;
	bool loop_open;
	struct client *client;
	bool is_set_up;
	struct endpoints endpoints;
	struct client_opts opts;

	struct arena arena;
	enum out_format format;
	bool value_only;
	struct buf out; /* goes to stdout with ctl_flush */

	struct client_status status; /* of the last call */
	struct buf request;
	struct buf response; /* its bytes, for -w protobuf */
};

static inline struct slice ctl_arg(const struct ctl *c, size_t i)
{
	return slice_str(c->args[i]);
}

/* A duration of a flag; 0 stays 0, less than 1 ms is 1. */
static inline uint64_t ms_of(int64_t ns)
{
	return ns <= 0 ? 0 : (uint64_t)(ns + 999999) / 1000000;
}

void put(struct ctl *c, const char *fmt, ...) PRINTF(2, 3);
void ctl_flush(struct ctl *c);
/* "Error: …" on stderr; returns code. */
int ctl_fail(int code, const char *fmt, ...) PRINTF(2, 3);
/* A line of JSON on stderr, of the shape of upstream's logs; name and value of one field more. */
void ctl_log(const char *level, const char *msg, const char *name, const char *value);
/* Reads a number as Go does, the error goes to why. base 10 or 16. */
NODISCARD err_t ctl_parse_int(const char *s, int base, int64_t *out, struct why *why);
NODISCARD err_t ctl_parse_uint(const char *s, int base, uint64_t *out, struct why *why);
char *ctl_copy(struct ctl *c, const char *fmt, ...) PRINTF(2, 3); /* in the arena */
const char *ctl_quoted(struct ctl *c, struct slice s);            /* in Go's quotes, in the arena */

/* --- connecting (connect.c) --- */

/* Variables, endpoints, options, output format: before anything is sent. 0 or an exit code, the error is printed. */
int ctl_setup(struct ctl *c);
/* ctl_setup and c->client, logged in. */
int ctl_connect(struct ctl *c);
/* After ctl_setup: c->client with these endpoints; an earlier one is closed. */
int ctl_connect_to(struct ctl *c, const char *const *endpoints, size_t count);
/* One more client, the caller's to close, logged in. */
int ctl_client_from(struct ctl *c, const struct client_opts *o, struct client **out);
/* The same without a word on stderr: why has it, *out is NULL. */
int ctl_client_try(struct ctl *c, const struct client_opts *o, struct client **out, const char **why);
void ctl_client_close(struct ctl *c, struct client *client);
/* For uv_close of a handle that was allocated. */
void ctl_handle_free(uv_handle_t *h);
/* user[:password] with a prompt if there is no password. */
void ctl_user(struct ctl *c, const char *name, const char *password_flag, const char *prompt, const char **user,
	      const char **password);
/* After ctl_setup: those of --endpoints, or with --cluster those of the member list. */
int ctl_cluster(struct ctl *c, struct endpoints *out);
/* Those that DNS names for --discovery-srv (discover.c); none if all of them are without TLS and that is not wanted. */
int ctl_discover(struct ctl *c, struct endpoints *out);
/* Variables into flags; ends the way upstream does when one is shadowed. 0 or exit code (env.c). */
int ctl_env(struct ctl *c);
/* A secret without echo, from the terminal or a line of stdin; "" at the end of input (ask.c). */
const char *ctl_ask(struct ctl *c, const char *prompt);

/* --- calls (call.c) --- */

#define CTL_NO_TIMEOUT UINT64_MAX
/* One call; true: *out is the unpacked response, in the arena; its bytes fields are good until the next call.
 * timeout_ms 0: --command-timeout. */
bool ctl_call(struct ctl *c, enum rpc rpc, const ProtobufCMessage *request, uint64_t timeout_ms, void *out);
bool ctl_call_on(struct ctl *c, struct client *client, enum rpc rpc, const ProtobufCMessage *request,
		 uint64_t timeout_ms, void *out);
/* The status of a call that was not made, for a string in it is no UTF-8; false. */
bool ctl_not_utf8(struct ctl *c);
/* "Error: " and the status of the last call, with these words around it. */
int ctl_call_failed(struct ctl *c, int code, const char *before, const char *after);
/* Where only a deadline is known: what the client saw last, as a line on stderr. */
void ctl_explain(struct ctl *c, struct client *client);
/* Text of the status of the last call. */
const char *ctl_call_error(struct ctl *c);

/* --- printing (out_*.c) --- */

/* The error for a form that a command does not have. */
int out_unsupported(const char *format);
/* out_json.c: as Go's encoding/json has the messages: numbers bare, bytes in base64, enums as numbers. */
void json_message(struct out_json *j, const ProtobufCMessage *m);
void json_fields(struct out_json *j, const ProtobufCMessage *m); /* within braces that are open */
void json_print_message(struct ctl *c, const ProtobufCMessage *m);

/* out_fields.c */
void fields_header(struct ctl *c, const Etcdserverpb__ResponseHeader *h);
void fields_kv(struct ctl *c, const char *prefix, const Mvccpb__KeyValue *kv);
void fields_id(struct ctl *c, const char *name, uint64_t id, bool is_lease);

/* out_kv.c */
int out_put(struct ctl *c, const Etcdserverpb__PutResponse *r);
int out_get(struct ctl *c, const Etcdserverpb__RangeResponse *r);
int out_del(struct ctl *c, const Etcdserverpb__DeleteRangeResponse *r);
int out_txn(struct ctl *c, const Etcdserverpb__TxnResponse *r);
int out_watch(struct ctl *c, const Etcdserverpb__WatchResponse *r);
void out_protobuf(struct ctl *c, const ProtobufCMessage *m);
/* json, protobuf, and fields with nothing but the header; table is refused, simple is the caller's. *done: printed, or
 * refused with the code returned. */
int out_plain(struct ctl *c, const ProtobufCMessage *m, const Etcdserverpb__ResponseHeader *h, bool *done);

/* --- requests that more than one command needs (cmd_kv.c) --- */

/* End of the range of keys that begin with prefix, in the arena; a prefix of 0xff bytes, or none: "\0", the end. */
struct slice prefix_end(struct ctl *c, struct slice prefix);
int put_request(struct ctl *c, Etcdserverpb__PutRequest *r);
int get_request(struct ctl *c, Etcdserverpb__RangeRequest *r);
int del_request(struct ctl *c, Etcdserverpb__DeleteRangeRequest *r);
int parse_serializable(struct ctl *c, protobuf_c_boolean *out);

/* --- words.c --- */

/* Words of a line as a shell would have them, in the arena; quotes are 'as it is' and "with escapes". false: an escape
 * that is none. */
bool split_words(struct ctl *c, const char *line, const char ***words, size_t *count);
/* A string in Go's quotes at *at, appended to out; *at moves behind it. false: it is none. */
bool read_quoted(const char **at, struct buf *out);
/* What stands up to the next blank, blanks before it passed over. false: nothing. */
bool read_word(const char **at, const char **word, size_t *size);
const char *trim_line(char *line); /* cuts the blanks around it */

/* --- the commands: 0 or exit code --- */
#define RUN(name) int run_##name(struct cli *cli)
RUN(put);
RUN(get);
RUN(del);
RUN(txn);
RUN(compaction);
RUN(watch);
RUN(lease_grant);
RUN(lease_revoke);
RUN(lease_timetolive);
RUN(lease_list);
RUN(lease_keep_alive);
RUN(member_add);
RUN(member_list);
RUN(member_promote);
RUN(member_remove);
RUN(member_update);
RUN(endpoint_health);
RUN(endpoint_status);
RUN(endpoint_hashkv);
RUN(alarm_disarm);
RUN(alarm_list);
RUN(defrag);
RUN(move_leader);
RUN(downgrade_validate);
RUN(downgrade_enable);
RUN(downgrade_cancel);
RUN(snapshot_save);
RUN(lock);
RUN(elect);
RUN(auth_enable);
RUN(auth_disable);
RUN(auth_status);
RUN(user_add);
RUN(user_delete);
RUN(user_get);
RUN(user_list);
RUN(user_passwd);
RUN(user_grant_role);
RUN(user_revoke_role);
RUN(role_add);
RUN(role_delete);
RUN(role_get);
RUN(role_list);
RUN(role_grant_permission);
RUN(role_revoke_permission);
RUN(make_mirror);
RUN(check_perf);
RUN(check_datascale);
RUN(du);
RUN(top);
RUN(version);
RUN(options);
RUN(completion);

#endif
