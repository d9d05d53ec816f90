/* name.h - repository names, tags and references (distribution-spec, "Pulling
 * manifests": <name>, <reference>).
 */
#ifndef BERTH_OCI_NAME_H
#define BERTH_OCI_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "oci/digest.h"

#define NAME_MAX_BYTES 255
#define TAG_MAX_BYTES  128

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)* of at
 * most NAME_MAX_BYTES. ERR_NAME_INVALID: anything else. */
enum err name_check(const char *s, size_t len);

/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}. ERR_TAG_INVALID: anything else. */
enum err tag_check(const char *s, size_t len);

/* A tag or a digest. */
struct reference {
    bool is_digest;
    char tag[TAG_MAX_BYTES + 1]; /* "" for a digest */
    struct digest digest;
};

/* What stands in /manifests/<reference>. ERR_DIGEST_INVALID when it has a colon
 * and is no digest (ERR_UNSUPPORTED: an unknown algorithm), ERR_TAG_INVALID otherwise. */
enum err reference_parse(const char *s, size_t len, struct reference *out);

/* What people type: NAME, NAME:TAG, NAME@DIGEST, NAME:TAG@DIGEST (the digest
 * wins). No host part. has_ref is false for a bare NAME. */
struct image_ref {
    char name[NAME_MAX_BYTES + 1];
    bool has_ref;
    struct reference ref;
};
enum err image_ref_parse(const char *s, struct image_ref *out);

#endif
