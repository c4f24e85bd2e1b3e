/* The only door from the backend to the bbolt file. Private to backend. */
#ifndef BACKEND_FILE_H
#define BACKEND_FILE_H

#include "backend/backend.h"

struct file_tx;
struct bolt_cursor;

/* Reading: any thread that has a reference on the pin. */
NODISCARD err_t file_pin(struct bolt *db, struct bolt_pin **out);
void file_unpin(struct bolt_pin *pin);
/* ERR_NOT_EXIST also when the bucket is missing. */
NODISCARD err_t file_get(struct bolt_pin *pin, enum backend_bucket b, struct slice key, struct slice *value);
/* *out is NULL when the bucket is missing. */
NODISCARD err_t file_cursor_open(struct bolt_pin *pin, enum backend_bucket b, struct bolt_cursor **out);
void file_cursor_close(struct bolt_cursor *c);
/* First key >= key; the next one. key.data NULL: none is left. */
NODISCARD err_t file_cursor_seek(struct bolt_cursor *c, struct slice key, struct slice *key_out, struct slice *value);
NODISCARD err_t file_cursor_next(struct bolt_cursor *c, struct slice *key_out, struct slice *value);

/* Writing: blocking, one transaction at a time. */
NODISCARD err_t file_begin(struct bolt *db, struct file_tx **out);
NODISCARD err_t file_make_bucket(struct file_tx *tx, enum backend_bucket b);
NODISCARD err_t file_put(struct file_tx *tx, enum backend_bucket b, struct slice key, struct slice value);
NODISCARD err_t file_delete(struct file_tx *tx, enum backend_bucket b, struct slice key);       /* missing: OK */
/* Consumes tx. */
NODISCARD err_t file_commit(struct file_tx *take_tx);
void file_rollback(struct file_tx *take_tx);

#endif
