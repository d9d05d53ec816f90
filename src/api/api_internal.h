/* api_internal.h - what the files of this room share. */
#ifndef BERTH_API_API_INTERNAL_H
#define BERTH_API_API_INTERNAL_H

#include <pthread.h>

#include "api/api.h"
#include "base/str.h"

#define API_DETAIL_MAX 511
#define API_LIST_MAX   10000u /* names in one page of a list; more: a Link to the next */

/* Memory that all requests share. */
struct memory {
    uint64_t used, max; /* bytes */
};

struct api {
    struct api_config cfg;
    pthread_mutex_t lock; /* over the uses of both */
    pthread_cond_t memory_back;
    struct memory manifests, lists;
};

/* What stands in the path of a request: which resource, of which repository. */
enum resource {
    RES_NONE,      /* nothing we know */
    RES_BASE,      /* /v2/ */
    RES_CATALOG,   /* /v2/_catalog */
    RES_TAGS,      /* /v2/<name>/tags/list */
    RES_MANIFEST,  /* /v2/<name>/manifests/<reference> */
    RES_BLOB,      /* /v2/<name>/blobs/<digest> */
    RES_UPLOADS,   /* /v2/<name>/blobs/uploads/ */
    RES_UPLOAD,    /* /v2/<name>/blobs/uploads/<id> */
    RES_REFERRERS, /* /v2/<name>/referrers/<digest> */
};

struct call {
    enum resource resource;
    char repo[NAME_MAX_BYTES + 1];   /* checked */
    char last[512];                  /* the last path segment, decoded, not checked */
    char detail[API_DETAIL_MAX + 1]; /* for the reply, when the call fails; "" when there is none */
};

typedef enum err (*handler_fn)(struct api *api, struct call *call, struct http_req *req,
                               struct http_res *res);

struct route {
    const char *method;
    enum resource resource;
    handler_fn handle;
    const char *spec; /* the endpoint's id in the specification */
};
extern const struct route api_routes[];
extern const unsigned api_route_count;

/* Which resource does this path name? ERR_NOT_FOUND: none. ERR_NAME_INVALID: one of a
 * repository whose name cannot be. */
enum err route_parse(const char *path, struct call *call);
/* The row for method; NULL: none. HEAD is served by GET's row. */
const struct route *route_find(const char *method, enum resource resource);
/* "GET, HEAD, PUT": what a resource can do. */
void route_allow(enum resource resource, char *out, size_t cap);

/* Send the reply that belongs to e. */
void reply_error(struct api *api, struct http_res *res, const struct call *call, enum err e);
/* The same for a request that HTTP itself refuses. */
void reply_refused(struct api *api, struct http_res *res, int status);
enum err reply_empty(struct http_res *res, int status);
enum err reply_json(struct api *api, struct http_res *res, int status, const char *content_type,
                    const struct buf *body);
/* What became of building b. Logs that there was no memory, as a buffer has no log. */
enum err reply_built(struct api *api, const struct buf *b);
/* Docker-Content-Digest. */
void reply_digest(struct http_res *res, const struct digest *d);
/* Location: /v2/<repo>/<kind>/<rest> */
void reply_location(struct http_res *res, const struct call *call, const char *kind, const char *rest);

/* A digest from outside. ERR_DIGEST_INVALID also for an algorithm that is not supported; the detail says
 * which of the two. */
enum err call_digest(struct call *call, const char *text, struct digest *out);
/* n and last of a list. *n is at most API_LIST_MAX. last "" when not given. */
enum err call_page(const struct http_req *req, uint64_t *n, char *last, size_t cap);
/* OCI-Namespace, when the client named one (containerd's ?ns=). */
void reply_namespace(struct http_req *req, struct http_res *res);
/* Does If-None-Match name d? Sets ETag either way. */
bool reply_not_modified(struct http_req *req, struct http_res *res, const struct digest *d);

/* Claim bytes of m, one of api's, so that all requests together stay under its ceiling; waits a while for
 * others to give theirs back. Hold nothing meanwhile that they need. ERR_BUSY: they did not. */
enum err memory_claim(struct api *api, struct memory *m, uint64_t bytes);
void memory_release(struct api *api, struct memory *m, uint64_t bytes);

enum err api_base(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_catalog(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_tags(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_referrers(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_manifest_get(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_manifest_put(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_manifest_delete(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_blob_get(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_blob_delete(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_upload_begin(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_upload_status(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_upload_patch(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_upload_put(struct api *, struct call *, struct http_req *, struct http_res *);
enum err api_upload_cancel(struct api *, struct call *, struct http_req *, struct http_res *);

#endif
