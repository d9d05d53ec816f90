/* Pulling and deleting blobs. Spec: "Pulling blobs", end-2; "Deleting Blobs", end-10.
 *
 * A descriptor passes through here, from the verb to the sender: sendfile(2) needs one.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/api_internal.h"
#include "base/rand.h"
#include "oci/etag.h"
#include "oci/range.h"

#define BOUNDARY_BYTES 16
#define BOUNDARY_MAX   (2 * BOUNDARY_BYTES) /* hex digits */
#define PART_HEAD_MAX  192                  /* bytes before the content of one part */

static int part_head(char out[PART_HEAD_MAX], const char *boundary, const struct range *r, uint64_t size,
                     bool first)
{
    return snprintf(out, PART_HEAD_MAX,
                    "%s--%s\r\nContent-Type: application/octet-stream\r\n"
                    "Content-Range: bytes %llu-%llu/%llu\r\n\r\n",
                    first ? "" : "\r\n", boundary, (unsigned long long)r->first, (unsigned long long)r->last,
                    (unsigned long long)size);
}

/* Several ranges in one reply. RFC 9110, 14.6. The boundary is drawn anew each time: content that held it
 * could pass for parts that nobody sent. */
static enum err send_parts(struct api *api, struct http_res *res, int fd, uint64_t size,
                           const struct range *r, size_t count)
{
    char boundary[BOUNDARY_MAX + 1], tail[BOUNDARY_MAX + 9], head[PART_HEAD_MAX];
    uint64_t total;
    enum err e;

    if ((e = rand_hex(boundary, BOUNDARY_BYTES, api->cfg.log)) ||
        (e = str_format(tail, sizeof tail, "\r\n--%s--\r\n", boundary)))
        return e;
    total = strlen(tail);
    for (size_t i = 0; i < count; i++)
        total += (uint64_t)part_head(head, boundary, &r[i], size, i == 0) + (r[i].last - r[i].first + 1);
    http_set_fmt(res, "Content-Type", "multipart/byteranges; boundary=%s", boundary);
    if ((e = http_send_head(res, total)))
        return e;
    for (size_t i = 0; i < count; i++) {
        int n = part_head(head, boundary, &r[i], size, i == 0);

        if ((e = http_write(res, head, (size_t)n)) ||
            (e = http_write_file(res, fd, r[i].first, r[i].last - r[i].first + 1)))
            return e;
    }
    return http_write(res, tail, strlen(tail));
}

/* Which ranges does the request ask for? count 0: all of it. */
static enum err ranges_asked(struct http_req *req, struct http_res *res, const struct digest *d,
                             uint64_t size, struct range *r, size_t *count)
{
    const char *header = http_header(req, "Range");
    const char *only_if = http_header(req, "If-Range");
    char etag[DIGEST_TEXT_MAX + 1];
    enum err e;

    *count = 0;
    if (header == NULL || strcmp(http_method(req), "GET") != 0)
        return ERR_OK;
    digest_format(d, etag);
    if (only_if != NULL && (strcmp(only_if, "*") == 0 || !etag_matches(only_if, etag)))
        return ERR_OK;
    e = range_parse(header, size, r, count);
    if (e == ERR_OUTSIDE)
        http_set_fmt(res, "Content-Range", "bytes */%llu", (unsigned long long)size);
    return e;
}

static enum err send_blob(struct api *api, struct http_req *req, struct http_res *res, const struct digest *d,
                          int fd, uint64_t size)
{
    struct range r[RANGE_COUNT_MAX];
    size_t count;
    enum err e;

    reply_digest(res, d);
    http_set(res, "Accept-Ranges", "bytes");
    if (reply_not_modified(req, res, d))
        return reply_empty(res, 304);
    if ((e = ranges_asked(req, res, d, size, r, &count)))
        return e;
    http_status(res, count > 0 ? 206 : 200);
    if (count > 1)
        return send_parts(api, res, fd, size, r, count);
    http_set(res, "Content-Type", "application/octet-stream");
    if (count == 0)
        return http_send_file(res, fd, 0, size);
    http_set_fmt(res, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)r[0].first,
                 (unsigned long long)r[0].last, (unsigned long long)size);
    return http_send_file(res, fd, r[0].first, r[0].last - r[0].first + 1);
}

enum err api_blob_get(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct digest d;
    uint64_t size;
    enum err e;
    int fd;

    if ((e = call_digest(call, call->last, &d)) ||
        (e = registry_blob_open(api->cfg.registry, call->repo, &d, &fd, &size)))
        return e;
    reply_namespace(req, res);
    e = send_blob(api, req, res, &d, fd, size);
    close(fd);
    return e;
}

enum err api_blob_delete(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    struct digest d;
    enum err e;

    (void)req;
    if ((e = call_digest(call, call->last, &d)) ||
        (e = registry_blob_delete(api->cfg.registry, call->repo, &d)))
        return e;
    return reply_empty(res, 202);
}
