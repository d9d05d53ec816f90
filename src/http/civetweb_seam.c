/* civetweb_seam.c - civetweb's source, included whole to reach what its public interface hides.
 *
 * Why not its request loop. Read against RFC 9112 and our promises, process_new_connection and its
 * helpers
 *   - end a head at "\n\n" as well as at CRLF CRLF, and allow spaces between a header's name and ':';
 *   - look at the first Content-Length and the first Transfer-Encoding only, take trailing junk in the
 *     former, and let both stand together: request smuggling;
 *   - refuse unknown methods, long heads and bad versions with an HTML page before any callback runs;
 *   - stop reading header lines after MG_MAX_HEADERS and silently ignore the rest;
 *   - decode and clean the path in an allocated copy, for every request;
 *   - say 0 from mg_read() at the end of the body, when the peer leaves and on timeout alike;
 *   - accept "0x10", "-1" and " 5" as chunk sizes (strtoul), and skip no trailers;
 *   - read whatever is left of a body to its end before the next request, however long;
 *   - decide on keep-alive after the reply's head has already promised something.
 * So the loop is ours (conn.c). It runs inside civetweb's init_connection callback, the first thing a
 * worker does with a connection, after the TLS handshake where there is one. When it returns,
 * buf_size is 0: read_message() then finds its buffer full before it reads, get_request() fails without
 * a reply because no data was received, and the connection is closed.
 *
 * Of civetweb remain: options, ports, accept loop, queue, worker threads, TLS glue, shutdown.
 */
#include "http/civetweb_seam.h"

/* What is not used is not compiled, so far as civetweb can do without. */
#define NO_SSL
#define NO_CGI
#define NO_FILES
#define NO_CACHING
#define NO_POPEN
#define NO_NONCE_CHECK
#define NO_RESPONSE_BUFFERING
#define NO_ALTERNATIVE_QUEUE /* the other one polls a thousand times a second while all workers are busy */
#define USE_IPV6
#define STOP_FLAG_NEEDS_LOCK /* a real atomic, not a volatile int */
#define CIVETWEB_API static __attribute__((unused))

#include <pthread.h>
#include <signal.h>

/* civetweb takes a thread's stack size as a preprocessor number; ours is a setting. */
static int seam_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
#define pthread_create seam_pthread_create

/* A system header to the compiler, so without warnings but for one that comes at the end of the file:
 * functions that are declared "static" by CIVETWEB_API and left out by the options above. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include "civetweb.c"

#undef pthread_create
#undef snprintf /* civetweb forbids itself the original */

#define SEAM_QUEUE   "64"   /* accepted connections waiting for a worker; more wait in the backlog */
#define SEAM_BACKLOG "1024" /* connections the kernel holds for us */
#define SEAM_BUFFER  "1024" /* civetweb's buffer of a worker, the least it allows: unused */

static const struct seam_config *seam_cfg(const struct mg_context *ctx)
{
    return ctx->user_data;
}

static int seam_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    const struct mg_context *ctx = fn == worker_thread ? ((struct mg_connection *)arg)->phys_ctx : arg;
    pthread_attr_t mine = *attr;
    sigset_t all, before;
    int rc;

    pthread_attr_setstacksize(&mine, seam_cfg(ctx)->stack_bytes);
    /* Signals are the main thread's; a handler must not run on a small stack in mid-request. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(id, &mine, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static int seam_serve(const struct mg_connection *conn, void **data)
{
    struct mg_connection *own = (struct mg_connection *)conn; /* civetweb's const is a formality here */
    const struct seam_config *cfg = seam_cfg(conn->phys_ctx);

    (void)data;
    cfg->serve(cfg->arg, (unsigned)(conn - conn->phys_ctx->worker_connections), conn->client.sock,
               &conn->client.rsa.sa);
    own->buf_size = 0; /* see the top of this file */
    return 0;
}

static int seam_complain(const struct mg_connection *conn, const char *text)
{
    const struct seam_config *cfg = conn->phys_ctx ? seam_cfg(conn->phys_ctx) : NULL;

    if (cfg)
        cfg->complain(cfg->arg, text);
    return 1; /* told; civetweb writes no file */
}

/* No worker holds a connection yet: 0 would be taken for a descriptor in seam_forget. */
static void seam_prepare(const struct mg_context *ctx)
{
    for (unsigned i = 0; i < ctx->cfg_worker_threads; i++)
        ctx->worker_connections[i].client.sock = INVALID_SOCKET;
}

