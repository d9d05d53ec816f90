/* manifest.h - read what a manifest refers to: OCI image manifests, indexes and
 * artifacts, Docker schema 2 manifests and manifest lists, and unknown media
 * types of the same shape.
 */
#ifndef BERTH_OCI_MANIFEST_H
#define BERTH_OCI_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "oci/digest.h"

#define MANIFEST_BYTES_MAX   (4u << 20)
#define MANIFEST_CHILDREN_MAX 16384        /* descriptors in one manifest */
#define MEDIA_TYPE_MAX       255
/* Reading a manifest takes up to so many times its length, itself included: 17 for a list of zeros, which
 * has a value of the JSON tree for every two bytes, at the moment the tree moves to a larger place; a list of
 * layers takes 7. */
#define MANIFEST_MEMORY_FACTOR 18u

#define MT_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define MT_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define MT_OCI_EMPTY       "application/vnd.oci.empty.v1+json"
#define MT_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MT_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"

/* A media type per RFC 6838: type/subtype, no parameters, at most MEDIA_TYPE_MAX. */
bool media_type_ok(const char *s, size_t len);

enum child_kind { CHILD_CONFIG, CHILD_LAYER, CHILD_MANIFEST, CHILD_SUBJECT };

struct child {
    enum child_kind kind;
    struct digest digest;
    uint64_t size;       /* bytes, as the descriptor says */
    bool optional;       /* may be missing here: a subject, or a foreign (non-distributable) layer */
    uint32_t type;       /* for manifest_child_type */
};

struct manifest {
    char media_type[MEDIA_TYPE_MAX + 1];    /* of the manifest itself */
    char artifact_type[MEDIA_TYPE_MAX + 1]; /* as the referrers API reports it; "" when none */
    bool is_index;
    bool is_known;                          /* media_type has rules of its own here */
    bool has_subject;
    struct digest subject;
    struct child *children;                 /* config, layers or manifests in order, then the subject */
    size_t child_count;
    uint64_t content_size;                  /* sum of the children's sizes, without the subject */
    char *annotations;                      /* the "annotations" object as JSON text, or NULL */
    char *types;                            /* for manifest_child_type */
};

/* Read len bytes that a client sent with this Content-Type (NULL: none sent; then
 * the body's mediaType, or its shape, decides). The caller frees with manifest_clear.
 * artifact_type follows the specification, "Listing Referrers": artifactType, or
 * the config's mediaType for an image manifest without one.
 * ERR_MANIFEST_INVALID: not a JSON object; a wrong type or value where the
 * specification has a rule; mediaType and Content-Type disagree; a schema 1 manifest;
 * both "manifests" and "layers"/"config"; too many children. why, when not NULL, gets a
 * reason for people (a constant string). ERR_TOO_LARGE: over MANIFEST_BYTES_MAX. */
enum err manifest_parse(struct manifest *m, const void *p, size_t len, const char *content_type,
                        const char **why);
void manifest_clear(struct manifest *m);

/* What m says about the media type of a child of kind CHILD_MANIFEST; NULL for the other kinds. A child
 * need not name it again. */
const char *manifest_child_type(const struct manifest *m, const struct child *child);

#endif
