/* The configuration file: YAML or JSON, keys as in flag_rows.h, maps for TLS, discovery and socket options.
 *
 * etcd turns YAML into JSON and decodes that into its structs; what it says about wrong types comes from there
 * and is told in the same words, with the names of its structs, for people paste them into search boxes. Of
 * several such errors the one whose key sorts first is told. Unknown keys are ignored. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>
#include <yaml.h>

#include "base/text.h"
#include "server/config_impl.h"

#define FILE_SIZE_MAX (1 << 20)
#define PATH_SIZE 128

/* Maps that may stand in the file, with the names that etcd's messages use. */
static const struct {
	const char *key;
	const char *go_type;
	const char *go_struct;          /* of its fields */
} maps[] = {
	{"client-transport-security", "embed.securityConfig", "securityConfig.configJSON"},
	{"peer-transport-security", "embed.securityConfig", "securityConfig.configJSON"},
	{"socket-options", "transport.SocketOpts", "SocketOpts.Config"},
	{"discovery-config", "v3discovery.DiscoveryConfig", "DiscoveryConfig.Config"},
	{"discovery-config.client", "clientv3.ConfigSpec", "ConfigSpec.Config"},
	{"discovery-config.client.secure", "clientv3.SecureConfig", "SecureConfig.Config"},
	{"discovery-config.client.auth", "clientv3.AuthConfig", "AuthConfig.Config"},
};

enum scalar { SCALAR_NULL, SCALAR_BOOL, SCALAR_NUMBER, SCALAR_STRING };

struct reader {
	struct config *cfg;
	yaml_document_t doc;
	const char *text[FLAG__COUNT];  /* of what needs a second look once all types are right */
	char worst_path[PATH_SIZE];     /* of the error that is told; "" while there is none */
	struct why worst;
};

static bool one_of(const char *s, const char *const *list)
{
	for (; *list; list++) {
		if (!strcmp(s, *list))
			return true;
	}
	return false;
}

/* What a plain scalar is in YAML 1.1, as go-yaml resolves it. */
static enum scalar resolve(const yaml_node_t *n, bool *b, double *number)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const yes[] = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL};
	static const char *const no[] = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL};
	const char *s = (const char *)n->data.scalar.value;
	uint64_t u;
	int64_t i;
	char *end;

	if (n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return SCALAR_STRING;
	if (one_of(s, nulls))
		return SCALAR_NULL;
	if (one_of(s, yes) || one_of(s, no))
		return *b = one_of(s, yes), SCALAR_BOOL;
	if (text_parse_int(s, 64, &i) == TEXT_NUMBER_OK)
		return *number = (double)i, SCALAR_NUMBER;
	if (text_parse_uint(s, 64, &u) == TEXT_NUMBER_OK)
		return *number = (double)u, SCALAR_NUMBER;
	if (!strchr("0123456789+-.", *s) || strpbrk(s, "xXpPiInN"))
		return SCALAR_STRING;
	*number = strtod(s, &end);
	return *end ? SCALAR_STRING : SCALAR_NUMBER;
}

static const char *go_type(enum flag f)
{
	switch (flag_rows[f].kind) {
	case KIND_BOOL:
		return "bool";
	case KIND_INT:
		return "int";
	case KIND_INT64:
		return "int64";
	case KIND_UINT:
		return "uint";
	case KIND_UINT64:
		return "uint64";
	case KIND_UINT32:
		return "uint32";
	case KIND_DURATION:
		return "time.Duration";
	case KIND_LIST:
	case KIND_SET:
		return f == FLAG_host_whitelist ? "string" : "[]string";
	default:
		return "string";
	}
}

