/* Repository names, tags, references, and what people type. */
#include <string.h>

#include "oci/name.h"
#include "t.h"

#define HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void names_of_the_specification_are_accepted(struct t *t)
{
    static const char *const good[] = {
        "a", "0", "ubuntu", "library/ubuntu", "a/b/c/d/e", "a.b", "a_b", "a__b", "a-b", "a--b", "a------b",
        "my.org/my_app/sub--module/v1.2.3", "localhost/a", "0/0", "a.b_c__d-e/f",
    };
    char longest[NAME_MAX_BYTES];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(name_check(good[i], strlen(good[i])) == ERR_OK);
    memset(longest, 'a', sizeof longest);
    CHECK(name_check(longest, sizeof longest) == ERR_OK);
}

static void other_names_are_invalid(struct t *t)
{
    static const char *const bad[] = {
        "", "/", "a/", "/a", "a//b", "A", "aB", "a:b", "a@b", ".", "..", "a/..", "../a", "a/../b", "a/./b",
        ".a", "a.", "_a", "a_", "-a", "a-", "a..b", "a___b", "a._b", "a_.b", "a.-b", "a-_b", "a_-b", "a/-b",
        "a-/b", "a b", "a%2fb", "a\\b", "a\n", "\xc3\xa4", "a/\xff", "a+b", "a~b", "a=b",
    };
    char too_long[NAME_MAX_BYTES + 1];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(name_check(bad[i], strlen(bad[i])) == ERR_NAME_INVALID);
    CHECK(name_check("a\0b", 3) == ERR_NAME_INVALID);
    CHECK(name_check("a\0", 2) == ERR_NAME_INVALID);
    CHECK(name_check(NULL, 0) == ERR_NAME_INVALID);
    memset(too_long, 'a', sizeof too_long);
    CHECK(name_check(too_long, sizeof too_long) == ERR_NAME_INVALID);
}

static void only_the_bytes_given_are_read(struct t *t)
{
    CHECK(name_check("ab/", 2) == ERR_OK && name_check("a_b", 2) == ERR_NAME_INVALID);
    CHECK(tag_check("v1/x", 2) == ERR_OK);
}

static void tags_of_the_specification_are_accepted(struct t *t)
{
    static const char *const good[] = {
        "a", "A", "0", "_", "latest", "v1.2.3-rc1_x", "1.", "1-", "__", ("sha256-" HEX),
    };
    char longest[TAG_MAX_BYTES];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(tag_check(good[i], strlen(good[i])) == ERR_OK);
    memset(longest, 'Z', sizeof longest);
    CHECK(tag_check(longest, sizeof longest) == ERR_OK);
}

static void other_tags_are_invalid(struct t *t)
{
    static const char *const bad[] = {
        "", ".", "..", ".a", "-a", "a b", "a/b", "a:b", "a@b", "a+b", "\xc3\xa4", "a\n",
    };
    char too_long[TAG_MAX_BYTES + 1];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(tag_check(bad[i], strlen(bad[i])) == ERR_TAG_INVALID);
    CHECK(tag_check("a\0b", 3) == ERR_TAG_INVALID);
    memset(too_long, 'a', sizeof too_long);
    CHECK(tag_check(too_long, sizeof too_long) == ERR_TAG_INVALID);
}

static enum err ref_of(const char *s, struct reference *out)
{
    return reference_parse(s, strlen(s), out);
}

static void a_reference_is_a_tag_or_a_digest(struct t *t)
{
    struct reference ref;

    CHECK(ref_of("v1", &ref) == ERR_OK && !ref.is_digest && strcmp(ref.tag, "v1") == 0);
    CHECK(ref_of("sha256:" HEX, &ref) == ERR_OK && ref.is_digest && ref.tag[0] == '\0');
    CHECK(ref.digest.alg == DIGEST_SHA256 && ref.digest.bytes[31] == 0xad);
    CHECK(ref_of("sha256-" HEX, &ref) == ERR_OK && !ref.is_digest);
}

static void a_bad_reference_says_which_half_it_is(struct t *t)
{
    struct reference ref = { .tag = "kept" };

    CHECK(ref_of("sha256:abc", &ref) == ERR_DIGEST_INVALID);
    CHECK(ref_of("md5:abc", &ref) == ERR_UNSUPPORTED);
    CHECK(ref_of("a/b:c", &ref) == ERR_DIGEST_INVALID);
    CHECK(ref_of("a/b", &ref) == ERR_TAG_INVALID);
    CHECK(ref_of("", &ref) == ERR_TAG_INVALID);
    CHECK(reference_parse(NULL, 0, &ref) == ERR_TAG_INVALID);
    CHECK(strcmp(ref.tag, "kept") == 0);
}

static void people_name_images_in_four_ways(struct t *t)
{
    struct image_ref ir;

    CHECK(image_ref_parse("a/b", &ir) == ERR_OK && strcmp(ir.name, "a/b") == 0 && !ir.has_ref);
    CHECK(image_ref_parse("a/b:v1", &ir) == ERR_OK && strcmp(ir.name, "a/b") == 0 && ir.has_ref);
    CHECK(!ir.ref.is_digest && strcmp(ir.ref.tag, "v1") == 0);
    CHECK(image_ref_parse("a@sha256:" HEX, &ir) == ERR_OK && strcmp(ir.name, "a") == 0 && ir.has_ref);
    CHECK(ir.ref.is_digest && ir.ref.digest.bytes[0] == 0xba);
    CHECK(image_ref_parse("a:v1@sha256:" HEX, &ir) == ERR_OK && ir.ref.is_digest && ir.ref.tag[0] == '\0');
}

static void other_image_references_are_errors(struct t *t)
{
    struct image_ref ir = { .name = "kept" };
    char name[NAME_MAX_BYTES + 10];

    CHECK(image_ref_parse("", &ir) == ERR_NAME_INVALID && image_ref_parse(":v1", &ir) == ERR_NAME_INVALID);
    CHECK(image_ref_parse("@sha256:" HEX, &ir) == ERR_NAME_INVALID);
    CHECK(image_ref_parse("A", &ir) == ERR_NAME_INVALID && image_ref_parse("a/", &ir) == ERR_NAME_INVALID);
    CHECK(image_ref_parse("a:", &ir) == ERR_TAG_INVALID && image_ref_parse("a:v:1", &ir) == ERR_TAG_INVALID);
    CHECK(image_ref_parse("localhost:5000/a", &ir) == ERR_TAG_INVALID); /* no host part here */
    CHECK(image_ref_parse("a:@sha256:" HEX, &ir) == ERR_TAG_INVALID);
    CHECK(image_ref_parse("a@", &ir) == ERR_DIGEST_INVALID &&
          image_ref_parse("a@v1", &ir) == ERR_DIGEST_INVALID);
    CHECK(image_ref_parse("a@sha256:" HEX "@sha256:" HEX, &ir) == ERR_DIGEST_INVALID);
    CHECK(image_ref_parse("a@md5:abc", &ir) == ERR_UNSUPPORTED);
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    CHECK(image_ref_parse(name, &ir) == ERR_NAME_INVALID);
    CHECK(strcmp(ir.name, "kept") == 0);
}

T_MAIN(T(names_of_the_specification_are_accepted),
       T(other_names_are_invalid),
       T(only_the_bytes_given_are_read),
       T(tags_of_the_specification_are_accepted),
       T(other_tags_are_invalid),
       T(a_reference_is_a_tag_or_a_digest),
       T(a_bad_reference_says_which_half_it_is),
       T(people_name_images_in_four_ways),
       T(other_image_references_are_errors))
