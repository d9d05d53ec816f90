/* Names, tags and references, compared with the regular expressions of the specification. */
#include <regex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "oci/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PART "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"

static bool agrees(const char *pattern, const char *s, size_t max)
{
    regex_t re;
    bool match;

    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
        abort();
    match = strlen(s) <= max && regexec(&re, s, 0, NULL, 0) == 0;
    regfree(&re);
    return match;
}

static void check_reference(const char *s, size_t len)
{
    char text[DIGEST_TEXT_MAX + 1];
    struct reference ref;
    enum err e = reference_parse(s, len, &ref);

    if (e == ERR_OK && ref.is_digest) {
        digest_format(&ref.digest, text);
        if (ref.tag[0] || !str_eq(text, s))
            abort();
    } else if (e == ERR_OK) {
        if (!str_eq(ref.tag, s) || tag_check(s, len))
            abort();
    } else if (e != ERR_TAG_INVALID && e != ERR_DIGEST_INVALID && e != ERR_UNSUPPORTED) {
        abort();
    }
}

static void check_image_ref(const char *s)
{
    struct image_ref ir;
    size_t len;

    if (image_ref_parse(s, &ir))
        return;
    len = strlen(ir.name);
    if (name_check(ir.name, len) || strncmp(s, ir.name, len) != 0)
        abort();
    if (ir.has_ref != (s[len] != '\0') || (ir.has_ref && s[len] != ':' && s[len] != '@'))
        abort();
    if (ir.has_ref && ir.ref.is_digest != (strchr(s, '@') != NULL))
        abort();
    if (ir.has_ref && !ir.ref.is_digest && !str_eq(ir.ref.tag, s + len + 1))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char s[1024];

    if (size >= sizeof s)
        return 0;
    if (size > 0)
        memcpy(s, data, size);
    s[size] = '\0';
    if (strlen(s) != size) {
        if (name_check(s, size) == ERR_OK || tag_check(s, size) == ERR_OK)
            abort();
        return 0;
    }
    if ((name_check(s, size) == ERR_OK) != agrees("^" PART "(/" PART ")*$", s, NAME_MAX_BYTES))
        abort();
    if ((tag_check(s, size) == ERR_OK) != agrees("^[a-zA-Z0-9_][a-zA-Z0-9._-]*$", s, TAG_MAX_BYTES))
        abort();
    check_reference(s, size);
    check_image_ref(s);
    return 0;
}
