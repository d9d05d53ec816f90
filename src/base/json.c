/* json.c - read JSON from outside, within limits, on yyjson.
 *
 * yyjson parses without recursion and checks UTF-8. What it leaves to us: a
 * ceiling on memory (through its allocator), on depth, and keys that stand
 * twice. The last two are one walk over the finished tree, with a stack of fixed
 * size.
 */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include <yyjson.h>

#define KEYS_FEW 12 /* members up to which comparing all pairs is quicker than a table */
#define TABLE_SLOTS_MIN 32 /* a power of two */

struct json {
    yyjson_doc *doc;
    size_t used, max; /* bytes taken, of how many */
    bool over_budget;
};

/* The callers' view of a value, and back. yyjson has no const in its calls, but
 * those used here only read. */
static const struct json_val *view(const yyjson_val *v)
{
    return (const struct json_val *)v;
}

static yyjson_val *raw(const struct json_val *v)
{
    return (yyjson_val *)(uintptr_t)v;
}

/* ---- memory ---- */

static bool take(struct json *j, size_t size)
{
    if (size > j->max - j->used) {
        j->over_budget = true;
        return false;
    }
    j->used += size;
    return true;
}

static void *budget_malloc(void *ctx, size_t size)
{
    return take(ctx, size) ? malloc(size) : NULL;
}

/* Counts the old block beside the new one: both may exist while bytes are moved. */
static void *budget_realloc(void *ctx, void *p, size_t old_size, size_t size)
{
    struct json *j = ctx;
    void *q;

    if (!take(j, size))
        return NULL;
    q = realloc(p, size);
    j->used -= q ? old_size : size;
    return q;
}

/* Nothing goes back to the budget: the size is not told here, and yyjson frees
 * only when it gives up or the document dies. */
static void budget_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

/* ---- keys that stand twice ---- */

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

struct sip {
    uint64_t a, b, c, d;
};

