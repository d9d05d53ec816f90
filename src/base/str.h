/* str.h - bounded strings and a growing buffer.
 *
 * A string that does not fit is an error, never a shorter string.
 */
#ifndef BERTH_BASE_STR_H
#define BERTH_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Copy the len bytes at src, or the string src, into dst with its NUL.
 * ERR_TOO_LARGE: dst (cap bytes, NUL included) is too small. ERR_INVALID: a NUL among the
 * len bytes. dst is "" after either. */
enum err str_copy(char *dst, size_t cap, const char *src);
enum err str_copy_n(char *dst, size_t cap, const char *src, size_t len);
enum err str_format(char *dst, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

bool str_eq(const char *a, const char *b);      /* NULL is equal only to NULL */
bool str_eq_nocase(const char *a, const char *b); /* ASCII */
bool str_starts(const char *s, const char *prefix);

/* Decimal digits only, whole string, no sign. ERR_INVALID: anything else, or over max. */
enum err str_u64(const char *s, size_t len, uint64_t max, uint64_t *out);

/* Percent-decode len bytes of src into dst; '+' becomes a space when plus is set.
 * ERR_INVALID: a broken escape, or a decoded NUL. ERR_TOO_LARGE: does not fit. */
enum err str_percent_decode(char *dst, size_t cap, const char *src, size_t len, bool plus);

/* The bytes at p as 2 * len lower-case hex digits and a NUL. */
void str_hex(char *out, const void *p, size_t len);

/* A growing byte buffer with a ceiling. Zeroed is empty; always NUL-terminated
 * once non-empty. An append that fails is remembered in err and later appends
 * do nothing, so that a reply is built without a check per line. */
struct buf {
    char *p;
    size_t len, cap;
    size_t max;   /* bytes; 0: BUF_MAX */
    enum err err; /* ERR_NO_MEMORY or ERR_TOO_LARGE once an append failed */
};
#define BUF_MAX (64u << 20)

void buf_add(struct buf *b, const void *p, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_json(struct buf *b, const char *s); /* a quoted, escaped JSON string; NULL: null */
/* Percent-encode all but unreserved characters and those in keep. */
void buf_percent(struct buf *b, const char *s, const char *keep);
void buf_clear(struct buf *b); /* empty and without error; keeps the memory */
void buf_free(struct buf *b);

#endif
