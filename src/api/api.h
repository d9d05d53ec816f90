/* api.h - /v2/ (OCI distribution-spec 1.1): parse, call one verb, reply.
 *
 * Routes are rows in routes.c; what a client sees of a failure is one table in reply.c.
 */
#ifndef BERTH_API_API_H
#define BERTH_API_API_H

#include "http/http.h"
#include "registry/registry.h"

struct api;

struct api_config {
    struct registry *registry; /* must outlive the api */
    struct log *log;
    /* Bytes that all manifests being received, and all long lists being sent, may take at once: half each,
     * so that readers of lists who take their time do not keep manifests out. */
    uint64_t manifest_memory;
    uint64_t upload_chunk_min; /* bytes: announced as OCI-Chunk-Min-Length; 0: not announced */
};

/* The caller closes *out after the server that uses it has stopped. */
enum err api_open(struct api **out, const struct api_config *cfg);
void api_close(struct api *api);

/* The handler to give to http_server_start. */
struct http_handler api_handler(struct api *api);

#endif
