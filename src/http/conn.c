/* conn.c - one connection: read a head, have it handled, keep the connection or close it.
 *
 * Three waits, each with a time-out of its own: for a request to begin (idle_timeout_ms; the worker may
 * be asked to leave meanwhile), for its head to be whole (head_timeout_ms, so that a byte a second does
 * not hold a worker), and in wire.c for the next byte of a body or of room for a reply (io_timeout_ms).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/conn.h"

#define IDLE_GRACE_MS   250 /* how long a connection may wait before it can be asked to leave */
#define EMPTY_LINES_MAX 4u  /* CRLFs that may come before a request; RFC 9112, 2.2 */

enum { HEAD_CLOSE = -1 }; /* read_head: nothing to answer */

/* Wait for the first byte of a request. False: close; it did not come, or the worker is needed. */
static bool wait_idle(struct conn *c, unsigned timeout_ms)
{
    struct http_server *s = c->server;
    struct pollfd p[3] = { { .fd = c->wire.fd, .events = POLLIN },
                           { .fd = s->stop_event, .events = POLLIN },
                           { .fd = s->room_event, .events = POLLIN } };
    int64_t end = clock_mono_ms() + timeout_ms;
    bool evictable = false, ready = false;

    for (;;) {
        int64_t left = end - clock_mono_ms();
        uint64_t token;
        int rc;

        if (left <= 0)
            break;
        if (!evictable && left > IDLE_GRACE_MS)
            left = IDLE_GRACE_MS;
        rc = poll(p, evictable ? 3 : 2, (int)left);
        if (rc < 0 && errno != EINTR)
            break;
        if (p[0].revents) { /* before the events: what has come is served */
            ready = true;
            break;
        }
        if (p[1].revents)
            break;
        if (rc == 0 && !evictable) {
            evictable = true;
            atomic_fetch_add(&s->evictable, 1);
            if (server_is_full(s)) /* perhaps since before we could be asked */
                break;
        } else if (rc > 0 && p[2].revents && read(s->room_event, &token, sizeof token) == sizeof token &&
                   server_is_full(s)) {
            break;
        }
    }
    if (evictable)
        atomic_fetch_sub(&s->evictable, 1);
    return ready;
}

/* Move what was read ahead, the beginning of the next request perhaps, to the front of the buffer. */
static void next_request(struct conn *c)
{
    size_t n = c->len - c->at;

    if (c->in != c->in_first && n <= CONN_IN_FIRST) {
        memcpy(c->in_first, c->in + c->at, n);
        free(c->in);
        c->in = c->in_first;
        c->cap = sizeof c->in_first;
    } else if (c->at > 0) {
        memmove(c->in, c->in + c->at, n);
    }
    c->len = n;
    c->at = c->head = 0;
}

/* A head longer than most. False: no memory. */
static bool grow(struct conn *c)
{
    char *p = malloc(HTTP_HEAD_MAX + CONN_IN_SPARE);

    if (!p)
        return false;
    memcpy(p, c->in, c->len);
    c->in = p;
    c->cap = HTTP_HEAD_MAX + CONN_IN_SPARE;
    return true;
}

static void skip_empty_lines(struct conn *c, unsigned *count)
{
    while (c->len - c->at >= 2 && *count < EMPTY_LINES_MAX && memcmp(c->in + c->at, "\r\n", 2) == 0) {
        c->at += 2;
        ++*count;
    }
    if (c->at > 0)
        next_request(c);
}

/* Read until the head is whole: c->in holds it, c->head is its length. Returns 0, the status to refuse
 * with, or HEAD_CLOSE. */
