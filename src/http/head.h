/* head.h - the head of a request: where it ends, and what it says. Strict RFC 9112.
 *
 * Computes on memory alone. What two readers could understand differently (and so what smuggles a
 * request past one of them) is refused: bare LF, folded lines, spaces before a colon, both
 * Content-Length and Transfer-Encoding, either of them twice, Host missing or twice.
 */
#ifndef BERTH_HTTP_HEAD_H
#define BERTH_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http.h"

#define HEAD_METHOD_MAX 32u /* bytes; longer: 501 */

struct head_field {
    const char *name, *value; /* value without the white space around it */
};

struct head {
    const char *method, *path, *query; /* never NULL */
    unsigned minor;                    /* of the version: 0 or 1 */
    unsigned fields;
    struct head_field field[HTTP_HEADERS_MAX];
    uint64_t length; /* with has_length */
    bool has_length;
    bool chunked;
    bool expect_continue;
    bool keep_alive; /* what the client wants, its version's default counted in */
};

/* Look for the end of the head in the len bytes at p, of which the first *seen were looked at before
 * (0 to begin with; updated). *end is the head's length, 0 when more bytes are needed. Returns 0, or the
 * status to refuse with as soon as it is clear that no head will come of it: 400, 414, 431, 505. */
int head_find_end(const char *p, size_t len, size_t *seen, size_t *end);

/* Parse the len bytes at p, which head_find_end found whole. p is cut into strings and must outlive h.
 * Returns 0, or the status to refuse with; then h holds what was understood before. */
int head_parse(struct head *h, char *p, size_t len);

/* A head that says nothing: empty strings, no body. */
void head_none(struct head *h);

/* Whether one of the comma-separated words of value is word, without case. */
bool head_has_word(const char *value, const char *word);

#endif
