/* Private to the tls module. */
#ifndef TLS_TLS_IMPL_H
#define TLS_TLS_IMPL_H

#include <openssl/ssl.h>
#include <pthread.h>

#include "base/list.h"
#include "base/mem.h"
#include "tls/tls.h"

/* One reading of the files: counted, never changed. */
struct tls_files {
	SSL_CTX *server, *client;
	bool system_authorities;        /* client has them; under the lock, with its first connection */
	X509_CRL *crl;                  /* NULL: none */
};

struct str_array {
	char **at;
	size_t count;
};

struct file_stamp {
	int64_t mtime_ns;
	uint64_t size, inode;
};

enum { TLS_FILES_WATCHED = 6 };

struct tls_context {
	char *paths[TLS_FILES_WATCHED];         /* cert, key, client cert, client key, CA, CRL; NULL: none */
	struct str_array allowed_cns, allowed_hostnames;
	char *server_name;
	char *ciphers;                          /* OpenSSL's names, colon-joined; NULL: its choice */
	bool client_cert_auth, insecure_skip_verify, check_client_san, offer_h2;
	tls_refused *refused;
	enum tls_version min_version, max_version;
	pthread_mutex_t lock;                   /* of what follows */
	struct tls_files files;
	struct file_stamp stamps[TLS_FILES_WATCHED];
	struct list handshakes;                 /* struct tls_stream; of all loops */
};

/* context.c: an SSL of the newest files; crl: with a reference of its own, or NULL. NULL: OpenSSL refused. */
SSL *tls_ssl_new(struct tls_context *c, bool server, X509_CRL **crl);

/* verify.c: what the other end's certificate must be, beyond its chain. */
struct tls_verdict {
	struct tls_context *context;
	X509_CRL *crl;
	X509 *cert;                             /* whose chain is sound, and who is refused all the same; counted */
	char why[512];                          /* "" while nothing was wrong */
};

/* Names or addresses (type: GEN_DNS, GEN_IPADD) of a certificate's SAN, as texts: how many there are of them in out. */
enum { TLS_SANS_MAX = 32, TLS_SAN_SIZE = 256 };
size_t tls_sans(X509 *cert, int type, char out[TLS_SANS_MAX][TLS_SAN_SIZE]);

/* chain.c: what OpenSSL has just found wrong with the other end's chain is nothing wrong by Go's rules. */
bool tls_chain_is_sound(X509_STORE_CTX *store, bool is_client);
bool tls_is_authority(X509 *cert);
/* The certificate carries one of the names that are allowed, or nothing was said about names. */
bool tls_names_allowed(const struct tls_context *c, X509 *cert);
/* For SSL_set_verify; the verdict is the SSL's app data. */
int tls_verify(int ok, X509_STORE_CTX *store);
/* The address the client comes from fits its certificate's SAN. Blocks for name lookups unless *needs_lookup comes back set, in which case
 * it is to be called again where it may block, with lookup true. */
bool tls_san_fits(X509 *cert, const char *remote, bool lookup, bool *needs_lookup, char *why, size_t why_size);
/* The subject's common name, mem_free; NULL: none, or not text. */
char *tls_common_name(X509 *cert);

/* errors.c: what went wrong, in Go's words where it has some. */
void tls_error_text(SSL *ssl, const struct tls_verdict *v, char *out, size_t size);

#endif
