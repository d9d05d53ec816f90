/* json_parse and every way to look at the tree. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMBERS_LOOKED_UP 64 /* json_get searches: looking up all of a big object would be quadratic */

struct walk {
    const struct json_val *parent;
    unsigned depth;
    size_t seen;
};

static enum err look(void *arg, const char *key, const struct json_val *v);

static void look_inside(const struct json_val *v, unsigned depth)
{
    struct walk w = { v, depth, 0 };

    if (depth > JSON_DEPTH_MAX + 1)
        abort();
    if (json_foreach(v, look, &w) || w.seen != json_count(v))
        abort();
}

static enum err look(void *arg, const char *key, const struct json_val *v)
{
    struct walk *w = arg;
    const char *s;
    size_t len = 0;
    uint64_t n;

    if (!v || (key != NULL) != json_is_object(w->parent))
        abort();
    /* No key stands twice, so the name leads back to this member. */
    if (key && w->seen < MEMBERS_LOOKED_UP && json_get(w->parent, key) != v)
        abort();
    if (json_is_object(v) + json_is_array(v) + json_is_null(v) > 1)
        abort();
    s = json_str(v, &len);
    if (s && strlen(s) != len)
        abort();
    if (json_u64(v, &n) == ERR_OK && n > INT64_MAX)
        abort();
    w->seen++;
    look_inside(v, w->depth + 1);
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL;
    struct json *j = NULL;
    enum err e = json_parse(&j, data, size, &why);

    if (e == ERR_OK)
        look_inside(json_root(j), 1);
    else if (e != ERR_INVALID || j || !why)
        abort();
    json_free(j);
    return 0;
}
