/* A certificate of our own making, for --auto-tls and --peer-auto-tls: encryption without a check of who is there. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls/tls_impl.h"

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(cert, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

/* "IP:127.0.0.1,DNS:localhost": hosts without their ports. The caller's. */
static char *alt_names(const char *const *hosts, size_t count)
{
	char *out = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned char ip[16];
		char host[256];
		const char *colon = strrchr(hosts[i], ':');
		bool bracketed = hosts[i][0] == '[';
		size_t n = colon && (bracketed || strchr(hosts[i], ':') == colon) ? (size_t)(colon - hosts[i]) : strlen(hosts[i]);
		char *longer;

		snprintf(host, sizeof(host), "%.*s", (int)(n - (bracketed ? 2 : 0)), hosts[i] + bracketed);
		if (!host[0] || strpbrk(host, ",\n"))
			continue;
		longer = mem_printf("%s%s%s:%s", out ? out : "", out ? "," : "",
				    inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1 ? "IP" : "DNS", host);
		mem_free(out);
		out = longer;
	}
	return out;
}

static bool set_serial(X509 *cert)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));

	BN_free(n);
	return ok;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *names, unsigned valid_years)
{
	X509_NAME *name = X509_get_subject_name(cert);

	return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) && X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
	       X509_time_adj_ex(X509_getm_notAfter(cert), (int)valid_years * 365, 0, NULL) && X509_set_pubkey(cert, key) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"etcd", -1, -1, 0) == 1 &&
	       X509_set_issuer_name(cert, name) == 1 && add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
	       add_extension(cert, NID_key_usage, "critical,digitalSignature,keyEncipherment,keyCertSign") &&
	       add_extension(cert, NID_ext_key_usage, "serverAuth") && add_extension(cert, NID_subject_key_identifier, "hash") &&
	       (!names || add_extension(cert, NID_subject_alt_name, names)) && X509_sign(cert, key, EVP_sha512()) > 0;
}

/* A file that only its owner reads. */
static bool write_pem(const char *path, X509 *cert, EVP_PKEY *key)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool ok;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	ok = (cert ? PEM_write_X509(f, cert) : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL)) == 1;
	ok = fflush(f) == 0 && fsync(fd) == 0 && ok;
	return fclose(f) == 0 && ok;
}

static err_t make_dirs(const char *dir, struct why *why)
{
	char *path = mem_strdup(dir);
	err_t err = OK;

	for (char *p = path + 1; !err && *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(path, 0700) && errno != EEXIST)
			err = why_set(why, ERR_IO, "mkdir %s: %s", path, strerror(errno));
		*p = '/';
	}
	if (!err && mkdir(path, 0700) && errno != EEXIST)
		err = why_set(why, ERR_IO, "mkdir %s: %s", path, strerror(errno));
	mem_free(path);
	return err;
}

static bool make_files(const char *cert_file, const char *key_file, const char *names, unsigned valid_years)
{
	EVP_PKEY *key = EVP_EC_gen("P-521");
	X509 *cert = X509_new();
	bool ok = key && cert && fill(cert, key, names, valid_years);

	/* The key first: a certificate without one would be found and used at the next start. */
	if (ok) {
		unlink(key_file);
		unlink(cert_file);
		ok = write_pem(key_file, NULL, key) && write_pem(cert_file, cert, NULL);
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok;
}

err_t tls_self_signed(const char *dir, const char *const *hosts, size_t host_count, unsigned valid_years, struct why *why,
		      char **cert_file, char **key_file)
{
	err_t err = make_dirs(dir, why);
	char *names;

	if (err)
		return err;
	*cert_file = mem_printf("%s/cert.pem", dir);
	*key_file = mem_printf("%s/key.pem", dir);
	if (access(*cert_file, R_OK) == 0 && access(*key_file, R_OK) == 0)
		return OK;
	names = alt_names(hosts, host_count);
	if (!make_files(*cert_file, *key_file, names, valid_years))
		err = why_set(why, ERR_IO, "cannot make a self-signed certificate in %s", dir);
	mem_free(names);
	if (err) {
		mem_free(*cert_file);
		mem_free(*key_file);
		*cert_file = *key_file = NULL;
	}
	return err;
}
