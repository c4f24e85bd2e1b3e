/* Contexts: what the flags say, and the files, read again when they change. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "obs/log.h"
#include "tls/tls_impl.h"

enum { CERT, KEY, CLIENT_CERT, CLIENT_KEY, CA, CRL };

/* ---- cipher suites ---- */

static bool is_tls13_suite(const char *name)
{
	return strncmp(name, "TLS_AES_", 8) == 0 || strncmp(name, "TLS_CHACHA20_POLY1305", 21) == 0;
}

/* OpenSSL's name of an IANA one; NULL: it has none. */
static const char *cipher_name(const char *iana)
{
	const char *name = OPENSSL_cipher_name(iana);

	/* Go leaves the hash out of these two. */
	if (strcmp(iana, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305") == 0)
		name = "ECDHE-RSA-CHACHA20-POLY1305";
	else if (strcmp(iana, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305") == 0)
		name = "ECDHE-ECDSA-CHACHA20-POLY1305";
	return name && strcmp(name, "(NONE)") != 0 ? name : NULL;
}

err_t tls_cipher_suites_check(const char *const *names, size_t count, struct why *why)
{
	for (size_t i = 0; i < count; i++)
		if (!cipher_name(names[i]))
			return why_set(why, ERR_INVALID, "unexpected TLS cipher suite \"%s\"", names[i]);
	return OK;
}

static char *ciphers_joined(const char *const *names, size_t count)
{
	char *out = NULL;

	for (size_t i = 0; i < count; i++) {
		const char *name = cipher_name(names[i]);
		char *longer;

		if (!name || is_tls13_suite(names[i]))          /* those of 1.3 are not to be chosen, as in Go */
			continue;
		longer = out ? mem_printf("%s:%s", out, name) : mem_strdup(name);
		mem_free(out);
		out = longer;
	}
	return out;
}

/* ---- files ---- */

static struct file_stamp stamp_of(const char *path)
{
	struct stat st;

	if (!path || stat(path, &st))
		return (struct file_stamp){0};
	return (struct file_stamp){st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec, (uint64_t)st.st_size, st.st_ino};
}

static bool stamps_take(const struct tls_context *c, struct file_stamp out[TLS_FILES_WATCHED])
{
	bool changed = false;

	for (int i = 0; i < TLS_FILES_WATCHED; i++) {
		out[i] = stamp_of(c->paths[i]);
		changed |= memcmp(&out[i], &c->stamps[i], sizeof(out[i])) != 0;
	}
	return changed;
}

/* As Go says it, for what OpenSSL says in its own way. */
static err_t file_error(const char *path, const char *what, struct why *why)
{
	unsigned long code = ERR_peek_last_error();
	struct stat st;
	char text[160];

	ERR_clear_error();
	if (stat(path, &st))
		return why_set(why, ERR_NOT_EXIST, "open %s: no such file or directory", path);
	ERR_error_string_n(code, text, sizeof(text));
	return why_set(why, ERR_INVALID, "tls: %s of %s cannot be used: %s", what, path, text);
}

static err_t load_pair(SSL_CTX *ctx, const char *cert, const char *key, struct why *why)
{
	if (!cert)
		return OK;
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return file_error(cert, "the certificate", why);
	if (SSL_CTX_use_PrivateKey_file(ctx, key ? key : cert, SSL_FILETYPE_PEM) != 1)
		return file_error(key ? key : cert, "the private key", why);
	return OK;
}

static err_t load_ca(SSL_CTX *ctx, const char *ca, bool server, struct why *why)
{
	STACK_OF(X509_NAME) * names;

	if (!ca && !server)
		return OK; /* the system's, with the first connection: reading them takes 20 ms and a megabyte */
	if (!ca)
		return SSL_CTX_set_default_verify_paths(ctx) == 1 ? OK : why_set(why, ERR_INVALID, "the system's certificate authorities cannot be read");
	if (SSL_CTX_load_verify_file(ctx, ca) != 1)
		return file_error(ca, "the certificate authority", why);
	/* As in Go, whatever is in the file is trusted, an authority below another one too. */
	X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	if (!server)
		return OK;
	names = SSL_load_client_CA_file(ca);
	if (!names)
		return file_error(ca, "the certificate authority", why);
	SSL_CTX_set_client_CA_list(ctx, names);
	return OK;
}

static err_t load_crl(const char *path, X509_CRL **out, struct why *why)
{
	BIO *b = BIO_new_file(path, "rb");

	if (!b)
		return file_error(path, "the revocation list", why);
	*out = d2i_X509_CRL_bio(b, NULL);
	if (!*out && BIO_seek(b, 0) >= 0)
		*out = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL);
	BIO_free(b);
	return *out ? OK : file_error(path, "the revocation list", why);
}

/* ---- SSL_CTX ---- */

static int alpn_choose(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in, unsigned in_size, void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";

	if (SSL_select_next_proto((unsigned char **)out, out_size, ours, sizeof(ours) - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Whoever comes back with a ticket is not verified again, so a session must not outlive its client's certificate: then the whole handshake
 * is made, and refuses it. (Lists, authorities and allowed names that change make a new SSL_CTX, which knows no old ticket.) */
static SSL_TICKET_RETURN ticket_check(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_size, SSL_TICKET_STATUS status, void *arg)
{
	X509 *cert;

	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	cert = SSL_SESSION_get0_peer(session);
	if (cert && X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

static SSL_CTX *ctx_new(const struct tls_context *c, bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	ASSERT(ctx);
	SSL_CTX_set_min_proto_version(ctx, c->min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(ctx, c->max_version == TLS_VERSION_1_2 ? TLS1_2_VERSION : 0);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
	if (c->ciphers)
		ASSERT(SSL_CTX_set_cipher_list(ctx, c->ciphers) == 1);
	if (server && c->offer_h2)
		SSL_CTX_set_alpn_select_cb(ctx, alpn_choose, NULL);
	else if (c->offer_h2)
		SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);        /* tickets alone, as Go's: nothing is kept here */
	if (server) {
		SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"cetcd", 5);
		SSL_CTX_set_session_ticket_cb(ctx, NULL, ticket_check, NULL);
	}
	return ctx;
}

static bool verifies_clients(const struct tls_context *c)
{
	return c->client_cert_auth || c->paths[CA];
}

static err_t server_make(const struct tls_context *c, SSL_CTX **out, struct why *why)
{
	SSL_CTX *ctx;
	err_t err;

	if (!c->paths[CERT])
		return OK;
	ctx = ctx_new(c, true);
	err = load_pair(ctx, c->paths[CERT], c->paths[KEY], why);
	if (!err && verifies_clients(c)) {
		err = load_ca(ctx, c->paths[CA], true, why);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, tls_verify);
	}
	if (err)
		SSL_CTX_free(ctx);
	else
		*out = ctx;
	return err;
}

static err_t client_make(const struct tls_context *c, SSL_CTX **out, struct why *why)
{
	SSL_CTX *ctx = ctx_new(c, false);
	bool own = c->paths[CLIENT_CERT] != NULL;
	err_t err = load_pair(ctx, c->paths[own ? CLIENT_CERT : CERT], c->paths[own ? CLIENT_KEY : KEY], why);

	if (!err && !c->insecure_skip_verify) {
		err = load_ca(ctx, c->paths[CA], false, why);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_verify);
	}
	if (err)
		SSL_CTX_free(ctx);
	else
		*out = ctx;
	return err;
}

static void files_free(struct tls_files *f)
{
	SSL_CTX_free(f->server);
	SSL_CTX_free(f->client);
	X509_CRL_free(f->crl);
	*f = (struct tls_files){0};
}

static err_t files_read(const struct tls_context *c, struct tls_files *out, struct why *why)
{
	err_t err = server_make(c, &out->server, why);

	if (!err)
		err = client_make(c, &out->client, why);
	if (!err && c->paths[CRL])
		err = load_crl(c->paths[CRL], &out->crl, why);
	if (err)
		files_free(out);
	return err;
}

/* Under lock. */
static void files_refresh(struct tls_context *c)
{
	struct file_stamp now[TLS_FILES_WATCHED];
	struct tls_files fresh = {0};
	struct why why;

	if (!stamps_take(c, now))
		return;
	if (files_read(c, &fresh, &why)) {
		LOG_WARN("TLS files have changed and cannot be read; those read before stay in use", LOG_WHY(&why));
	} else {
		files_free(&c->files);
		c->files = fresh;
	}
	memcpy(c->stamps, now, sizeof(now));
}

SSL *tls_ssl_new(struct tls_context *c, bool server, X509_CRL **crl)
{
	SSL *ssl = NULL;

	pthread_mutex_lock(&c->lock);
	files_refresh(c);
	if (!server && !c->paths[CA] && !c->insecure_skip_verify && !c->files.system_authorities)
		c->files.system_authorities = SSL_CTX_set_default_verify_paths(c->files.client) == 1;
	if (server ? c->files.server : c->files.client)
		ssl = SSL_new(server ? c->files.server : c->files.client);
	*crl = c->files.crl;
	if (*crl)
		X509_CRL_up_ref(*crl);
	pthread_mutex_unlock(&c->lock);
	return ssl;
}

/* ---- life ---- */

static char *path_copy(const char *s)
{
	return s && s[0] ? mem_strdup(s) : NULL;
}

static struct str_array strings_copy(const char *const *at, size_t count)
{
	struct str_array a = {NEW_ARRAY(char *, count), count};

	for (size_t i = 0; i < count; i++)
		a.at[i] = mem_strdup(at[i]);
	return a;
}

static void strings_free(struct str_array *a)
{
	for (size_t i = 0; i < a->count; i++)
		mem_free(a->at[i]);
	mem_free(a->at);
}

err_t tls_context_new(const struct tls_config *cfg, struct why *why, struct tls_context **out)
{
	struct tls_context *c;
	err_t err = tls_cipher_suites_check(cfg->cipher_suites, cfg->cipher_suite_count, why);

	if (err)
		return err;
	c = NEW(struct tls_context);
	c->paths[CERT] = path_copy(cfg->cert_file);
	c->paths[KEY] = path_copy(cfg->key_file);
	c->paths[CLIENT_CERT] = path_copy(cfg->client_cert_file);
	c->paths[CLIENT_KEY] = path_copy(cfg->client_key_file);
	c->paths[CA] = path_copy(cfg->trusted_ca_file);
	c->paths[CRL] = path_copy(cfg->crl_file);
	c->allowed_cns = strings_copy(cfg->allowed_cns, cfg->allowed_cn_count);
	c->allowed_hostnames = strings_copy(cfg->allowed_hostnames, cfg->allowed_hostname_count);
	c->server_name = path_copy(cfg->server_name);
	c->ciphers = ciphers_joined(cfg->cipher_suites, cfg->cipher_suite_count);
	c->client_cert_auth = cfg->client_cert_auth;
	c->insecure_skip_verify = cfg->insecure_skip_verify;
	c->check_client_san = cfg->check_client_san;
	c->offer_h2 = cfg->offer_h2;
	c->refused = cfg->refused;
	c->min_version = cfg->min_version;
	c->max_version = cfg->max_version;
	pthread_mutex_init(&c->lock, NULL);
	list_init(&c->handshakes);
	err = files_read(c, &c->files, why);
	for (int i = 0; i < TLS_FILES_WATCHED; i++)
		c->stamps[i] = stamp_of(c->paths[i]);
	if (err)
		tls_context_free(c);
	else
		*out = c;
	return err;
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	ASSERT(list_empty(&c->handshakes));
	files_free(&c->files);
	for (int i = 0; i < TLS_FILES_WATCHED; i++)
		mem_free(c->paths[i]);
	strings_free(&c->allowed_cns);
	strings_free(&c->allowed_hostnames);
	mem_free(c->server_name);
	mem_free(c->ciphers);
	pthread_mutex_destroy(&c->lock);
	mem_free(c);
}
