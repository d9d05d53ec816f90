/* Range, Content-Range and If-None-Match. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "oci/etag.h"
#include "oci/range.h"
#include "t.h"

/* The parts as "first-last,..." for content of size bytes; "whole" or "416". */
static const char *ranges(const char *header, uint64_t size)
{
    static char text[64 * RANGE_COUNT_MAX];
    struct range out[RANGE_COUNT_MAX];
    size_t count = 99, at = 0;
    enum err e = range_parse(header, size, out, &count);

    if (e)
        return e == ERR_OUTSIDE ? "416" : "?";
    if (count == 0)
        return "whole";
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%" PRIu64 "-%" PRIu64, i ? "," : "",
                               out[i].first, out[i].last);
    return text;
}

static bool range_is(const char *header, uint64_t size, const char *want)
{
    return strcmp(ranges(header, size), want) == 0;
}

static void a_range_has_a_start_an_end_or_both(struct t *t)
{
    CHECK(range_is("bytes=0-4", 10, "0-4") && range_is("bytes=4-4", 10, "4-4"));
    CHECK(range_is("bytes=5-", 10, "5-9") && range_is("bytes=0-", 10, "0-9") &&
          range_is("bytes=9-", 10, "9-9"));
    CHECK(range_is("bytes=-3", 10, "7-9") && range_is("bytes=-10", 10, "0-9"));
    CHECK(range_is("Bytes=1-2", 10, "1-2"));
    CHECK(range_is("bytes=0-0", 1, "0-0"));
}

static void a_range_is_cut_at_the_end_of_the_content(struct t *t)
{
    CHECK(range_is("bytes=5-100", 10, "5-9") && range_is("bytes=-100", 10, "0-9"));
    CHECK(range_is("bytes=5-18446744073709551615", 10, "5-9"));
    CHECK(range_is("bytes=5-99999999999999999999999999", 10, "5-9"));
    CHECK(range_is("bytes=-99999999999999999999999999", 10, "0-9"));
    CHECK(range_is("bytes=1-", UINT64_MAX, "1-18446744073709551614"));
}

static void a_range_beyond_the_content_is_a_416(struct t *t)
{
    CHECK(range_is("bytes=10-", 10, "416") && range_is("bytes=10-20", 10, "416") &&
          range_is("bytes=-0", 10, "416"));
    CHECK(range_is("bytes=0-", 0, "416") && range_is("bytes=0-0", 0, "416"));
    CHECK(range_is("bytes=99999999999999999999999999-", 10, "416"));
    CHECK(range_is("bytes=18446744073709551616-18446744073709551617", 10, "416"));
    CHECK(range_is("bytes=10-11,20-,-0", 10, "416"));
}

static void an_empty_content_has_no_end_to_ask_for(struct t *t)
{
    CHECK(range_is("bytes=-5", 0, "416") && range_is("bytes=-5,0-", 0, "416") &&
          range_is("bytes=-0", 0, "416"));
}

static void a_range_that_ends_before_it_begins_is_a_416(struct t *t)
{
    CHECK(range_is("bytes=5-2", 10, "416") && range_is("bytes=500-0", 1000, "416"));
    CHECK(range_is("bytes=5-2,0-1", 10, "0-1"));
}

static void many_parts_come_in_the_order_asked(struct t *t)
{
    CHECK(range_is("bytes=0-1,5-6", 10, "0-1,5-6") && range_is("bytes=-1,0-0", 10, "9-9,0-0"));
    CHECK(range_is("bytes=0-1 , 5-6\t,\t-1", 10, "0-1,5-6,9-9"));
    CHECK(range_is("bytes=,0-1,,5-6,", 10, "0-1,5-6")); /* empty elements are allowed in a list */
    CHECK(range_is("bytes=0-1,50-60", 10, "0-1") && range_is("bytes=50-60,0-1,-0", 10, "0-1"));
    CHECK(range_is("bytes=0-3,2-5", 10, "0-3,2-5")); /* they overlap, but are less than the whole */
}

static void what_would_send_more_than_the_whole_sends_the_whole(struct t *t)
{
    CHECK(range_is("bytes=0-,0-", 10, "whole") && range_is("bytes=0-8,7-9", 10, "whole"));
    CHECK(range_is("bytes=0-4,5-9", 10, "0-4,5-9"));
    CHECK(range_is("bytes=0-,0-,0-,0-", UINT64_MAX, "whole"));
}

static void too_many_parts_send_the_whole(struct t *t)
{
    char header[8 * (RANGE_COUNT_MAX + 2)] = "bytes=";

    for (int i = 0; i < RANGE_COUNT_MAX; i++)
        snprintf(header + strlen(header), sizeof header - strlen(header), "%s%d-%d", i ? "," : "", 2 * i,
                 2 * i);
    CHECK(strncmp(ranges(header, 1000), "0-0,2-2,", 8) == 0);
    CHECK(strstr(ranges(header, 1000), ",62-62"));
    strcat(header, ",90-90");
    CHECK(range_is(header, 1000, "whole"));
}

