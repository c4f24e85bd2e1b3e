/* Chains that OpenSSL and Go's crypto/x509 see differently. Each case is judged here by a rule of its own; all other checks stay OpenSSL's.
 *
 * Accepted:
 *   a leaf of its authority's subject, without key identifiers: it looks self-signed, and OpenSSL looks no further
 *   a leaf that gives another key identifier than its authority has: Go takes it for a hint
 *   extended usage "any", or a key usage that says nothing of signatures: Go asks the extended usage alone
 * Refused:
 *   an authority of X.509 version 3 that does not say that it is one */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls/tls_impl.h"

enum { SIGNATURE_BITS_MIN = 112 };              /* no MD5, no SHA-1, as Go */

static bool signature_is_strong(X509 *cert)
{
	int bits = 0;
	uint32_t flags = 0;

	return X509_get_signature_info(cert, NULL, NULL, &bits, &flags) == 1 && (flags & X509_SIG_INFO_VALID) && bits >= SIGNATURE_BITS_MIN;
}

/* Usage of the other end: we are the server, so it is a client, or the other way round. */
static bool usage_fits(X509 *cert, bool is_client)
{
	uint32_t usage = X509_get_extended_key_usage(cert);     /* UINT32_MAX: it says nothing */

	return usage & (XKU_ANYEKU | (is_client ? XKU_SSL_CLIENT : XKU_SSL_SERVER));
}

/* 1: it says so; 3: it is of X.509 version 1 and could not. */
bool tls_is_authority(X509 *cert)
{
	int kind = X509_check_ca(cert);

	return kind == 1 || kind == 3;
}

static bool names_permitted(X509 *leaf, X509 *authority)
{
	int critical;
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(authority, NID_name_constraints, &critical, NULL);
	bool ok = nc ? NAME_CONSTRAINTS_check(leaf, nc) == X509_V_OK : critical == -1;      /* -1: it has none; else it cannot be read */

	NAME_CONSTRAINTS_free(nc);
	return ok;
}

/* Dates, strength of the key, unknown critical extensions: what OpenSSL looks at in any certificate. */
static bool is_valid_itself(X509_STORE_CTX *of, X509 *trusted)
{
	X509_STORE_CTX *own = X509_STORE_CTX_new();
	bool ok = own && X509_STORE_CTX_init(own, X509_STORE_CTX_get0_store(of), trusted, NULL) == 1;

	if (ok) {
		X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(own), X509_VERIFY_PARAM_get_auth_level(X509_STORE_CTX_get0_param(of)));
		ok = X509_verify_cert(own) == 1;
	}
	X509_STORE_CTX_free(own);
	return ok;
}

static bool is_by_trusted(X509_STORE_CTX *store, X509 *leaf, bool is_client)
{
	STACK_OF(X509) *trusted = X509_STORE_CTX_get1_certs(store, X509_get_issuer_name(leaf));
	bool found = false;

	for (int i = 0; !found && i < sk_X509_num(trusted); i++) {
		X509 *t = sk_X509_value(trusted, i);

		found = tls_is_authority(t) && usage_fits(t, is_client) && X509_verify(leaf, X509_get0_pubkey(t)) == 1 &&
			names_permitted(leaf, t) && is_valid_itself(store, t);
	}
	sk_X509_pop_free(trusted, X509_free);
	return found;
}

bool tls_chain_is_sound(X509_STORE_CTX *store, bool is_client)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	bool is_leaf = X509_STORE_CTX_get_error_depth(store) == 0, sound = false;

	ERR_set_mark();
	switch (X509_STORE_CTX_get_error(store)) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		sound = is_leaf && signature_is_strong(cert) && is_by_trusted(store, cert, is_client);
		break;
	case X509_V_ERR_INVALID_PURPOSE: sound = usage_fits(cert, is_client); break;
	default: break;
	}
	ERR_pop_to_mark();
	return sound;
}
