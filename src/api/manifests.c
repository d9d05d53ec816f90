/* Pulling, pushing and deleting manifests. Spec: end-3, end-7, end-9.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api_internal.h"

/* Reading a manifest takes about so many times its length, the tree of its JSON included. */
#define MEMORY_FACTOR  4
#define BODY_STEP_BYTES 16384u

/* A reference that stands in the path. What cannot be a tag names nothing; a broken digest is told. */
static enum err call_reference(struct call *call, struct reference *out)
{
    enum err e;

    if (strchr(call->last, ':') == NULL)
        return reference_parse(call->last, strlen(call->last), out) ? ERR_TAG_INVALID : ERR_OK;
    memset(out, 0, sizeof *out);
    if ((e = call_digest(call, call->last, &out->digest)))
        return e;
    out->is_digest = true;
    return ERR_OK;
}

enum err api_manifest_get(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct catalog_manifest m;
    struct reference ref;
    enum err e;
    int fd;

    if ((e = call_reference(call, &ref)))
        return e == ERR_TAG_INVALID ? ERR_MANIFEST_UNKNOWN : e;
    if ((e = registry_manifest_open(api->cfg.registry, call->repo, &ref, &m, &fd)))
        return e;
    reply_namespace(req, res);
    reply_digest(res, &m.digest);
    if (reply_not_modified(req, res, &m.digest)) {
        e = reply_empty(res, 304);
    } else {
        /* What is stored is what is sent, whatever Accept says: a digest has one content. */
        http_set(res, "Content-Type", m.media_type);
        http_status(res, 200);
        e = http_send_file(res, fd, 0, m.size);
    }
    close(fd);
    return e;
}

/* A body that is held whole, with its share of the common memory. */
struct body {
    struct api *api;
    char *p;
    size_t len, cap;
    uint64_t claimed;
};

static enum err body_grow(struct body *b, size_t cap)
{
    uint64_t need = (uint64_t)cap * MEMORY_FACTOR;
    char *p;
    enum err e;

    if ((e = memory_claim(b->api, need - b->claimed)))
        return e;
    b->claimed = need;
    p = realloc(b->p, cap);
    if (p == NULL)
        return log_fail(b->api->cfg.log, ERR_NO_MEMORY, "receive a manifest: out of memory");
    b->p = p;
    b->cap = cap;
    return ERR_OK;
}

static void body_free(struct body *b)
{
    if (b->claimed > 0)
        memory_release(b->api, b->claimed);
    free(b->p);
}

static enum err body_read(struct body *b, struct http_req *req)
{
    uint64_t length;
    size_t n;
    enum err e;

    if (http_content_length(req, &length)) {
        if (length > MANIFEST_BYTES_MAX)
            return ERR_TOO_LARGE;
        if (length > 0 && (e = body_grow(b, (size_t)length)))
            return e;
    }
    for (;;) {
        char more;

        if (b->len < b->cap) {
            if ((e = http_read(req, b->p + b->len, b->cap - b->len, &n)))
                return e;
            b->len += n;
        } else {
            /* Full: only the true end, or one more byte, tells whether that was all. */
            if ((e = http_read(req, &more, 1, &n)))
                return e;
            if (n > 0) {
                size_t cap = b->cap == 0 ? BODY_STEP_BYTES : 2 * b->cap;

                if (b->len == MANIFEST_BYTES_MAX)
                    return ERR_TOO_LARGE;
                if ((e = body_grow(b, cap > MANIFEST_BYTES_MAX ? MANIFEST_BYTES_MAX : cap)))
                    return e;
                b->p[b->len++] = more;
            }
        }
        if (n == 0)
            return ERR_OK;
    }
}

/* The tags of ?tag=, each once in order. Spec end-7b. */
struct tag_list {
    char name[REGISTRY_TAGS_MAX][TAG_MAX_BYTES + 1];
    const char *ptr[REGISTRY_TAGS_MAX];
    unsigned n;
};