/* The struct in which etcd keeps what has this path. */
static const char *go_struct(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < ARRAY_COUNT(maps); i++) {
		if (strlen(maps[i].key) == (size_t)(dot - path) && !strncmp(maps[i].key, path, (size_t)(dot - path)))
			return maps[i].go_struct;
	}
	for (enum flag f = 0; f < FLAG__COUNT; f++) {
		enum flag_kind k = flag_rows[f].kind;

		if (!strcmp(flag_rows[f].key, path) &&
		    (k == KIND_URLS || k == KIND_ORIGINS || k == KIND_GATES || f == FLAG_host_whitelist))
			return "configYAML.configJSON";
	}
	return strstr(path, "transport-security") ? "configYAML.configJSON" : "configYAML.Config";
}

static void wrong_type(struct reader *r, const char *path, const char *is, const char *type)
{
	if (!strcmp(path, flag_rows[FLAG_v2_deprecation].key))
		type = "config.V2DeprecationEnum";
	if (r->worst_path[0] && strcmp(path, r->worst_path) >= 0)
		return;
	snprintf(r->worst_path, sizeof(r->worst_path), "%s", path);
	why_set(&r->worst, ERR_INVALID,
		"error unmarshaling JSON: while decoding JSON: json: cannot unmarshal %s into Go struct field %s.%s of type %s",
		is, go_struct(path), path, type);
}

static const char *name_of(const yaml_node_t *n)
{
	static const char *const scalars[] = {"null", "bool", "number", "string"};
	double number;
	bool b;

	if (n->type == YAML_SEQUENCE_NODE)
		return "array";
	return n->type == YAML_MAPPING_NODE ? "object" : scalars[resolve(n, &b, &number)];
}

static bool is_null(const yaml_node_t *n)
{
	double number;
	bool b;

	return n->type == YAML_SCALAR_NODE && resolve(n, &b, &number) == SCALAR_NULL;
}

/* Whole numbers only; "number 1.5" is what etcd says of others. */
static void read_number(struct reader *r, enum flag f, const yaml_node_t *n, double number)
{
	const char *text = (const char *)n->data.scalar.value;
	char digits[400], is[420];
	int64_t i;

	text += *text == '+';
	if (text_parse_int(text, 64, &i) == TEXT_NUMBER_OK && flag_rows[f].kind == KIND_DURATION) {
		*(int64_t *)flag_field(r->cfg, f) = i;
		return;
	}
	if (number > -9e18 && number < 9e18 && number == (double)(int64_t)number && strpbrk(text, ".eE"))
		snprintf(digits, sizeof(digits), "%lld", (long long)number);
	else if (number >= 1e19 || number <= -1e19)
		snprintf(digits, sizeof(digits), "%.0f", number);
	else
		snprintf(digits, sizeof(digits), "%.100s", text);
	if (flag_rows[f].kind == KIND_DURATION ? text_parse_int(digits, 64, flag_field(r->cfg, f)) != TEXT_NUMBER_OK
					       : flag_set(r->cfg, f, digits, NULL) != OK) {
		snprintf(is, sizeof(is), "number %s", digits);
		wrong_type(r, flag_rows[f].key, is, go_type(f));
	}
}

static void read_scalar(struct reader *r, enum flag f, const yaml_node_t *n)
{
	const char *want = go_type(f);
	double number = 0;
	bool b = false;

	switch (resolve(n, &b, &number)) {
	case SCALAR_NULL:
		return;
	case SCALAR_BOOL:
		if (!strcmp(want, "bool"))
			*(bool *)flag_field(r->cfg, f) = b;
		else
			wrong_type(r, flag_rows[f].key, "bool", want);
		return;
	case SCALAR_NUMBER:
		if (!strcmp(want, "string") || !strcmp(want, "bool") || !strcmp(want, "[]string"))
			wrong_type(r, flag_rows[f].key, "number", want);
		else
			read_number(r, f, n, number);
		return;
	case SCALAR_STRING:
		if (strcmp(want, "string"))
			wrong_type(r, flag_rows[f].key, "string", want);
		else
			r->text[f] = (const char *)n->data.scalar.value;
		return;
	}
}

