/* What a client sees: the table of errors, and the headers that many replies share.
 */
#include <string.h>

#include "api/api_internal.h"
#include "oci/etag.h"

/* Spec: "Error Codes". A row without a code is a fault of the machine: the log has the story, the
 * client gets the status alone. No row at all is a 500. */
static const struct reply {
    int status;
    const char *code, *message;
} replies[ERR_COUNT] = {
    [ERR_NAME_INVALID] = { 400, "NAME_INVALID", "invalid repository name" },
    [ERR_NAME_UNKNOWN] = { 404, "NAME_UNKNOWN", "repository name not known to registry" },
    [ERR_TAG_INVALID] = { 400, "MANIFEST_INVALID", "invalid tag" },
    [ERR_BLOB_UNKNOWN] = { 404, "BLOB_UNKNOWN", "blob unknown to registry" },
    [ERR_UPLOAD_UNKNOWN] = { 404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry" },
    [ERR_MANIFEST_UNKNOWN] = { 404, "MANIFEST_UNKNOWN", "manifest unknown to registry" },
    [ERR_MANIFEST_INVALID] = { 400, "MANIFEST_INVALID", "manifest invalid" },
    [ERR_MANIFEST_BLOB_UNKNOWN] = { 404, "MANIFEST_BLOB_UNKNOWN",
                                    "manifest references a manifest or blob unknown to registry" },
    [ERR_DIGEST_INVALID] = { 400, "DIGEST_INVALID", "digest is invalid or does not match the content" },
    [ERR_SIZE_INVALID] = { 400, "SIZE_INVALID", "length does not match the content" },
    [ERR_RANGE] = { 416, "BLOB_UPLOAD_INVALID", "chunk out of order" },
    [ERR_OUTSIDE] = { 416, "SIZE_INVALID", "no part of the range lies inside the blob" },
    [ERR_DENIED] = { 403, "DENIED", "access to the resource is denied" },
    [ERR_UNSUPPORTED] = { 400, "UNSUPPORTED", "unsupported" },
    [ERR_INVALID] = { 400, "UNSUPPORTED", "malformed request" },
    [ERR_NOT_FOUND] = { 404, "NAME_UNKNOWN", "no such page" },
    [ERR_METHOD] = { 405, "UNSUPPORTED", "the resource does not support this method" },
    [ERR_TOO_LARGE] = { 413, "SIZE_INVALID", "content is larger than the registry accepts" },
    [ERR_TOO_MANY] = { 414, "UNSUPPORTED", "more tags than the registry takes at once" }, /* spec: end-7b */
    [ERR_IN_USE] = { 405, "UNSUPPORTED", "a manifest of the repository still refers to it" },
    [ERR_TIMEOUT] = { 408, "SIZE_INVALID", "the content did not arrive in time" },
    [ERR_BUSY] = { 503, NULL, NULL },
    /* With a code, though it is a fault: whoever pushes has to know that the disk is full. */
    [ERR_NO_SPACE] = { 507, "DENIED", "no space left on the registry's disk" },
    [ERR_NO_MEMORY] = { 503, NULL, NULL },
};

/* The specification's JSON for one error. */
static void reply_code(struct api *api, struct http_res *res, int status, const char *code,
                       const char *message, const char *detail)
{
    struct buf body = { 0 };

    buf_fmt(&body, "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\"", code, message);
    if (detail[0]) {
        buf_str(&body, ",\"detail\":");
        buf_json(&body, detail);
    }
    buf_str(&body, "}]}\n");
    if (reply_json(api, res, status, "application/json", &body))
        http_close_after(res); /* the peer has left, or there is no memory for a sentence */
    buf_free(&body);
}

void reply_error(struct api *api, struct http_res *res, const struct call *call, enum err e)
{
    const struct reply *row = &replies[e];
    char allow[64];

    if (e == ERR_METHOD && call != NULL) {
        route_allow(call->resource, allow, sizeof allow);
        http_set(res, "Allow", allow);
    } else if (e == ERR_IN_USE) {
        http_set(res, "Allow", "GET, HEAD");
    } else if (row->status == 503) {
        http_set(res, "Retry-After", "1");
    }
    if (row->code == NULL)
        (void)reply_empty(res, row->status ? row->status : 500);
    else
        reply_code(api, res, row->status, row->code, row->message, call ? call->detail : "");
}

void reply_refused(struct api *api, struct http_res *res, int status)
{
    static const struct {
        int status;
        const char *message;
    } rows[] = {
        { 408, "the request did not arrive in time" },
        { 414, "the request target is too long" },
        { 417, "this expectation cannot be met" },
        { 431, "the request head is too large" },
        { 503, "too many connections" },
        { 501, "this transfer coding is not supported" },
        { 505, "this HTTP version is not supported" },
    };
    const char *message = replies[ERR_INVALID].message;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].status == status)
            message = rows[i].message;
    }
    reply_code(api, res, status, "UNSUPPORTED", message, "");
}

