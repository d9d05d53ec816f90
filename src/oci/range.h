/* range.h - byte ranges: the Range request header (RFC 9110, 14.1.2) for pulls,
 * and the Content-Range "first-last" of the distribution specification for pushes.
 */
#ifndef BERTH_OCI_RANGE_H
#define BERTH_OCI_RANGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define RANGE_COUNT_MAX 32 /* more parts than this in one request: the whole content is sent */

struct range {
    uint64_t first, last; /* inclusive, last < size */
};

/* Read a Range header for content of size bytes. *count is 0 when the header is to be
 * ignored (another unit, malformed, too many parts, overlapping ranges that would send
 * more than the whole): the reply is then the whole content, as RFC 9110 allows.
 * ERR_OUTSIDE: well-formed, but no part of it lies inside: 416. A range that ends before it begins
 * is taken for such a one: a client that can be wrong about its place is better told. */
enum err range_parse(const char *s, uint64_t size, struct range out[RANGE_COUNT_MAX], size_t *count);

/* "first-last" of a chunk, distribution-spec "Pushing a blob in chunks"; HTTP's own
 * form, with the unit "bytes" before it and a total or an asterisk after a slash, as some
 * tools send, is understood too. ERR_INVALID: neither, or last < first. */
enum err content_range_parse(const char *s, struct range *out);

#endif
