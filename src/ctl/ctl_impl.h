/* What the files of etcdctl share: commands and flags as rows, the state of one run, calls, printing. */
#ifndef CTL_CTL_IMPL_H
#define CTL_CTL_IMPL_H

#include <stdio.h>

#include "base/arena.h"
#include "base/text.h"
#include "client/client.h"
#include "ctl/ctl.h"
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

/* --- flags --- */

enum flag_kind { FLAG_STRING, FLAG_BOOL, FLAG_INT, FLAG_INT64, FLAG_UINT, FLAG_DURATION, FLAG_LIST };

struct ctl_flag {
	const char *name;
	char letter; /* 0: none */
	enum flag_kind kind;
	const char *preset;
	const char *help;
	const char *choices; /* for completion: "l s"; NULL: none */
};

struct ctl_value {
	const struct ctl_flag *flag;
	const char *text; /* as given, or the preset */
	bool changed;     /* given on the command line, or by a variable */
	bool by_line;
	bool boolean;
	int64_t number; /* DURATION: ns */
};

/* The flags that hold for a command: its own, its parent's, the global ones. */
#define CTL_FLAGS_MAX 48
struct ctl_flags {
	struct ctl_value at[CTL_FLAGS_MAX];
	size_t count;
};

void flags_add(struct ctl_flags *f, const struct ctl_flag *rows);
struct ctl_value *flags_find(struct ctl_flags *f, const char *name, size_t name_size);
struct ctl_value *flags_find_letter(struct ctl_flags *f, char letter);
/* ERR_INVALID and pflag's words for the reason ("strconv.ParseInt: parsing \"x\": invalid syntax"). */
NODISCARD err_t flag_set(struct ctl_value *v, const char *text, struct why *why);
/* Splits args into flags and operands, anywhere in the line; after "--" all is operands. Operands point into args.
 * ERR_INVALID and a line; ERR_NOT_EXIST: help was asked for. */
NODISCARD err_t flags_parse(struct ctl_flags *f, char **args, size_t count, char **operands, size_t *operand_count,
			    struct why *why);

/* --- commands --- */

struct ctl;

enum ctl_group { GROUP_NONE, GROUP_KV, GROUP_CLUSTER, GROUP_CONCURRENCY, GROUP_AUTH, GROUP_UTILITY, GROUP__COUNT };

struct ctl_command {
	const char *name;
	const char *usage; /* what follows the name: "[options] <key> [range_end]" */
	const char *brief;
	const char *more; /* further help; NULL: none */
	enum ctl_group group;
	const struct ctl_flag *flags; /* ends with a row without a name; NULL: none. Hold for sub-commands too */
	const struct ctl_command *subs;
	int (*run)(struct ctl *c);
};

extern const struct ctl_command ctl_root;
extern const struct ctl_flag ctl_global_flags[];
extern const char *const ctl_group_titles[GROUP__COUNT];

void usage_help(FILE *out, const struct ctl_command *const *path, size_t depth);
void usage_short(FILE *out, const struct ctl_command *const *path, size_t depth);
void usage_options(FILE *out);

/* --- one run --- */

enum ctl_format { FORMAT_SIMPLE, FORMAT_FIELDS, FORMAT_JSON, FORMAT_PROTOBUF, FORMAT_TABLE, FORMAT_BAD };

struct endpoints {
	const char **at;
	size_t count;
};

struct ctl {
	int argc;
	char **argv;
	const struct ctl_command *path[4]; /* root first */
	size_t depth;
	struct ctl_flags flags;
	char **args; /* operands */
	size_t arg_count;

	uv_loop_t loop;
	bool loop_open;
	struct client *client;
	bool is_set_up;
	struct endpoints endpoints;
	struct client_opts opts;
	struct arena arena;
	enum ctl_format format;
	bool hex;
	bool value_only;

	struct client_status status; /* of the last call */
	struct buf request;
	struct buf response;         /* its bytes, for -w protobuf */
};

static inline struct slice ctl_arg(const struct ctl *c, size_t i)
{
	return slice_str(c->args[i]);
}

const char *ctl_str(struct ctl *c, const char *flag);
bool ctl_bool(struct ctl *c, const char *flag);
int64_t ctl_int(struct ctl *c, const char *flag);
uint64_t ctl_ms(struct ctl *c, const char *flag); /* of a duration; 0 stays 0, less than 1 ms is 1 */
bool ctl_changed(struct ctl *c, const char *flag);

/* "Error: …" on stderr; returns code. */
int ctl_fail(int code, const char *fmt, ...) PRINTF(2, 3);
/* Reads a number as Go does, the error goes to why. base 10 or 16. */
NODISCARD err_t ctl_parse_int(const char *s, int base, int64_t *out, struct why *why);
NODISCARD err_t ctl_parse_uint(const char *s, int base, uint64_t *out, struct why *why);
char *ctl_copy(struct ctl *c, const char *fmt, ...) PRINTF(2, 3); /* in the arena */

/* --- connecting (connect.c) --- */

