/* Text in the forms that Go programs print and read, for flags, logs and command output: durations, sizes,
 * booleans, quoted strings. Pure; any thread. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buf.h"

#define TEXT_DURATION_SIZE 32
#define TEXT_BYTES_SIZE 24

/* "0s", "228.89µs", "1.5s", "1h0m0s"; returns out. */
const char *text_duration(char out[TEXT_DURATION_SIZE], int64_t ns);

/* Reads what Go's time.ParseDuration reads ("1h30m", "-1.5s", "+5us", "0"). ERR_INVALID, and why has Go's text:
 * time: invalid duration "x". */
NODISCARD err_t text_parse_duration(const char *s, int64_t *ns_out, struct why *why);

/* 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False; anything else: false is returned. */
NODISCARD bool text_parse_bool(const char *s, bool *out);

/* Signed and unsigned numbers of at most `bits` bits in Go's base 0 notation: 0x, 0o, 0b, leading 0 for octal,
 * single underscores between digits. *out is set only for TEXT_NUMBER_OK. */
enum text_number { TEXT_NUMBER_OK, TEXT_NUMBER_SYNTAX, TEXT_NUMBER_RANGE };
enum text_number text_parse_int(const char *s, int bits, int64_t *out);
enum text_number text_parse_uint(const char *s, int bits, uint64_t *out);

/* "0 B", "20 kB", "2.1 GB": powers of 1000, one decimal below 10; returns out. */
const char *text_bytes(char out[TEXT_BYTES_SIZE], uint64_t size_bytes);

/* An errno as Go names it: "no such file or directory"; returns out. */
#define TEXT_ERRNO_SIZE 96
const char *text_errno(char out[TEXT_ERRNO_SIZE], int sys_errno);

/* Appends s in double quotes with Go's escapes (strconv.Quote). */
void text_quote(struct buf *out, struct slice s);

/* The value of a digit of base64's standard alphabet; -1: none. */
int text_base64_digit(uint8_t c);

/* The shortest decimal that reads back as the same number, as strconv.FormatFloat(v, 'g', -1, 64) writes it:
 * exponent form below 1e-4 and from 1e+06 on. */
void text_float(struct buf *out, double v);

#endif
