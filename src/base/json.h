/* json.h - read JSON from outside, within limits.
 *
 * A document owns its values; they die with it. Depth, memory and UTF-8 are
 * checked while reading, so the tree can be walked without care. yyjson hides
 * behind this header.
 */
#ifndef BERTH_BASE_JSON_H
#define BERTH_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define JSON_DEPTH_MAX 64                  /* nested arrays and objects */
#define JSON_MEMORY_MAX (24u << 20)        /* bytes one document may take while read */

struct json;     /* a document */
struct json_val; /* one value in it; NULL stands for "absent" in every call below */

/* Parse exactly one JSON text of len bytes. The caller frees *out. why, when not
 * NULL, gets a short reason that lives as long as the program.
 * ERR_INVALID: not JSON (RFC 8259, strict), not UTF-8, too deep, too large a
 * tree, or an object that has a key twice or a key with a NUL character (at any depth). */
enum err json_parse(struct json **out, const void *p, size_t len, const char **why);
/* The same with another ceiling, for files that are our own and may be large. */
enum err json_parse_within(struct json **out, const void *p, size_t len, size_t memory_max, const char **why);
void json_free(struct json *j); /* NULL is allowed */
const struct json_val *json_root(const struct json *j);

bool json_is_object(const struct json_val *v);
bool json_is_array(const struct json_val *v);
bool json_is_null(const struct json_val *v);

/* The member called key; NULL when v is no object or has none. */
const struct json_val *json_get(const struct json_val *v, const char *key);
/* The string and its length; NULL when v is none or contains a NUL character. */
const char *json_str(const struct json_val *v, size_t *len);
/* A whole number from 0 to 2^63-1. ERR_INVALID: anything else. */
enum err json_u64(const struct json_val *v, uint64_t *out);

size_t json_count(const struct json_val *v); /* elements or members; 0 for others */
/* Call fn for each element (key NULL) or member, in order; stops at its first error. */
enum err json_foreach(const struct json_val *v,
                      enum err (*fn)(void *arg, const char *key, const struct json_val *item), void *arg);

#endif
