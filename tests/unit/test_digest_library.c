/* SHA-256 as it is on a processor without instructions for it: by the library. digest.c is
 * compiled into this program once more, blind to what the machine can do. */
#include "oci/sha256_x86.h"

static bool without_instructions(void)
{
    return false;
}

#define sha256_x86_usable without_instructions
#include "oci/digest.c"

#include "t.h"

static void the_library_gives_the_known_answer(struct t *t)
{
    char text[DIGEST_TEXT_MAX + 1];
    struct digest d;

    digest_of(DIGEST_SHA256, "abc", 3, &d);
    digest_format(&d, text);
    CHECK_STR(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void pieces_and_copies_hash_like_the_whole(struct t *t)
{
    static unsigned char text[300];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 7);
    for (size_t first = 0; first <= sizeof text; first++) {
        struct digest whole, pieces, copied;
        struct hasher h, copy;

        digest_of(DIGEST_SHA256, text, sizeof text, &whole);
        hasher_init(&h, DIGEST_SHA256);
        hasher_update(&h, text, first);
        copy = h;
        hasher_update(&h, text + first, sizeof text - first);
        hasher_finish(&h, &pieces);
        CHECK(digest_eq(&whole, &pieces));
        hasher_update(&copy, text + first, sizeof text - first);
        hasher_finish(&copy, &copied);
        CHECK(digest_eq(&whole, &copied));
    }
}

T_MAIN(T(the_library_gives_the_known_answer),
       T(pieces_and_copies_hash_like_the_whole))