static void seam_empty_queue(struct mg_context *ctx)
{
    pthread_mutex_lock(&ctx->thread_mutex);
    while (ctx->sq_tail < ctx->sq_head) {
        close(ctx->squeue[ctx->sq_tail % ctx->sq_size].sock);
        ctx->sq_tail++;
    }
    ctx->sq_head = ctx->sq_tail = 0;
    pthread_cond_broadcast(&ctx->sq_empty); /* the master may be waiting for room */
    pthread_mutex_unlock(&ctx->thread_mutex);
}

/* All threads have ended. A worker that took a connection from the queue just as the stop flag was
 * raised leaves without closing it, and the queue may have got one more. */
static void seam_forget(const struct mg_context *ctx)
{
    seam_empty_queue((struct mg_context *)ctx);
    for (unsigned i = 0; i < ctx->cfg_worker_threads; i++)
        if (ctx->worker_connections[i].client.sock != INVALID_SOCKET)
            close(ctx->worker_connections[i].client.sock);
}

enum err seam_start(struct seam **out, const struct seam_config *cfg)
{
    char workers[16];
    const char *options[] = {
        "listening_ports", cfg->ports, "num_threads", workers, "connection_queue", SEAM_QUEUE,
        "listen_backlog", SEAM_BACKLOG, "max_request_size", SEAM_BUFFER, "tcp_nodelay", "1", NULL,
    };
    struct mg_callbacks callbacks;
    struct mg_init_data init;
    struct mg_error_data error;
    struct mg_context *ctx;
    char why[128];

    memset(&callbacks, 0, sizeof callbacks);
    callbacks.init_connection = seam_serve;
    callbacks.log_message = seam_complain;
    callbacks.init_context = seam_prepare;
    callbacks.exit_context = seam_forget;
    snprintf(workers, sizeof workers, "%u", cfg->workers);
    init.callbacks = &callbacks;
    init.user_data = (void *)cfg;
    init.configuration_options = options;
    memset(&error, 0, sizeof error);
    error.text = why;
    error.text_buffer_size = sizeof why;

    *out = NULL;
    mg_init_library(0);
    ctx = mg_start2(&init, &error);
    if (!ctx) {
        mg_exit_library();
        return error.code == MG_ERROR_DATA_CODE_INIT_PORTS_FAILED ? ERR_IO : ERR_NO_MEMORY;
    }
    /* civetweb does not look whether its accepting thread could be created. What that thread does at its
     * end undoes the start: with the flag raised it does nothing else. */
    if (ctx->masterthreadid == 0) {
        cfg->complain(cfg->arg, "cannot start the accepting thread");
        mg_atomic_add(&ctx->stop_flag, 1);
        master_thread_run(ctx);
        free_context(ctx);
        mg_exit_library();
        return ERR_NO_MEMORY;
    }
    *out = (struct seam *)ctx;
    return ERR_OK;
}

const struct sockaddr *seam_address(const struct seam *s, unsigned n)
{
    const struct mg_context *ctx = (const struct mg_context *)s;

    return n < ctx->num_listening_sockets ? &ctx->listening_sockets[n].lsa.sa : NULL;
}

unsigned seam_workers(const struct seam *s)
{
    const struct mg_context *ctx = (const struct mg_context *)s;
    unsigned n = 0;

    while (n < ctx->cfg_worker_threads && ctx->worker_threadids[n] != 0)
        n++; /* civetweb stops at the first that cannot be created, and says so */
    return n;
}

/* mg_stop() in two halves, so that running requests can be given time between them: it raises the
 * flag and waits for the threads in one go, and calling it after raising the flag ourselves could
 * wait for ever (it would lower a "2", all done, to a "1"). */
void seam_stop_begin(struct seam *s)
{
    struct mg_context *ctx = (struct mg_context *)s;

    /* Wakes the master at once instead of after SOCKET_TIMEOUT_QUANTUM. Before the flag is raised:
     * afterwards the master closes these descriptors, and the numbers may be somebody else's. */
    for (unsigned i = 0; i < ctx->num_listening_sockets; i++)
        shutdown(ctx->listening_sockets[i].sock, SHUT_RDWR);
    mg_atomic_add(&ctx->stop_flag, 1); /* STOP_FLAG_ASSIGN reads it without care first */
    seam_empty_queue(ctx);
}

void seam_stop_end(struct seam *s)
{
    struct mg_context *ctx = (struct mg_context *)s;

    mg_join_thread(ctx->masterthreadid); /* it joins the workers first */
    free_context(ctx);
    mg_exit_library();
}
