/* range.c - byte ranges, of requests for content and of chunks that are pushed. */
#include "oci/range.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Read digits at *s and step over them. What no uint64_t holds becomes UINT64_MAX: for
 * a position that is as good as any number past the end. False: no digit there. */
static bool read_number(const char **s, uint64_t *out)
{
    uint64_t v = 0;
    const char *p = *s;

    for (; is_digit(*p); p++) {
        unsigned digit = (unsigned)(*p - '0');

        v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
    }
    if (p == *s)
        return false;
    *s = p;
    *out = v;
    return true;
}

/* One range-spec of RFC 9110, 14.1.1, as it was written. */
struct spec {
    bool has_first, has_last;
    uint64_t first, last; /* without first, last is the length of the end that is wanted */
};

static bool read_spec(const char **s, struct spec *out)
{
    *out = (struct spec){ false, false, 0, 0 };
    out->has_first = read_number(s, &out->first);
    if (**s != '-')
        return false;
    ++*s;
    out->has_last = read_number(s, &out->last);
    return out->has_first || out->has_last;
}

/* The part of the content that a range-spec means. False: nothing of it. */
static bool satisfy(const struct spec *spec, uint64_t size, struct range *out)
{
    if (size == 0)
        return false;
    out->last = size - 1;
    if (!spec->has_first) {
        out->first = spec->last < size ? size - spec->last : 0;
        return spec->last > 0;
    }
    out->first = spec->first;
    if (spec->has_last && spec->last < out->last)
        out->last = spec->last;
    return out->first < size && !(spec->has_last && spec->last < spec->first);
}

static const char *skip_space(const char *s)
{
    return s + strspn(s, " \t");
}

enum err range_parse(const char *s, uint64_t size, struct range out[RANGE_COUNT_MAX], size_t *count)
{
    static const char unit[] = "bytes=";
    char start[sizeof unit];
    size_t specs = 0, found = 0;
    uint64_t left = size;   /* bytes that parts may still take */

    *count = 0;
    /* A unit that is longer or shorter than ours is another one. */
    if (str_copy_n(start, sizeof start, s, strnlen(s, sizeof unit - 1)) || !str_eq_nocase(start, unit))
        return ERR_OK;
    for (s += sizeof unit - 1;; s++) {
        struct spec spec;
        struct range r;

        s = skip_space(s);
        if (*s == '\0')
            break;
        if (*s == ',')
            continue; /* a list may have empty elements (RFC 9110, 5.6.1.2) */
        if (!read_spec(&s, &spec))
            return ERR_OK;
        s = skip_space(s);
        if (*s != ',' && *s != '\0')
            return ERR_OK;
        if (++specs > RANGE_COUNT_MAX)
            return ERR_OK;
        if (satisfy(&spec, size, &r)) {
            if (r.last - r.first >= left)
                return ERR_OK;
            left -= r.last - r.first + 1;
            out[found++] = r;
        }
        if (*s == '\0')
            break;
    }
    if (specs > 0 && found == 0)
        return ERR_OUTSIDE;
    *count = found;
    return ERR_OK;
}

enum err content_range_parse(const char *s, struct range *out)
{
    static const char unit[] = "bytes ";
    char start[sizeof unit];
    bool http = str_copy_n(start, sizeof start, s, strnlen(s, sizeof unit - 1)) == ERR_OK &&
                str_eq_nocase(start, unit);
    const char *end;
    struct range r;
    uint64_t total;
    size_t len;

    if (http)
        s += sizeof unit - 1;
    len = strspn(s, "0123456789");
    if (s[len] != '-' || str_u64(s, len, INT64_MAX, &r.first))
        return ERR_INVALID;
    s += len + 1;
    len = strspn(s, "0123456789");
    if (str_u64(s, len, INT64_MAX, &r.last) || r.last < r.first)
        return ERR_INVALID;
    end = s + len;
    if (http && *end == '/') {
        end++;
        len = strspn(end, "0123456789");
        if (*end == '*')
            end++;
        else if (str_u64(end, len, INT64_MAX, &total) || total <= r.last)
            return ERR_INVALID;
        else
            end += len;
    }
    if (*end != '\0')
        return ERR_INVALID;
    *out = r;
    return ERR_OK;
}
