/* Failed handshakes in words that operators of etcd know. */
#include <openssl/err.h>
#include <stdio.h>

#include "tls/tls_impl.h"

static const char *alert_name(int alert)
{
	switch (alert) {
	case SSL_AD_HANDSHAKE_FAILURE: return "handshake failure";
	case SSL_AD_BAD_CERTIFICATE: return "bad certificate";
	case SSL_AD_UNSUPPORTED_CERTIFICATE: return "unsupported certificate";
	case SSL_AD_CERTIFICATE_REVOKED: return "revoked certificate";
	case SSL_AD_CERTIFICATE_EXPIRED: return "expired certificate";
	case SSL_AD_CERTIFICATE_UNKNOWN: return "unknown certificate";
	case SSL_AD_ILLEGAL_PARAMETER: return "illegal parameter";
	case SSL_AD_UNKNOWN_CA: return "unknown certificate authority";
	case SSL_AD_ACCESS_DENIED: return "access denied";
	case SSL_AD_DECODE_ERROR: return "error decoding message";
	case SSL_AD_DECRYPT_ERROR: return "error decrypting message";
	case SSL_AD_PROTOCOL_VERSION: return "protocol version not supported";
	case SSL_AD_INSUFFICIENT_SECURITY: return "insufficient security level";
	case SSL_AD_INTERNAL_ERROR: return "internal error";
	case SSL_AD_UNRECOGNIZED_NAME: return "unrecognized name";
	case 116: return "certificate required";
	case 120: return "no application protocol";
	default: return NULL;
	}
}

static void verify_text(long code, char *out, size_t size)
{
	const char *text;

	switch (code) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: text = "certificate signed by unknown authority"; break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID: text = "certificate has expired or is not yet valid"; break;
	case X509_V_ERR_INVALID_PURPOSE: text = "certificate specifies an incompatible key usage"; break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH: text = "certificate is not valid for the name that was dialled"; break;
	default: text = X509_verify_cert_error_string(code);
	}
	snprintf(out, size, "tls: failed to verify certificate: x509: %s", text);
}

/* What a client of before TLS 1.3 offers: its version and those below. One of 1.3 lists them itself, and always has one that is served. */
static void versions_text(int newest, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "tls: client offered only unsupported versions: [");

	for (int v = newest; v >= TLS1_VERSION && v <= TLS1_3_VERSION && n < size; v--)
		n += (size_t)snprintf(out + n, size - n, "%s%x", v == newest ? "" : " ", (unsigned)v);
	if (n < size)
		snprintf(out + n, size - n, "]");
}

static void suites_text(SSL *ssl, char *out, size_t size)
{
	const unsigned char *raw;
	size_t bytes = SSL_get0_raw_cipherlist(ssl, (unsigned char **)&raw);
	size_t n = (size_t)snprintf(out, size, "tls: no cipher suite supported by both client and server; client offered: [");

	for (size_t i = 0; i + 1 < bytes && n < size; i += 2)
		n += (size_t)snprintf(out + n, size - n, "%s%x", i ? " " : "", (unsigned)(raw[i] << 8 | raw[i + 1]));
	if (n < size)
		snprintf(out + n, size - n, "]");
}

void tls_error_text(SSL *ssl, const struct tls_verdict *v, char *out, size_t size)
{
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);
	long verify = SSL_get_verify_result(ssl);

	if (v->why[0])
		snprintf(out, size, "%s", v->why);
	else if (!code)
		snprintf(out, size, "EOF");
	else if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256 && alert_name(reason - SSL_AD_REASON_OFFSET))
		snprintf(out, size, "remote error: tls: %s", alert_name(reason - SSL_AD_REASON_OFFSET));
	else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
		verify_text(verify, out, size);
	else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		snprintf(out, size, "tls: client didn't provide a certificate");
	else if (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_WRONG_VERSION_NUMBER)
		snprintf(out, size, "tls: first record does not look like a TLS handshake");
	else if (reason == SSL_R_NO_SHARED_CIPHER)
		suites_text(ssl, out, size);
	else if (reason == SSL_R_UNSUPPORTED_PROTOCOL)
		versions_text(SSL_client_version(ssl), out, size);
	else
		snprintf(out, size, "tls: %s", ERR_reason_error_string(code) ? ERR_reason_error_string(code) : "handshake failed");
	ERR_clear_error();
}
