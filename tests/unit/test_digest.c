/* Digests: text and value, and the hashes against known answers. */
#include <stdlib.h>
#include <string.h>

#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>

#include "oci/digest.h"
#include "oci/sha256_x86.h"
#include "t.h"

#define EMPTY_256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define EMPTY_512 "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce" \
                  "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
#define ABC_256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512 "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" \
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static enum err parse(const char *s, struct digest *d)
{
    return digest_parse(s, strlen(s), d);
}

static bool text_is(const struct digest *d, const char *want)
{
    char text[DIGEST_TEXT_MAX + 1];

    digest_format(d, text);
    return strcmp(text, want) == 0;
}

static void a_digest_survives_text_and_back(struct t *t)
{
    char hex[DIGEST_HEX_MAX + 1];
    struct digest d;

    CHECK(parse("sha256:" ABC_256, &d) == ERR_OK && d.alg == DIGEST_SHA256 && d.bytes[0] == 0xba);
    CHECK(text_is(&d, "sha256:" ABC_256));
    digest_hex(&d, hex);
    CHECK(strcmp(hex, ABC_256) == 0);
    for (size_t i = 32; i < DIGEST_BYTES_MAX; i++)
        CHECK(d.bytes[i] == 0);
    CHECK(parse("sha512:" ABC_512, &d) == ERR_OK && d.alg == DIGEST_SHA512);
    CHECK(text_is(&d, "sha512:" ABC_512));
    digest_hex(&d, hex);
    CHECK(strcmp(hex, ABC_512) == 0);
}

static void a_malformed_digest_is_invalid(struct t *t)
{
    static const char *const bad[] = {
        "", ":", "sha256", "sha256:", ":" ABC_256, ABC_256, "sha256:" ABC_256 "0", "sha256:" ABC_256 " ",
        " sha256:" ABC_256, "sha256::" ABC_256, "sha256:" ABC_512, "sha512:" ABC_256, "SHA256:" ABC_256,
        "sha256:Ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", /* upper case */
        "sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a", /* one short */
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a/",
        "sha256:../../../../etc/passwd", "sha256+:abc", "+sha256:abc", "sha256..b:abc", "a b:abc",
        "md5:a b", "md5:", "md5:a:b", "md5:\xc3\xa4",
    };
    struct digest d = { .alg = DIGEST_SHA512, .bytes = { 9 } };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(parse(bad[i], &d) == ERR_DIGEST_INVALID);
    CHECK(digest_parse("sha256:" ABC_256 "\0", 72, &d) == ERR_DIGEST_INVALID);
    CHECK(digest_parse("sha256:" ABC_256, 70, &d) == ERR_DIGEST_INVALID);
    CHECK(digest_parse(NULL, 0, &d) == ERR_DIGEST_INVALID);
    CHECK(d.alg == DIGEST_SHA512 && d.bytes[0] == 9); /* a failure leaves the value alone */
}

/* The examples of the image specification, "Digests". */
static void an_unknown_algorithm_is_unsupported_not_invalid(struct t *t)
{
    static const char *const unknown[] = {
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
        "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
        "blake3:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b",
        ("sha384:" ABC_256), "md5:d41d8cd98f00b204e9800998ecf8427e", "a:=", "sha2567:a", "sha25:a",
    };
    struct digest d;

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        CHECK(parse(unknown[i], &d) == ERR_UNSUPPORTED);
}

static void an_algorithm_has_a_name(struct t *t)
{
    enum digest_alg alg = DIGEST_SHA256;

    CHECK(strcmp(digest_alg_name(DIGEST_SHA256), "sha256") == 0 && digest_bytes(DIGEST_SHA256) == 32);
    CHECK(strcmp(digest_alg_name(DIGEST_SHA512), "sha512") == 0 && digest_bytes(DIGEST_SHA512) == 64);
    CHECK(digest_alg_parse("sha512", 6, &alg) == ERR_OK && alg == DIGEST_SHA512);
    CHECK(digest_alg_parse("sha256", 6, &alg) == ERR_OK && alg == DIGEST_SHA256);
    CHECK(digest_alg_parse("sha512", 5, &alg) == ERR_UNSUPPORTED);
    CHECK(digest_alg_parse("SHA256", 6, &alg) == ERR_UNSUPPORTED &&
          digest_alg_parse("", 0, &alg) == ERR_UNSUPPORTED);
}

static void equal_digests_have_the_same_algorithm_and_bytes(struct t *t)
{
    struct digest a, b, c;

    CHECK(parse("sha256:" ABC_256, &a) == ERR_OK && parse("sha256:" EMPTY_256, &b) == ERR_OK);
    CHECK(digest_eq(&a, &a) && !digest_eq(&a, &b));
    c = a;
    CHECK(digest_eq(&a, &c));
    c.alg = DIGEST_SHA512; /* the same bytes, followed by zeros */
    CHECK(!digest_eq(&a, &c) && !digest_eq(&c, &a));
}