static void read_list(struct reader *r, enum flag f, const yaml_node_t *n)
{
	yaml_node_item_t *item = n->data.sequence.items.start;
	struct str_list l = {NULL, (size_t)(n->data.sequence.items.top - item)};

	if (strcmp(go_type(f), "[]string")) {
		wrong_type(r, flag_rows[f].key, "array", go_type(f));
		return;
	}
	l.at = arena_alloc_array(&r->cfg->arena, l.count + 1, sizeof(*l.at));
	if (!l.at)
		fatal("the configuration is too large");
	for (size_t i = 0; i < l.count; i++) {
		const yaml_node_t *e = yaml_document_get_node(&r->doc, item[i]);

		l.at[i] = "";
		if (!strcmp(name_of(e), "string"))
			l.at[i] = config_keep(r->cfg, slice_str((const char *)e->data.scalar.value));
		else if (!is_null(e))
			wrong_type(r, flag_rows[f].key, name_of(e), "string");
	}
	*(struct str_list *)flag_field(r->cfg, f) = l;
}

static void read_map(struct reader *r, const char *prefix, const yaml_node_t *map);

static void read_value(struct reader *r, const char *path, const yaml_node_t *n)
{
	for (size_t i = 0; i < ARRAY_COUNT(maps); i++) {
		if (strcasecmp(maps[i].key, path))
			continue;
		if (n->type == YAML_MAPPING_NODE)
			read_map(r, maps[i].key, n);
		else if (!is_null(n))
			wrong_type(r, maps[i].key, name_of(n), maps[i].go_type);
		else if (!strcmp(path, "peer-transport-security") && !r->worst_path[0])
			why_set(&r->worst, ERR_INVALID, "invalid peer-transport-security");
		return;
	}
	for (enum flag f = 0; f < FLAG__COUNT; f++) {
		if (!flag_rows[f].key[0] || strcasecmp(flag_rows[f].key, path))
			continue;
		r->cfg->given[f] = true;
		if (n->type == YAML_SCALAR_NODE)
			read_scalar(r, f, n);
		else if (n->type == YAML_SEQUENCE_NODE)
			read_list(r, f, n);
		else
			wrong_type(r, flag_rows[f].key, "object", go_type(f));
		return;
	}
}

static void read_map(struct reader *r, const char *prefix, const yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
		char path[PATH_SIZE];

		if (key->type != YAML_SCALAR_NODE || key->data.scalar.length + strlen(prefix) + 2 > sizeof(path))
			continue;
		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", (const char *)key->data.scalar.value);
		read_value(r, path, yaml_document_get_node(&r->doc, p->value));
	}
}

/* The name behind the '*' at the mark, for libyaml doesn't tell it. */
static struct slice alias_at(struct slice text, size_t i)
{
	size_t n = 0;

	while (i + 1 + n < text.size && (isalnum(text.data[i + 1 + n]) || strchr("_-", text.data[i + 1 + n])))
		n++;
	return slice_of(text.data + i + 1, n);
}

/* yaml: line 3: did not find expected ',' or ']' */
static err_t yaml_error(const yaml_parser_t *p, struct slice text, struct why *why)
{
	size_t line = p->context_mark.line ? p->context_mark.line : p->problem_mark.line;
	char where[32] = "";

	if (p->problem && !strcmp(p->problem, "found undefined alias"))
		return why_set(why, ERR_INVALID, "error converting YAML to JSON: yaml: unknown anchor '%.*s' referenced",
			       SLICE_ARG(alias_at(text, p->problem_mark.index)));
	if (line)
		snprintf(where, sizeof(where), "line %zu: ", line + (p->error == YAML_SCANNER_ERROR));
	return why_set(why, ERR_INVALID, "error converting YAML to JSON: yaml: %s%s", where,
		       p->problem ? p->problem : "unknown problem parsing YAML content");
}

