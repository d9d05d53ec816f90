/* body.c - reading a request's body: by length, or chunked (RFC 9112, 7.1).
 *
 * Data goes from the socket straight into the reader's memory; only what arrived together with the
 * head, and the framing of chunks, passes through the connection's buffer. The end of a body is known
 * by count or by the last chunk alone, never by what recv() says.
 */
#include <assert.h>
#include <string.h>

#include "http/conn.h"

#define CHUNK_EXT_MAX     1024u /* bytes of a chunk's extensions */
#define CHUNK_TRAILER_MAX 8192u /* bytes of all trailer lines */
#define CHUNK_DIGITS_MAX  16u   /* of a chunk's size, leading zeros included */

void body_begin(struct http_req *req)
{
    req->read = 0;
    req->left = req->head.chunked ? 0 : req->head.length;
    req->state = req->head.chunked ? BODY_SIZE : BODY_END;
    req->digits = req->extra = 0;
    req->continue_due = req->head.expect_continue;
    req->failed = ERR_OK;
}

uint64_t body_left(const struct http_req *req)
{
    if (req->head.chunked)
        return req->state == BODY_END ? 0 : (req->left > 0 ? req->left : 1);
    return req->left;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Take one byte of framing. False: malformed. */
static bool chunk_byte(struct http_req *req, char c)
{
    bool text = (unsigned char)c >= ' ' || c == '\t'; /* but DEL, which does no harm here */
    int d;

    switch (req->state) {
    case BODY_SIZE:
        d = hex_digit(c);
        if (d >= 0) {
            if (++req->digits > CHUNK_DIGITS_MAX || req->left > (INT64_MAX >> 4))
                return false;
            req->left = req->left << 4 | (uint64_t)d;
            return true;
        }
        if (req->digits == 0)
            return false;
        req->extra = 0;
        req->state = c == '\r' ? BODY_SIZE_LF : BODY_EXT;
        return c == '\r' || c == ';';
    case BODY_EXT:
        if (c == '\r')
            req->state = BODY_SIZE_LF;
        else if (!text || ++req->extra > CHUNK_EXT_MAX)
            return false;
        return true;
    case BODY_SIZE_LF:
        req->state = req->left > 0 ? BODY_DATA : BODY_TRAILER;
        req->digits = req->extra = 0;
        return c == '\n';
    case BODY_DATA_CR:
        req->state = BODY_DATA_LF;
        return c == '\r';
    case BODY_DATA_LF:
        req->state = BODY_SIZE;
        return c == '\n';
    case BODY_TRAILER:
        req->state = c == '\r' ? BODY_LAST_LF : BODY_TRAILER_TEXT;
        return c == '\r' || (text && ++req->extra <= CHUNK_TRAILER_MAX);
    case BODY_TRAILER_TEXT:
        if (c == '\r')
            req->state = BODY_TRAILER_LF;
        else if (!text || ++req->extra > CHUNK_TRAILER_MAX)
            return false;
        return true;
    case BODY_TRAILER_LF:
        req->state = BODY_TRAILER;
        return c == '\n';
    case BODY_LAST_LF:
        req->state = BODY_END;
        return c == '\n';
    case BODY_DATA:
    case BODY_END:
        break;
    }
    return false;
}

/* Ask for the body when the client waits to be asked. One that has begun to send does not. */
static enum err send_continue(struct http_req *req)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = { (void *)text, sizeof text - 1 };

    if (!req->continue_due)
        return ERR_OK;
    req->continue_due = false;
    if (req->conn->at < req->conn->len || req->conn->res.head_tried)
        return ERR_OK;
    return wire_send(&req->conn->wire, &iov, 1, false);
}

/* Up to cap bytes, and not over left, of what was read ahead. */
static size_t take_ahead(struct http_req *req, char *p, size_t cap)
{
    struct conn *c = req->conn;
    size_t n = c->len - c->at;

    if (n > cap)
        n = cap;
    if (n > req->left)
        n = (size_t)req->left;
    memcpy(p, c->in + c->at, n);
    c->at += n;
    req->left -= n;
    return n;
}

/* Receive the next bytes of data into p. What follows a chunk's data in the same packets is its framing:
 * it lands in the connection's buffer by the same call. */
static enum err recv_data(struct http_req *req, char *p, size_t cap, size_t *n)
{
    struct conn *c = req->conn;
    struct iovec iov[2] = { { p, req->left < cap ? (size_t)req->left : cap },
                            { c->in + c->head, c->cap - c->head } };
    bool whole = req->head.chunked && iov[0].iov_len == req->left;
    enum err e;

    if ((e = wire_recv(&c->wire, iov, whole ? 2 : 1, n)))
        return e;
    c->at = c->len = c->head;
    if (*n > req->left) {
        c->len += *n - (size_t)req->left;
        *n = (size_t)req->left;
    }
    req->left -= *n;
    return ERR_OK;
}

static enum err recv_framing(struct conn *c)
{
    struct iovec iov = { c->in + c->head, c->cap - c->head };
    size_t n;
    enum err e;

    if ((e = wire_recv(&c->wire, &iov, 1, &n)))
        return e;
    c->at = c->head;
    c->len = c->head + n;
    return ERR_OK;
}

static enum err read_sized(struct http_req *req, char *p, size_t cap, size_t *n)
{
    if (req->left == 0)
        return ERR_OK;
    if ((*n = take_ahead(req, p, cap)) > 0)
        return ERR_OK;
    return recv_data(req, p, cap, n);
}

/* Waits for the peer only while there is nothing to hand out. */
static enum err read_chunked(struct http_req *req, char *p, size_t cap, size_t *n)
{
    struct conn *c = req->conn;
    enum err e;

    while (req->state != BODY_END && *n < cap) {
        bool ahead = c->at < c->len;

        if (!ahead && *n > 0)
            break;
        if (req->state == BODY_DATA) {
            if (ahead) {
                *n += take_ahead(req, p + *n, cap - *n);
            } else if ((e = recv_data(req, p, cap, n))) {
                return e;
            }
            if (req->left == 0)
                req->state = BODY_DATA_CR;
        } else if (!ahead) {
            if ((e = recv_framing(c)))
                return e;
        } else if (!chunk_byte(req, c->in[c->at++])) {
            return ERR_SIZE_INVALID;
        }
    }
    return ERR_OK;
}

enum err http_read(struct http_req *req, void *p, size_t cap, size_t *n)
{
    assert(cap > 0);
    *n = 0;
    if (!req->failed && body_left(req) > 0)
        req->failed = send_continue(req);
    if (!req->failed)
        req->failed = req->head.chunked ? read_chunked(req, p, cap, n) : read_sized(req, p, cap, n);
    if (req->failed) {
        *n = 0;
        return req->failed;
    }
    req->read += *n;
    return ERR_OK;
}

bool body_drain(struct http_req *req)
{
    char buf[8192];
    size_t total = 0, n;

    if (req->continue_due || req->failed)
        return body_left(req) == 0 && !req->failed;
    while (body_left(req) > 0) {
        if (body_left(req) > CONN_DRAIN_MAX - total || http_read(req, buf, sizeof buf, &n))
            return false;
        total += n;
        if (total >= CONN_DRAIN_MAX && body_left(req) > 0)
            return false;
    }
    return true;
}

uint64_t http_read_bytes(const struct http_req *req)
{
    return req->read;
}