enum err reply_empty(struct http_res *res, int status)
{
    http_status(res, status);
    return http_send(res, "", 0);
}

enum err reply_built(struct api *api, const struct buf *b)
{
    return b->err == ERR_NO_MEMORY ? log_fail(api->cfg.log, b->err, "build a reply: out of memory") : b->err;
}

enum err reply_json(struct api *api, struct http_res *res, int status, const char *content_type,
                    const struct buf *body)
{
    enum err e = reply_built(api, body);

    if (e)
        return e;
    http_status(res, status);
    http_set(res, "Content-Type", content_type);
    return http_send(res, body->p, body->len);
}

void reply_digest(struct http_res *res, const struct digest *d)
{
    char text[DIGEST_TEXT_MAX + 1];

    digest_format(d, text);
    http_set(res, "Docker-Content-Digest", text);
}

void reply_location(struct http_res *res, const struct call *call, const char *kind, const char *rest)
{
    /* Relative: right behind any proxy, whatever name the client knows us by. */
    http_set_fmt(res, "Location", "/v2/%s/%s/%s", call->repo, kind, rest);
}

enum err call_digest(struct call *call, const char *text, struct digest *out)
{
    enum err e = digest_parse(text, strlen(text), out);

    if (e == ERR_UNSUPPORTED)
        (void)str_copy(call->detail, sizeof call->detail,
                       "the digest algorithms supported are sha256 and sha512");
    else if (e)
        (void)str_copy(call->detail, sizeof call->detail, "not a digest");
    return e ? ERR_DIGEST_INVALID : ERR_OK;
}

enum err call_page(const struct http_req *req, uint64_t *n, char *last, size_t cap)
{
    char text[24];
    enum err e = http_query_get(req, "n", text, sizeof text);

    *n = API_LIST_MAX;
    if (e == ERR_OK && str_u64(text, strlen(text), UINT64_MAX, n))
        return ERR_INVALID;
    if (e && e != ERR_NOT_FOUND)
        return ERR_INVALID;
    if (*n > API_LIST_MAX)
        *n = API_LIST_MAX;
    last[0] = '\0';
    e = http_query_get(req, "last", last, cap);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

void reply_namespace(struct http_req *req, struct http_res *res)
{
    char ns[256];

    if (http_query_get(req, "ns", ns, sizeof ns) || ns[0] == '\0')
        return;
    /* Only what can be a host and a port goes back out. */
    if (ns[strspn(ns, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")] == '\0')
        http_set(res, "OCI-Namespace", ns);
}

bool reply_not_modified(struct http_req *req, struct http_res *res, const struct digest *d)
{
    char text[DIGEST_TEXT_MAX + 1];
    const char *header = http_header(req, "If-None-Match");

    digest_format(d, text);
    http_set_fmt(res, "ETag", "\"%s\"", text);
    return header != NULL && etag_matches(header, text);
}
