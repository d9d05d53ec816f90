/* Pulling, pushing and deleting manifests. Spec: end-3, end-7, end-9.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api_internal.h"

#define SMALL_BYTES 65536u /* a manifest below this is never spooled */

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

/* A manifest on its way in. Most are small and come into memory at once. A larger one goes to a file first:
 * memory for it is claimed only when all of it is there, so that a slow client holds none. */
struct body {
    struct api *api;
    char *p; /* the bytes, once all are there */
    size_t len;
    uint64_t claimed; /* of the common memory */
    struct upload *spool;
};

static void body_free(struct body *b)
{
    if (b->claimed > 0)
        memory_release(b->api, &b->api->manifests, b->claimed);
    if (b->spool != NULL)
        upload_cancel(b->spool);
    upload_close(b->spool);
    free(b->p);
}

/* Fill p with up to cap bytes; fewer only at the end of the body. */
static enum err read_full(struct http_req *req, char *p, size_t cap, size_t *len)
{
    size_t n;
    enum err e;

    for (*len = 0; *len < cap; *len += n) {
        if ((e = http_read(req, p + *len, cap - *len, &n)))
            return e;
        if (n == 0)
            break;
    }
    return ERR_OK;
}

/* Move what is in memory and what still comes to the spool. */
static enum err spool_rest(struct body *b, const char *repo, struct http_req *req)
{
    size_t n;
    enum err e;

    if ((e = registry_upload_begin(&b->spool, b->api->cfg.registry, repo, DIGEST_SHA256)))
        return e;
    for (n = b->len; n > 0;) {
        if (upload_size(b->spool) + n > MANIFEST_BYTES_MAX)
            return ERR_TOO_LARGE;
        if ((e = upload_append(b->spool, b->p, n)) || (e = read_full(req, b->p, SMALL_BYTES, &n)))
            return e;
    }
    return ERR_OK;
}

static enum err unspool(struct body *b)
{
    size_t len = (size_t)upload_size(b->spool);
    char *p = realloc(b->p, len);

    if (p == NULL)
        return log_fail(b->api->cfg.log, ERR_NO_MEMORY, "receive a manifest: out of memory");
    b->p = p;
    b->len = len;
    return upload_read(b->spool, p, len, 0);
}

static enum err body_read(struct body *b, const char *repo, struct http_req *req)
{
    uint64_t length, claim;
    enum err e;

    if (http_content_length(req, &length) && length > MANIFEST_BYTES_MAX)
        return ERR_TOO_LARGE;
    b->p = malloc(SMALL_BYTES);
    if (b->p == NULL)
        return log_fail(b->api->cfg.log, ERR_NO_MEMORY, "receive a manifest: out of memory");
    if ((e = read_full(req, b->p, SMALL_BYTES, &b->len)))
        return e;
    if (b->len == SMALL_BYTES && (e = spool_rest(b, repo, req)))
        return e;
    claim = MANIFEST_MEMORY_FACTOR * (b->spool ? upload_size(b->spool) : b->len);
    if ((e = memory_claim(b->api, &b->api->manifests, claim)))
        return e;
    b->claimed = claim;
    return b->spool ? unspool(b) : ERR_OK;
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
                    const char *content_type, const struct body *body, const char *peer,
                    const struct tag_list *asked)
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
    if ((e = body_read(&body, call->repo, req)) == ERR_OK)
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
