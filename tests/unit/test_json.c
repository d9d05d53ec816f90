/* JSON from outside: what is accepted, what is refused, and at what cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "t.h"

static enum err parse(struct json **out, const char *text)
{
    return json_parse(out, text, strlen(text), NULL);
}

static bool accepted(const char *text, size_t len)
{
    struct json *j;
    enum err e = json_parse(&j, text, len, NULL);

    json_free(j);
    return e == ERR_OK;
}

/* ERR_INVALID, with a reason, and no document. */
static bool refused(const char *text, size_t len)
{
    struct json *j = (struct json *)(uintptr_t)text;
    const char *why = NULL;

    return json_parse(&j, text, len, &why) == ERR_INVALID && !j && why && *why;
}

static void members_are_found_by_name(struct t *t)
{
    struct json *j;
    const struct json_val *root;
    uint64_t n = 0;
    size_t len = 0;

    CHECK(parse(&j, "{\"s\":\"t\\u00e4xt\",\"n\":42,\"a\":[1,2,3],\"o\":{\"x\":{}},\"z\":null}") == ERR_OK);
    root = json_root(j);
    CHECK(json_is_object(root) && !json_is_array(root) && json_count(root) == 5);
    CHECK(strcmp(json_str(json_get(root, "s"), &len), "t\xc3\xa4xt") == 0 && len == 5);
    CHECK(json_u64(json_get(root, "n"), &n) == ERR_OK && n == 42);
    CHECK(json_is_array(json_get(root, "a")) && json_count(json_get(root, "a")) == 3);
    CHECK(json_is_object(json_get(json_get(root, "o"), "x")) &&
          json_count(json_get(json_get(root, "o"), "x")) == 0);
    CHECK(json_is_null(json_get(root, "z")));
    CHECK(!json_get(root, "absent") && !json_get(root, "") && !json_get(json_get(root, "a"), "s"));
    json_free(j);
}

static void an_absent_value_is_nothing_everywhere(struct t *t)
{
    uint64_t n = 7;

    CHECK(!json_is_object(NULL) && !json_is_array(NULL) && !json_is_null(NULL));
    CHECK(!json_get(NULL, "a") && !json_str(NULL, NULL) && json_count(NULL) == 0);
    CHECK(json_u64(NULL, &n) == ERR_INVALID && n == 7);
    CHECK(json_foreach(NULL, NULL, NULL) == ERR_OK);
    json_free(NULL);
}

