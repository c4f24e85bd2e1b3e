/* TLS over byte streams, through OpenSSL: a net_stream in, a net_stream out, with a handshake between.
 *
 *	tls_context_new(&cfg, &why, &ctx);              files are read; any thread
 *	tls_accept(ctx, take_stream, done, arg);        server's side, on the stream's loop
 *	tls_connect(ctx, take_stream, "host", done, arg);
 *	done(arg, OK, NULL, stream)                     once, later, on the loop: use it like any other; peer.is_tls and
 *	                                                peer.cert_cn are set. Failure: an error, a line in Go's words, the raw stream closed
 *
 * A context serves any number of loops at once. Certificate, key, CA and CRL files are looked at with each handshake
 * and read again once they have changed; connections that are up go on. When the new ones cannot be read the old ones
 * stay in use, and a warning says so.
 * Limits: TLS 1.2 and 1.3 only; handshakes end after 10 s; no renegotiation, no compression; ciphertext that waits to be
 * read is bounded by what the raw stream gives at a time.
 * Private keys and session secrets stay inside OpenSSL. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "net/net.h"

struct tls_context;

enum tls_version { TLS_VERSION_ANY = 0, TLS_VERSION_1_2 = 12, TLS_VERSION_1_3 = 13 };

/* Who was refused by a server, and why, for its log. Texts are valid during the call. */
struct tls_refusal {
	const char *remote, *server_name;       /* server_name "": the client named none */
	const char *why;                        /* "EOF": it went away by itself */
	bool has_certificate;                   /* its chain was sound; then the next two are what it is for */
	const char *const *ips, *const *dns_names;
	size_t ip_count, dns_name_count;
};
typedef void tls_refused(const struct tls_refusal *r);

/* Strings and lists are copied; NULL and "" mean: none. */
struct tls_config {
	const char *cert_file, *key_file;       /* server's, and client's unless the next two are set; PEM */
	const char *client_cert_file, *client_key_file;
	const char *trusted_ca_file;            /* PEM. Server: clients must show a certificate of it. Client: NULL = the system's */
	const char *crl_file;                   /* DER or PEM; who shows a listed certificate is refused */
	bool client_cert_auth;                  /* server: a verified certificate is demanded, by the system's CAs if no file is set */
	bool insecure_skip_verify;              /* client: the server's certificate is not looked at */
	const char *server_name;                /* client: instead of the host that is dialled */
	const char *const *allowed_cns;         /* the other end's certificate carries one of them */
	size_t allowed_cn_count;
	const char *const *allowed_hostnames;
	size_t allowed_hostname_count;
	bool check_client_san;                  /* server: the SAN of a client certificate must fit the address it comes from */
	bool offer_h2;                          /* ALPN: server takes h2, then http/1.1; client offers h2. Else none */
	const char *const *cipher_suites;       /* of TLS 1.2, IANA names */
	size_t cipher_suite_count;
	enum tls_version min_version, max_version;
	tls_refused *refused;                   /* server: called before done, on the loop; NULL: nobody wants to know */
};

/* What is wrong with a list of cipher suites, before anything else is done: `unexpected TLS cipher suite "X"`. */
NODISCARD err_t tls_cipher_suites_check(const char *const *names, size_t count, struct why *why);

/* ERR_NOT_EXIST, ERR_INVALID, …; why names the file. */
NODISCARD err_t tls_context_new(const struct tls_config *cfg, struct why *why, struct tls_context **out);
/* Connections and handshakes keep what they need. NULL allowed. */
void tls_context_free(struct tls_context *c);

typedef void tls_done(void *arg, err_t err, const char *why, struct net_stream *take_s);

/* done may be called before it returns only with an error. The raw stream has no owner yet. */
void tls_accept(struct tls_context *c, struct net_stream *take_raw, tls_done *done, void *arg);
void tls_connect(struct tls_context *c, struct net_stream *take_raw, const char *host, tls_done *done, void *arg);

/* Ends handshakes that are under way on this loop; their done is called with ERR_STOPPED. On the loop. */
void tls_handshakes_cancel(struct tls_context *c, struct net_loop *loop);

/* The PEM files of a self-signed certificate (ECDSA P-521, O=etcd, for servers) in dir; those that are there are left as they are.
 * hosts: names and IP literals, with or without ports. Blocking. paths: the caller's, mem_free. */
NODISCARD err_t tls_self_signed(const char *dir, const char *const *hosts, size_t host_count, unsigned valid_years, struct why *why,
				char **cert_file, char **key_file);

#endif
