/* Bounded strings, numbers, percent escapes and the growing buffer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "t.h"

static void a_copy_fits_whole_or_not_at_all(struct t *t)
{
    char dst[6] = "xxxxx";

    CHECK(str_copy(dst, sizeof dst, "hello") == ERR_OK && strcmp(dst, "hello") == 0);
    CHECK(str_copy(dst, sizeof dst, "hello!") == ERR_TOO_LARGE && dst[0] == '\0');
    CHECK(str_copy(dst, sizeof dst, "") == ERR_OK && dst[0] == '\0');
    CHECK(str_copy(dst, 1, "") == ERR_OK);
    CHECK(str_copy(dst, 1, "a") == ERR_TOO_LARGE);
    CHECK(str_copy_n(dst, sizeof dst, "hello world", 5) == ERR_OK && strcmp(dst, "hello") == 0);
    CHECK(str_copy_n(dst, sizeof dst, "hello world", 6) == ERR_TOO_LARGE && dst[0] == '\0');
    CHECK(str_copy_n(dst, sizeof dst, NULL, 0) == ERR_OK && dst[0] == '\0');
}

static void a_copy_does_not_end_at_a_nul_inside(struct t *t)
{
    char dst[8] = "xxxxx";

    CHECK(str_copy_n(dst, sizeof dst, "ab\0cd", 5) == ERR_INVALID);
    CHECK(dst[0] == '\0');
}

static void a_format_fits_whole_or_not_at_all(struct t *t)
{
    char dst[6] = "xxxxx";

    CHECK(str_format(dst, sizeof dst, "%d-%s", 12, "ab") == ERR_OK && strcmp(dst, "12-ab") == 0);
    CHECK(str_format(dst, sizeof dst, "%d-%s", 12, "abc") == ERR_TOO_LARGE && dst[0] == '\0');
}

static void comparing_knows_null_and_ascii_case(struct t *t)
{
    CHECK(str_eq("a", "a") && !str_eq("a", "A") && !str_eq("a", "ab") && !str_eq("ab", "a"));
    CHECK(str_eq(NULL, NULL) && !str_eq(NULL, "") && !str_eq("", NULL));
    CHECK(str_eq_nocase("Content-TYPE", "content-type") && !str_eq_nocase("a", "ab") &&
          !str_eq_nocase("ab", "a"));
    CHECK(str_eq_nocase(NULL, NULL) && !str_eq_nocase(NULL, "") && !str_eq_nocase("", NULL));
    CHECK(!str_eq_nocase("[", "{") && !str_eq_nocase("@", "`")); /* 32 apart, but no letters */
    CHECK(str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("ab", "abc"));
}

static bool number_is(const char *s, uint64_t max, uint64_t want)
{
    uint64_t v = ~want;

    return str_u64(s, strlen(s), max, &v) == ERR_OK && v == want;
}

static bool no_number(const char *s, uint64_t max)
{
    uint64_t v = 7;

    return str_u64(s, strlen(s), max, &v) == ERR_INVALID && v == 7;
}

static void a_number_is_digits_alone(struct t *t)
{
    CHECK(number_is("0", 0, 0) && number_is("7", 7, 7) && number_is("0042", 100, 42));
    CHECK(number_is("18446744073709551615", UINT64_MAX, UINT64_MAX));
    CHECK(number_is("9223372036854775807", INT64_MAX, INT64_MAX));
    CHECK(number_is("000000000000000000000000000000000000000000000001", 1, 1));
    CHECK(no_number("", 9) && no_number("-1", 9) && no_number("+1", 9) && no_number(" 1", 9));
    CHECK(no_number("1 ", 9) && no_number("0x1", 99) && no_number("1e1", 99) && no_number("1.0", 99));
}