static void any_value_may_be_the_root(struct t *t)
{
    static const char *const good[] = {
        "1", "\"a\"", "null", "true", "[]", "{}", " \t\r\n[ 1 , 2 ]\n", "-0.5e+10",
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(accepted(good[i], strlen(good[i])));
}

static void what_is_not_json_is_refused(struct t *t)
{
    static const char *const bad[] = {
        "", " ", "{", "[", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "[1 2]", "{\"a\" 1}", "{\"a\":}",
        "{\"a\"}", "{1:2}", "01", "+1", "1.", ".5", "0x1", "1e", "--1", "nan", "NaN", "Infinity", "-inf",
        "tru", "True", "undefined", "\"a", "\"\\x\"", "\"\\u12\"", "\"\t\"", "\"\n\"", "// c\n1", "/* c */ 1",
        "1 1", "[] []", "{}}", "[1]x", "\xef\xbb\xbf{}", /* a byte order mark */
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(refused(bad[i], strlen(bad[i])));
    CHECK(refused(NULL, 0));
    CHECK(refused("[1]\0", 4) && refused("\0", 1) && refused("\"a\0b\"", 5));
    CHECK(accepted("[1]x", 3)); /* only the bytes given are read */
}

static void what_is_not_utf8_is_refused(struct t *t)
{
    static const char *const bad[] = {
        "\"\xff\"", "\"\x80\"", "\"\xc3\"", "\"\xc0\xaf\"", "\"\xe0\x80\x80\"", "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"", "\"\xf8\x88\x80\x80\x80\"", "\"\xe2\x82\"", "{\"\xff\":1}", "\"\\ud800\"",
        "\"\\udc00\"", "\"\\ud800\\u0041\"",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(refused(bad[i], strlen(bad[i])));
    CHECK(accepted("\"\\ud83d\\ude00 \xf0\x9f\x98\x80\"", 19));
}

static bool text_is(const char *text, const char *want)
{
    struct json *j;
    const char *s;
    bool same;

    if (parse(&j, text))
        return false;
    s = json_str(json_root(j), NULL);
    same = want ? s && strcmp(s, want) == 0 : !s;
    json_free(j);
    return same;
}

static void a_string_with_a_nul_is_no_string_to_callers(struct t *t)
{
    CHECK(text_is("\"a\\u0000b\"", NULL) && text_is("\"\\u0000\"", NULL) && text_is("\"a\\u0000\"", NULL));
    CHECK(text_is("\"\"", "") && text_is("\"\\u0001\\\"\\/\"", "\x01\"/"));
    CHECK(text_is("1", NULL) && text_is("null", NULL) && text_is("[\"a\"]", NULL));
}

static void a_key_with_a_nul_is_refused(struct t *t)
{
    CHECK(refused("{\"a\\u0000b\":1}", 14) && refused("[{\"x\":{\"\\u0000\":1}}]", 20));
}

static bool number_is(const char *text, uint64_t want)
{
    uint64_t n = ~want;
    struct json *j;
    bool same;

    if (parse(&j, text))
        return false;
    same = json_u64(json_root(j), &n) == ERR_OK && n == want;
    json_free(j);
    return same;
}

/* It may stand in the text, but it is no whole number. */
static bool number_is_none(const char *text)
{
    uint64_t n = 7;
    struct json *j;
    bool none;

    if (parse(&j, text))
        return false;
    none = json_u64(json_root(j), &n) == ERR_INVALID && n == 7;
    json_free(j);
    return none;
}

static void whole_numbers_have_a_range(struct t *t)
{
    CHECK(number_is("0", 0) && number_is("1", 1) && number_is("9223372036854775807", INT64_MAX));
    CHECK(number_is_none("-1") && number_is_none("9223372036854775808") &&
          number_is_none("18446744073709551615"));
    CHECK(number_is_none("18446744073709551616") && number_is_none("-9223372036854775809"));
    CHECK(number_is_none("1.0") && number_is_none("1e3") && number_is_none("0.5") && number_is_none("1e999"));
    CHECK(number_is_none("-1e999") && number_is_none("\"1\"") && number_is_none("true") &&
          number_is_none("null"));
}

static void a_key_may_stand_once_in_an_object(struct t *t)
{
    static const char fine[] = "{\"a\":{\"a\":{\"a\":1}},\"A\":[{\"a\":1},{\"a\":1}],\"aa\":1,\"\":1}";
    static const char *const twice[] = {
        "{\"a\":1,\"a\":1}", "{\"\":1,\"\":2}", "{\"a\":1,\"b\":2,\"\\u0061\":3}",
        "[[{\"x\":{\"a\":{\"b\":1,\"b\":1}}}]]",
        "{\"x\":[{\"a\":1},{\"b\":1,\"c\":[],\"b\":{}}]}",
    };

    for (size_t i = 0; i < sizeof twice / sizeof *twice; i++)
        CHECK(refused(twice[i], strlen(twice[i])));
    CHECK(accepted(fine, strlen(fine)));
}

/* count different keys, then one more; the object is inside an array. */
static void many_keys(struct buf *b, unsigned count, const char *one_more)
{
    buf_clear(b);
    buf_str(b, "[{");
    for (unsigned i = 0; i < count; i++)
        buf_fmt(b, "\"k%u\":[],", i);
    buf_fmt(b, "\"%s\":1}]", one_more);
}

static void a_key_is_found_twice_among_any_number(struct t *t)
{
    struct buf b = { 0 };

    for (unsigned n = 1; n < 5000; n = n < 70 ? n + 1 : n * 2) {
        char key[16];

        many_keys(&b, n, "other");
        CHECK(accepted(b.p, b.len));
        many_keys(&b, n, "k0");
        CHECK(refused(b.p, b.len));
        snprintf(key, sizeof key, "k%u", n - 1);
        many_keys(&b, n, key);
        CHECK(refused(b.p, b.len));
        snprintf(key, sizeof key, "k%u", n / 2);
        many_keys(&b, n, key);
        CHECK(refused(b.p, b.len));
    }
    buf_free(&b);
}

/* depth arrays, or objects, around a number. */
static void nested(struct buf *b, unsigned depth, const char *open, const char *close)
{
    buf_clear(b);
    for (unsigned i = 0; i < depth; i++)
        buf_str(b, open);
    buf_str(b, "1");
    for (unsigned i = 0; i < depth; i++)
        buf_str(b, close);
}

static void nesting_has_a_limit(struct t *t)
{
    struct buf b = { 0 };

    nested(&b, JSON_DEPTH_MAX, "[", "]");
    CHECK(accepted(b.p, b.len));
    nested(&b, JSON_DEPTH_MAX + 1, "[", "]");
    CHECK(refused(b.p, b.len));
    nested(&b, JSON_DEPTH_MAX, "{\"a\":", "}");
    CHECK(accepted(b.p, b.len));
    nested(&b, JSON_DEPTH_MAX + 1, "{\"a\":", "}");
    CHECK(refused(b.p, b.len));
    nested(&b, JSON_DEPTH_MAX / 2, "[{\"a\":", "}]");
    CHECK(accepted(b.p, b.len));
    nested(&b, 2u << 20, "[", "]");
    CHECK(refused(b.p, b.len));
    nested(&b, 4u << 20, "[", ""); /* never closed */
    CHECK(refused(b.p, b.len));
    nested(&b, 700000, "{\"a\":", "}");
    CHECK(refused(b.p, b.len));
    buf_free(&b);
}

/* Fill b with copies of item up to 4 MiB. */
static void repeat(struct buf *b, const char *open, const char *item, const char *close)
{
    size_t n = strlen(item);

    buf_clear(b);
    buf_str(b, open);
    while (b->len + n + strlen(close) < 4u << 20)
        buf_add(b, item, n);
    buf_str(b, close);
}

static void a_tree_over_the_memory_limit_is_refused(struct t *t)
{
    struct buf b = { 0 };

    repeat(&b, "[", "1,", "1]");
    CHECK(refused(b.p, b.len));
    repeat(&b, "[", "[],", "1]");
    CHECK(refused(b.p, b.len));
    repeat(&b, "[", "\"a string like those in a manifest\",", "1]");
    CHECK(accepted(b.p, b.len));
    repeat(&b, "\"", "\\u0041", "\"");
    CHECK(accepted(b.p, b.len));
    buf_free(&b);
}

/* Nothing that fits a manifest may hold a worker up. The limit leaves room for
 * sanitizers and slow machines; a quadratic search would need minutes. */
static void the_worst_texts_are_read_in_little_time(struct t *t)
{
    struct buf b = { 0 };
    int64_t start = clock_mono_ms();

    many_keys(&b, 100000, "other");
    CHECK(accepted(b.p, b.len));
    many_keys(&b, 300000, "k299999");
    CHECK(refused(b.p, b.len));
    repeat(&b, "[", "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1},",
           "1]");
    CHECK(b.len > 0 && (accepted(b.p, b.len) || refused(b.p, b.len)));
    repeat(&b, "", "9", "");
    CHECK(accepted(b.p, b.len));
    repeat(&b, "0.", "9", "e-300");
    CHECK(accepted(b.p, b.len) || refused(b.p, b.len));
    repeat(&b, "[", "1e308,", "1]");
    CHECK(accepted(b.p, b.len) || refused(b.p, b.len));
    CHECK(clock_mono_ms() - start < 10000);
    buf_free(&b);
}

static enum err spell(void *arg, const char *key, const struct json_val *item)
{
    struct buf *b = arg;
    uint64_t n = 0;

    if (json_u64(item, &n))
        return ERR_BUSY;
    buf_fmt(b, "%s%u ", key ? key : "-", (unsigned)n);
    return ERR_OK;
}

static void a_list_is_walked_in_order_until_an_error(struct t *t)
{
    struct buf b = { 0 };
    struct json *j;

    CHECK(parse(&j, "{\"o\":{\"b\":1,\"a\":2,\"\":3},\"l\":[5,4],\"x\":[1,null,2]}") == ERR_OK);
    CHECK(json_foreach(json_get(json_root(j), "o"), spell, &b) == ERR_OK && strcmp(b.p, "b1 a2 3 ") == 0);
    buf_clear(&b);
    CHECK(json_foreach(json_get(json_root(j), "l"), spell, &b) == ERR_OK && strcmp(b.p, "-5 -4 ") == 0);
    buf_clear(&b);
    CHECK(json_foreach(json_get(json_root(j), "x"), spell, &b) == ERR_BUSY && strcmp(b.p, "-1 ") == 0);
    json_free(j);
    buf_free(&b);
}

T_MAIN(T(members_are_found_by_name),
       T(an_absent_value_is_nothing_everywhere),
       T(any_value_may_be_the_root),
       T(what_is_not_json_is_refused),
       T(what_is_not_utf8_is_refused),
       T(a_string_with_a_nul_is_no_string_to_callers),
       T(a_key_with_a_nul_is_refused),
       T(whole_numbers_have_a_range),
       T(a_key_may_stand_once_in_an_object),
       T(a_key_is_found_twice_among_any_number),
       T(nesting_has_a_limit),
       T(a_tree_over_the_memory_limit_is_refused),
       T(the_worst_texts_are_read_in_little_time),
       T(a_list_is_walked_in_order_until_an_error))
