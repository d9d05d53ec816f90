/* str.c - bounded strings and a growing buffer. */
#include "base/str.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 256 /* bytes of a buffer's first allocation */

enum err str_copy_n(char *dst, size_t cap, const char *src, size_t len)
{
    assert(cap > 0);
    dst[0] = '\0';
    if (len >= cap)
        return ERR_TOO_LARGE;
    if (len > 0 && memchr(src, '\0', len))
        return ERR_INVALID;
    if (len > 0)
        memcpy(dst, src, len);
    dst[len] = '\0';
    return ERR_OK;
}

enum err str_copy(char *dst, size_t cap, const char *src)
{
    return str_copy_n(dst, cap, src, strlen(src));
}

enum err str_format(char *dst, size_t cap, const char *fmt, ...)
{
    va_list ap;
    int n;

    assert(cap > 0);
    va_start(ap, fmt);
    n = vsnprintf(dst, cap, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= cap) {
        dst[0] = '\0';
        return ERR_TOO_LARGE;
    }
    return ERR_OK;
}

bool str_eq(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    return strcmp(a, b) == 0;
}

/* Not tolower(): the locale must not change what a header name is equal to. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_nocase(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    for (; lower(*a) == lower(*b); a++, b++)
        if (*a == '\0')
            return true;
    return false;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

enum err str_u64(const char *s, size_t len, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (len == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)s[i] - '0';

        if (digit > 9 || digit > max || v > max / 10 || v * 10 > max - digit)
            return ERR_INVALID;
        v = v * 10 + digit;
    }
    *out = v;
    return ERR_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void str_hex(char *out, const void *p, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = p;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

enum err str_percent_decode(char *dst, size_t cap, const char *src, size_t len, bool plus)
{
    size_t n = 0;
    enum err e = ERR_INVALID;

    assert(cap > 0);
    for (size_t i = 0; i < len; i++) {
        char c = src[i];

        if (c == '%') {
            int hi, lo;

            if (len - i < 3 || (hi = hex_value(src[i + 1])) < 0 || (lo = hex_value(src[i + 2])) < 0)
                goto bad;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0')
            goto bad;
        if (n + 1 >= cap) {
            e = ERR_TOO_LARGE;
            goto bad;
        }
        dst[n++] = c;
    }
    dst[n] = '\0';
    return ERR_OK;
bad:
    dst[0] = '\0';
    return e;
}

/* Make room for len more bytes and the NUL. False once the buffer has failed. */
static bool buf_reserve(struct buf *b, size_t len)
{
    size_t max = b->max ? b->max : BUF_MAX;
    size_t cap = b->cap ? b->cap : BUF_FIRST;
    char *p;

    if (b->err)
        return false;
    if (b->len > max || len > max - b->len) {
        b->err = ERR_TOO_LARGE;
        return false;
    }
    if (b->len + len < b->cap)
        return true;
    while (cap <= b->len + len)
        cap = cap > max / 2 ? max + 1 : cap * 2;
    p = realloc(b->p, cap);
    if (!p) {
        b->err = ERR_NO_MEMORY;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void buf_add(struct buf *b, const void *p, size_t len)
{
    if (!buf_reserve(b, len))
        return;
    if (len > 0)
        memcpy(b->p + b->len, p, len);
    b->len += len;
    b->p[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0) {
        b->err = b->err ? b->err : ERR_TOO_LARGE;
    } else if (buf_reserve(b, (size_t)n)) {
        vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

/* The length of the UTF-8 character at s (RFC 3629); 0 when there is none. Stops
 * at the string's NUL, which is no continuation byte. */
static size_t utf8_len(const unsigned char *s)
{
    unsigned char low = 0x80, high = 0xbf; /* of the second byte: no overlong form, no surrogate */
    size_t n;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        n = 3;
        if (s[0] == 0xe0)
            low = 0xa0;
        else if (s[0] == 0xed)
            high = 0x9f;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        if (s[0] == 0xf0)
            low = 0x90;
        else if (s[0] == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return n;
}

void buf_json(struct buf *b, const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    const unsigned char *plain = p; /* what is copied as it is, in one go */

    if (!s) {
        buf_str(b, "null");
        return;
    }
    buf_str(b, "\"");
    while (*p) {
        size_t n = utf8_len(p);

        if (n > 0 && *p >= ' ' && *p != '"' && *p != '\\') {
            p += n;
            continue;
        }
        buf_add(b, plain, (size_t)(p - plain));
        switch (*p) {
        case '"':  buf_str(b, "\\\""); break;
        case '\\': buf_str(b, "\\\\"); break;
        case '\n': buf_str(b, "\\n"); break;
        case '\r': buf_str(b, "\\r"); break;
        case '\t': buf_str(b, "\\t"); break;
        default:
            if (n == 0)
                buf_str(b, "\xef\xbf\xbd"); /* U+FFFD: what we send is UTF-8, whatever came in */
            else
                buf_fmt(b, "\\u%04x", (unsigned)*p);
        }
        plain = ++p;
    }
    buf_add(b, plain, (size_t)(p - plain));
    buf_str(b, "\"");
}

void buf_percent(struct buf *b, const char *s, const char *keep)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        char escape[3] = { '%', digits[c >> 4], digits[c & 15] };
        bool unreserved = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                          strchr("-._~", c);

        if (unreserved || strchr(keep, c))
            buf_add(b, s, 1);
        else
            buf_add(b, escape, sizeof escape);
    }
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->err = ERR_OK;
    if (b->p)
        b->p[0] = '\0';
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ .max = b->max };
}