/* Variables, endpoints, options, output format: before anything is sent. 0 or an exit code, the error is printed. */
int ctl_setup(struct ctl *c);
/* ctl_setup and c->client, logged in. */
int ctl_connect(struct ctl *c);
/* After ctl_setup: c->client with these endpoints; an earlier one is closed. */
int ctl_connect_to(struct ctl *c, const char *const *endpoints, size_t count);
/* One more client, the caller's to close, logged in. */
int ctl_client_from(struct ctl *c, const struct client_opts *o, struct client **out);
void ctl_client_close(struct ctl *c, struct client *client);
/* user[:password] with a prompt if there is no password. */
int ctl_user(struct ctl *c, const char *user_flag, const char *password_flag, const char *prompt, const char **user,
	     const char **password);
/* After ctl_setup: those of --endpoints, or with --cluster those of the member list. */
int ctl_cluster(struct ctl *c, struct endpoints *out);
/* Those that DNS names for --discovery-srv (discover.c). */
int ctl_discover(struct ctl *c, struct endpoints *out);

/* Variables into flags; exits the way upstream does when one is shadowed. 0 or exit code. */
int ctl_env(struct ctl *c);
/* A password without echo, from the terminal or a line of stdin. false: none. */
bool ctl_ask(struct ctl *c, const char *prompt, const char **out);

/* --- calls (call.c) --- */

#define CTL_NO_TIMEOUT UINT64_MAX
/* One call; true: *out is the unpacked response, in the arena. timeout_ms 0: --command-timeout. */
bool ctl_call(struct ctl *c, enum rpc rpc, const ProtobufCMessage *request, uint64_t timeout_ms, void *out);
bool ctl_call_on(struct ctl *c, struct client *client, enum rpc rpc, const ProtobufCMessage *request,
		 uint64_t timeout_ms, void *out);
/* "Error: " and the status of the last call, with these words around it. */
int ctl_call_failed(struct ctl *c, int code, const char *before, const char *after);
/* Where only a deadline is known: what the client saw last, as a line on stderr. */
void ctl_explain(struct ctl *c, struct client *client);
/* Text of the status of the last call. */
const char *ctl_call_error(struct ctl *c);

/* --- printing (out_*.c) --- */

/* FORMAT_… of a command without that form: the error and its code. */
int out_unsupported(struct ctl *c, const char *format);
void out_flush(void);

/* out_json.c: as Go's encoding/json has the messages: numbers bare, bytes in base64, enums as numbers. */
void json_message(struct buf *b, const ProtobufCMessage *m);
void json_fields(struct buf *b, const ProtobufCMessage *m, bool *first); /* without braces */
void json_key(struct buf *b, const char *name, bool *first);
void json_string(struct buf *b, struct slice s);
void json_print(struct buf *b); /* with a newline; frees */
void json_print_message(const ProtobufCMessage *m);

/* out_fields.c */
void fields_header(struct ctl *c, const Etcdserverpb__ResponseHeader *h);
void fields_kv(struct ctl *c, const char *prefix, const Mvccpb__KeyValue *kv);
void fields_quoted(const char *name, struct slice value);
void fields_id(struct ctl *c, const char *name, uint64_t id, bool is_lease);

/* out_table.c: cells row by row */
void table_print(const char *const *titles, size_t columns, const char *const *cells, size_t rows);

/* out_kv.c */
int out_put(struct ctl *c, const Etcdserverpb__PutResponse *r);
int out_get(struct ctl *c, const Etcdserverpb__RangeResponse *r);
int out_del(struct ctl *c, const Etcdserverpb__DeleteRangeResponse *r);
int out_txn(struct ctl *c, const Etcdserverpb__TxnResponse *r);
int out_watch(struct ctl *c, const Etcdserverpb__WatchResponse *r);
/* The raw response, or the message of a response that was put together here. */
void out_protobuf(struct ctl *c);
void out_protobuf_message(const ProtobufCMessage *m);
/* json and protobuf of a plain response, and fields with nothing but the header; simple is the caller's. True: done. */
bool out_plain(struct ctl *c, const ProtobufCMessage *m, const Etcdserverpb__ResponseHeader *h);

/* --- requests that more than one command needs (request.c) --- */

/* End of the range of keys that begin with prefix, in the arena; a prefix of 0xff bytes, or none: "\0", the end. */
struct slice prefix_end(struct ctl *c, struct slice prefix);
struct ctl_op;
int put_request(struct ctl *c, Etcdserverpb__PutRequest *r);
int get_request(struct ctl *c, Etcdserverpb__RangeRequest *r);
int del_request(struct ctl *c, Etcdserverpb__DeleteRangeRequest *r);
int parse_serializable(struct ctl *c, protobuf_c_boolean *out);

/* --- the commands --- */
int run_put(struct ctl *c);
int run_get(struct ctl *c);
int run_del(struct ctl *c);
int run_endpoint_status(struct ctl *c);
int run_version(struct ctl *c);
int run_options(struct ctl *c);
int run_help(struct ctl *c);

#endif
