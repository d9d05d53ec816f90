/* request.c - what a handler asks about its request. */
#include <string.h>

#include "base/str.h"
#include "http/conn.h"

#define TLS_HANDSHAKE 0x16 /* the first byte of a TLS connection; RFC 8446, 5.1 */

const char *http_method(const struct http_req *req)
{
    return req->head.method;
}

const char *http_path(const struct http_req *req)
{
    return req->head.path;
}

const char *http_query(const struct http_req *req)
{
    return req->head.query;
}

const char *http_peer(const struct http_req *req)
{
    return req->conn->peer;
}

bool http_peer_is_loopback(const struct http_req *req)
{
    return req->conn->loopback;
}

bool http_tls_on_plain_port(const struct http_req *req)
{
    const struct conn *c = req->conn;

    return c->head == 0 && c->len > 0 && c->in[0] == TLS_HANDSHAKE;
}

const char *http_header_nth(const struct http_req *req, const char *name, unsigned n)
{
    for (unsigned i = 0; i < req->head.fields; i++)
        if (str_eq_nocase(req->head.field[i].name, name) && n-- == 0)
            return req->head.field[i].value;
    return NULL;
}

const char *http_header(const struct http_req *req, const char *name)
{
    return http_header_nth(req, name, 0);
}

/* Whether the len bytes at p, percent-decoded, are key. */
static bool is_key(const char *p, size_t len, const char *key)
{
    char got[64];

    return str_percent_decode(got, sizeof got, p, len, false) == ERR_OK && str_eq(got, key);
}

enum err http_query_nth(const struct http_req *req, const char *key, unsigned n, char *out, size_t cap)
{
    const char *p = req->head.query;

    for (;;) {
        size_t len = strcspn(p, "&"), name = strcspn(p, "=&");

        if (is_key(p, name, key) && n-- == 0) {
            const char *value = p + name + (p[name] == '=');

            len -= (size_t)(value - p);
            return str_percent_decode(out, cap, value, len, false) ? ERR_INVALID : ERR_OK;
        }
        if (p[len] == '\0')
            return ERR_NOT_FOUND;
        p += len + 1;
    }
}

enum err http_query_get(const struct http_req *req, const char *key, char *out, size_t cap)
{
    return http_query_nth(req, key, 0, out, cap);
}

bool http_content_length(const struct http_req *req, uint64_t *out)
{
    if (req->head.has_length)
        *out = req->head.length;
    return req->head.has_length;
}

bool http_has_body(const struct http_req *req)
{
    return req->head.chunked || req->head.length > 0;
}

int64_t http_started_us(const struct http_req *req)
{
    return req->started_us;
}