/* FIPS 180-4's examples and the empty text. */
static void hashes_give_the_known_answers(struct t *t)
{
    static const struct {
        enum digest_alg alg;
        const char *text, *digest;
    } known[] = {
        { DIGEST_SHA256, "", "sha256:" EMPTY_256 },
        { DIGEST_SHA256, "abc", "sha256:" ABC_256 },
        { DIGEST_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
        { DIGEST_SHA512, "", "sha512:" EMPTY_512 },
        { DIGEST_SHA512, "abc", "sha512:" ABC_512 },
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct digest d;

        digest_of(known[i].alg, known[i].text, strlen(known[i].text), &d);
        CHECK(text_is(&d, known[i].digest));
    }
}

/* FIPS 180-4's long example: a million times "a". */
static void a_long_text_hashes_as_known(struct t *t)
{
    char block[1000];
    struct hasher h;
    struct digest d;

    memset(block, 'a', sizeof block);
    hasher_init(&h, DIGEST_SHA256);
    for (int i = 0; i < 1000; i++)
        hasher_update(&h, block, sizeof block);
    hasher_finish(&h, &d);
    CHECK(text_is(&d, "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
}

/* Whatever the pieces and their place in memory. */
static void pieces_hash_like_the_whole(struct t *t)
{
    static unsigned char text[700];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 7 + i / 251);
    for (int alg = 0; alg < DIGEST_ALG_COUNT; alg++) {
        for (size_t len = 0; len < sizeof text; len += 13) {
            for (size_t step = 1; step < 200; step = step * 2 + 1) {
                struct digest whole, pieces;
                struct hasher h;

                digest_of((enum digest_alg)alg, text, len, &whole);
                hasher_init(&h, (enum digest_alg)alg);
                for (size_t at = 0; at < len; at += step)
                    hasher_update(&h, text + at, len - at < step ? len - at : step);
                hasher_finish(&h, &pieces);
                CHECK(digest_eq(&whole, &pieces));
            }
        }
    }
}

/* Every length around the blocks' borders, by the library and by what digest.c chose. */
static void the_hashes_agree_with_the_library(struct t *t)
{
    static unsigned char text[400];
    unsigned char want[DIGEST_BYTES_MAX];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 31 + i / 17);
    for (size_t len = 0; len < sizeof text - 1; len++) {
        struct digest d;

        digest_of(DIGEST_SHA256, text + 1, len, &d);
        CHECK(mbedtls_sha256(text + 1, len, want, 0) == 0 && memcmp(want, d.bytes, 32) == 0);
        digest_of(DIGEST_SHA512, text + 1, len, &d);
        CHECK(mbedtls_sha512(text + 1, len, want, 0) == 0 && memcmp(want, d.bytes, 64) == 0);
    }
}

/* 513 MiB of zeros: more than 2^32 bits, where a length kept too small would wrap. */
static void the_processor_counts_long_texts(struct t *t)
{
    static unsigned char block[1 << 20];
    struct digest d = { .alg = DIGEST_SHA256 };
    struct sha256_x86 s;

    if (!sha256_x86_usable())
        return; /* then the library hashes, and there is nothing of ours to try */
    sha256_x86_init(&s);
    for (int i = 0; i < 513; i++)
        sha256_x86_update(&s, block, sizeof block);
    sha256_x86_finish(&s, d.bytes);
    CHECK(text_is(&d, "sha256:a3e2acbb469e4e59dde406f912e754c933c1ac0fb0092a3634d61d5073309c0c"));
}

static void a_copied_hasher_goes_its_own_way(struct t *t)
{
    struct hasher a, b;
    struct digest d;

    hasher_init(&a, DIGEST_SHA256);
    hasher_update(&a, "a", 1);
    b = a;
    hasher_update(&a, "bc", 2);
    hasher_update(&a, NULL, 0);
    hasher_finish(&a, &d);
    CHECK(text_is(&d, "sha256:" ABC_256));
    hasher_finish(&b, &d);
    CHECK(text_is(&d, "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"));
}

T_MAIN(T(a_digest_survives_text_and_back),
       T(a_malformed_digest_is_invalid),
       T(an_unknown_algorithm_is_unsupported_not_invalid),
       T(an_algorithm_has_a_name),
       T(equal_digests_have_the_same_algorithm_and_bytes),
       T(hashes_give_the_known_answers),
       T(a_long_text_hashes_as_known),
       T(pieces_hash_like_the_whole),
       T(the_hashes_agree_with_the_library),
       T(the_processor_counts_long_texts),
       T(a_copied_hasher_goes_its_own_way))
