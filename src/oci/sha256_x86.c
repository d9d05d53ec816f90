/* sha256_x86.c - SHA-256 (FIPS 180-4) on the SHA extensions of x86. */
#include "oci/sha256_x86.h"

#if defined(__x86_64__) || defined(__i386__)

#include <assert.h>
#include <string.h>

#include <cpuid.h>
#include <immintrin.h>

/* Only these functions are compiled for the extensions: the program runs without. */
#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

static const _Alignas(16) uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static bool detect(void)
{
    unsigned a, b, c, d;
    const unsigned ssse3_sse41 = 1u << 9 | 1u << 19;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & ssse3_sse41) == ssse3_sse41 &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29);
}

bool sha256_x86_usable(void)
{
    /* A fact of the machine, asked once: in a virtual machine the question is slow. Threads
     * that ask at once get the same answer. */
    static _Atomic signed char known;

    if (known == 0)
        known = detect() ? 1 : -1;
    return known > 0;
}

/* The eight working variables as the instructions want them: a,b,e,f and c,d,g,h. */
struct state {
    __m128i abef, cdgh;
};

/* Four rounds with the four message words w. */
WITH_SHA static inline void rounds(struct state *s, __m128i w, const uint32_t *k)
{
    __m128i sum = _mm_add_epi32(w, _mm_load_si128((const __m128i *)(const void *)k));

    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, sum);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

/* Four rounds, then the message words that come sixteen after w0, in its place. */
WITH_SHA static inline void rounds_and_words(struct state *s, __m128i *w0, __m128i w1, __m128i w2, __m128i w3,
                                             const uint32_t *k)
{
    rounds(s, *w0, k);
    *w0 = _mm_add_epi32(_mm_sha256msg1_epu32(*w0, w1), _mm_alignr_epi8(w3, w2, 4));
    *w0 = _mm_sha256msg2_epu32(*w0, w3);
}

/* Four words of the message, which has its bytes the other way round. */
WITH_SHA static inline __m128i words(const uint8_t *p)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), swap);
}

WITH_SHA static void compress(uint32_t h[8], const uint8_t *p, size_t blocks)
{
    __m128i *out = (__m128i *)(void *)h;
    __m128i dcba = _mm_loadu_si128(out), hgfe = _mm_loadu_si128(out + 1);
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    struct state s = { _mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0) };

    for (; blocks > 0; blocks--, p += SHA256_BLOCK) {
        const struct state before = s;
        const uint32_t *k = round_constants;
        __m128i w0 = words(p), w1 = words(p + 16), w2 = words(p + 32), w3 = words(p + 48);

        for (; k < round_constants + 48; k += 16) {
            rounds_and_words(&s, &w0, w1, w2, w3, k);
            rounds_and_words(&s, &w1, w2, w3, w0, k + 4);
            rounds_and_words(&s, &w2, w3, w0, w1, k + 8);
            rounds_and_words(&s, &w3, w0, w1, w2, k + 12);
        }
        rounds(&s, w0, k);
        rounds(&s, w1, k + 4);
        rounds(&s, w2, k + 8);
        rounds(&s, w3, k + 12);
        s.abef = _mm_add_epi32(s.abef, before.abef);
        s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
    }
    /* Back to a,b,c,d and e,f,g,h. */
    cdab = _mm_shuffle_epi32(s.abef, 0x1b);
    efgh = _mm_shuffle_epi32(s.cdgh, 0xb1);
    _mm_storeu_si128(out, _mm_blend_epi16(cdab, efgh, 0xf0));
    _mm_storeu_si128(out + 1, _mm_alignr_epi8(efgh, cdab, 8));
}

void sha256_x86_init(struct sha256_x86 *s)
{
    static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

    memcpy(s->h, start, sizeof start);
    s->len = 0;
}

void sha256_x86_update(struct sha256_x86 *s, const uint8_t *p, size_t len)
{
    size_t waiting = s->len % SHA256_BLOCK;

    s->len += len;
    if (waiting > 0) {
        size_t n = SHA256_BLOCK - waiting < len ? SHA256_BLOCK - waiting : len;

        memcpy(s->block + waiting, p, n);
        p += n;
        len -= n;
        if (waiting + n < SHA256_BLOCK)
            return;
        compress(s->h, s->block, 1);
    }
    compress(s->h, p, len / SHA256_BLOCK);
    memcpy(s->block, p + len / SHA256_BLOCK * SHA256_BLOCK, len % SHA256_BLOCK);
}

void sha256_x86_finish(struct sha256_x86 *s, uint8_t out[32])
{
    static const uint8_t padding[SHA256_BLOCK] = { 0x80 };
    size_t waiting = s->len % SHA256_BLOCK;
    uint64_t bits = s->len * 8;
    uint8_t tail[8];

    for (int i = 0; i < 8; i++)
        tail[i] = (uint8_t)(bits >> (56 - 8 * i));
    /* Up to the last eight bytes of this block, or of the next one. */
    sha256_x86_update(s, padding, (waiting < 56 ? 56 : 56 + SHA256_BLOCK) - waiting);
    sha256_x86_update(s, tail, sizeof tail);
    for (int i = 0; i < 32; i++)
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

#else

#include <stdlib.h>

bool sha256_x86_usable(void)
{
    return false;
}

void sha256_x86_init(struct sha256_x86 *s)
{
    (void)s;
    abort();
}

void sha256_x86_update(struct sha256_x86 *s, const uint8_t *p, size_t len)
{
    (void)s;
    (void)p;
    (void)len;
    abort();
}

void sha256_x86_finish(struct sha256_x86 *s, uint8_t out[32])
{
    (void)s;
    (void)out;
    abort();
}

#endif
