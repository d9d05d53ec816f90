/* Range, Content-Range and If-None-Match. The first eight bytes are the size of the content. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/etag.h"
#include "oci/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_range(const char *header, uint64_t content)
{
    struct range out[RANGE_COUNT_MAX];
    size_t count = RANGE_COUNT_MAX + 1;
    enum err e = range_parse(header, content, out, &count);
    uint64_t left = content;

    if (e) {
        if (e != ERR_OUTSIDE || count != 0)
            abort();
        return;
    }
    if (count > RANGE_COUNT_MAX)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (out[i].first > out[i].last || out[i].last >= content || out[i].last - out[i].first >= left)
            abort();
        left -= out[i].last - out[i].first + 1;
    }
}

static void check_content_range(const char *header)
{
    struct range r, again;
    char text[64];

    if (content_range_parse(header, &r))
        return;
    if (r.last < r.first || r.last > INT64_MAX)
        abort();
    snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64, r.first, r.last);
    if (content_range_parse(text, &again) || again.first != r.first || again.last != r.last)
        abort();
}

static void check_etag(const char *header)
{
    static const char etag[] = "sha256:ab";

    if (etag_matches(header, etag) && !strstr(header, etag) && !strchr(header, '*'))
        abort();
    etag_matches(header, "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t content;
    char *header;

    if (size < sizeof content)
        return 0;
    memcpy(&content, data, sizeof content);
    size -= sizeof content;
    /* A copy of exactly this length, so that a read past its end is seen. */
    header = malloc(size + 1);
    if (!header)
        return 0;
    memcpy(header, data + sizeof content, size);
    header[size] = '\0';
    check_range(header, content);
    check_content_range(header);
    check_etag(header);
    free(header);
    return 0;
}
