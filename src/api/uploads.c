/* Pushing blobs. Spec: "Pushing blobs", end-4 to end-6, end-11, end-13, end-14.
 */
#include <string.h>

#include "api/api_internal.h"
#include "oci/range.h"

static void progress_headers(struct api *api, struct http_res *res, const struct call *call, const char *id,
                             uint64_t size)
{
    reply_location(res, call, "blobs/uploads", id);
    /* The header cannot say "nothing yet": 0-0 stands for it, as in Docker's registry. */
    http_set_fmt(res, "Range", "0-%llu", (unsigned long long)(size ? size - 1 : 0));
    http_set(res, "Docker-Upload-UUID", id);
    if (api->cfg.upload_chunk_min > 0)
        http_set_fmt(res, "OCI-Chunk-Min-Length", "%llu", (unsigned long long)api->cfg.upload_chunk_min);
}

/* What the client says of its chunk. */
struct chunk {
    bool has_length;
    uint64_t length; /* bytes of the body, by Content-Range */
};

/* Append the request's body. What arrived before a failure stays, for a resume; a body of another length than
 * its Content-Range goes again, as nobody knows which of its bytes are meant. */
static enum err receive(struct http_req *req, struct upload *up, const struct chunk *chunk)
{
    uint8_t buf[HTTP_CHUNK_BYTES];
    uint64_t start = upload_size(up), length;
    size_t n;
    enum err e;

    /* No room? Say so before the bytes travel. */
    if (http_content_length(req, &length) && (e = upload_expect(up, length)))
        return e;
    do {
        if ((e = http_read(req, buf, sizeof buf, &n)))
            return e;
        if (chunk->has_length && n > chunk->length - (upload_size(up) - start))
            break;
        if (n > 0 && (e = upload_append(up, buf, n)))
            return e;
    } while (n > 0);
    if (!chunk->has_length || (n == 0 && upload_size(up) - start == chunk->length))
        return ERR_OK;
    e = upload_truncate(up, start);
    return e ? e : ERR_SIZE_INVALID;
}

/* Before any byte is taken: a client that lost its place must learn it from a 416 now, not from a
 * wrong digest after the last chunk. */
static enum err check_offset(struct api *api, const struct call *call, struct http_req *req,
                             struct http_res *res, struct upload *up, struct chunk *chunk)
{
    const char *header = http_header(req, "Content-Range");
    struct range range;
    uint64_t length;

    chunk->has_length = header != NULL;
    if (header == NULL)
        return ERR_OK;
    if (content_range_parse(header, &range) || range.first != upload_size(up)) {
        progress_headers(api, res, call, upload_id(up), upload_size(up));
        return ERR_RANGE;
    }
    chunk->length = range.last - range.first + 1;
    if (http_content_length(req, &length) && length != chunk->length)
        return ERR_SIZE_INVALID;
    return ERR_OK;
}

static enum err commit(struct api *api, const struct call *call, struct http_res *res, struct upload *up,
                       const struct digest *d)
{
    char text[DIGEST_TEXT_MAX + 1];
    enum err e = registry_upload_commit(api->cfg.registry, call->repo, up, d);

    if (e)
        return e;
    digest_format(d, text);
    reply_location(res, call, "blobs", text);
    reply_digest(res, d);
    return reply_empty(res, 201);
}

/* POST ...?digest=: the whole blob in one request. */
static enum err push_whole(struct api *api, const struct call *call, struct http_req *req,
                           struct http_res *res, const struct digest *d)
{
    const struct chunk whole = { .has_length = false };
    struct upload *up = NULL;
    enum err e = registry_upload_begin(&up, api->cfg.registry, call->repo, d->alg);

    if (e)
        return e;
    if ((e = receive(req, up, &whole)) == ERR_OK)
        e = commit(api, call, res, up, d);
    upload_cancel(up); /* nobody was told of the session: what is left of it goes */
    upload_close(up);
    return e;
}

