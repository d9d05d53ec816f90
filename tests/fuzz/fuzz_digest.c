/* Digests as text, and hashing in pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s, size_t len)
{
    char text[DIGEST_TEXT_MAX + 1];
    struct digest d, again;
    enum err e = digest_parse(s, len, &d);

    if (e == ERR_OK) {
        digest_format(&d, text);
        if (strlen(text) != len || memcmp(text, s, len) != 0)
            abort();
        if (digest_parse(text, len, &again) || !digest_eq(&d, &again))
            abort();
    } else if (e != ERR_DIGEST_INVALID && e != ERR_UNSUPPORTED) {
        abort();
    }
}

static void check_hash(const uint8_t *data, size_t size, size_t first, enum digest_alg alg)
{
    struct digest whole, pieces;
    struct hasher h;

    digest_of(alg, data, size, &whole);
    hasher_init(&h, alg);
    hasher_update(&h, data, first);
    hasher_update(&h, data + first, size - first);
    hasher_finish(&h, &pieces);
    if (!digest_eq(&whole, &pieces))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_text((const char *)data, size);
    if (size > 0) {
        check_hash(data, size, data[0] % size, DIGEST_SHA256);
        check_hash(data, size, data[0] % size, DIGEST_SHA512);
    }
    return 0;
}
