/* manifest.c - read what a manifest refers to.
 *
 * Where the specification has a rule for a media type, the rule is checked. A
 * manifest of a media type not known here is taken as it is: what looks like a
 * descriptor in the usual places is a child, what does not is ignored.
 */
#include "oci/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

#define MT_OCI_ARTIFACT      "application/vnd.oci.artifact.manifest.v1+json"
#define MT_DOCKER_SCHEMA1    "application/vnd.docker.distribution.manifest.v1+json"
#define MT_DOCKER_SCHEMA1_JWS "application/vnd.docker.distribution.manifest.v1+prettyjws"

#define RESTRICTED_NAME_MAX 127 /* RFC 6838, 4.2: each of type and subtype */

enum shape { SHAPE_UNKNOWN, SHAPE_IMAGE, SHAPE_INDEX, SHAPE_ARTIFACT };

static const struct known {
    const char *media_type;
    enum shape shape;
} known_types[] = {
    { MT_OCI_MANIFEST, SHAPE_IMAGE },
    { MT_OCI_INDEX, SHAPE_INDEX },
    { MT_OCI_ARTIFACT, SHAPE_ARTIFACT }, /* of the release candidates of OCI 1.1; still in use */
    { MT_DOCKER_MANIFEST, SHAPE_IMAGE },
    { MT_DOCKER_LIST, SHAPE_INDEX },
};

/* Layers that their publisher does not allow to be passed on: they may be missing here. */
static const char *const foreign_layers[] = {
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.",
};

/* One reading of a manifest. */
struct reading {
    struct manifest *m;
    const struct json_val *root;
    enum shape shape;
    enum child_kind kind;  /* of the list being read */
    size_t room;           /* descriptors that m->children can hold */
    struct buf types;      /* becomes m->types */
    size_t last_type;      /* where the last one begins */
    const char *why;
};

static enum err invalid(struct reading *r, const char *why)
{
    r->why = why;
    return ERR_MANIFEST_INVALID;
}

/* restricted-name of RFC 6838, 4.2. */
static bool restricted_name_ok(const char *s, size_t len)
{
    if (len == 0 || len > RESTRICTED_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!alnum && (i == 0 || c == '\0' || !strchr("!#$&-^_.+", c)))
            return false;
    }
    return true;
}

bool media_type_ok(const char *s, size_t len)
{
    const char *slash = len > 0 && len <= MEDIA_TYPE_MAX ? memchr(s, '/', len) : NULL;
    size_t type_len;

    if (!slash)
        return false;
    type_len = (size_t)(slash - s);
    return restricted_name_ok(s, type_len) && restricted_name_ok(slash + 1, len - type_len - 1);
}

/* A member that is null counts as absent: Go programs write their empty lists so. */
static const struct json_val *member(const struct json_val *v, const char *key)
{
    const struct json_val *item = json_get(v, key);

    return json_is_null(item) ? NULL : item;
}

/* ---- descriptors ---- */

struct descriptor {
    struct digest digest;
    uint64_t size;
    const char *media_type; /* the document's */
    size_t media_type_len;
};

/* Returns NULL, or what is wrong with v. */
static const char *read_descriptor(const struct json_val *v, struct descriptor *out)
{
    const char *text, *semicolon;
    size_t len;
    enum err e;

    if (!json_is_object(v))
        return "a descriptor is not an object";
    text = json_str(json_get(v, "digest"), &len);
    if (!text)
        return "a descriptor has no digest";
    e = digest_parse(text, len, &out->digest);
    if (e == ERR_UNSUPPORTED)
        return "a descriptor has a digest of an algorithm that is not supported";
    if (e)
        return "a descriptor has a malformed digest";
    if (json_u64(json_get(v, "size"), &out->size))
        return "a descriptor has no size, or one that is no whole number from 0 to 2^63-1";
    out->media_type = json_str(json_get(v, "mediaType"), &out->media_type_len);
    if (!out->media_type)
        return "a descriptor has no mediaType";
    /* Some tools name layers by a type with parameters. */
    semicolon = strchr(out->media_type, ';');
    if (!media_type_ok(out->media_type,
                       semicolon ? (size_t)(semicolon - out->media_type) : out->media_type_len))
        return "a descriptor has a malformed mediaType";
    return NULL;
}

static bool is_foreign(const struct descriptor *d)
{
    for (size_t i = 0; i < sizeof foreign_layers / sizeof *foreign_layers; i++)
        if (str_starts(d->media_type, foreign_layers[i]))
            return true;
    return false;
}