/* POST ...?mount=: ERR_BLOB_UNKNOWN when a session is to be opened instead. */
static enum err mount(struct api *api, struct call *call, struct http_req *req, struct http_res *res,
                      const char *mount_digest)
{
    char from[NAME_MAX_BYTES + 1], text[DIGEST_TEXT_MAX + 1];
    struct digest d;
    enum err e, from_e;

    if ((e = call_digest(call, mount_digest, &d)))
        return e;
    from_e = http_query_get(req, "from", from, sizeof from);
    if (from_e != ERR_NOT_FOUND && (from_e || name_check(from, strlen(from))))
        return ERR_BLOB_UNKNOWN;
    if ((e = registry_blob_mount(api->cfg.registry, call->repo, &d, from_e ? NULL : from)))
        return e;
    digest_format(&d, text);
    reply_location(res, call, "blobs", text);
    reply_digest(res, &d);
    return reply_empty(res, 201);
}

enum err api_upload_begin(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    char text[512];
    enum digest_alg alg = DIGEST_SHA256;
    struct upload *up = NULL;
    struct digest d;
    enum err e;

    if ((e = http_query_get(req, "mount", text, sizeof text)) != ERR_NOT_FOUND) {
        e = e ? ERR_DIGEST_INVALID : mount(api, call, req, res, text);
        if (e != ERR_BLOB_UNKNOWN)
            return e;
        call->detail[0] = '\0';
    }
    if ((e = http_query_get(req, "digest", text, sizeof text)) != ERR_NOT_FOUND) {
        if (e || (e = call_digest(call, text, &d)))
            return ERR_DIGEST_INVALID;
        return push_whole(api, call, req, res, &d);
    }
    if ((e = http_query_get(req, "digest-algorithm", text, sizeof text)) != ERR_NOT_FOUND &&
        (e || digest_alg_parse(text, strlen(text), &alg))) {
        (void)str_copy(call->detail, sizeof call->detail,
                       "the digest algorithms supported are sha256 and sha512");
        return ERR_DIGEST_INVALID;
    }
    if ((e = registry_upload_begin(&up, api->cfg.registry, call->repo, alg)))
        return e;
    progress_headers(api, res, call, upload_id(up), 0);
    upload_close(up);
    return reply_empty(res, 202);
}

enum err api_upload_status(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    uint64_t size;
    enum err e;

    (void)req;
    if ((e = registry_upload_stat(api->cfg.registry, call->repo, call->last, &size)))
        return e;
    progress_headers(api, res, call, call->last, size);
    return reply_empty(res, 204);
}

/* PATCH <upload>: append one chunk. Spec end-5, "Pushing a blob in chunks". */
enum err api_upload_patch(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct upload *up = NULL;
    struct chunk chunk;
    uint64_t size;
    enum err e;

    if ((e = registry_upload_resume(&up, api->cfg.registry, call->repo, call->last)))
        return e;
    if ((e = check_offset(api, call, req, res, up, &chunk)) == ERR_OK)
        e = receive(req, up, &chunk);
    size = upload_size(up);
    /* Closed before the reply: the client's next request may come at once. */
    upload_close(up);
    if (e)
        return e;
    progress_headers(api, res, call, call->last, size);
    return reply_empty(res, 202);
}

/* PUT <upload>?digest=: the last chunk, or none, and the end. Spec end-6. */
enum err api_upload_put(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct upload *up = NULL;
    struct chunk chunk;
    char text[512];
    struct digest d;
    enum err e;

    e = http_query_get(req, "digest", text, sizeof text);
    if (e) {
        (void)str_copy(call->detail, sizeof call->detail, "the parameter digest is missing or broken");
        return ERR_DIGEST_INVALID;
    }
    if ((e = call_digest(call, text, &d)) ||
        (e = registry_upload_resume(&up, api->cfg.registry, call->repo, call->last)))
        return e;
    if ((e = check_offset(api, call, req, res, up, &chunk)) == ERR_OK &&
        (e = receive(req, up, &chunk)) == ERR_OK)
        e = commit(api, call, res, up, &d);
    upload_close(up);
    return e;
}

enum err api_upload_cancel(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct upload *up = NULL;
    enum err e;

    (void)req;
    if ((e = registry_upload_resume(&up, api->cfg.registry, call->repo, call->last)))
        return e;
    upload_cancel(up);
    upload_close(up);
    return reply_empty(res, 204);
}
