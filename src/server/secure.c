#include "server/secure.h"

#include "obs/log.h"

static enum tls_version version_of(const char *text)
{
	if (!text[0])
		return TLS_VERSION_ANY;
	return strcmp(text, "TLS1.3") == 0 ? TLS_VERSION_1_3 : TLS_VERSION_1_2;
}

static void common(struct tls_config *t, const struct config *cfg)
{
	t->cipher_suites = cfg->cipher_suites.at;
	t->cipher_suite_count = cfg->cipher_suites.count;
	t->min_version = version_of(cfg->tls_min_version);
	t->max_version = version_of(cfg->tls_max_version);
}

static err_t check_names(const struct str_list *cns, const struct str_list *hosts, struct why *why)
{
	if (cns->count && hosts->count)
		return why_set(why, ERR_INVALID, "AllowedCNs and AllowedHostnames are mutually exclusive (cns=[\"%s\"], hostnames=[\"%s\"])",
			       cns->at[0], hosts->at[0]);
	return OK;
}

static void log_info(const char *event, const struct tls_config *t)
{
	char *info = mem_printf("cert = %s, key = %s, client-cert=%s, client-key=%s, trusted-ca = %s, client-cert-auth = %s, crl-file = %s",
				t->cert_file ? t->cert_file : "", t->key_file ? t->key_file : "", t->client_cert_file ? t->client_cert_file : "",
				t->client_key_file ? t->client_key_file : "", t->trusted_ca_file ? t->trusted_ca_file : "",
				t->client_cert_auth ? "true" : "false", t->crl_file ? t->crl_file : "");

	LOG_INFO(event, LOG_STR("tls-info", info));
	mem_free(info);
}

/* Key and certificate come together. */
static err_t check_pair(const char *cert, const char *key, struct why *why)
{
	if (!cert[0] == !key[0])
		return OK;
	return why_set(why, ERR_INVALID, "KeyFile and CertFile must both be present[key: %s, cert: %s]", key, cert);
}

/* Those to dial with as well, or none of them. */
static err_t check_client_pair(const char *cert, const char *key, struct why *why)
{
	if (!cert[0] == !key[0])
		return OK;
	return why_set(why, ERR_INVALID, "ClientKeyFile and ClientCertFile must both be present or both absent: key: %s, cert: %s]", key, cert);
}

static err_t self_signed(struct tls_config *t, const struct config *cfg, const struct url_list *urls, const char *dir, struct why *why,
			 char **cert, char **key)
{
	const char **hosts = NEW_ARRAY(const char *, urls->count);
	size_t count = 0;
	err_t err;

	if (!cfg->self_signed_cert_validity_years) {
		mem_free(hosts);
		return why_set(why, ERR_INVALID, "selfSignedCertValidity is invalid,it should be greater than 0");
	}
	for (size_t i = 0; i < urls->count; i++)
		if (url_is_tls(&urls->at[i]))
			hosts[count++] = urls->at[i].host;
	err = tls_self_signed(dir, hosts, count, (unsigned)MIN(cfg->self_signed_cert_validity_years, 1000), why, cert, key);
	mem_free(hosts);
	if (!err) {
		t->cert_file = *cert;
		t->key_file = *key;
	}
	return err;
}

static bool any_tls(const struct url_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (url_is_tls(&l->at[i]))
			return true;
	return false;
}

static void warn_plain(const struct url_list *l, const char *event, const char *what)
{
	for (size_t i = 0; i < l->count; i++)
		if (!url_is_tls(&l->at[i]))
			LOG_WARN(event, LOG_STR(what, l->at[i].text));
}

/* ---- who is refused ---- */

#define LOG_REFUSED(level, text, r)                                                                                          \
	do {                                                                                                                 \
		if ((r)->has_certificate)                                                                                    \
			LOG_AT(level, text, LOG_STR("remote-addr", (r)->remote), LOG_STR("server-name", (r)->server_name),   \
			       LOG_STRS("ip-addresses", (r)->ips, (r)->ip_count),                                            \
			       LOG_STRS("dns-names", (r)->dns_names, (r)->dns_name_count), LOG_STR("error", (r)->why));      \
		else                                                                                                         \
			LOG_AT(level, text, LOG_STR("remote-addr", (r)->remote), LOG_STR("server-name", (r)->server_name),   \
			       LOG_STR("error", (r)->why));                                                                  \
	} while (0)

static bool went_away(const struct tls_refusal *r)
{
	return strcmp(r->why, "EOF") == 0;
}

static void peer_refused(const struct tls_refusal *r)
{
	if (went_away(r))
		LOG_REFUSED(LOG_LEVEL_DEBUG, "rejected connection on peer endpoint", r);
	else
		LOG_REFUSED(LOG_LEVEL_WARN, "rejected connection on peer endpoint", r);
}

static void client_refused(const struct tls_refusal *r)
{
	if (went_away(r))
		LOG_REFUSED(LOG_LEVEL_DEBUG, "rejected connection on client endpoint", r);
	else
		LOG_REFUSED(LOG_LEVEL_WARN, "rejected connection on client endpoint", r);
}

/* ---- members ---- */