static int read_head(struct conn *c, bool first)
{
    const struct http_config *cfg = &c->server->cfg;
    int64_t begun = clock_mono_ms();
    unsigned empty = 0;
    size_t seen = 0, n, room;
    int status;
    enum err e;

    if (c->len == 0) {
        if (!wait_idle(c, first ? cfg->head_timeout_ms : cfg->idle_timeout_ms))
            return HEAD_CLOSE;
        if (!first)
            begun = clock_mono_ms();
    }
    for (;;) {
        struct pollfd p = { .fd = c->wire.fd, .events = POLLIN };
        int64_t left;

        skip_empty_lines(c, &empty);
        if (c->len > 0 && !(c->len == 1 && c->in[0] == '\r' && empty < EMPTY_LINES_MAX)) {
            if ((status = head_find_end(c->in, c->len, &seen, &c->head)))
                return status;
        }
        room = c->len < c->cap - CONN_IN_SPARE ? c->cap - CONN_IN_SPARE - c->len : 0;
        if (c->in == c->in_first && (c->head > 0 ? c->head > CONN_IN_FIRST : room == 0)) {
            if (!grow(c))
                return 503;
            room = c->cap - CONN_IN_SPARE - c->len;
        }
        if (c->head > 0) {
            c->at = c->head;
            return 0;
        }
        e = wire_recv_now(&c->wire, c->in + c->len, room, &n);
        c->len += n;
        if (e == ERR_OK)
            continue;
        if (e == ERR_GONE)
            return HEAD_CLOSE;
        left = begun + cfg->head_timeout_ms - clock_mono_ms();
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return c->len > 0 ? 408 : HEAD_CLOSE;
    }
}

/* A peer that is still sending must be able to read the reply before the connection is reset: closing
 * with unread bytes makes the kernel reset it. */
static void close_gently(struct conn *c)
{
    int waiting = 0;

    if (body_left(&c->req) > 0 || c->at < c->len ||
        (ioctl(c->wire.fd, FIONREAD, &waiting) == 0 && waiting > 0))
        wire_linger(&c->wire);
}

static void done(struct conn *c)
{
    const struct http_handler *h = &c->server->handler;

    if (h->on_done)
        h->on_done(h->arg, &c->req, &c->res);
}

/* Answer a request whose head cannot be understood or is not acceptable, and close. */
static void refuse(struct conn *c, int status)
{
    const struct http_handler *h = &c->server->handler;

    c->res.close = true;
    if (h->on_refused)
        h->on_refused(h->arg, &c->req, &c->res, status);
    if (!c->res.head_tried)
        reply_plain(&c->res, status);
    done(c);
    if (reply_is_whole(&c->res))
        wire_linger(&c->wire); /* nobody knows what the peer takes for its request's end */
}

/* Have one request handled. False: the connection ends here. */
static bool serve_one(struct conn *c)
{
    const struct http_handler *h = &c->server->handler;
    enum err e = h->handle(h->arg, &c->req, &c->res);
    bool whole;

    /* An error after the head: what was announced will not come, or is not to be trusted. */
    whole = !(e && c->res.head_tried);
    if (e && e != ERR_GONE && !c->res.head_tried && h->on_error)
        h->on_error(h->arg, &c->req, &c->res, e);
    if (e != ERR_GONE && !c->res.head_tried) {
        if (!e)
            log_msg(c->server->log, LOG_ERROR, "%s %s was handled without a reply", c->req.head.method,
                    c->req.head.path);
        c->res.close = true;
        reply_plain(&c->res, 500);
    }
    done(c);
    if (!whole || !reply_is_whole(&c->res)) {
        wire_abort(&c->wire);
        return false;
    }
    if (!c->res.close && body_drain(&c->req))
        return true;
    close_gently(c);
    return false;
}

void conn_run(struct conn *c)
{
    bool first = true, go_on;

    c->in = c->in_first;
    c->cap = sizeof c->in_first;
    c->at = c->len = c->head = 0;
    do {
        int status = read_head(c, first);

        if (status == HEAD_CLOSE)
            break;
        c->req.conn = c;
        c->req.started_us = clock_mono_us();
        if (status)
            head_none(&c->req.head);
        else
            status = head_parse(&c->req.head, c->in, c->head);
        body_begin(&c->req);
        reply_begin(&c->res, c);
        if (status) {
            refuse(c, status);
            break;
        }
        go_on = serve_one(c);
        first = false;
        next_request(c);
    } while (go_on);
    if (c->in != c->in_first)
        free(c->in);
    c->in = NULL;
}
