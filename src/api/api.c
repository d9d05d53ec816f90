/* From a request to its handler, and from an error to its reply.
 */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/api_internal.h"
#include "base/clock.h"

#define MEMORY_WAIT_MS 5000

enum err api_open(struct api **out, const struct api_config *cfg)
{
    pthread_condattr_t attr;
    struct api *api = calloc(1, sizeof *api);

    *out = api;
    if (api == NULL)
        return log_fail(cfg->log, ERR_NO_MEMORY, "out of memory");
    api->cfg = *cfg;
    api->manifests.max = cfg->manifest_memory / 2;
    api->lists.max = cfg->manifest_memory - api->manifests.max;
    pthread_mutex_init(&api->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the wall clock may be set while we wait */
    pthread_cond_init(&api->memory_back, &attr);
    pthread_condattr_destroy(&attr);
    return ERR_OK;
}

void api_close(struct api *api)
{
    if (api == NULL)
        return;
    pthread_mutex_destroy(&api->lock);
    pthread_cond_destroy(&api->memory_back);
    free(api);
}

enum err memory_claim(struct api *api, struct memory *m, uint64_t bytes)
{
    struct timespec until;
    bool waited_out = false;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += MEMORY_WAIT_MS / 1000;
    pthread_mutex_lock(&api->lock);
    /* One that is larger than the ceiling gets its turn alone. */
    while (m->used > 0 && m->used + bytes > m->max && !waited_out)
        waited_out = pthread_cond_timedwait(&api->memory_back, &api->lock, &until) != 0;
    if (!waited_out)
        m->used += bytes;
    pthread_mutex_unlock(&api->lock);
    return waited_out ? ERR_BUSY : ERR_OK;
}

void memory_release(struct api *api, struct memory *m, uint64_t bytes)
{
    pthread_mutex_lock(&api->lock);
    m->used -= bytes;
    pthread_cond_broadcast(&api->memory_back);
    pthread_mutex_unlock(&api->lock);
}

static void common_headers(struct http_res *res)
{
    http_set(res, "Docker-Distribution-Api-Version", "registry/2.0");
    /* What is stored here came from anybody: a browser must not guess that it is a page. */
    http_set(res, "X-Content-Type-Options", "nosniff");
}

static enum err handle(void *arg, struct http_req *req, struct http_res *res)
{
    struct api *api = arg;
    const struct route *route;
    struct call call = { .resource = RES_NONE };
    enum err e;

    common_headers(res);
    if ((e = route_parse(http_path(req), &call)) == ERR_OK) {
        route = route_find(http_method(req), call.resource);
        e = route != NULL ? route->handle(api, &call, req, res) : ERR_METHOD;
    }
    if (e == ERR_OK || e == ERR_GONE || http_head_sent(res))
        return e;
    reply_error(api, res, &call, e);
    return ERR_OK;
}

/* The request never got as far as a handler. */
static void on_refused(void *arg, struct http_req *req, struct http_res *res, int status)
{
    (void)req;
    common_headers(res);
    reply_refused(arg, res, status);
}

static void on_done(void *arg, struct http_req *req, struct http_res *res)
{
    struct api *api = arg;
    bool tls = http_tls_on_plain_port(req);
    struct log_line l;

    /* Short values first: what a client makes long must not cost the others their place. */
    log_begin(&l, api->cfg.log, LOG_INFO, tls ? "the client speaks TLS, this port does not" : "request");
    log_str(&l, "method", tls ? NULL : http_method(req));
    log_int(&l, "status", http_sent_status(res));
    log_str(&l, "peer", http_peer(req));
    log_int(&l, "sent", (int64_t)http_sent_bytes(res));
    log_int(&l, "received", (int64_t)http_read_bytes(req));
    log_int(&l, "us", clock_mono_us() - http_started_us(req));
    log_str(&l, "path", tls ? NULL : http_path(req));
    if (http_query(req)[0])
        log_str(&l, "query", http_query(req));
    log_str(&l, "agent", http_header(req, "User-Agent"));
    log_end(&l, api->cfg.log);
}

struct http_handler api_handler(struct api *api)
{
    return (
        struct http_handler){ .handle = handle, .on_refused = on_refused, .on_done = on_done, .arg = api };
}

enum err api_base(struct api *api, struct call *call, struct http_req *req, struct http_res *res)
{
    (void)api;
    (void)call;
    (void)req;
    http_status(res, 200);
    http_set(res, "Content-Type", "application/json");
    return http_send(res, "{}", 2);
}
