/* Endpoints as upstream's client reads them (client/v3/internal/endpoint): a scheme decides about TLS, a missing one
 * leaves it to the options. A unix path may be absolute (unix:///run/x) or relative (unix://x, unix:x); its last part
 * is the name asked for in the certificate. */
#include <stdio.h>

#include "client/client_impl.h"

static bool cut(const char **text, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(*text, prefix, n))
		return false;
	*text += n;
	return true;
}

static void unix_path(struct endpoint *e, const char *path)
{
	const char *slash = strrchr(path, '/');

	e->is_unix = true;
	e->host = mem_strdup(path);
	e->authority = mem_strdup("localhost");
	e->server_name = mem_strdup(slash ? slash + 1 : path);
}

/* "[::1]:2379", "host:2379", "host" */
static void host_port(struct endpoint *e, const char *text)
{
	size_t size = strcspn(text, "/");
	const char *colon = memrchr(text, ':', size);
	const char *bracket = memrchr(text, ']', size);
	size_t host_size = colon && (!bracket || colon > bracket) ? (size_t)(colon - text) : size;
	const char *host = text;

	e->authority = mem_printf("%.*s", (int)size, text);
	e->port = host_size < size ? mem_printf("%.*s", (int)(size - host_size - 1), text + host_size + 1)
				   : mem_strdup("443");
	if (host_size >= 2 && host[0] == '[' && host[host_size - 1] == ']') {
		host++;
		host_size -= 2;
	}
	e->host = mem_printf("%.*s", (int)host_size, host);
	e->server_name = mem_strdup(e->host);
}

void endpoint_parse(struct endpoint *e, const char *text, const struct client_tls *tls)
{
	const char *rest = text;
	const char *scheme;

	memset(e, 0, sizeof(*e));
	e->text = mem_strdup(text);
	e->is_tls = tls->on;
	if (cut(&rest, "unixs:")) {
		e->is_tls = true;
		cut(&rest, "//");
		unix_path(e, rest);
	} else if (cut(&rest, "unix:")) {
		cut(&rest, "//");
		unix_path(e, rest);
	} else {
		if (cut(&rest, "https://"))
			e->is_tls = true;
		else if (cut(&rest, "http://"))
			e->is_tls = false;
		else if ((scheme = strstr(rest, "://")))
			rest = scheme + 3;
		host_port(e, rest);
	}
	if (tls->server_name && tls->server_name[0]) {
		mem_free(e->server_name);
		e->server_name = mem_strdup(tls->server_name);
	}
	/* The root's dot is part of a name in DNS alone. */
	if (e->server_name[0] && e->server_name[strlen(e->server_name) - 1] == '.')
		e->server_name[strlen(e->server_name) - 1] = '\0';
}

void endpoint_fini(struct endpoint *e)
{
	mem_free(e->text);
	mem_free(e->host);
	mem_free(e->port);
	mem_free(e->authority);
	mem_free(e->server_name);
}