static void a_number_over_its_maximum_is_invalid(struct t *t)
{
    CHECK(no_number("1", 0) && no_number("8", 7) && no_number("10", 9) && no_number("101", 100));
    CHECK(no_number("18446744073709551616", UINT64_MAX) && no_number("18446744073709551620", UINT64_MAX));
    CHECK(no_number("184467440737095516150", UINT64_MAX) && no_number("99999999999999999999999", UINT64_MAX));
    CHECK(no_number("9223372036854775808", INT64_MAX));
}

static enum err decode(char *dst, size_t cap, const char *src, bool plus)
{
    return str_percent_decode(dst, cap, src, strlen(src), plus);
}

static void percent_escapes_are_decoded(struct t *t)
{
    char dst[16];

    CHECK(decode(dst, sizeof dst, "sha256%3Aab", false) == ERR_OK && strcmp(dst, "sha256:ab") == 0);
    CHECK(decode(dst, sizeof dst, "a%2Fb%2fc", false) == ERR_OK && strcmp(dst, "a/b/c") == 0);
    CHECK(decode(dst, sizeof dst, "a+b", false) == ERR_OK && strcmp(dst, "a+b") == 0);
    CHECK(decode(dst, sizeof dst, "a+b%2B", true) == ERR_OK && strcmp(dst, "a b+") == 0);
    CHECK(decode(dst, sizeof dst, "%25%32%35", false) == ERR_OK &&
          strcmp(dst, "%25") == 0); /* once, not twice */
    CHECK(decode(dst, sizeof dst, "%FF%fe", false) == ERR_OK && strcmp(dst, "\xff\xfe") == 0);
    CHECK(decode(dst, 1, "", false) == ERR_OK && dst[0] == '\0');
}

static void a_broken_escape_is_invalid(struct t *t)
{
    static const char *const bad[] = { "%", "a%", "%4", "%4g", "%g4", "%%41", "% 41", "%-1", "%00", "a%00b" };
    char dst[16];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        strcpy(dst, "x");
        CHECK(decode(dst, sizeof dst, bad[i], true) == ERR_INVALID && dst[0] == '\0');
    }
    CHECK(str_percent_decode(dst, sizeof dst, "a\0b", 3, false) == ERR_INVALID);
    /* The escape's end is not ours to read. */
    CHECK(str_percent_decode(dst, sizeof dst, "%41", 2, false) == ERR_INVALID);
}

static void what_decodes_to_too_much_is_too_large(struct t *t)
{
    char dst[4];

    CHECK(decode(dst, sizeof dst, "%41%42%43", false) == ERR_OK && strcmp(dst, "ABC") == 0);
    CHECK(decode(dst, sizeof dst, "%41%42%43%44", false) == ERR_TOO_LARGE && dst[0] == '\0');
    CHECK(decode(dst, 1, "a", false) == ERR_TOO_LARGE && dst[0] == '\0');
}

static void a_buffer_grows_and_ends_in_a_nul(struct t *t)
{
    struct buf b = { 0 };

    for (int i = 0; i < 1000; i++)
        buf_fmt(&b, "%03d,", i);
    CHECK(b.err == ERR_OK && b.len == 4000 && b.p[b.len] == '\0');
    CHECK(memcmp(b.p, "000,001,", 8) == 0 && strcmp(b.p + 3992, "998,999,") == 0);
    buf_clear(&b);
    CHECK(b.len == 0 && b.p[0] == '\0');
    buf_add(&b, "a\0b", 3);
    CHECK(b.len == 3 && memcmp(b.p, "a\0b", 4) == 0);
    buf_free(&b);
    CHECK(!b.p && b.len == 0 && b.cap == 0);
}

