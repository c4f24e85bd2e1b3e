/* The environment of a pod, as docs/etcd-agent.md has it. */
#include <stdio.h>
#include <unistd.h>

#include "pod/agent.h"

static const char *text_of(const char *name, const char *preset)
{
	const char *v = getenv(name);

	return v && v[0] ? v : preset;
}

static err_t number_of(const char *name, unsigned preset, unsigned max, unsigned *out, struct why *why)
{
	const char *v = text_of(name, NULL);
	char *end;
	unsigned long n;

	*out = preset;
	if (!v)
		return OK;
	n = strtoul(v, &end, 10);
	if (*end || v[0] < '0' || v[0] > '9' || n > max)
		return why_set(why, ERR_INVALID, "%s: \"%s\" is no number up to %u", name, v, max);
	*out = (unsigned)n;
	return OK;
}

static err_t scheme_of(const char *name, const char *preset, const char **out, struct why *why)
{
	*out = text_of(name, preset);
	if (strcmp(*out, "http") && strcmp(*out, "https"))
		return why_set(why, ERR_INVALID, "%s: \"%s\" is neither http nor https", name, *out);
	return OK;
}

int config_ordinal(const struct config *c, const char *pod)
{
	size_t n = strlen(c->set);
	char *end;
	unsigned long o;

	if (strncmp(pod, c->set, n) || pod[n] != '-' || pod[n + 1] < '0' || pod[n + 1] > '9')
		return -1;
	o = strtoul(pod + n + 1, &end, 10);
	return *end || o >= POD_PLACES_MAX ? -1 : (int)o;
}

static void find_program(struct config *c)
{
	ssize_t n = readlink("/proc/self/exe", c->program_room, sizeof(c->program_room) - 8);
	char *slash;

	c->program = text_of("ETCD_PROGRAM", NULL);
	if (c->program)
		return;
	c->program = "etcd";
	if (n <= 0)
		return;
	c->program_room[n] = '\0';
	slash = strrchr(c->program_room, '/');
	strcpy(slash ? slash + 1 : c->program_room, "etcd");
	if (!access(c->program_room, X_OK))
		c->program = c->program_room;
}

err_t config_read(struct config *c, struct why *why)
{
	const char *dash;
	err_t err;

	memset(c, 0, sizeof(*c));
	c->pod = text_of("POD_NAME", "");
	c->pod_uid = text_of("POD_UID", "");
	c->namespace = text_of("POD_NAMESPACE", "");
	c->selector = text_of("POD_SELECTOR", "");
	if (!c->pod[0] || !c->namespace[0] || !c->selector[0])
		return why_set(why, ERR_INVALID, "POD_NAME, POD_NAMESPACE and POD_SELECTOR must be set");
	dash = strrchr(c->pod, '-');
	snprintf(c->set_room, sizeof(c->set_room), "%.*s", dash ? (int)(dash - c->pod) : 0, c->pod);
	c->set = text_of("STATEFULSET", c->set_room);
	snprintf(c->service_room, sizeof(c->service_room), "%s-headless", c->set);
	c->service = text_of("HEADLESS_SERVICE", c->service_room);
	c->dns_base = text_of("DNS_BASE", "svc.cluster.local");
	c->host_template = text_of("HOST_TEMPLATE", "%p.%s.%n.%d");
	c->claim_template = text_of("CLAIM_TEMPLATE", "data");
	snprintf(c->claim, sizeof(c->claim), "%s-%s", c->claim_template, c->pod);
	c->cacert = text_of("CLIENT_CACERT", "");
	c->cert = text_of("CLIENT_CERT", "");
	c->key = text_of("CLIENT_KEY", "");
	c->skip_verify = !strcmp(text_of("CLIENT_SKIP_VERIFY", ""), "true");
	c->data_dir = text_of("ETCD_DATA_DIR", "/var/run/etcd/data");
	c->token = text_of("ETCD_INITIAL_CLUSTER_TOKEN", "etcd-cluster-k8s");
	c->password_file = text_of("ROOT_PASSWORD_FILE", NULL);
	c->ordinal = config_ordinal(c, c->pod);
	if (c->ordinal < 0)
		return why_set(why, ERR_INVALID, "POD_NAME: \"%s\" is no pod of StatefulSet \"%s\" with an ordinal below %d", c->pod, c->set,
			       POD_PLACES_MAX);
	if (text_of("ETCD_WAL_DIR", NULL))
		return why_set(why, ERR_INVALID, "ETCD_WAL_DIR: the log of a member in a pod stays in its data directory");
	find_program(c);
	err = scheme_of("CLIENT_SCHEME", "http", &c->client_scheme, why);
	err = err ? err : scheme_of("PEER_SCHEME", "https", &c->peer_scheme, why);
	err = err ? err : number_of("CLIENT_PORT", 2379, 65535, &c->client_port, why);
	err = err ? err : number_of("PEER_PORT", 2380, 65535, &c->peer_port, why);
	err = err ? err : number_of("AGENT_PORT", 2382, 65535, &c->agent_port, why);
	err = err ? err : number_of("QUORUM_LOST_SECONDS", 30, 86400, &c->lost_s, why);
	return err ? err : number_of("GRACE_SECONDS", 180, 86400, &c->grace_s, why);
}

void config_host(const struct config *c, int ordinal, char out[HOST_SIZE])
{
	size_t at = 0;

	for (const char *t = c->host_template; *t && at < HOST_SIZE - 1; t++) {
		char *to = out + at;
		size_t room = HOST_SIZE - at;
		int n = 1;

		if (*t != '%' || !t[1])
			*to = *t;
		else if (*++t == 'p')
			n = snprintf(to, room, "%s-%d", c->set, ordinal);
		else if (*t == 'o')
			n = snprintf(to, room, "%d", ordinal);
		else
			n = snprintf(to, room, "%s", *t == 's' ? c->service : *t == 'n' ? c->namespace : *t == 'd' ? c->dns_base : "%");
		at = MIN(at + (size_t)n, (size_t)HOST_SIZE - 1);
	}
	out[at] = '\0';
}

static void url_of(const struct config *c, const char *scheme, int ordinal, unsigned port, char out[POD_URL_SIZE])
{
	char host[HOST_SIZE];

	config_host(c, ordinal, host);
	snprintf(out, POD_URL_SIZE, "%s://%.290s:%u", scheme, host, port);
}

void config_peer_url(const struct config *c, int ordinal, char out[POD_URL_SIZE])
{
	url_of(c, c->peer_scheme, ordinal, c->peer_port, out);
}

void config_client_url(const struct config *c, int ordinal, char out[POD_URL_SIZE])
{
	url_of(c, c->client_scheme, ordinal, c->client_port, out);
}
