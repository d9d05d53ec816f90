/* digest.c - content digests: mbedTLS's hashes, and SHA-256 by x86's own instructions
 * where the processor has them.
 *
 * The state of a struct hasher holds one of the contexts below. All are plain values
 * without pointers, so that copying a hasher forks the hash.
 */
#include "oci/digest.h"

#include <assert.h>
#include <string.h>

#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>

#include "base/str.h"
#include "oci/sha256_x86.h"

union state {
    mbedtls_sha256_context sha256;
    mbedtls_sha512_context sha512;
    struct sha256_x86 sha256_x86;
};

_Static_assert(sizeof(union state) <= sizeof(((struct hasher *)0)->state), "a hasher holds any state");
_Static_assert(_Alignof(union state) <= 16, "a hasher is aligned for any state");

static const struct alg {
    const char *name;
    size_t bytes;
} algs[DIGEST_ALG_COUNT] = {
    [DIGEST_SHA256] = { "sha256", 32 },
    [DIGEST_SHA512] = { "sha512", 64 },
};

const char *digest_alg_name(enum digest_alg alg)
{
    assert(alg < DIGEST_ALG_COUNT);
    return algs[alg].name;
}

enum err digest_alg_parse(const char *s, size_t len, enum digest_alg *out)
{
    for (int i = 0; i < DIGEST_ALG_COUNT; i++) {
        if (strlen(algs[i].name) == len && memcmp(algs[i].name, s, len) == 0) {
            *out = (enum digest_alg)i;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED;
}

size_t digest_bytes(enum digest_alg alg)
{
    assert(alg < DIGEST_ALG_COUNT);
    return algs[alg].bytes;
}

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* algorithm ::= component (separator component)*, component [a-z0-9]+, separator [+._-] */
static bool algorithm_ok(const char *s, size_t len)
{
    bool in_component = false;

    for (size_t i = 0; i < len; i++) {
        bool separator = s[i] == '+' || s[i] == '.' || s[i] == '_' || s[i] == '-';

        if (!(separator ? in_component : is_lower_alnum(s[i])))
            return false;
        in_component = !separator;
    }
    return in_component;
}

/* encoded ::= [a-zA-Z0-9=_-]+ */
static bool encoded_ok(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_lower_alnum(s[i]) && !(s[i] >= 'A' && s[i] <= 'Z') && s[i] != '=' && s[i] != '_' &&
            s[i] != '-')
            return false;
    return len > 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err digest_parse(const char *s, size_t len, struct digest *out)
{
    const char *colon = len > 0 ? memchr(s, ':', len) : NULL;
    size_t alg_len, hex_len;
    struct digest d;
    const char *hex;

    if (!colon)
        return ERR_DIGEST_INVALID;
    hex = colon + 1;
    alg_len = (size_t)(colon - s);
    hex_len = len - alg_len - 1;
    if (!algorithm_ok(s, alg_len) || !encoded_ok(hex, hex_len))
        return ERR_DIGEST_INVALID;
    memset(&d, 0, sizeof d);
    if (digest_alg_parse(s, alg_len, &d.alg))
        return ERR_UNSUPPORTED;
    if (hex_len != 2 * digest_bytes(d.alg))
        return ERR_DIGEST_INVALID;
    for (size_t i = 0; i < hex_len; i += 2) {
        int hi = hex_value(hex[i]), lo = hex_value(hex[i + 1]);

        if (hi < 0 || lo < 0)
            return ERR_DIGEST_INVALID;
        d.bytes[i / 2] = (uint8_t)(hi << 4 | lo);
    }
    *out = d;
    return ERR_OK;
}

void digest_hex(const struct digest *d, char out[DIGEST_HEX_MAX + 1])
{
    str_hex(out, d->bytes, digest_bytes(d->alg));
}

void digest_format(const struct digest *d, char out[DIGEST_TEXT_MAX + 1])
{
    const char *name = digest_alg_name(d->alg);
    size_t n = strlen(name);

    memcpy(out, name, n);
    out[n] = ':';
    digest_hex(d, out + n + 1);
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
    return a->alg == b->alg && memcmp(a->bytes, b->bytes, digest_bytes(a->alg)) == 0;
}

static union state *state_of(struct hasher *h)
{
    return (union state *)(void *)h->state;
}

/* The library's functions return an error for the sake of hardware engines. */
static void never_fails(int rc)
{
    assert(rc == 0);
    (void)rc;
}

void hasher_init(struct hasher *h, enum digest_alg alg)
{
    union state *s = state_of(h);

    assert(alg < DIGEST_ALG_COUNT);
    h->alg = alg;
    if (alg == DIGEST_SHA512) {
        mbedtls_sha512_init(&s->sha512);
        never_fails(mbedtls_sha512_starts(&s->sha512, 0));
    } else if (sha256_x86_usable()) {
        sha256_x86_init(&s->sha256_x86);
    } else {
        mbedtls_sha256_init(&s->sha256);
        never_fails(mbedtls_sha256_starts(&s->sha256, 0));
    }
}

void hasher_update(struct hasher *h, const void *p, size_t len)
{
    union state *s = state_of(h);

    if (len == 0)
        return;
    if (h->alg == DIGEST_SHA512)
        never_fails(mbedtls_sha512_update(&s->sha512, p, len));
    else if (sha256_x86_usable())
        sha256_x86_update(&s->sha256_x86, p, len);
    else
        never_fails(mbedtls_sha256_update(&s->sha256, p, len));
}

void hasher_finish(struct hasher *h, struct digest *out)
{
    union state *s = state_of(h);

    memset(out, 0, sizeof *out);
    out->alg = h->alg;
    if (h->alg == DIGEST_SHA512)
        never_fails(mbedtls_sha512_finish(&s->sha512, out->bytes));
    else if (sha256_x86_usable())
        sha256_x86_finish(&s->sha256_x86, out->bytes);
    else
        never_fails(mbedtls_sha256_finish(&s->sha256, out->bytes));
}

void digest_of(enum digest_alg alg, const void *p, size_t len, struct digest *out)
{
    struct hasher h;

    hasher_init(&h, alg);
    hasher_update(&h, p, len);
    hasher_finish(&h, out);
}