static void a_buffer_stops_at_its_ceiling(struct t *t)
{
    struct buf b = { .max = 10 };

    buf_str(&b, "0123456789");
    CHECK(b.err == ERR_OK && b.len == 10);
    buf_str(&b, "");
    CHECK(b.err == ERR_OK);
    buf_str(&b, "x");
    CHECK(b.err == ERR_TOO_LARGE && strcmp(b.p, "0123456789") == 0);
    buf_clear(&b);
    buf_str(&b, "01234567890");
    CHECK(b.err == ERR_TOO_LARGE && b.len == 0);
    buf_str(&b, "a"); /* a failed buffer takes nothing more, or a reply would lack its middle */
    buf_fmt(&b, "%d", 1);
    buf_json(&b, "a");
    buf_percent(&b, "a", "");
    CHECK(b.len == 0 && b.err == ERR_TOO_LARGE);
    buf_clear(&b);
    buf_fmt(&b, "%010d", 5);
    CHECK(b.err == ERR_OK && strcmp(b.p, "0000000005") == 0);
    buf_free(&b);
}

static void a_buffer_has_a_default_ceiling(struct t *t)
{
    static char block[1 << 20];
    struct buf b = { 0 };

    for (unsigned i = 0; i < BUF_MAX / sizeof block; i++)
        buf_add(&b, block, sizeof block);
    CHECK(b.err == ERR_OK && b.len == BUF_MAX);
    buf_str(&b, "x");
    CHECK(b.err == ERR_TOO_LARGE && b.len == BUF_MAX);
    buf_free(&b);
}

static bool json_is(const char *s, const char *want)
{
    struct buf b = { 0 };
    bool same;

    buf_json(&b, s);
    same = b.err == ERR_OK && strcmp(b.p, want) == 0;
    buf_free(&b);
    return same;
}

static void json_strings_are_escaped(struct t *t)
{
    CHECK(json_is(NULL, "null") && json_is("", "\"\"") && json_is("plain", "\"plain\""));
    CHECK(json_is("a\"b\\c", "\"a\\\"b\\\\c\""));
    CHECK(json_is("\n\r\t\x01\x1f\x7f", "\"\\n\\r\\t\\u0001\\u001f\x7f\""));
    CHECK(json_is("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\""));
}

static void json_strings_are_utf8_whatever_comes_in(struct t *t)
{
    static const char fffd[] = "\"\xef\xbf\xbd\"";

    CHECK(json_is("\xff", fffd) && json_is("\x80", fffd) && json_is("\xc3", fffd));
    CHECK(json_is("\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"")); /* overlong */
    CHECK(json_is("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")); /* a surrogate */
    CHECK(json_is("\xe0\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
    CHECK(json_is("\xf4\x90\x80\x80",
                  "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")); /* over U+10FFFF */
    CHECK(json_is("a\xe2\x82", "\"a\xef\xbf\xbd\xef\xbf\xbd\"")); /* ends inside a character */
    CHECK(json_is("\xf4\x8f\xbf\xbf\xed\x9f\xbf", "\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\""));
}

static void percent_encoding_keeps_what_it_is_told(struct t *t)
{
    struct buf b = { 0 };

    buf_percent(&b, "az-AZ_09.~ /:?\xc3\xa4%", "/");
    CHECK(b.err == ERR_OK && strcmp(b.p, "az-AZ_09.~%20/%3A%3F%C3%A4%25") == 0);
    buf_free(&b);
}

T_MAIN(T(a_copy_fits_whole_or_not_at_all),
       T(a_copy_does_not_end_at_a_nul_inside),
       T(a_format_fits_whole_or_not_at_all),
       T(comparing_knows_null_and_ascii_case),
       T(a_number_is_digits_alone),
       T(a_number_over_its_maximum_is_invalid),
       T(percent_escapes_are_decoded),
       T(a_broken_escape_is_invalid),
       T(what_decodes_to_too_much_is_too_large),
       T(a_buffer_grows_and_ends_in_a_nul),
       T(a_buffer_stops_at_its_ceiling),
       T(a_buffer_has_a_default_ceiling),
       T(json_strings_are_escaped),
       T(json_strings_are_utf8_whatever_comes_in),
       T(percent_encoding_keeps_what_it_is_told))