static void sip_round(struct sip *s)
{
    s->a += s->b;
    s->b = rotl(s->b, 13) ^ s->a;
    s->a = rotl(s->a, 32);
    s->c += s->d;
    s->d = rotl(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = rotl(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = rotl(s->b, 17) ^ s->c;
    s->c = rotl(s->c, 32);
}

/* SipHash-1-3: keyed, so that nobody outside can choose keys that collide. */
static uint64_t hash(const uint64_t seed[2], const char *p, size_t len)
{
    struct sip s = { seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u };
    uint64_t last = (uint64_t)len << 56, word;
    size_t i;

    for (i = 0; i + 8 <= len; i += 8) {
        memcpy(&word, p + i, 8);
        s.d ^= word;
        sip_round(&s);
        s.a ^= word;
    }
    for (int shift = 0; i < len; i++, shift += 8)
        last |= (uint64_t)(unsigned char)p[i] << shift;
    s.d ^= last;
    sip_round(&s);
    s.a ^= last;
    s.c ^= 0xff;
    for (int n = 0; n < 3; n++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

static bool same_key(yyjson_val *a, yyjson_val *b)
{
    return yyjson_equals_strn(a, yyjson_get_str(b), yyjson_get_len(b));
}

/* All pairs. */
static bool few_keys_twice(yyjson_val *obj)
{
    yyjson_val *seen[KEYS_FEW], *key;
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    size_t n = 0;

    while ((key = yyjson_obj_iter_next(&it))) {
        for (size_t i = 0; i < n; i++)
            if (same_key(seen[i], key))
                return true;
        seen[n++] = key;
    }
    return false;
}

/* A table with open addressing, at most half full. */
static enum err many_keys_twice(struct json *j, yyjson_val *obj, bool *twice)
{
    uint64_t seed[2] = { 0, 0 };
    /* 16 random bytes that the kernel gives each program at its start: no call that
     * could wait for entropy on a board that has just booted. */
    const void *random = (const void *)(uintptr_t)getauxval(AT_RANDOM);
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    size_t slots = TABLE_SLOTS_MIN, bytes;
    yyjson_val **table, *key;

    while (slots / 2 < yyjson_obj_size(obj))
        slots *= 2;
    bytes = slots * sizeof *table;
    if (!take(j, bytes))
        return ERR_INVALID;
    table = calloc(slots, sizeof *table);
    if (!table)
        return ERR_NO_MEMORY;
    if (random)
        memcpy(seed, random, sizeof seed);
    while (!*twice && (key = yyjson_obj_iter_next(&it))) {
        size_t i = hash(seed, yyjson_get_str(key), yyjson_get_len(key)) & (slots - 1);

        while (table[i] && !same_key(table[i], key))
            i = (i + 1) & (slots - 1);
        *twice = table[i] != NULL;
        table[i] = key;
    }
    free(table);
    j->used -= bytes;
    return ERR_OK;
}

static enum err check_keys(struct json *j, yyjson_val *obj, const char **why)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    bool twice = false;
    yyjson_val *key;
    enum err e = ERR_OK;

    /* Callers see keys as C strings: one must not look like another. */
    while ((key = yyjson_obj_iter_next(&it))) {
        if (memchr(yyjson_get_str(key), '\0', yyjson_get_len(key))) {
            *why = "a key contains a NUL character";
            return ERR_INVALID;
        }
    }
    if (yyjson_obj_size(obj) <= KEYS_FEW)
        twice = few_keys_twice(obj);
    else
        e = many_keys_twice(j, obj, &twice);
    if (twice) {
        *why = "an object has the same key twice";
        e = ERR_INVALID;
    }
    return e;
}

/* ---- the walk ---- */

struct frame {
    bool is_object;
    yyjson_obj_iter members;
    yyjson_arr_iter elements;
};

static yyjson_val *next_value(struct frame *f)
{
    return f->is_object ? yyjson_obj_iter_get_val(yyjson_obj_iter_next(&f->members))
                        : yyjson_arr_iter_next(&f->elements);
}

static enum err check_tree(struct json *j, const char **why)
{
    struct frame stack[JSON_DEPTH_MAX];
    yyjson_val *v = yyjson_doc_get_root(j->doc);
    size_t depth = 0;
    enum err e;

    while (v) {
        if (yyjson_is_ctn(v)) {
            struct frame *f;

            if (depth == JSON_DEPTH_MAX) {
                *why = "nested too deep";
                return ERR_INVALID;
            }
            f = &stack[depth++];
            f->is_object = yyjson_is_obj(v);
            if (!f->is_object)
                yyjson_arr_iter_init(v, &f->elements);
            else if ((e = check_keys(j, v, why)))
                return e;
            else
                yyjson_obj_iter_init(v, &f->members);
        }
        v = NULL;
        while (depth > 0 && !(v = next_value(&stack[depth - 1])))
            depth--;
    }
    return ERR_OK;
}

enum err json_parse_within(struct json **out, const void *p, size_t len, size_t memory_max, const char **why)
{
    yyjson_alc alc = { budget_malloc, budget_realloc, budget_free, NULL };
    yyjson_read_err read_err = { 0, NULL, 0 };
    const char *reason = "not JSON";
    struct json *j;
    enum err e;

    *out = NULL;
    j = calloc(1, sizeof *j);
    if (!j) {
        e = ERR_NO_MEMORY;
        goto out;
    }
    j->max = memory_max;
    alc.ctx = j;
    /* A number that no C type holds stays text: it is an error only for who asks for it. */
    j->doc = yyjson_read_opts((char *)(uintptr_t)p, len, YYJSON_READ_BIGNUM_AS_RAW, &alc, &read_err);
    if (j->doc) {
        e = check_tree(j, &reason);
    } else {
        e = read_err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? ERR_NO_MEMORY : ERR_INVALID;
        if (read_err.msg)
            reason = read_err.msg;
    }
    if (e && j->over_budget) {
        e = ERR_INVALID;
        reason = "too many values";
    }
out:
    if (e) {
        json_free(j);
        if (why)
            *why = e == ERR_NO_MEMORY ? "out of memory" : reason;
        return e;
    }
    *out = j;
    return ERR_OK;
}

enum err json_parse(struct json **out, const void *p, size_t len, const char **why)
{
    return json_parse_within(out, p, len, JSON_MEMORY_MAX, why);
}

void json_free(struct json *j)
{
    if (!j)
        return;
    yyjson_doc_free(j->doc);
    free(j);
}

const struct json_val *json_root(const struct json *j)
{
    return view(yyjson_doc_get_root(j->doc));
}

bool json_is_object(const struct json_val *v)
{
    return yyjson_is_obj(raw(v));
}

bool json_is_array(const struct json_val *v)
{
    return yyjson_is_arr(raw(v));
}

bool json_is_null(const struct json_val *v)
{
    return yyjson_is_null(raw(v));
}

const struct json_val *json_get(const struct json_val *v, const char *key)
{
    return view(yyjson_obj_get(raw(v), key));
}

const char *json_str(const struct json_val *v, size_t *len)
{
    const char *s = yyjson_get_str(raw(v));

    if (!s || strlen(s) != yyjson_get_len(raw(v)))
        return NULL;
    if (len)
        *len = yyjson_get_len(raw(v));
    return s;
}

enum err json_u64(const struct json_val *v, uint64_t *out)
{
    if (!yyjson_is_uint(raw(v)) || yyjson_get_uint(raw(v)) > INT64_MAX)
        return ERR_INVALID;
    *out = yyjson_get_uint(raw(v));
    return ERR_OK;
}

size_t json_count(const struct json_val *v)
{
    return yyjson_is_ctn(raw(v)) ? yyjson_get_len(raw(v)) : 0;
}

enum err json_foreach(const struct json_val *v,
                      enum err (*fn)(void *arg, const char *key, const struct json_val *item), void *arg)
{
    yyjson_obj_iter members = yyjson_obj_iter_with(raw(v));
    yyjson_arr_iter elements = yyjson_arr_iter_with(raw(v));
    yyjson_val *item;
    enum err e;

    while ((item = yyjson_obj_iter_next(&members)))
        if ((e = fn(arg, yyjson_get_str(item), view(yyjson_obj_iter_get_val(item)))))
            return e;
    while ((item = yyjson_arr_iter_next(&elements)))
        if ((e = fn(arg, NULL, view(item))))
            return e;
    return ERR_OK;
}
