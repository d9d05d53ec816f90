/* Percent escapes, numbers and JSON strings: what is written reads back as it was. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_decode(const char *s, size_t len, size_t cap, bool plus)
{
    char *dst = malloc(cap), *again = malloc(cap);
    struct buf b = { 0 };
    enum err e;

    if (!dst || !again)
        abort();
    e = str_percent_decode(dst, cap, s, len, plus);
    if (e == ERR_OK) {
        buf_str(&b, "");
        buf_percent(&b, dst, "/");
        if (b.err || str_percent_decode(again, cap, b.p, b.len, plus) || !str_eq(dst, again))
            abort();
    } else if ((e != ERR_INVALID && e != ERR_TOO_LARGE) || dst[0]) {
        abort();
    }
    buf_free(&b);
    free(dst);
    free(again);
}

static void check_number(const char *s, size_t len, uint64_t max)
{
    uint64_t n = 0, same = 0;
    char text[32];

    if (str_u64(s, len, max, &n))
        return;
    if (n > max)
        abort();
    snprintf(text, sizeof text, "%" PRIu64, n);
    if (str_u64(text, strlen(text), max, &same) || same != n)
        abort();
}

static void check_json_string(const char *s)
{
    struct buf b = { 0 };
    struct json *j;
    const char *back;

    buf_json(&b, s);
    if (b.err || json_parse(&j, b.p, b.len, NULL))
        abort();
    back = json_str(json_root(j), NULL);
    /* Only bytes that are not UTF-8 change, into U+FFFD. */
    if (!back || (!str_eq(back, s) && !strstr(back, "\xef\xbf\xbd")))
        abort();
    json_free(j);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t max;
    char *s;

    if (size < 2 || size > 4096)
        return 0;
    check_decode((const char *)data + 2, size - 2, (size_t)data[0] + 1, data[1] & 1);
    check_decode((const char *)data + 2, size - 2, size, data[1] & 1);
    max = data[1] & 2 ? UINT64_MAX : (uint64_t)data[0] << (data[1] >> 3);
    check_number((const char *)data + 2, size - 2, max);
    s = malloc(size - 1);
    if (!s)
        return 0;
    memcpy(s, data + 2, size - 2);
    s[size - 2] = '\0';
    check_json_string(s);
    free(s);
    return 0;
}