err_t secure_peer_init(struct secure *s, struct config *cfg, const char *data_dir, struct why *why)
{
	struct tls_config t = {.cert_file = cfg->peer_cert_file, .key_file = cfg->peer_key_file, .client_cert_file = cfg->peer_client_cert_file,
		.client_key_file = cfg->peer_client_key_file, .trusted_ca_file = cfg->peer_trusted_ca_file, .crl_file = cfg->peer_crl_file,
		.client_cert_auth = cfg->peer_client_cert_auth, .allowed_cns = cfg->peer_cert_allowed_cn.at,
		.allowed_cn_count = cfg->peer_cert_allowed_cn.count, .allowed_hostnames = cfg->peer_cert_allowed_hostname.at,
		.allowed_hostname_count = cfg->peer_cert_allowed_hostname.count,
		.check_client_san = !cfg->peer_skip_client_san_verification, .refused = peer_refused};
	bool given = cfg->peer_cert_file[0];
	char *dir, *cert = NULL, *key = NULL;
	err_t err = tls_cipher_suites_check(cfg->cipher_suites.at, cfg->cipher_suites.count, why);

	if (!err)
		err = check_pair(cfg->peer_cert_file, cfg->peer_key_file, why);
	common(&t, cfg);
	if (!err)
		err = check_names(&cfg->peer_cert_allowed_cn, &cfg->peer_cert_allowed_hostname, why);
	if (!err && cfg->peer_auto_tls && given)
		LOG_WARN("ignoring peer auto TLS since certs given");
	if (!err && cfg->peer_auto_tls && !given) {
		dir = mem_printf("%s/fixtures/peer", data_dir);
		err = self_signed(&t, cfg, &cfg->listen_peer_urls, dir, why, &cert, &key);
		t.insecure_skip_verify = true;
		mem_free(dir);
	}
	if (!err && (given || cert))
		err = check_client_pair(cfg->peer_client_cert_file, cfg->peer_client_key_file, why);
	if (!err && (given || cert)) {
		log_info("starting with peer TLS", &t);
		warn_plain(&cfg->listen_peer_urls, "The scheme of peer URL is HTTP while peer key/cert files are presented; ignoring peer key/cert files",
			   "peer-url");
	} else if (!err && any_tls(&cfg->listen_peer_urls)) {
		err = why_set(why, ERR_INVALID, "cannot listen on TLS for %s: KeyFile and CertFile are not presented", cfg->listen_peer_urls.at[0].text);
	}
	if (!err)
		err = tls_context_new(&t, why, &s->peer);       /* also without files: for dialling https members */
	mem_free(cert);
	mem_free(key);
	return err;
}

/* ---- clients ---- */

static err_t refuse_tls(const struct url_list *l, struct why *why)
{
	err_t err = OK;

	for (size_t i = 0; i < l->count; i++)
		if (url_is_tls(&l->at[i]))
			err = why_set(why, ERR_INVALID, "TLS key/cert (--cert-file, --key-file) must be provided for client url %s with HTTPS scheme",
				      l->at[i].text);
	return err;
}

/* Unlike a member's, a client's certificate may name any addresses, as upstream has it; but not one that asks for metrics. */
err_t secure_client_init(struct secure *s, struct config *cfg, const char *data_dir, struct why *why)
{
	struct tls_config t = {.cert_file = cfg->cert_file, .key_file = cfg->key_file, .trusted_ca_file = cfg->trusted_ca_file,
		.crl_file = cfg->client_crl_file, .client_cert_auth = cfg->client_cert_auth, .allowed_cns = cfg->client_cert_allowed_cn.at,
		.allowed_cn_count = cfg->client_cert_allowed_cn.count, .allowed_hostnames = cfg->client_cert_allowed_hostname.at,
		.allowed_hostname_count = cfg->client_cert_allowed_hostname.count, .offer_h2 = true,
		.refused = client_refused};
	bool given = cfg->cert_file[0];
	char *dir, *cert = NULL, *key = NULL;
	err_t err = check_pair(cfg->cert_file, cfg->key_file, why);

	common(&t, cfg);
	if (!err)
		err = check_names(&cfg->client_cert_allowed_cn, &cfg->client_cert_allowed_hostname, why);
	if (!err && cfg->auto_tls && given)
		LOG_WARN("ignoring client auto TLS since certs given");
	if (!err && cfg->auto_tls && !given) {
		dir = mem_printf("%s/fixtures/client", data_dir);
		err = self_signed(&t, cfg, &cfg->listen_client_urls, dir, why, &cert, &key);
		mem_free(dir);
	}
	if (!err && (given || cert))
		err = check_client_pair(cfg->client_cert_file, cfg->client_key_file, why);
	if (!err && (given || cert)) {
		log_info("starting with client TLS", &t);
		warn_plain(&cfg->listen_client_urls, "scheme is HTTP while key and cert files are present; ignoring key and cert files", "client-url");
		if (cfg->client_cert_auth)
			warn_plain(&cfg->listen_client_urls, "scheme is HTTP while --client-cert-auth is enabled; ignoring client cert auth for this URL",
				   "client-url");
		err = tls_context_new(&t, why, &s->client);
		t.check_client_san = !cfg->client_skip_client_san_verification;
		if (!err && any_tls(&cfg->listen_metrics_urls))
			err = tls_context_new(&t, why, &s->metrics);
	} else if (!err && any_tls(&cfg->listen_client_urls)) {
		err = refuse_tls(&cfg->listen_client_urls, why);
	} else if (!err && any_tls(&cfg->listen_client_http_urls)) {
		err = refuse_tls(&cfg->listen_client_http_urls, why);
	} else if (!err && any_tls(&cfg->listen_metrics_urls)) {
		err = why_set(why, ERR_INVALID, "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url");
	}
	mem_free(cert);
	mem_free(key);
	return err;
}

void secure_fini(struct secure *s)
{
	tls_context_free(s->client);
	tls_context_free(s->metrics);
	tls_context_free(s->peer);
	*s = (struct secure){0};
}