/* Texts that are more than strings: gates, then URLs. An error in a URL goes to stderr as it is. */
static err_t read_texts(struct reader *r, bool *plain, struct why *why)
{
	struct config *cfg = r->cfg;
	err_t err = OK;

	if (r->text[FLAG_gates])
		err = gates_set(&cfg->gates, r->text[FLAG_gates], why);
	for (enum flag f = 0; f < FLAG__COUNT && !err; f++) {
		const char *text = r->text[f];
		enum flag_kind k = flag_rows[f].kind;
		struct why reason;

		if (!text || k == KIND_GATES)
			continue;
		if (k == KIND_STR || k == KIND_STATE) {
			*(const char **)flag_field(cfg, f) = config_keep(cfg, slice_str(text));
		} else if (k == KIND_SET && *text) {
			*(struct str_list *)flag_field(cfg, f) = config_split(cfg, text, true);
		} else if (*text && (k == KIND_URLS || k == KIND_ORIGINS) && flag_set(cfg, f, text, &reason)) {
			*plain = true;
			err = why_set(why, ERR_INVALID, "unexpected error setting up %s: %s",
				      f == FLAG_advertise_client_urls ? "advertise-peer-urls" : flag_rows[f].name,
				      reason.text);
		}
	}
	return err;
}

static err_t read_document(struct reader *r, bool *plain, struct why *why)
{
	const yaml_node_t *root = yaml_document_get_root_node(&r->doc);

	if (!root || is_null(root))
		return OK;
	if (root->type != YAML_MAPPING_NODE)
		return why_set(why, ERR_INVALID,
			       "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal %s into Go value of "
			       "type embed.configYAML",
			       name_of(root));
	read_map(r, "", root);
	if (r->worst.text[0])
		return why_set(why, ERR_INVALID, "%s", r->worst.text);
	return read_texts(r, plain, why);
}

err_t config_parse_file(struct config *cfg, struct slice text, bool *plain, struct why *why)
{
	struct reader r = {.cfg = cfg};
	yaml_parser_t p;
	err_t err;

	if (!yaml_parser_initialize(&p))
		fatal("no memory for the YAML parser");
	yaml_parser_set_input_string(&p, text.data, text.size);
	if (!yaml_parser_load(&p, &r.doc)) {
		err = yaml_error(&p, text, why);
	} else {
		err = read_document(&r, plain, why);
		yaml_document_delete(&r.doc);
	}
	yaml_parser_delete(&p);
	return err;
}

static err_t read_all(const char *path, struct buf *out, struct why *why)
{
	char text[TEXT_ERRNO_SIZE];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	if (fd < 0)
		return why_set(why, err_from_errno(errno), "open %s: %s", path, text_errno(text, errno));
	while (n > 0 && !buf_failed(out)) {
		uint8_t part[4096];

		n = read(fd, part, sizeof(part));
		if (n > 0)
			buf_put(out, part, (size_t)n);
	}
	if (n < 0)
		why_set(why, ERR_IO, "read %s: %s", path, text_errno(text, errno));
	close(fd);
	if (buf_failed(out))
		return why_set(why, ERR_TOO_LARGE, "read %s: larger than 1 MiB", path);
	return n < 0 ? ERR_IO : OK;
}

err_t config_read_file(struct config *cfg, const char *path, bool *plain, struct why *why)
{
	struct buf text;
	err_t err;

	*plain = false;
	buf_init(&text, FILE_SIZE_MAX);
	err = read_all(path, &text, why);
	if (!err)
		err = config_parse_file(cfg, buf_slice(&text), plain, why);
	buf_fini(&text);
	if (err)
		return err;
	if (!cfg->initial_cluster_state[0])
		cfg->initial_cluster_state = "new";
	if (!cfg->self_signed_cert_validity_years)
		cfg->self_signed_cert_validity_years = 1;
	cfg->from_file = true;
	return OK;
}
