/* The routes, and how a path is read.
 *
 * A path is read from its end: a repository name may itself have parts called "blobs" or
 * "manifests", but the last two or three segments say what is meant.
 */
#include <string.h>

#include "api/api_internal.h"

const struct route api_routes[] = {
    { "GET", RES_BASE, api_base, "end-1" },
    { "GET", RES_BLOB, api_blob_get, "end-2" },
    { "GET", RES_MANIFEST, api_manifest_get, "end-3" },
    { "POST", RES_UPLOADS, api_upload_begin, "end-4a, end-4b, end-4c, end-11" },
    { "PATCH", RES_UPLOAD, api_upload_patch, "end-5" },
    { "PUT", RES_UPLOAD, api_upload_put, "end-6" },
    { "PUT", RES_MANIFEST, api_manifest_put, "end-7a, end-7b" },
    { "GET", RES_TAGS, api_tags, "end-8a, end-8b" },
    { "DELETE", RES_MANIFEST, api_manifest_delete, "end-9" },
    { "DELETE", RES_BLOB, api_blob_delete, "end-10" },
    { "GET", RES_REFERRERS, api_referrers, "end-12a, end-12b" },
    { "GET", RES_UPLOAD, api_upload_status, "end-13" },
    { "DELETE", RES_UPLOAD, api_upload_cancel, "end-14" },
    { "GET", RES_CATALOG, api_catalog, "Docker registry API: catalog" },
};
const unsigned api_route_count = sizeof api_routes / sizeof *api_routes;

const struct route *route_find(const char *method, enum resource resource)
{
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (unsigned i = 0; i < api_route_count; i++) {
        if (api_routes[i].resource == resource && strcmp(api_routes[i].method, method) == 0)
            return &api_routes[i];
    }
    return NULL;
}

void route_allow(enum resource resource, char *out, size_t cap)
{
    size_t len = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < api_route_count; i++) {
        const char *method = api_routes[i].method;
        const char *text = strcmp(method, "GET") == 0 ? "GET, HEAD" : method;

        if (api_routes[i].resource != resource)
            continue;
        if (str_format(out + len, cap - len, "%s%s", len ? ", " : "", text))
            return;
        len += strlen(out + len);
    }
}

/* A segment of the path: [p, p + len). */
struct segment {
    const char *p;
    size_t len;
};

static bool segment_is(struct segment s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/* Cut the last segment off [p, *end). */
static struct segment segment_cut(const char *p, size_t *end)
{
    struct segment s;
    size_t at = *end;

    while (at > 0 && p[at - 1] != '/')
        at--;
    s.p = p + at;
    s.len = *end - at;
    *end = at > 0 ? at - 1 : 0;
    return s;
}

/* A decoded slash would let one path mean another: it is never part of a segment. */
static enum err segment_decode(struct segment s, char *out, size_t cap)
{
    enum err e = str_percent_decode(out, cap, s.p, s.len, false);

    return e ? e : strchr(out, '/') ? ERR_INVALID : ERR_OK;
}

static enum err name_decode(const char *p, size_t len, char out[NAME_MAX_BYTES + 1])
{
    enum err e;

    if (memchr(p, '%', len) == NULL) {
        if ((e = name_check(p, len)))
            return e;
        return str_copy_n(out, NAME_MAX_BYTES + 1, p, len);
    }
    /* Some clients encode more than they need, but none encodes a slash inside a part. */
    for (size_t i = 0; i + 2 < len; i++) {
        if (p[i] == '%' && p[i + 1] == '2' && (p[i + 2] == 'f' || p[i + 2] == 'F'))
            return ERR_NAME_INVALID;
    }
    if (str_percent_decode(out, NAME_MAX_BYTES + 1, p, len, false))
        return ERR_NAME_INVALID;
    return name_check(out, strlen(out));
}

enum err route_parse(const char *path, struct call *call)
{
    struct segment last, before, third;
    size_t end, before_last, name_end;

    call->resource = RES_NONE;
    if (strcmp(path, "/v2") == 0 || strcmp(path, "/v2/") == 0) {
        call->resource = RES_BASE;
        return ERR_OK;
    }
    if (!str_starts(path, "/v2/"))
        return ERR_NOT_FOUND;
    path += strlen("/v2/");
    if (strcmp(path, "_catalog") == 0) {
        call->resource = RES_CATALOG;
        return ERR_OK;
    }
    end = strlen(path);
    last = segment_cut(path, &end);
    before_last = end;
    before = segment_cut(path, &end);
    name_end = end;
    third = segment_cut(path, &end);

    if (segment_is(before, "uploads") && segment_is(third, "blobs")) {
        call->resource = last.len == 0 ? RES_UPLOADS : RES_UPLOAD;
        name_end = end;
    } else if (segment_is(before, "blobs") && segment_is(last, "uploads")) {
        call->resource = RES_UPLOADS; /* without the slash at the end */
    } else if (segment_is(before, "blobs")) {
        call->resource = RES_BLOB;
    } else if (segment_is(before, "manifests")) {
        call->resource = RES_MANIFEST;
    } else if (segment_is(before, "referrers")) {
        call->resource = RES_REFERRERS;
    } else if (segment_is(before, "tags") && segment_is(last, "list")) {
        call->resource = RES_TAGS;
    } else {
        return ERR_NOT_FOUND;
    }
    if (name_end == 0 || name_end >= before_last)
        return ERR_NAME_INVALID;
    if (segment_decode(last, call->last, sizeof call->last)) {
        /* Too long or broken to be any reference: it names nothing. */
        (void)str_copy(call->last, sizeof call->last, "!");
    }
    return name_decode(path, name_end, call->repo);
}
