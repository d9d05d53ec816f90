/* http.h - the HTTP server: listeners, requests, responses. No registry word.
 *
 * civetweb hides behind this header. A request is handled by one worker thread
 * from its head to the end of its reply; req and res live only that long and
 * belong to that thread.
 *
 *     http_server_start -> (the handler runs, on worker threads) -> http_server_stop
 *
 * What the server does by itself: keep-alive, pipelining, HTTP/1.0, chunked request
 * bodies, "100 Continue" before the first byte of a body is read, time-outs of slow
 * peers, limits on the head, a reply of its own for a malformed request, draining a
 * small unread body so that the connection can go on (a large one closes it), HEAD
 * (the handler replies as for GET; no body bytes leave), closing connections while
 * most workers are busy.
 */
#ifndef BERTH_HTTP_HTTP_H
#define BERTH_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"

#define HTTP_CHUNK_BYTES   65536u /* what handlers read and write at a time */
#define HTTP_HEAD_MAX      32768u /* bytes of request line and headers together; more: 431 */
#define HTTP_HEADERS_MAX   64u    /* header lines of a request; more: 431 */
#define HTTP_TARGET_MAX    8192u  /* bytes of the request target; more: 414 */
#define HTTP_LISTEN_MAX    16u

struct http_server;
struct http_req;
struct http_res;

struct http_config {
    const char *listen;     /* "[ADDR]:PORT[,...]", ":5000", "[::1]:0", "localhost:1"; port 0: any free one */
    unsigned workers;       /* threads, one per connection being served */
    unsigned stack_bytes;   /* of a worker */
    unsigned io_timeout_ms; /* a peer that neither sends nor takes a byte for so long is cut off */
    unsigned head_timeout_ms; /* a request head must be whole in this time */
    unsigned idle_timeout_ms; /* keep-alive without a request */
};

/* Handle one request. An error returned before the head of a reply was sent makes
 * on_error reply; after it, the connection is cut so that the peer cannot take a short
 * reply for a whole one. */
struct http_handler {
    enum err (*handle)(void *arg, struct http_req *req, struct http_res *res);
    void (*on_error)(void *arg, struct http_req *req, struct http_res *res, enum err e);
    /* The request is refused before handle sees it (400, 408, 414, 417, 431, 501, 503, 505): send a
     * reply with this status. Method and path may be "". NULL: a plain text is sent. */
    void (*on_refused)(void *arg, struct http_req *req, struct http_res *res, int status);
    /* After the reply: for the access log. status 0: the peer left before one was sent. */
    void (*on_done)(void *arg, struct http_req *req, struct http_res *res);
    void *arg;
};

/* Bind all listeners and start serving. The caller stops *out.
 * ERR_INVALID: listen is malformed (logged). ERR_IO: a port is taken (logged, with the address). */
enum err http_server_start(struct http_server **out, const struct http_config *cfg,
                           const struct http_handler *handler, struct log *log);
/* The addresses bound, "127.0.0.1:5000", port 0 replaced by the real one; NULL from n on. */
const char *http_server_address(const struct http_server *s, unsigned n);
/* Stop accepting, let running requests end for up to drain_ms, cut the rest, free. */
void http_server_stop(struct http_server *s, unsigned drain_ms);

/* ---- request ---- */

const char *http_method(const struct http_req *req);
const char *http_path(const struct http_req *req);  /* as sent: not decoded, not normalised, no query */
const char *http_query(const struct http_req *req); /* as sent, without '?'; "" when none */
const char *http_peer(const struct http_req *req);  /* the client's numeric address, no port */
bool http_peer_is_loopback(const struct http_req *req);
/* Is what was refused the beginning of TLS, on a port that does not speak it? */
bool http_tls_on_plain_port(const struct http_req *req);

/* The first header of this name, or NULL. Names compare without case. */
const char *http_header(const struct http_req *req, const char *name);
/* The n-th (from 0) header of this name, or NULL. */
const char *http_header_nth(const struct http_req *req, const char *name, unsigned n);

/* The value of key in the query, percent-decoded; '+' stays '+'. ERR_NOT_FOUND: not there. ERR_INVALID:
 * there, but broken or longer than cap - 1. The n-th occurrence with _nth. */
enum err http_query_get(const struct http_req *req, const char *key, char *out, size_t cap);
enum err http_query_nth(const struct http_req *req, const char *key, unsigned n, char *out, size_t cap);

/* The declared length of the body; false when there is none (chunked, or no body at all). */
bool http_content_length(const struct http_req *req, uint64_t *out);
bool http_has_body(const struct http_req *req); /* Content-Length over 0, or chunked */

/* Read up to cap bytes of the body; *n is 0 only at its true end.
 * ERR_SIZE_INVALID: chunk framing is malformed. ERR_TIMEOUT: the peer stalled.
 * ERR_GONE: it left before the end. */
enum err http_read(struct http_req *req, void *p, size_t cap, size_t *n);

/* ---- response ----
 * Status and headers are collected, then one of the senders sends head and body. */

void http_status(struct http_res *res, int status);
/* Set a header; one of the same name goes, so that on_error can overrule what the handler had set.
 * Kept in a fixed space: one that does not fit makes the send fail with ERR_TOO_LARGE. Values must
 * have no CR or LF (asserted). Date, Content-Length, Connection are the server's own. */
void http_set(struct http_res *res, const char *name, const char *value);
void http_set_fmt(struct http_res *res, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Add a header line beside those of the same name. */
void http_add(struct http_res *res, const char *name, const char *value);

/* Send head and these bytes (a HEAD request: head only). */
enum err http_send(struct http_res *res, const void *p, size_t len);
/* Send head with Content-Length len, then len bytes of fd from off: sendfile where possible. */
enum err http_send_file(struct http_res *res, int fd, uint64_t off, uint64_t len);

/* A body in pieces of known total length: head first, then writes and file parts that must add
 * up to len (else the connection is cut). */
enum err http_send_head(struct http_res *res, uint64_t len);
enum err http_write(struct http_res *res, const void *p, size_t len);
enum err http_write_file(struct http_res *res, int fd, uint64_t off, uint64_t len);

/* Close the connection after this reply. */
void http_close_after(struct http_res *res);

bool http_head_sent(const struct http_res *res);
int http_sent_status(const struct http_res *res);     /* 0 before */
uint64_t http_sent_bytes(const struct http_res *res); /* of the body, so far */
uint64_t http_read_bytes(const struct http_req *req); /* of the body, so far */
int64_t http_started_us(const struct http_req *req);  /* clock_mono_us at the head's arrival */

#endif
