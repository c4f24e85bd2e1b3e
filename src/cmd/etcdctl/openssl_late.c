/* OpenSSL when it is needed: loading it takes longer than a whole `etcdctl get` without TLS (440 KB of pointers to be
 * written, in 110 pages). Each function that etcdctl calls stands here under its own name, and finds the real one in
 * libssl at its first call; the headers check that the parameters agree, and tests/cli/late.py that none is missing. */
#include <dlfcn.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_OF(x) #x
#define LIBRARY_OF(version) "libssl.so." TEXT_OF(version)

static const char library[] = LIBRARY_OF(OPENSSL_SHLIB_VERSION);

/* libssl's own libraries, libcrypto among them, are searched with it. */
static void *find(const char *name)
{
	static void *ssl;
	void *function;

	if (!ssl)
		ssl = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	function = ssl ? dlsym(ssl, name) : NULL;
	if (!function) {
		fprintf(stderr, "Error: TLS and checksums need OpenSSL: %s\n", dlerror());
		exit(1);
	}
	return function;
}

#define LATE(type, name, params, args)                                                                                 \
	type name params                                                                                               \
	{                                                                                                              \
		static type(*real) params;                                                                             \
                                                                                                                       \
		if (!real)                                                                                             \
			*(void **)&real = find(#name);                                                                 \
		return real args;                                                                                      \
	}

LATE(long, BIO_ctrl, (BIO * b, int cmd, long n, void *p), (b, cmd, n, p))
LATE(size_t, BIO_ctrl_pending, (BIO * b), (b))
LATE(void, BIO_free_all, (BIO * b), (b))
LATE(BIO *, BIO_new, (const BIO_METHOD *m), (m))
LATE(BIO *, BIO_new_ssl_connect, (SSL_CTX * ctx), (ctx))
LATE(int, BIO_read, (BIO * b, void *to, int size), (b, to, size))
LATE(const BIO_METHOD *, BIO_s_connect, (void), ())
LATE(const BIO_METHOD *, BIO_s_mem, (void), ())
LATE(int, BIO_test_flags, (const BIO *b, int flags), (b, flags))
LATE(int, BIO_write, (BIO * b, const void *from, int size), (b, from, size))
LATE(void, ERR_clear_error, (void), ())
LATE(unsigned long, ERR_get_error, (void), ())
LATE(unsigned long, ERR_peek_last_error, (void), ())
LATE(const char *, ERR_reason_error_string, (unsigned long e), (e))
LATE(int, EVP_DigestFinal_ex, (EVP_MD_CTX * h, unsigned char *sum, unsigned int *size), (h, sum, size))
LATE(int, EVP_DigestInit_ex, (EVP_MD_CTX * h, const EVP_MD *type, ENGINE *engine), (h, type, engine))
LATE(int, EVP_DigestUpdate, (EVP_MD_CTX * h, const void *data, size_t size), (h, data, size))
LATE(void, EVP_MD_CTX_free, (EVP_MD_CTX * h), (h))
LATE(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())
LATE(const EVP_MD *, EVP_sha256, (void), ())
LATE(int, SSL_CTX_check_private_key, (const SSL_CTX *ctx), (ctx))
LATE(long, SSL_CTX_ctrl, (SSL_CTX * ctx, int cmd, long n, void *p), (ctx, cmd, n, p))
LATE(void, SSL_CTX_free, (SSL_CTX * ctx), (ctx))
LATE(int, SSL_CTX_get_verify_mode, (const SSL_CTX *ctx), (ctx))
LATE(int, SSL_CTX_load_verify_locations, (SSL_CTX * ctx, const char *file, const char *folder), (ctx, file, folder))
LATE(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *m), (m))
LATE(int, SSL_CTX_set_alpn_protos, (SSL_CTX * ctx, const unsigned char *names, unsigned int size), (ctx, names, size))
LATE(int, SSL_CTX_set_default_verify_paths, (SSL_CTX * ctx), (ctx))
LATE(void, SSL_CTX_set_verify, (SSL_CTX * ctx, int mode, SSL_verify_cb callback), (ctx, mode, callback))
LATE(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX * ctx, const char *file, int type), (ctx, file, type))
LATE(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX * ctx, const char *file), (ctx, file))
LATE(long, SSL_ctrl, (SSL * s, int cmd, long n, void *p), (s, cmd, n, p))
LATE(int, SSL_do_handshake, (SSL * s), (s))
LATE(void, SSL_free, (SSL * s), (s))
LATE(X509_VERIFY_PARAM *, SSL_get0_param, (SSL * s), (s))
LATE(int, SSL_get_error, (const SSL *s, int code), (s, code))
LATE(long, SSL_get_verify_result, (const SSL *s), (s))
LATE(SSL *, SSL_new, (SSL_CTX * ctx), (ctx))
LATE(int, SSL_read, (SSL * s, void *to, int size), (s, to, size))
LATE(int, SSL_set1_host, (SSL * s, const char *name), (s, name))
LATE(void, SSL_set_bio, (SSL * s, BIO *in, BIO *out), (s, in, out))
LATE(void, SSL_set_hostflags, (SSL * s, unsigned flags), (s, flags))
LATE(void, SSL_set_connect_state, (SSL * s), (s))
LATE(int, SSL_write, (SSL * s, const void *from, int size), (s, from, size))
LATE(const SSL_METHOD *, TLS_client_method, (void), ())
LATE(int, X509_VERIFY_PARAM_set1_ip_asc, (X509_VERIFY_PARAM * p, const char *ip), (p, ip))
LATE(const char *, X509_verify_cert_error_string, (long e), (e))