static enum err tag_add(struct tag_list *tags, const char *tag)
{
    if (tag_check(tag, strlen(tag)))
        return ERR_TAG_INVALID;
    for (unsigned i = 0; i < tags->n; i++) {
        if (strcmp(tags->name[i], tag) == 0)
            return ERR_OK;
    }
    if (tags->n == REGISTRY_TAGS_MAX)
        return ERR_TOO_MANY;
    (void)str_copy(tags->name[tags->n], sizeof tags->name[0], tag);
    tags->ptr[tags->n] = tags->name[tags->n];
    tags->n++;
    return ERR_OK;
}

static enum err tags_read(struct http_req *req, struct tag_list *tags)
{
    char tag[TAG_MAX_BYTES + 1];
    enum err e;

    for (unsigned i = 0; (e = http_query_nth(req, "tag", i, tag, sizeof tag)) != ERR_NOT_FOUND; i++) {
        if (e)
            return ERR_TAG_INVALID;
        if ((e = tag_add(tags, tag)))
            return e;
    }
    return ERR_OK;
}

static void tags_header(struct http_res *res, const struct tag_list *tags)
{
    char text[REGISTRY_TAGS_MAX * (TAG_MAX_BYTES + 2)];
    size_t len = 0;

    for (unsigned i = 0; i < tags->n; i++) {
        (void)str_format(text + len, sizeof text - len, "%s%s", i > 0 ? ", " : "", tags->name[i]);
        len += strlen(text + len);
    }
    if (len > 0)
        http_set(res, "OCI-Tag", text);
}

static enum err put(struct api *api, struct call *call, struct http_res *res, const struct reference *ref,
                    const char *content_type, const struct body *body, const char *peer, const struct tag_list *asked)
{
    struct tag_list tags = *asked;
    struct manifest_push push = {
        .repo = call->repo,
        .bytes = body->p,
        .len = body->len,
        .content_type = content_type,
        .want = ref->is_digest ? &ref->digest : NULL,
        .alg = DIGEST_SHA256,
        .tags = tags.ptr,
        .who = peer,
    };
    char text[DIGEST_TEXT_MAX + 1];
    enum err e;

    for (unsigned i = 0; i < tags.n; i++)
        tags.ptr[i] = tags.name[i]; /* of this copy */
    if (!ref->is_digest && (e = tag_add(&tags, ref->tag)))
        return e;
    push.tag_count = tags.n;
    e = registry_manifest_put(api->cfg.registry, &push);
    if (e == ERR_MANIFEST_BLOB_UNKNOWN)
        digest_format(&push.missing, call->detail);
    else if (e == ERR_MANIFEST_INVALID && push.why != NULL)
        (void)str_copy(call->detail, sizeof call->detail, push.why);
    if (e)
        return e;
    digest_format(&push.digest, text);
    reply_location(res, call, "manifests", text);
    reply_digest(res, &push.digest);
    tags_header(res, asked);
    if (push.has_subject) {
        digest_format(&push.subject, text);
        http_set(res, "OCI-Subject", text);
    }
    return reply_empty(res, 201);
}

enum err api_manifest_put(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct body body = { .api = api };
    struct tag_list tags = { .n = 0 };
    struct reference ref;
    enum err e;

    if ((e = call_reference(call, &ref)) || (e = tags_read(req, &tags)))
        return e;
    if ((e = body_read(&body, req)) == ERR_OK)
        e = put(api, call, res, &ref, http_header(req, "Content-Type"), &body, http_peer(req), &tags);
    body_free(&body);
    return e;
}

enum err api_manifest_delete(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct reference ref;
    enum err e;

    if ((e = call_reference(call, &ref)))
        return e == ERR_TAG_INVALID ? ERR_MANIFEST_UNKNOWN : e;
    if ((e = catalog_repo_has(registry_catalog(api->cfg.registry), call->repo)))
        return e;
    e = ref.is_digest ? registry_manifest_delete(api->cfg.registry, call->repo, &ref.digest, http_peer(req))
                      : registry_tag_delete(api->cfg.registry, call->repo, ref.tag, http_peer(req));
    return e ? e : reply_empty(res, 202);
}