/* Keep a media type for manifest_child_type. In a list they are nearly always the same. */
static uint32_t keep_type(struct reading *r, const struct descriptor *d)
{
    if (r->types.len == 0 || strcmp(r->types.p + r->last_type, d->media_type) != 0) {
        r->last_type = r->types.len;
        buf_add(&r->types, d->media_type, d->media_type_len + 1);
    }
    return (uint32_t)r->last_type + 1;
}

static enum err add_child(struct reading *r, enum child_kind kind, const struct descriptor *d)
{
    struct manifest *m = r->m;

    if (m->child_count == MANIFEST_CHILDREN_MAX)
        return invalid(r, "too many descriptors");
    if (m->child_count == r->room) {
        size_t room = r->room ? 2 * r->room : 16;
        struct child *p = realloc(m->children, room * sizeof *p);

        if (!p)
            return ERR_NO_MEMORY;
        m->children = p;
        r->room = room;
    }
    m->children[m->child_count++] = (struct child){
        .kind = kind,
        .digest = d->digest,
        .size = d->size,
        .optional = kind == CHILD_SUBJECT || (kind == CHILD_LAYER && is_foreign(d)),
        .type = kind == CHILD_MANIFEST ? keep_type(r, d) : 0,
    };
    return r->types.err;
}

/* Add the descriptor v. For an unknown media type, what is none is passed over. */
static enum err add_descriptor(struct reading *r, enum child_kind kind, const struct json_val *v,
                               struct descriptor *out)
{
    const char *wrong = read_descriptor(v, out);

    if (!wrong)
        return add_child(r, kind, out);
    return r->shape == SHAPE_UNKNOWN ? ERR_OK : invalid(r, wrong);
}

static enum err add_item(void *arg, const char *key, const struct json_val *item)
{
    struct reading *r = arg;
    struct descriptor d;

    (void)key;
    return add_descriptor(r, r->kind, item, &d);
}

static enum err read_list(struct reading *r, const char *key, enum child_kind kind)
{
    const struct json_val *list = member(r->root, key);

    if (list && !json_is_array(list))
        return r->shape == SHAPE_UNKNOWN ? ERR_OK : invalid(r, "layers, manifests or blobs is not an array");
    r->kind = kind;
    return json_foreach(list, add_item, r);
}

/* By digest, then by place in the manifest. */
static int compare_children(const void *a, const void *b)
{
    const struct child *x = *(const struct child *const *)a, *y = *(const struct child *const *)b;
    int c = (x->digest.alg > y->digest.alg) - (x->digest.alg < y->digest.alg);

    if (c == 0)
        c = memcmp(x->digest.bytes, y->digest.bytes, sizeof x->digest.bytes);
    return c ? c : (x > y) - (x < y);
}

/* Keep the first of the children with the same digest, and sum up the sizes. Sorting
 * bounds the work for any choice of digests. */
static enum err settle_children(struct reading *r)
{
    struct manifest *m = r->m;
    struct child **order = NULL, *first = NULL;
    bool *again = NULL;
    size_t kept = 0;
    enum err e = ERR_OK;

    if (m->child_count == 0)
        return ERR_OK;
    order = malloc(m->child_count * sizeof *order);
    again = calloc(m->child_count, sizeof *again);
    if (!order || !again) {
        e = ERR_NO_MEMORY;
        goto out;
    }
    for (size_t i = 0; i < m->child_count; i++)
        order[i] = &m->children[i];
    qsort(order, m->child_count, sizeof *order, compare_children);
    for (size_t i = 0; i < m->child_count; i++) {
        if (first && digest_eq(&first->digest, &order[i]->digest)) {
            again[order[i] - m->children] = true;
            /* Needed in one place is needed. */
            if (!order[i]->optional)
                first->optional = false;
        } else {
            first = order[i];
        }
    }
    for (size_t i = 0; i < m->child_count; i++) {
        if (again[i])
            continue;
        m->children[kept] = m->children[i];
        if (m->children[kept].kind != CHILD_SUBJECT) {
            if (m->children[kept].size > INT64_MAX - m->content_size) {
                e = invalid(r, "the sizes add up to more than 2^63-1");
                goto out;
            }
            m->content_size += m->children[kept].size;
        }
        kept++;
    }
    m->child_count = kept;
out:
    free(order);
    free(again);
    return e;
}

/* ---- the other members ---- */

/* Copy the media type called key; an absent or empty one leaves dst as it is. */
static enum err read_media_type(struct reading *r, const char *key, char dst[MEDIA_TYPE_MAX + 1],
                                const char *why)
{
    const struct json_val *v = member(r->root, key);
    const char *s;
    size_t len;

    if (!v)
        return ERR_OK;
    s = json_str(v, &len);
    if (!s || (len > 0 && !media_type_ok(s, len)))
        return invalid(r, why);
    return len > 0 ? str_copy_n(dst, MEDIA_TYPE_MAX + 1, s, len) : ERR_OK;
}

