/* name.c - repository names, tags and references: one pass over the bytes, no
 * regular expressions. */
#include "oci/name.h"

#include <string.h>

#include "base/str.h"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The length of the separator at s: one '.', one or two '_', any number of '-'. 0: none. */
static size_t separator_len(const char *s, size_t len)
{
    size_t n = 0;

    if (len > 0 && s[0] == '.')
        return 1;
    if (len > 0 && s[0] == '_')
        return len > 1 && s[1] == '_' ? 2 : 1;
    while (n < len && s[n] == '-')
        n++;
    return n;
}

enum err name_check(const char *s, size_t len)
{
    size_t i = 0;

    if (len == 0 || len > NAME_MAX_BYTES)
        return ERR_NAME_INVALID;
    for (;;) {
        /* Here a run of letters and digits must begin: at the start, and after each
         * separator and slash. */
        if (i == len || !is_lower_alnum(s[i]))
            return ERR_NAME_INVALID;
        while (i < len && is_lower_alnum(s[i]))
            i++;
        if (i == len)
            return ERR_OK;
        if (s[i] == '/') {
            i++;
        } else {
            size_t n = separator_len(s + i, len - i);

            if (n == 0)
                return ERR_NAME_INVALID;
            i += n;
        }
    }
}

enum err tag_check(const char *s, size_t len)
{
    if (len == 0 || len > TAG_MAX_BYTES)
        return ERR_TAG_INVALID;
    for (size_t i = 0; i < len; i++) {
        bool word = is_lower_alnum(s[i]) || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_';

        if (!word && !(i > 0 && (s[i] == '.' || s[i] == '-')))
            return ERR_TAG_INVALID;
    }
    return ERR_OK;
}

enum err reference_parse(const char *s, size_t len, struct reference *out)
{
    struct reference ref;
    enum err e;

    memset(&ref, 0, sizeof ref);
    if (len > 0 && memchr(s, ':', len)) {
        ref.is_digest = true;
        e = digest_parse(s, len, &ref.digest);
    } else if ((e = tag_check(s, len)) == ERR_OK) {
        e = str_copy_n(ref.tag, sizeof ref.tag, s, len);
    }
    if (e == ERR_OK)
        *out = ref;
    return e;
}

enum err image_ref_parse(const char *s, struct image_ref *out)
{
    const char *at = strchr(s, '@');
    size_t len = at ? (size_t)(at - s) : strlen(s); /* of NAME or NAME:TAG */
    const char *colon = len > 0 ? memchr(s, ':', len) : NULL;
    size_t name_len = colon ? (size_t)(colon - s) : len;
    struct image_ref ir;
    enum err e;

    memset(&ir, 0, sizeof ir);
    if ((e = name_check(s, name_len)) || (e = str_copy_n(ir.name, sizeof ir.name, s, name_len)))
        return e;
    if (colon) {
        const char *tag = colon + 1;
        size_t tag_len = len - name_len - 1;

        if ((e = tag_check(tag, tag_len)) || (e = str_copy_n(ir.ref.tag, sizeof ir.ref.tag, tag, tag_len)))
            return e;
    }
    if (at) {
        memset(&ir.ref, 0, sizeof ir.ref); /* the digest wins; the tag had only to be a tag */
        ir.ref.is_digest = true;
        if ((e = digest_parse(at + 1, strlen(at + 1), &ir.ref.digest)))
            return e;
    }
    ir.has_ref = colon || at;
    *out = ir;
    return ERR_OK;
}
