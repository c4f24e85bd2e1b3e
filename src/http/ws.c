/*	byte 0   FIN 1 bit, RSV 3 (must be 0), opcode 4
 *	byte 1   MASK 1 (must be 1 from a client), length 7: up to 125, 126 = two bytes follow, 127 = eight
 *	         then 4 bytes of mask, then the payload, XORed with them */
#include "http/ws.h"

#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base/endian.h"

enum { FIN = 0x80, RSV = 0x70, MASKED = 0x80, LENGTH_16 = 126, LENGTH_64 = 127, MASK_SIZE = 4, SHA1_SIZE = 20 };

void ws_reader_init(struct ws_reader *w, size_t message_size_max)
{
	memset(w, 0, sizeof(*w));
	buf_init(&w->message, message_size_max);
}

void ws_reader_fini(struct ws_reader *w)
{
	buf_fini(&w->message);
}

static size_t head_size(const struct ws_reader *w)
{
	unsigned length;

	if (w->head_size < 2)
		return 2;
	length = w->head[1] & 0x7f;
	return 2 + (length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0) + MASK_SIZE;
}

static enum ws_opcode opcode(const struct ws_reader *w)
{
	return (enum ws_opcode)(w->head[0] & 0xf);
}

static bool is_control(const struct ws_reader *w)
{
	return opcode(w) >= WS_OP_CLOSE;
}

/* The head is whole: what it says may be. */
static bool head_good(struct ws_reader *w)
{
	unsigned length = w->head[1] & 0x7f;
	bool fin = w->head[0] & FIN;

	w->left = length == LENGTH_16 ? be16_get(w->head + 2) : length == LENGTH_64 ? be64_get(w->head + 2) : length;
	w->at = 0;
	if ((w->head[0] & RSV) || !(w->head[1] & MASKED))
		return false;
	switch (opcode(w)) {
	case WS_OP_CONTINUATION:
		return w->in_message && w->left <= w->message.size_max - w->message.size;
	case WS_OP_TEXT:
	case WS_OP_BINARY:
		return !w->in_message && w->left <= w->message.size_max;
	case WS_OP_CLOSE:
	case WS_OP_PING:
	case WS_OP_PONG:
		w->control_size = 0;
		return fin && w->left <= WS_CONTROL_SIZE_MAX;
	default:
		return false;
	}
}

static void payload(struct ws_reader *w, struct slice *data)
{
	const uint8_t *mask = w->head + w->head_size - MASK_SIZE;
	size_t n = (size_t)MIN(w->left, data->size);
	uint8_t *to;

	if (is_control(w)) {
		to = w->control + w->control_size;
		w->control_size += n;
	} else {
		to = n ? buf_add(&w->message, n) : NULL;
	}
	for (size_t i = 0; i < n; i++)
		to[i] = data->data[i] ^ mask[(w->at + i) % MASK_SIZE];
	w->at += n;
	w->left -= n;
	*data = slice_of(data->data + n, data->size - n);
}

static enum ws_event frame_end(struct ws_reader *w)
{
	w->in_payload = false;
	w->head_size = 0;
	switch (opcode(w)) {
	case WS_OP_CLOSE: return WS_CLOSE;
	case WS_OP_PING: return WS_PING;
	case WS_OP_PONG: return WS_MORE;
	default:
		w->in_message = !(w->head[0] & FIN);
		w->message_done = !w->in_message;
		return w->message_done ? WS_MESSAGE : WS_MORE;
	}
}

enum ws_event ws_read(struct ws_reader *w, struct slice *data)
{
	if (w->message_done) {
		w->message_done = false;
		buf_clear(&w->message);
	}
	for (;;) {
		enum ws_event e = WS_MORE;

		while (!w->in_payload && data->size && w->head_size < head_size(w)) {
			w->head[w->head_size++] = data->data[0];
			*data = slice_of(data->data + 1, data->size - 1);
		}
		if (!w->in_payload) {
			if (w->head_size < head_size(w))
				return WS_MORE;
			if (!head_good(w))
				return WS_BAD;
			w->in_payload = true;
		}
		payload(w, data);
		if (!w->left)
			e = frame_end(w);
		if (e != WS_MORE || !data->size)
			return e;
	}
}

size_t ws_head(uint8_t out[WS_HEAD_SIZE_MAX], enum ws_opcode op, uint64_t payload_size)
{
	out[0] = (uint8_t)(FIN | op);
	if (payload_size < LENGTH_16) {
		out[1] = (uint8_t)payload_size;
		return 2;
	}
	if (payload_size <= UINT16_MAX) {
		out[1] = LENGTH_16;
		be16_put(out + 2, (uint16_t)payload_size);
		return 4;
	}
	out[1] = LENGTH_64;
	be64_put(out + 2, payload_size);
	return 10;
}

/* A list of words, parted by commas: one of them, in any case. */
static bool has_word(const struct http_req *r, struct slice name, const char *word)
{
	struct slice v;
	size_t size = strlen(word);

	if (!http_header_get(r, name, &v))
		return false;
	for (size_t i = 0; i + size <= v.size; i++)
		if (strncasecmp((const char *)v.data + i, word, size) == 0 && (i + size == v.size || strchr(", \t", v.data[i + size])) &&
		    (i == 0 || strchr(", \t", v.data[i - 1])))
			return true;
	return false;
}

bool ws_wanted(const struct http_req *r, struct slice *key)
{
	struct slice version;

	return !r->is_http2 && slice_eq(r->method, SLICE_LIT("GET")) && has_word(r, SLICE_LIT("connection"), "upgrade") &&
	       has_word(r, SLICE_LIT("upgrade"), "websocket") && http_header_get(r, SLICE_LIT("sec-websocket-version"), &version) &&
	       slice_eq(version, SLICE_LIT("13")) && http_header_get(r, SLICE_LIT("sec-websocket-key"), key) && key->size;
}

void ws_accept(struct slice key, char out[WS_ACCEPT_SIZE])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	uint8_t digest[SHA1_SIZE];

	EVP_DigestInit_ex(sha, EVP_sha1(), NULL);
	EVP_DigestUpdate(sha, key.data, key.size);
	EVP_DigestUpdate(sha, guid, sizeof(guid) - 1);
	EVP_DigestFinal_ex(sha, digest, NULL);
	EVP_MD_CTX_free(sha);
	EVP_EncodeBlock((uint8_t *)out, digest, SHA1_SIZE);
}