static enum err add_annotation(void *arg, const char *key, const struct json_val *item)
{
    struct buf *b = arg;
    const char *value = json_str(item, NULL);

    if (!value)
        return ERR_MANIFEST_INVALID;
    buf_str(b, b->len ? "," : "{");
    buf_json(b, key);
    buf_str(b, ":");
    buf_json(b, value);
    return ERR_OK;
}

static enum err read_annotations(struct reading *r)
{
    const struct json_val *v = member(r->root, "annotations");
    struct buf b = { .max = 2 * MANIFEST_BYTES_MAX };
    enum err e;

    if (!v)
        return ERR_OK;
    if (!json_is_object(v) || json_foreach(v, add_annotation, &b)) {
        e = r->shape == SHAPE_UNKNOWN ? ERR_OK : invalid(r, "annotations is not an object of strings");
        goto out;
    }
    if (json_count(v) == 0)
        return ERR_OK;
    buf_str(&b, "}");
    if ((e = b.err))
        goto out;
    r->m->annotations = b.p;
    return ERR_OK;
out:
    buf_free(&b);
    return e;
}

static enum err read_subject(struct reading *r)
{
    const struct json_val *v = member(r->root, "subject");
    struct descriptor d;
    size_t before = r->m->child_count;
    enum err e;

    if (!v)
        return ERR_OK;
    e = add_descriptor(r, CHILD_SUBJECT, v, &d);
    if (e == ERR_OK && r->m->child_count > before) {
        r->m->has_subject = true;
        r->m->subject = d.digest;
    }
    return e;
}

static enum err read_config(struct reading *r)
{
    const struct json_val *v = member(r->root, "config");
    size_t before = r->m->child_count;
    struct descriptor d;
    enum err e;

    if (!v)
        return r->shape == SHAPE_IMAGE ? invalid(r, "an image manifest without a config") : ERR_OK;
    if ((e = add_descriptor(r, CHILD_CONFIG, v, &d)) || r->m->child_count == before)
        return e;
    /* Spec "Listing Referrers": without artifactType, the config's type says what it is. */
    if (r->m->artifact_type[0] != '\0')
        return ERR_OK;
    if (media_type_ok(d.media_type, d.media_type_len))
        return str_copy_n(r->m->artifact_type, sizeof r->m->artifact_type, d.media_type, d.media_type_len);
    return r->shape == SHAPE_UNKNOWN ? ERR_OK : invalid(r, "the config has a malformed mediaType");
}

/* ---- which kind of manifest ---- */

/* The media type of a Content-Type header, without parameters. An empty header leaves dst "". */
static enum err read_content_type(struct reading *r, const char *header, char dst[MEDIA_TYPE_MAX + 1])
{
    size_t len;

    header += strspn(header, " \t");
    len = strcspn(header, ";");
    while (len > 0 && (header[len - 1] == ' ' || header[len - 1] == '\t'))
        len--;
    if (len == 0)
        return ERR_OK;
    if (!media_type_ok(header, len))
        return invalid(r, "the Content-Type is malformed");
    return str_copy_n(dst, MEDIA_TYPE_MAX + 1, header, len);
}

/* What the body must be by its members, when neither header nor body names it. */
static const char *type_by_shape(const struct json_val *root)
{
    if (member(root, "manifests"))
        return MT_OCI_INDEX;
    return member(root, "config") || member(root, "layers") ? MT_OCI_MANIFEST : "";
}

/* Docker's first schema, which has its signature inside: by its type, or by its members. */
static bool is_schema1(const struct reading *r, const char *type)
{
    uint64_t version;

    return str_eq_nocase(type, MT_DOCKER_SCHEMA1) || str_eq_nocase(type, MT_DOCKER_SCHEMA1_JWS) ||
           (json_u64(json_get(r->root, "schemaVersion"), &version) == ERR_OK && version == 1 &&
            json_get(r->root, "fsLayers"));
}

static enum err read_type(struct reading *r, const char *content_type)
{
    char sent[MEDIA_TYPE_MAX + 1] = "", *type = r->m->media_type;
    enum err e;

