/* What a certificate must be beyond a sound chain: allowed names, not revoked, fitting the client's address. */
#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "tls/tls_impl.h"

/* The last one, where there are several, as Go's Subject.CommonName. */
char *tls_common_name(X509 *cert)
{
	X509_NAME *name = X509_get_subject_name(cert);
	int at = -1;
	unsigned char *utf8 = NULL;
	char *out = NULL;
	int size;

	for (int next; (next = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0;)
		at = next;
	if (at < 0)
		return NULL;
	size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (size > 0 && !memchr(utf8, 0, (size_t)size))
		out = mem_printf("%.*s", size, utf8);
	OPENSSL_free(utf8);
	return out;
}

/* As Go's VerifyHostname: a star stands for one whole label, and a name with a dot in front is none (OpenSSL would take any name below). */
static bool is_for_host(X509 *cert, const char *host)
{
	unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

	return (host[0] != '.' && X509_check_host(cert, host, 0, flags, NULL) == 1) || X509_check_ip_asc(cert, host, 0) == 1;
}

bool tls_names_allowed(const struct tls_context *c, X509 *cert)
{
	char *cn;
	bool found = false;

	if (!c->allowed_cns.count && !c->allowed_hostnames.count)
		return true;
	cn = tls_common_name(cert);
	for (size_t i = 0; cn && i < c->allowed_cns.count; i++)
		found |= strcmp(cn, c->allowed_cns.at[i]) == 0;
	mem_free(cn);
	for (size_t i = 0; i < c->allowed_hostnames.count; i++)
		found |= is_for_host(cert, c->allowed_hostnames.at[i]);
	return found;
}

static bool is_revoked(X509_CRL *crl, X509 *cert)
{
	X509_REVOKED *found;

	return crl && X509_CRL_get0_by_serial(crl, &found, X509_get_serialNumber(cert)) == 1;
}

static int refuse(struct tls_verdict *v, X509_STORE_CTX *store, const char *why)
{
	snprintf(v->why, sizeof(v->why), "%s", why);
	if (!v->cert && X509_up_ref(X509_STORE_CTX_get0_cert(store)))
		v->cert = X509_STORE_CTX_get0_cert(store);
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

static void revoked_text(X509 *cert, char *out, size_t size)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	size_t n = (size_t)snprintf(out, size, "transport: certificate serial ");

	for (int i = 0; i < ASN1_STRING_length(serial) && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%02x", ASN1_STRING_get0_data(serial)[i]);
	if (n < size)
		snprintf(out + n, size - n, " revoked");
}

int tls_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_verdict *v = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	char why[128];

	if (!v || !cert)
		return ok;
	if (!ok && tls_chain_is_sound(store, SSL_is_server(ssl))) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;               /* what is below is asked when the chain is gone through */
	}
	if (!ok)
		return 0;
	if (X509_STORE_CTX_get_error_depth(store) > 0 && !tls_is_authority(cert)) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_CA);
		return 0;
	}
	if (is_revoked(v->crl, cert)) {
		revoked_text(cert, why, sizeof(why));
		return refuse(v, store, why);
	}
	if (X509_STORE_CTX_get_error_depth(store) == 0 && !tls_names_allowed(v->context, cert))
		return refuse(v, store, "client certificate authentication failed");
	return ok;
}

/* ---- SAN against the client's address ---- */

static bool host_of(const char *remote, char *out, size_t size)
{
	const char *colon = strrchr(remote, ':');
	size_t n = colon ? (size_t)(colon - remote) : strlen(remote);

	if (n && remote[0] == '[') {
		remote++;
		n -= 2;
	}
	if (n >= size)
		return false;
	memcpy(out, remote, n);
	out[n] = 0;
	return true;
}

static bool same_address(const struct sockaddr *a, const char *ip)
{
	char text[INET6_ADDRSTRLEN];
	const void *at = a->sa_family == AF_INET ? (const void *)&((const struct sockaddr_in *)a)->sin_addr :
						   (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr;

	return inet_ntop(a->sa_family, at, text, sizeof(text)) && strcmp(text, ip) == 0;
}

/* What the address is called; "" if it has no name. */
static void name_of_ip(const char *ip, char *out, size_t size)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list;

	out[0] = 0;
	if (getaddrinfo(ip, NULL, &hints, &list))
		return;
	if (getnameinfo(list->ai_addr, list->ai_addrlen, out, (socklen_t)size, NULL, 0, NI_NAMEREQD))
		out[0] = 0;
	freeaddrinfo(list);
}

