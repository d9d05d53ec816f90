/* reply.c - the reply: header lines are collected in a fixed space, then sent with the body.
 *
 * Head and a body in memory leave in one sendmsg; before a file the head waits in the kernel (MSG_MORE)
 * for the file's first bytes. Every body has a length known beforehand, so that a short one is seen.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "http/conn.h"

#define NAME_MAX_BYTES 64 /* of a header we send, NUL included */

static const struct reason { int status; const char *text; } reasons[] = {
    { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" },
    { 206, "Partial Content" }, { 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" },
    { 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
    { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
    { 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" },
    { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" }, { 412, "Precondition Failed" },
    { 413, "Content Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" }, { 421, "Misdirected Request" },
    { 422, "Unprocessable Content" }, { 428, "Precondition Required" }, { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
    { 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" }, { 507, "Insufficient Storage" },
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return ""; /* RFC 9112, 4: may be empty */
}

void reply_begin(struct http_res *res, struct conn *c)
{
    res->conn = c;
    res->status = 200;
    res->close = res->too_large = res->head_tried = res->head_sent = res->no_body = false;
    res->length = res->given = res->sent = 0;
    res->len = 0;
}

void http_status(struct http_res *res, int status)
{
    assert(status >= 200 && status <= 599);
    res->status = status;
}

static void remove_header(struct http_res *res, const char *name)
{
    char *line = res->out;

    while (line < res->out + res->len) {
        char *next = (char *)memchr(line, '\n', res->len - (size_t)(line - res->out)) + 1;
        char had[NAME_MAX_BYTES];

        if (str_copy_n(had, sizeof had, line, strcspn(line, ":")) == ERR_OK && str_eq_nocase(had, name)) {
            memmove(line, next, res->len - (size_t)(next - res->out));
            res->len -= (size_t)(next - line);
        } else {
            line = next;
        }
    }
}

static void append(struct http_res *res, const char *name, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void append(struct http_res *res, const char *name, const char *fmt, va_list ap)
{
    size_t room = sizeof res->out - res->len;
    char *at = res->out + res->len;
    int head, body;

    assert(!res->head_tried && strlen(name) > 0 && strlen(name) < NAME_MAX_BYTES);
    head = snprintf(at, room, "%s: ", name);
    if (head < 0 || (size_t)head >= room)
        goto too_large;
    body = vsnprintf(at + head, room - (size_t)head, fmt, ap);
    /* two more for CRLF, where vsnprintf counts one for NUL */
    if (body < 0 || (size_t)head + (size_t)body + 2 >= room)
        goto too_large;
    if (strpbrk(at + head, "\r\n")) {
        assert(!"a line break in a header's value");
        goto too_large; /* without assertions, a 500 is still better than a header from outside */
    }
    memcpy(at + head + body, "\r\n", 3);
    res->len += (size_t)head + (size_t)body + 2;
    return;
too_large:
    res->too_large = true;
}

static void append_fmt(struct http_res *res, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void append_fmt(struct http_res *res, const char *name, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    append(res, name, fmt, ap);
    va_end(ap);
}

void http_add(struct http_res *res, const char *name, const char *value)
{
    append_fmt(res, name, "%s", value);
}

void http_set(struct http_res *res, const char *name, const char *value)
{
    remove_header(res, name);
    append_fmt(res, name, "%s", value);
}

void http_set_fmt(struct http_res *res, const char *name, const char *fmt, ...)
{
    va_list ap;

    remove_header(res, name);
    va_start(ap, fmt);
    append(res, name, fmt, ap);
    va_end(ap);
}

/* Whether the connection goes on after this reply. Decided once, when the head is written. */
static bool may_keep_alive(const struct http_res *res)
{
    const struct conn *c = res->conn;
    const struct http_req *req = &c->req;

    if (res->close || !req->head.keep_alive || req->failed)
        return false;
    /* A client that was not asked for its body may send it or not: nobody can tell what follows. */
    if (req->continue_due || body_left(req) > CONN_DRAIN_MAX)
        return false;
    return !atomic_load(&c->server->stopping) && !server_is_busy(c->server);
}

/* Send the head, announcing length, and the len bytes at p with it. more: the body follows at once. */
static enum err send_head(struct http_res *res, uint64_t length, const void *p, size_t len, bool more)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct conn *c = res->conn;
    char first[160], last[96];
    struct iovec iov[4];
    struct tm tm = { 0 };
    time_t now = time(NULL);
    int n, m = 0;
    enum err e;

    assert(!res->head_tried);
    if (res->too_large)
        return log_fail(c->server->log, ERR_TOO_LARGE, "headers of a reply exceed %u bytes", CONN_OUT_MAX);
    res->head_tried = true;
    res->length = length;
    res->no_body = str_eq(c->req.head.method, "HEAD") || res->status == 204 || res->status == 304;
    res->close = !may_keep_alive(res);

    gmtime_r(&now, &tm);
    n = snprintf(first, sizeof first, "HTTP/1.1 %d %s\r\nDate: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n",
                 res->status, reason_of(res->status), days + 3 * tm.tm_wday, tm.tm_mday,
                 months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    /* RFC 9110, 8.6: never in a 204; in a 304 only the length a 200 would have. */
    if (res->status != 204 && (res->status != 304 || length > 0))
        m = snprintf(last, sizeof last, "Content-Length: %llu\r\n", (unsigned long long)length);
    m += snprintf(last + m, sizeof last - (size_t)m, "%s\r\n",
                  res->close ? "Connection: close\r\n"
                             : c->req.head.minor == 0 ? "Connection: keep-alive\r\n" : "");
    if (res->no_body)
        len = 0;
    iov[0] = (struct iovec){ first, (size_t)n };
    iov[1] = (struct iovec){ res->out, res->len };
    iov[2] = (struct iovec){ last, (size_t)m };
    iov[3] = (struct iovec){ (void *)p, len };
    if ((e = wire_send(&c->wire, iov, 4, more && !res->no_body)))
        return e;
    res->head_sent = true;
    res->sent += len;
    return ERR_OK;
}

enum err http_send(struct http_res *res, const void *p, size_t len)
{
    enum err e = send_head(res, len, p, len, false);

    if (e == ERR_OK)
        res->given = len;
    return e;
}

enum err http_send_head(struct http_res *res, uint64_t len)
{
    return send_head(res, len, NULL, 0, len > 0);
}

enum err http_write(struct http_res *res, const void *p, size_t len)
{
    struct iovec iov = { (void *)p, len };
    enum err e;

    if (!res->head_sent)
        return ERR_GONE;
    if (len > res->length - res->given)
        return ERR_TOO_LARGE; /* more than was announced would be read as the next reply */
    if (!res->no_body) {
        if ((e = wire_send(&res->conn->wire, &iov, 1, res->given + len < res->length)))
            return e;
        res->sent += len;
    }
    res->given += len;
    return ERR_OK;
}

enum err http_write_file(struct http_res *res, int fd, uint64_t off, uint64_t len)
{
    uint64_t sent = 0;
    enum err e;

    if (!res->head_sent)
        return ERR_GONE;
    if (len > res->length - res->given)
        return ERR_TOO_LARGE; /* more than was announced would be read as the next reply */
    if (!res->no_body) {
        e = wire_send_file(&res->conn->wire, fd, off, len, &sent, res->conn->server->log);
        res->sent += sent;
        if (e)
            return e;
    }
    res->given += len;
    return ERR_OK;
}

enum err http_send_file(struct http_res *res, int fd, uint64_t off, uint64_t len)
{
    enum err e = http_send_head(res, len);

    return e ? e : http_write_file(res, fd, off, len);
}

void http_close_after(struct http_res *res)
{
    res->close = true;
}

void reply_plain(struct http_res *res, int status)
{
    char text[64];

    str_format(text, sizeof text, "%d %s\n", status, reason_of(status));
    res->too_large = false;
    res->len = 0;
    http_status(res, status);
    http_set(res, "Content-Type", "text/plain");
    http_send(res, text, strlen(text)); /* a peer that is gone is gone */
}

bool reply_is_whole(const struct http_res *res)
{
    return res->head_sent && res->given == res->length;
}

bool http_head_sent(const struct http_res *res)
{
    return res->head_tried;
}

int http_sent_status(const struct http_res *res)
{
    return res->head_sent ? res->status : 0;
}

uint64_t http_sent_bytes(const struct http_res *res)
{
    return res->sent;
}
