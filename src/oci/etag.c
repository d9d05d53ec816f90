/* etag.c - entity tags (RFC 9110, 8.8.3 and 13.1.2). */
#include "oci/etag.h"

#include <stddef.h>
#include <string.h>

/* One element of the list at *s, stepped over: its opaque part without quotes and without
 * the mark of a weak tag. False: malformed. */
static bool next_tag(const char **s, const char **tag, size_t *len)
{
    const char *p = *s;
    bool weak = p[0] == 'W' && p[1] == '/' && p[2] == '"';

    if (weak)
        p += 2;
    if (*p == '"') {
        *tag = ++p;
        while (*p != '\0' && *p != '"')
            p++;
        *len = (size_t)(p - *tag);
        if (*p != '"')
            return false;
        p++;
    } else {
        /* A bare digest is no entity tag, but older clients send one. */
        *tag = p;
        *len = strcspn(p, " \t,\"");
        p += *len;
    }
    p += strspn(p, " \t");
    *s = p;
    return *p == '\0' || *p == ',';
}

bool etag_matches(const char *header, const char *etag)
{
    size_t want = strlen(etag);

    if (!header)
        return false;
    header += strspn(header, " \t");
    if (header[0] == '*' && header[1 + strspn(header + 1, " \t")] == '\0')
        return true;
    for (;;) {
        const char *tag;
        size_t len;

        header += strspn(header, " \t,");
        if (*header == '\0' || !next_tag(&header, &tag, &len))
            return false;
        if (len == want && memcmp(tag, etag, len) == 0)
            return true;
    }
}