static bool name_has_ip(const char *name, const char *ip)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	bool found = false;

	if (getaddrinfo(name, NULL, &hints, &list))
		return false;
	for (struct addrinfo *a = list; a; a = a->ai_next)
		found |= same_address(a->ai_addr, ip);
	freeaddrinfo(list);
	return found;
}

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && strcmp(s + n - k, suffix) == 0;
}

static bool dns_fits(GENERAL_NAMES *names, const char *ip)
{
	char called[NI_MAXHOST];
	bool fits = false;

	name_of_ip(ip, called, sizeof(called));
	for (int i = 0; !fits && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		const char *dns;

		if (g->type != GEN_DNS)
			continue;
		dns = (const char *)ASN1_STRING_get0_data(g->d.dNSName);
		if ((int)strlen(dns) != ASN1_STRING_length(g->d.dNSName))
			continue;
		if (strncmp(dns, "*.", 2) == 0)
			fits = called[0] && ends_with(called, dns + 1);
		else
			fits = strcmp(called, dns) == 0 || name_has_ip(dns, ip);
	}
	return fits;
}

size_t tls_sans(X509 *cert, int type, char out[TLS_SANS_MAX][TLS_SAN_SIZE])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t count = 0;

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && count < TLS_SANS_MAX; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *s = type == GEN_DNS ? g->d.dNSName : g->d.iPAddress;
		int size;

		if (g->type != type)
			continue;
		size = ASN1_STRING_length(s);
		if (type == GEN_DNS)
			snprintf(out[count++], TLS_SAN_SIZE, "%.*s", size, (const char *)ASN1_STRING_get0_data(s));
		else if ((size == 4 || size == 16) && inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), out[count], TLS_SAN_SIZE))
			count++;
	}
	GENERAL_NAMES_free(names);
	return count;
}

/* In Go's words: `x509: certificate is valid for A, B, not C`. */
static void ip_mismatch(X509 *cert, const char *ip, char *why, size_t why_size)
{
	char ips[TLS_SANS_MAX][TLS_SAN_SIZE];
	size_t count = tls_sans(cert, GEN_IPADD, ips), n = (size_t)snprintf(why, why_size, "x509: certificate is valid for ");

	for (size_t i = 0; i < count && n < why_size; i++)
		n += (size_t)snprintf(why + n, why_size - n, "%s%s", i ? ", " : "", ips[i]);
	if (n < why_size)
		snprintf(why + n, why_size - n, ", not %s", ip);
}

/* And `tls: "C" does not match any of DNSNames ["A" "B"]`; what a lookup failed of is left out. */
static void dns_mismatch(X509 *cert, const char *ip, char *why, size_t why_size)
{
	char names[TLS_SANS_MAX][TLS_SAN_SIZE];
	size_t count = tls_sans(cert, GEN_DNS, names), n;

	n = (size_t)snprintf(why, why_size, "tls: \"%s\" does not match any of DNSNames [", ip);
	for (size_t i = 0; i < count && n < why_size; i++)
		n += (size_t)snprintf(why + n, why_size - n, "%s\"%s\"", i ? " " : "", names[i]);
	if (n < why_size)
		snprintf(why + n, why_size - n, "]");
}

bool tls_san_fits(X509 *cert, const char *remote, bool lookup, bool *needs_lookup, char *why, size_t why_size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char ip[128];
	bool has_ip = false, has_dns = false, fits;

	*needs_lookup = false;
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		int type = sk_GENERAL_NAME_value(names, i)->type;

		has_ip |= type == GEN_IPADD;
		has_dns |= type == GEN_DNS;
	}
	if ((!has_ip && !has_dns) || !host_of(remote, ip, sizeof(ip))) {
		GENERAL_NAMES_free(names);
		return true;
	}
	fits = has_ip && X509_check_ip_asc(cert, ip, 0) == 1;
	if (!fits && has_dns && !lookup)
		*needs_lookup = true;
	else if (!fits && has_dns)
		fits = dns_fits(names, ip);
	if (!fits && has_dns)
		dns_mismatch(cert, ip, why, why_size);
	else if (!fits)
		ip_mismatch(cert, ip, why, why_size);
	GENERAL_NAMES_free(names);
	return fits;
}
