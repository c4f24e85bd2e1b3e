/* Names of a certificate, made of the input: an allowed host is found only where Go's rules find it, an allowed common name only where
 * it is the same text, and nothing in a name stops the search, a zero byte neither.
 *
 *	input: host NUL, then names: kind (0 DNS, 1 address, 2 common name, 3 e-mail), size, bytes */
#include <ctype.h>
#include <openssl/x509v3.h>

#include "../../src/tls/tls_impl.h"
#include "fuzz.h"

enum { NAMES_MAX = 8 };

struct name {
	int kind;
	struct slice text;
};

static bool same_text(struct slice a, struct slice b)
{
	for (size_t i = 0; a.size == b.size && i < a.size; i++)
		if (tolower(a.data[i]) != tolower(b.data[i]))
			return false;
	return a.size == b.size;
}

static struct slice label(struct slice *s)
{
	const uint8_t *dot = s->size ? memchr(s->data, '.', s->size) : NULL;
	struct slice l = slice_of(s->data, dot ? (size_t)(dot - s->data) : s->size);

	*s = dot ? slice_of(dot + 1, s->size - l.size - 1) : (struct slice){0};
	return l;
}

/* x509.matchHostnames: label by label, a star for the first one, as a whole. */
static bool go_matches(struct slice pattern, struct slice host)
{
	if (host.size && host.data[host.size - 1] == '.')
		host.size--;
	if (!host.size || !pattern.size || host.data[0] == '.')
		return false;
	for (bool first = true; pattern.size && host.size; first = false) {
		struct slice p = label(&pattern), h = label(&host);

		if (!(first && slice_eq(p, SLICE_LIT("*")) && h.size) && !same_text(p, h))
			return false;
	}
	return !pattern.size && !host.size;
}

static void add_name(GENERAL_NAMES *names, X509_NAME *subject, const struct name *n)
{
	GENERAL_NAME *g;
	ASN1_STRING *text;

	if (n->kind == 2) {
		X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING, n->text.data, (int)n->text.size, -1, 0);
		return;
	}
	g = GENERAL_NAME_new();
	text = n->kind == 1 ? (ASN1_STRING *)ASN1_OCTET_STRING_new() : (ASN1_STRING *)ASN1_IA5STRING_new();
	ASN1_STRING_set(text, n->text.data, (int)n->text.size);
	GENERAL_NAME_set0_value(g, n->kind == 1 ? GEN_IPADD : n->kind == 3 ? GEN_EMAIL : GEN_DNS, text);
	sk_GENERAL_NAME_push(names, g);
}

static size_t read_names(struct slice s, struct name *out)
{
	size_t count = 0;

	while (count < NAMES_MAX && s.size >= 2) {
		size_t size = MIN(s.data[1] & 63, s.size - 2);

		out[count++] = (struct name){s.data[0] & 3, slice_of(s.data + 2, size)};
		s = slice_of(s.data + 2 + size, s.size - 2 - size);
	}
	return count;
}

/* A name that must be found where it stands as it is. */
static bool is_plain(struct slice h)
{
	for (size_t i = 0; i < h.size; i++)
		if (!isalnum(h.data[i]))
			return false;
	return h.size > 0;
}

static void check(const char *host, const struct name *names, size_t count, X509 *cert)
{
	char *allowed[] = {(char *)host};
	struct tls_context by_cn = {.allowed_cns = {allowed, 1}}, by_host = {.allowed_hostnames = {allowed, 1}};
	bool dns = false, same_dns = false, address = false, lookup;
	struct slice h = slice_str(host), cn = {0};
	char why[64], remote[300];

	for (size_t i = 0; i < count; i++) {
		dns |= names[i].kind == 0 && (same_text(names[i].text, h) || go_matches(names[i].text, h));
		same_dns |= names[i].kind == 0 && slice_eq(names[i].text, h);
		address |= names[i].kind == 1 && (names[i].text.size == 4 || names[i].text.size == 16);
		if (names[i].kind == 2)
			cn = names[i].text;
	}
	if (tls_names_allowed(&by_host, cert))
		ASSERT(dns || (address && strpbrk(host, ".:")));
	else
		ASSERT(!same_dns || !is_plain(h));
	if (tls_names_allowed(&by_cn, cert))
		ASSERT(cn.data && slice_eq(cn, h));
	snprintf(remote, sizeof(remote), "127.0.0.1:1");
	why[0] = 0;
	if (!tls_san_fits(cert, remote, false, &lookup, why, sizeof(why)))
		ASSERT(why[0] && memchr(why, 0, sizeof(why)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, 0, MIN(size, (size_t)200)) : NULL;
	struct name names[NAMES_MAX];
	GENERAL_NAMES *san;
	size_t count;
	X509 *cert;

	if (!nul)
		return 0;
	count = read_names(slice_of(nul + 1, size - (size_t)(nul + 1 - data)), names);
	cert = X509_new();
	san = sk_GENERAL_NAME_new_null();
	for (size_t i = 0; i < count; i++)
		add_name(san, X509_get_subject_name(cert), &names[i]);
	if (sk_GENERAL_NAME_num(san))
		X509_add1_ext_i2d(cert, NID_subject_alt_name, san, 0, X509V3_ADD_DEFAULT);
	check((const char *)data, names, count, cert);
	sk_GENERAL_NAME_pop_free(san, GENERAL_NAME_free);
	X509_free(cert);
	return 0;
}