    if ((content_type && (e = read_content_type(r, content_type, sent))) ||
        (e = read_media_type(r, "mediaType", type, "mediaType is not a media type")))
        return e;
    if (type[0] == '\0')
        e = str_copy(type, MEDIA_TYPE_MAX + 1, sent[0] ? sent : type_by_shape(r->root));
    else if (sent[0] != '\0' && !str_eq_nocase(type, sent))
        e = invalid(r, "mediaType and Content-Type are not the same");
    if (e)
        return e;
    if (is_schema1(r, type))
        return invalid(r, "Docker schema 1 manifests are not supported");
    if (type[0] == '\0')
        return invalid(r, "neither Content-Type nor mediaType says what this is");
    for (size_t i = 0; i < sizeof known_types / sizeof *known_types; i++) {
        /* Media types do not depend on case. Spelt one way, they can be compared from here on. */
        if (str_eq_nocase(type, known_types[i].media_type)) {
            r->shape = known_types[i].shape;
            r->m->is_known = true;
            return str_copy(type, MEDIA_TYPE_MAX + 1, known_types[i].media_type);
        }
    }
    return ERR_OK;
}

static enum err check_schema_version(struct reading *r)
{
    const struct json_val *v = member(r->root, "schemaVersion");
    uint64_t version;

    /* Absent is allowed: the specification may drop it, and nothing here depends on it. */
    if (!v || r->shape == SHAPE_UNKNOWN)
        return ERR_OK;
    if (json_u64(v, &version) || version != 2)
        return invalid(r, "schemaVersion is not 2");
    return ERR_OK;
}

/* A body that is an image to one reader and an index to another has one digest for
 * two contents (CVE-2021-41190). */
static enum err check_one_meaning(struct reading *r)
{
    bool image = member(r->root, "layers") || member(r->root, "config");
    bool index = member(r->root, "manifests");

    if (image && index)
        return invalid(r, "both an image manifest and an index");
    if ((index && (r->shape == SHAPE_IMAGE || r->shape == SHAPE_ARTIFACT)) ||
        (image && (r->shape == SHAPE_INDEX || r->shape == SHAPE_ARTIFACT)))
        return invalid(r, "the members are those of another media type");
    /* Here null will do: it is how Go programs write a list without items. */
    if (r->shape == SHAPE_INDEX && !json_get(r->root, "manifests"))
        return invalid(r, "an index without manifests");
    return ERR_OK;
}

static enum err read_members(struct reading *r, const char *content_type)
{
    struct manifest *m = r->m;
    enum err e;

    if (!json_is_object(r->root))
        return invalid(r, "not a JSON object");
    if ((e = read_type(r, content_type)) ||
        (e = check_schema_version(r)) ||
        (e = check_one_meaning(r)))
        return e;
    m->is_index = r->shape == SHAPE_INDEX ||
                  (r->shape == SHAPE_UNKNOWN && json_is_array(json_get(r->root, "manifests")));
    if ((e = read_media_type(r, "artifactType", m->artifact_type, "artifactType is not a media type")) ||
        (e = read_annotations(r)))
        return e;
    /* A member of no meaning for the media type is none of our business. */
    if (r->shape != SHAPE_INDEX && r->shape != SHAPE_ARTIFACT &&
        ((e = read_config(r)) || (e = read_list(r, "layers", CHILD_LAYER))))
        return e;
    if ((r->shape == SHAPE_INDEX || r->shape == SHAPE_UNKNOWN) &&
        (e = read_list(r, "manifests", CHILD_MANIFEST)))
        return e;
    if ((r->shape == SHAPE_ARTIFACT || r->shape == SHAPE_UNKNOWN) && (e = read_list(r, "blobs", CHILD_LAYER)))
        return e;
    if ((e = read_subject(r)))
        return e;
    return settle_children(r);
}

enum err manifest_parse(struct manifest *m, const void *p, size_t len, const char *content_type,
                        const char **why)
{
    struct reading r = { .m = m };
    struct json *json = NULL;
    enum err e;

    memset(m, 0, sizeof *m);
    if (len > MANIFEST_BYTES_MAX) {
        r.why = "larger than 4 MiB";
        e = ERR_TOO_LARGE;
        goto out;
    }
    if ((e = json_parse(&json, p, len, &r.why))) {
        if (e == ERR_INVALID)
            e = ERR_MANIFEST_INVALID;
        goto out;
    }
    r.root = json_root(json);
    e = read_members(&r, content_type);
    m->types = r.types.p;
out:
    if (e)
        manifest_clear(m);
    if (e && why)
        *why = r.why;
    json_free(json);
    return e;
}

void manifest_clear(struct manifest *m)
{
    free(m->children);
    free(m->annotations);
    free(m->types);
    memset(m, 0, sizeof *m);
}

const char *manifest_child_type(const struct manifest *m, const struct child *child)
{
    return child->type ? m->types + (child->type - 1) : NULL;
}