static void what_is_no_byte_range_is_ignored(struct t *t)
{
    static const char *const other[] = {
        "", "bytes", "bytes=", "bytes=,", "bytes", "items=0-1", "byte=0-1", "bytes =0-1", "bytes:0-1", "0-1",
        "bytes=-", "bytes=a-b", "bytes=1", "bytes=1-2-3", "bytes=0 - 1", "bytes=0-1;2-3",
        "bytes=0-1 2-3", "bytes=--1", "bytes=+1-2", "bytes=0x1-2", "bytes=0-1,x", "bytes=0-1,5",
        "bytes=50-60,x", "bytes=bytes=0-1",
    };

    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        CHECK(range_is(other[i], 10, "whole"));
}

static bool chunk_is(const char *header, uint64_t first, uint64_t last)
{
    struct range r;

    return content_range_parse(header, &r) == ERR_OK && r.first == first && r.last == last;
}

static void a_chunk_says_its_place_in_either_form(struct t *t)
{
    CHECK(chunk_is("0-0", 0, 0) && chunk_is("0-1023", 0, 1023) && chunk_is("1024-2047", 1024, 2047));
    CHECK(chunk_is("bytes 0-9/10", 0, 9) && chunk_is("bytes 5-9/*", 5, 9) && chunk_is("Bytes 5-9/100", 5, 9));
    CHECK(chunk_is("bytes 5-9", 5, 9));
    CHECK(chunk_is("0-9223372036854775807", 0, INT64_MAX));
}

static void other_chunk_places_are_invalid(struct t *t)
{
    static const char *const bad[] = {
        "", "-", "0", "0-", "-5", "5-4", " 0-1", "0-1 ", "0 -1", "0- 1", "a-b", "0-1x", "0-1,2-3", "0-1/10",
        "0-1/*", "bytes=0-1", "bytes0-1", "bytes  0-1", "bytes 0-1/", "bytes 0-1/x", "bytes 0-1/1",
        "bytes 0-1/10x", "bytes 0-1/**", "bytes */10", "0--1", "+0-1", "0-9223372036854775808",
        "9223372036854775808-9223372036854775809", "0-99999999999999999999999999",
        "bytes 0-1/99999999999999999999999", "items 0-1/2",
    };
    struct range r = { 7, 7 };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(content_range_parse(bad[i], &r) == ERR_INVALID);
    CHECK(r.first == 7 && r.last == 7);
}

static void an_entity_tag_is_found_in_a_list(struct t *t)
{
    CHECK(etag_matches("\"a:b\"", "a:b") && etag_matches("W/\"a:b\"", "a:b"));
    CHECK(etag_matches("\"x\", \"a:b\"", "a:b") && etag_matches("\"x\",W/\"y\",\"a:b\" , \"z\"", "a:b"));
    CHECK(etag_matches(" ,, \"a:b\"", "a:b"));
    CHECK(etag_matches("\"x,\", \"a\"", "a") && etag_matches("\"x, y\"", "x, y"));
    CHECK(etag_matches("*", "a:b") && etag_matches(" * ", "a:b"));
    /* Older clients leave the quotes out. */
    CHECK(etag_matches("a:b", "a:b") && etag_matches("x, a:b", "a:b"));
}

static void another_entity_tag_does_not_match(struct t *t)
{
    CHECK(!etag_matches(NULL, "a") && !etag_matches("", "a") && !etag_matches(" ", "a") &&
          !etag_matches(",", "a"));
    CHECK(!etag_matches("\"ab\"", "a") && !etag_matches("\"a\"", "ab") && !etag_matches("\"A\"", "a"));
    CHECK(!etag_matches("\"x, a, y\"", "a")); /* a comma within quotes parts nothing */
    CHECK(!etag_matches("**", "a") && !etag_matches("\"*\"", "a") && !etag_matches("*, \"b\"", "a"));
    CHECK(!etag_matches("w/\"a\"", "a") && !etag_matches("W/a", "a") && !etag_matches("W\"a\"", "a"));
}

static void a_malformed_list_matches_nothing_after_the_fault(struct t *t)
{
    CHECK(!etag_matches("\"a", "a") && !etag_matches("\"", "") && !etag_matches("\"x\" \"a\"", "a"));
    CHECK(!etag_matches("\"x\"y, \"a\"", "a") && !etag_matches("x\"y\", \"a\"", "a"));
}

T_MAIN(T(a_range_has_a_start_an_end_or_both),
       T(a_range_is_cut_at_the_end_of_the_content),
       T(a_range_beyond_the_content_is_a_416),
       T(an_empty_content_has_no_end_to_ask_for),
       T(a_range_that_ends_before_it_begins_is_a_416),
       T(many_parts_come_in_the_order_asked),
       T(what_would_send_more_than_the_whole_sends_the_whole),
       T(too_many_parts_send_the_whole),
       T(what_is_no_byte_range_is_ignored),
       T(a_chunk_says_its_place_in_either_form),
       T(other_chunk_places_are_invalid),
       T(an_entity_tag_is_found_in_a_list),
       T(another_entity_tag_does_not_match),
       T(a_malformed_list_matches_nothing_after_the_fault))
