/* How a call ended, and what users read about it. */
#include <stdarg.h>
#include <stdio.h>

#include "client/client_impl.h"

static const char *const names[] = {
    "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated",
};

const char *client_code_name(enum grpc_status code)
{
	return (size_t)code < ARRAY_COUNT(names) ? names[code] : "Unknown";
}

void status_set(struct client_status *s, enum grpc_status code, bool is_local, const char *fmt, ...)
{
	va_list ap;

	s->code = code;
	s->is_local = is_local;
	va_start(ap, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
}

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

void status_text_decode(struct client_status *s, struct slice in)
{
	size_t n = 0;

	for (size_t i = 0; i < in.size && n + 1 < sizeof(s->text); i++) {
		if (in.data[i] == '%' && i + 2 < in.size && hex(in.data[i + 1]) >= 0 && hex(in.data[i + 2]) >= 0) {
			s->text[n++] = (char)(hex(in.data[i + 1]) * 16 + hex(in.data[i + 2]));
			i += 2;
		} else {
			s->text[n++] = (char)in.data[i];
		}
	}
	s->text[n] = '\0';
}

/* Only the errors with a status of their own (the first rows) are known to upstream's client. */
err_t client_error_row(const struct client_status *s)
{
	for (err_t e = OK + 1; e <= ERR_DEADLINE_EXCEEDED; e++) {
		if (!strcmp(err_text(e), s->text))
			return e;
	}
	return OK;
}

const char *client_error(char out[CLIENT_ERROR_SIZE], const struct client_status *s)
{
	if (client_error_row(s) || (s->is_local && s->code == GRPC_UNKNOWN))
		snprintf(out, CLIENT_ERROR_SIZE, "%s", s->text);
	else if (s->is_local && (s->code == GRPC_DEADLINE_EXCEEDED || s->code == GRPC_CANCELLED))
		snprintf(out, CLIENT_ERROR_SIZE, "%s",
			 s->code == GRPC_CANCELLED ? "context canceled" : "context deadline exceeded");
	else
		snprintf(out, CLIENT_ERROR_SIZE, "rpc error: code = %s desc = %s", client_code_name(s->code), s->text);
	return out;
}
