/* test_http.c - the HTTP server with a small handler of its own: heads, bodies in odd pieces, replies,
 * who gives way when workers are scarce, and stopping. What clients see of it on the real program is
 * tests/http/test_protocol.py. */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "http/conn.h"
#include "t.h"

/* ---- heads ---- */

static int parse(struct head *h, char *copy, size_t cap, const char *text)
{
    size_t seen = 0, end, len = strlen(text);
    int status;

    str_copy(copy, cap, text);
    if ((status = head_find_end(copy, len, &seen, &end)))
        return status;
    return end == len ? head_parse(h, copy, len) : -1;
}

#define HOST    "Host: x\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void heads_that_could_be_read_in_two_ways_are_refused(struct t *t)
{
    static const struct { const char *text; int status; } rows[] = {
        { "GET / HTTP/1.1\r\n" HOST "\r\n", 0 },
        { "GET / HTTP/1.0\r\n\r\n", 0 },
        { "GET / HTTP/1.9\r\n" HOST "\r\n", 0 },
        { "MADE-UP!~ / HTTP/1.1\r\n" HOST "\r\n", 0 },
        { "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0 },
        { "GET / HTTP/1.1\r\n" HOST "A:\r\nB: \t x \t\r\nC:\x80\r\n\r\n", 0 },
        { "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0 },
        { "GET / HTTP/1.1\r\nHost: [::1]:5000\r\n\r\n", 0 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", 0 },
        { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", 0 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n", 0 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n", 0 },
        { "POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: something\r\n\r\n", 0 },

        /* the request line */
        { "GET /\r\n\r\n", 400 },
        { "GET  / HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /  HTTP/1.1\r\n" HOST "\r\n", 400 },
        { " GET / HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /a b HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /a\tb HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /\x80 HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /#f HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET / HTTP/1.1 \r\n" HOST "\r\n", 400 },
        { "GET / http/1.1\r\n" HOST "\r\n", 400 },
        { "GET / HTTP/11\r\n" HOST "\r\n", 400 },
        { "GET / HTTP/1.\r\n" HOST "\r\n", 400 },
        { "GET HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET  HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "G(T / HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET a HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET * HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "CONNECT x:443 HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET ftp://x/ HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET http:///a HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "\x16\x03\x01", 400 },
        { "PRI * HTTP/2.0\r\n\r\n", 505 },
        { "GET / HTTP/0.9\r\n\r\n", 505 },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST "\r\n", 501 },

        /* lines */
        { "GET / HTTP/1.1\n" HOST "\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" HOST " A: b\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" HOST "A\x80: b\r\n\r\n", 400 },

        /* Host */
        { "GET / HTTP/1.1\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },

        /* where the body ends */
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST CHUNKED CHUNKED "\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
        { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 200-ok\r\n\r\n", 417 },
    };
    struct head h;
    char copy[512];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        t_note(t, "row %zu: %s", i, rows[i].text);
        CHECK_INT(parse(&h, copy, sizeof copy, rows[i].text), rows[i].status);
    }
}

static void a_head_may_come_in_any_pieces(struct t *t)
{
    static const char text[] = "GET /a?b HTTP/1.1\r\nHost: x\r\nLong-Name: and value\r\n\r\nrest";
    size_t whole = strlen(text) - 4;

    for (size_t step = 1; step < whole; step++) {
        size_t seen = 0, end = 0, len = 0;

        while (end == 0 && len < whole) {
            len = len + step < whole ? len + step : whole;
            REQUIRE(head_find_end(text, len, &seen, &end) == 0);
        }
        CHECK_INT(end, whole);
    }
}

static void too_much_of_a_head_is_told_apart(struct t *t)
{
    struct head h;
    size_t seen = 0, end, len;
    char *p = malloc(HTTP_HEAD_MAX + 100);

    REQUIRE(p != NULL);
    memset(p, 'a', HTTP_HEAD_MAX + 100);
    memcpy(p, "GET /", 5);
    CHECK_INT(head_find_end(p, HTTP_TARGET_MAX, &seen, &end), 0);
    CHECK_INT(head_find_end(p, HTTP_TARGET_MAX + 100, &seen, &end), 414);

    /* the longest target, and one byte more */
    for (size_t more = 0; more < 2; more++) {
        memcpy(p, "GET /", 5);
        memset(p + 5, 'a', HTTP_TARGET_MAX);
        strcpy(p + 4 + HTTP_TARGET_MAX + more, " HTTP/1.1\r\nHost: x\r\n\r\n");
        len = strlen(p);
        seen = 0;
        CHECK_INT(head_find_end(p, len, &seen, &end), 0);
        CHECK_INT(end, len);
        CHECK_INT(head_parse(&h, p, len), more ? 414 : 0);
    }

    memset(p, 'a', HTTP_HEAD_MAX + 100);
    memcpy(p, "GET / HTTP/1.1\r\nA: ", 19);
    seen = 0;
    CHECK_INT(head_find_end(p, HTTP_HEAD_MAX - 1, &seen, &end), 0);
    CHECK_INT(head_find_end(p, HTTP_HEAD_MAX, &seen, &end), 431);

    /* the most header lines, and one more */
    for (unsigned more = 0; more < 2; more++) {
        strcpy(p, "GET / HTTP/1.1\r\nHost: x\r\n");
        for (unsigned i = 1; i < HTTP_HEADERS_MAX + more; i++)
            strcat(p, "A: b\r\n");
        strcat(p, "\r\n");
        CHECK_INT(head_parse(&h, p, strlen(p)), more ? 431 : 0);
    }
    free(p);
}

static void the_target_is_handed_on_as_sent(struct t *t)
{
    static const struct { const char *target, *path, *query; } rows[] = {
        { "/", "/", "" },
        { "/a/../%2e%2E//b", "/a/../%2e%2E//b", "" },
        { "/a?b=%41&c?d", "/a", "b=%41&c?d" },
        { "/a?", "/a", "" },
        { "http://host:5000/v2/?a=b", "/v2/", "a=b" },
        { "HTTPS://host", "/", "" },
        { "http://host?a", "/", "a" },
    };
    struct head h;
    char copy[256], text[256];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        t_note(t, "%s", rows[i].target);
        str_format(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", rows[i].target);
        CHECK_INT(parse(&h, copy, sizeof copy, text), 0);
        CHECK_STR(h.path, rows[i].path);
        CHECK_STR(h.query, rows[i].query);
    }
}

static void a_connection_is_kept_as_the_client_wants(struct t *t)
{
    static const struct { const char *version, *connection; bool keep; } rows[] = {
        { "1.1", "", true },
        { "1.1", "Connection: close\r\n", false },
        { "1.1", "Connection: Upgrade, Close\r\n", false },
        { "1.1", "Connection: keep-alive\r\nConnection: close\r\n", false },
        { "1.1", "Connection: closed\r\n", true },
        { "1.0", "", false },
        { "1.0", "Connection: Keep-Alive\r\n", true },
    };
    struct head h;
    char copy[256], text[256];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        t_note(t, "row %zu", i);
        str_format(text, sizeof text, "GET / HTTP/%s\r\nHost: x\r\n%s\r\n", rows[i].version,
                   rows[i].connection);
        CHECK_INT(parse(&h, copy, sizeof copy, text), 0);
        CHECK_INT(h.keep_alive, rows[i].keep);
    }
}

static void query_values_are_decoded(struct t *t)
{
    struct http_req *req = calloc(1, sizeof *req);
    char v[16];

    REQUIRE(req != NULL);
    req->head.query = "a=1&b=x%2Fy+z&a=2&empty=&flag&bad=%zz&long=0123456789abcdef&c%3A=k";
    CHECK_INT(http_query_get(req, "a", v, sizeof v), ERR_OK);
    CHECK_STR(v, "1");
    CHECK_INT(http_query_nth(req, "a", 1, v, sizeof v), ERR_OK);
    CHECK_STR(v, "2");
    CHECK_INT(http_query_nth(req, "a", 2, v, sizeof v), ERR_NOT_FOUND);
    CHECK_INT(http_query_get(req, "b", v, sizeof v), ERR_OK);
    CHECK_STR(v, "x/y+z"); /* media types have a plus, and people type them as they are */
    CHECK_INT(http_query_get(req, "empty", v, sizeof v), ERR_OK);
    CHECK_STR(v, "");
    CHECK_INT(http_query_get(req, "flag", v, sizeof v), ERR_OK);
    CHECK_STR(v, "");
    CHECK_INT(http_query_get(req, "bad", v, sizeof v), ERR_INVALID);
    CHECK_INT(http_query_get(req, "long", v, sizeof v), ERR_INVALID);
    CHECK_INT(http_query_get(req, "c:", v, sizeof v), ERR_OK);
    CHECK_INT(http_query_get(req, "fla", v, sizeof v), ERR_NOT_FOUND);
    req->head.query = "";
    CHECK_INT(http_query_get(req, "a", v, sizeof v), ERR_NOT_FOUND);
    free(req);
}

/* ---- a server with a handler for tests ---- */

struct toy {
    struct http_server *server;
    struct log log;
    atomic_int done, last_status, inside;
};

static enum err toy_handle(void *arg, struct http_req *req, struct http_res *res)
{
    struct toy *toy = arg;
    const char *path = http_path(req);
    char buf[64], body[256] = "", text[512];
    size_t n, total = 0;
    enum err e = ERR_OK;

    atomic_fetch_add(&toy->inside, 1);
    if (str_eq(path, "/error-before")) {
        http_set(res, "X-Kept", "yes");
        http_set(res, "Content-Type", "application/never");
        e = ERR_DENIED;
    } else if (str_eq(path, "/error-after")) {
        if ((e = http_send_head(res, 10)) == ERR_OK && (e = http_write(res, "12345", 5)) == ERR_OK)
            e = ERR_IO;
    } else if (str_eq(path, "/short")) {
        if ((e = http_send_head(res, 10)) == ERR_OK)
            e = http_write(res, "12345", 5);
    } else if (str_eq(path, "/long")) {
        if ((e = http_send_head(res, 4)) == ERR_OK && (e = http_write(res, "1234", 4)) == ERR_OK)
            e = http_write(res, "5", 1) == ERR_TOO_LARGE ? ERR_OK : ERR_IO;
    } else if (str_eq(path, "/nothing")) {
        e = ERR_OK;
    } else if (str_eq(path, "/headers")) {
        http_set(res, "One", "1");
        http_set(res, "Two", "2");
        http_set(res, "ONE", "3");
        http_add(res, "Two", "4");
        http_set_fmt(res, "Three", "%d", 5);
        http_status(res, 201);
        e = http_send(res, "x", 1);
    } else if (str_eq(path, "/many-headers")) {
        for (int i = 0; i < 1000; i++)
            http_add(res, "Again", "and again");
        e = http_send(res, "x", 1);
    } else if (str_eq(path, "/204")) {
        http_status(res, 204);
        e = http_send(res, "", 0);
    } else if (str_eq(path, "/file")) {
        FILE *f = tmpfile();

        fputs("0123456789", f);
        fflush(f);
        e = http_send_file(res, fileno(f), 2, 5);
        fclose(f);
    } else if (str_eq(path, "/file-too-short")) {
        FILE *f = tmpfile();

        e = http_send_file(res, fileno(f), 0, 5);
        fclose(f);
    } else if (str_eq(path, "/wait")) {
        for (int i = 0; i < 400 && !e; i++) { /* 20 s: until the peer or the server has enough */
            usleep(50000);
            e = i == 0 ? http_send_head(res, 400) : http_write(res, "x", 1);
        }
    } else if (str_eq(path, "/sleep")) {
        usleep(300000);
        e = http_send(res, "slept", 5);
    } else {
        do {
            e = http_read(req, buf, sizeof buf, &n);
            if (e || total + n >= sizeof body)
                break;
            memcpy(body + total, buf, n);
            total += n;
            body[total] = '\0';
        } while (n > 0);
        if (!e) {
            str_format(text, sizeof text, "%s %s %zu %s", http_method(req), path, total, body);
            e = http_send(res, text, strlen(text));
        }
    }
    atomic_fetch_sub(&toy->inside, 1);
    return e;
}

static void toy_error(void *arg, struct http_req *req, struct http_res *res, enum err e)
{
    const char *text = err_text(e);

    (void)arg;
    (void)req;
    http_status(res, e == ERR_DENIED ? 403 : e == ERR_TIMEOUT ? 408 : 400);
    http_set(res, "Content-Type", "text/plain");
    http_send(res, text, strlen(text));
}

static void toy_done(void *arg, struct http_req *req, struct http_res *res)
{
    struct toy *toy = arg;

    (void)req;
    atomic_store(&toy->last_status, http_sent_status(res));
    atomic_fetch_add(&toy->done, 1);
}

static struct http_handler toy_handler(struct toy *toy)
{
    return (struct http_handler){
        .handle = toy_handle, .on_error = toy_error, .on_done = toy_done, .arg = toy,
    };
}

static const struct http_config toy_config = {
    .listen = "127.0.0.1:0", .workers = 8, .stack_bytes = 1 << 20,
    .io_timeout_ms = 500, .head_timeout_ms = 500, .idle_timeout_ms = 500,
};

static bool toy_start(struct toy *toy, const struct http_config *cfg)
{
    struct http_handler h = toy_handler(toy);

    memset(toy, 0, sizeof *toy);
    log_init(&toy->log, 2, LOG_OFF);
    return http_server_start(&toy->server, cfg, &h, &toy->log) == ERR_OK;
}

static int toy_connect(const struct toy *toy)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    const char *text = http_server_address(toy->server, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)atoi(strrchr(text, ':') + 1));
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Everything until the server closes. *reset: it did not do so in an orderly way. */
static void receive_all(int fd, char *out, size_t cap, bool *reset)
{
    size_t len = 0;
    ssize_t n = 0;

    while (len < cap - 1 && (n = read(fd, out + len, cap - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    if (reset)
        *reset = n < 0;
}

/* Send text on a connection of its own and return all that comes back. */
static void toy_ask(const struct toy *toy, const char *text, char *out, size_t cap, bool *reset)
{
    int fd = toy_connect(toy);

    out[0] = '\0';
    if (fd < 0)
        return;
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text))
        receive_all(fd, out, cap, reset);
    close(fd);
}

#define CLOSE "Host: x\r\nConnection: close\r\n"

/* Serve text on a socket pair in this thread, with receives of at most piece bytes. */
static void serve_pair(struct t *t, struct toy *toy, const char *text, size_t piece, char *out, size_t cap)
{
    struct http_handler h = toy_handler(toy);
    struct sockaddr nobody = { .sa_family = AF_UNIX };
    int fd[2];

    REQUIRE(server_new(&toy->server, &toy_config, &h, &toy->log) == ERR_OK);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
    REQUIRE(write(fd[0], text, strlen(text)) == (ssize_t)strlen(text));
    shutdown(fd[0], SHUT_WR);
    toy->server->conns[0].wire.piece_max = piece;
    server_serve(toy->server, 0, fd[1], &nobody);
    close(fd[1]);
    receive_all(fd[0], out, cap, NULL);
    close(fd[0]);
    server_free(toy->server);
}

/* ---- bodies ---- */

static void a_chunked_body_may_come_in_any_pieces(struct t *t)
{
    static const char text[] =
        "PATCH /u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n001;ext=\"a b\"\r\n \r\nA\r\nwide world\r\n0\r\nTrailer: 1\r\nOther: 2\r\n\r\n"
        "PUT /w HTTP/1.1\r\n" CLOSE "Content-Length: 3\r\n\r\nabc";
    struct toy toy;
    char out[4096];

    for (size_t piece = 0; piece <= sizeof text && !t_failed(t); piece++) {
        memset(&toy, 0, sizeof toy);
        log_init(&toy.log, 2, LOG_OFF);
        t_note(t, "pieces of %zu", piece);
        serve_pair(t, &toy, text, piece, out, sizeof out);
        CHECK(strstr(out, "\r\n\r\nPATCH /u 16 hello wide worldHTTP/1.1 200 OK") != NULL);
        CHECK(strstr(out, "\r\n\r\nPUT /w 3 abc") != NULL);
    }
}

static void malformed_chunks_are_refused_and_end_the_connection(struct t *t)
{
    static const char *const bodies[] = {
        "x\r\n", "\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n", "-1\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "10000000000000000\r\n", "8000000000000000\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n", "0\r\n\n", "0\r\nA: \x01\r\n\r\n",
        "5;\x01\r\nhello\r\n0\r\n\r\n",
    };
    static const char next[] = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    struct toy toy;
    char text[512], out[4096];

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        memset(&toy, 0, sizeof toy);
        log_init(&toy.log, 2, LOG_OFF);
        t_note(t, "%s", bodies[i]);
        str_format(text, sizeof text, "POST /u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s%s",
                   bodies[i], next);
        serve_pair(t, &toy, text, 0, out, sizeof out);
        CHECK(str_starts(out, "HTTP/1.1 400 "));
        CHECK(strstr(out, "Connection: close\r\n") != NULL);
        CHECK(strstr(out, "smuggled") == NULL);
        CHECK_INT(toy.done, 1);
    }
}

static void endless_extensions_and_trailers_are_refused(struct t *t)
{
    struct toy toy = { 0 };
    char out[4096], *text = calloc(1, 40000);

    REQUIRE(text != NULL);
    log_init(&toy.log, 2, LOG_OFF);
    for (int trailer = 0; trailer < 2; trailer++) {
        memset(text, 0, 40000);
        str_format(text, 40000, "POST /u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                   trailer ? "0\r\nA: " : "5;");
        memset(text + strlen(text), 'a', 20000);
        strcat(text, "\r\nhello\r\n0\r\n\r\n");
        serve_pair(t, &toy, text, 0, out, sizeof out);
        CHECK(str_starts(out, "HTTP/1.1 400 "));
    }
    free(text);
}

static void a_body_that_breaks_off_is_not_a_whole_one(struct t *t)
{
    struct toy toy = { 0 };
    char out[4096];

    log_init(&toy.log, 2, LOG_OFF);
    serve_pair(t, &toy, "PUT /u HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello", 0, out, sizeof out);
    CHECK_STR(out, "");
    CHECK_INT(toy.done, 1);
    CHECK_INT(toy.last_status, 0);
    serve_pair(t, &toy, "PUT /u HTTP/1.1\r\n" HOST CHUNKED "\r\n5\r\nhello\r\n", 0, out, sizeof out);
    CHECK_STR(out, "");
    CHECK_INT(toy.last_status, 0);
}

static void an_unread_small_body_is_skipped(struct t *t)
{
    struct toy toy = { 0 };
    char out[4096];

    log_init(&toy.log, 2, LOG_OFF);
    serve_pair(t, &toy, "PUT /error-before HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
                        "PUT /error-before HTTP/1.1\r\n" HOST CHUNKED "\r\n3\r\nabc\r\n0\r\n\r\n"
                        "PUT /last HTTP/1.1\r\n" CLOSE "\r\n", 0, out, sizeof out);
    CHECK_INT(toy.done, 3);
    CHECK(strstr(out, "PUT /last 0") != NULL);
    /* one too large to be read for nothing ends the connection */
    toy.done = 0;
    serve_pair(t, &toy, "PUT /error-before HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\nhello", 0, out,
               sizeof out);
    CHECK_INT(toy.done, 1);
    CHECK(strstr(out, "Connection: close\r\n") != NULL);
}

/* ---- replies ---- */

static void headers_are_set_once_or_added(struct t *t)
{
    struct toy toy = { 0 };
    char out[4096];

    log_init(&toy.log, 2, LOG_OFF);
    serve_pair(t, &toy, "GET /headers HTTP/1.1\r\n" CLOSE "\r\n", 0, out, sizeof out);
    CHECK(str_starts(out, "HTTP/1.1 201 Created\r\nDate: "));
    CHECK(strstr(out, "\r\nTwo: 2\r\nONE: 3\r\nTwo: 4\r\nThree: 5\r\n"
                      "Content-Length: 1\r\nConnection: close\r\n\r\nx") != NULL);
    CHECK(strstr(out, "One: 1") == NULL);
}

static void an_error_before_the_head_is_answered_and_keeps_headers(struct t *t)
{
    struct toy toy = { 0 };
    char out[4096];

    log_init(&toy.log, 2, LOG_OFF);
    serve_pair(t, &toy, "GET /error-before HTTP/1.1\r\n" CLOSE "\r\n", 0, out, sizeof out);
    CHECK(str_starts(out, "HTTP/1.1 403 "));
    CHECK(strstr(out, "X-Kept: yes\r\nContent-Type: text/plain\r\n") != NULL);
    CHECK(strstr(out, "never") == NULL);
    serve_pair(t, &toy, "GET /nothing HTTP/1.1\r\n" CLOSE "\r\n", 0, out, sizeof out);
    CHECK(str_starts(out, "HTTP/1.1 500 "));
    serve_pair(t, &toy, "GET /many-headers HTTP/1.1\r\n" CLOSE "\r\n", 0, out, sizeof out);
    CHECK(str_starts(out, "HTTP/1.1 500 "));
    CHECK(strstr(out, "again") == NULL);
}

static void replies_without_a_body_have_none(struct t *t)
{
    struct toy toy = { 0 };
    char out[4096];

    log_init(&toy.log, 2, LOG_OFF);
    serve_pair(t, &toy, "GET /204 HTTP/1.1\r\n" CLOSE "\r\n", 0, out, sizeof out);
    CHECK(str_starts(out, "HTTP/1.1 204 No Content\r\n"));
    CHECK(strstr(out, "Content-Length") == NULL);
    serve_pair(t, &toy, "HEAD /x HTTP/1.1\r\n" CLOSE "\r\n", 0, out, sizeof out);
    CHECK(strstr(out, "Content-Length: 10\r\n") != NULL);
    CHECK_STR(strstr(out, "\r\n\r\n"), "\r\n\r\n");
    serve_pair(t, &toy, "HEAD /file HTTP/1.1\r\n" CLOSE "\r\n", 0, out, sizeof out);
    CHECK(strstr(out, "Content-Length: 5\r\n") != NULL);
    CHECK_STR(strstr(out, "\r\n\r\n"), "\r\n\r\n");
}

static void a_part_of_a_file_is_sent(struct t *t)
{
    struct toy toy;
    char out[4096] = "";

    REQUIRE(toy_start(&toy, &toy_config));
    toy_ask(&toy, "GET /file HTTP/1.1\r\n" CLOSE "\r\n", out, sizeof out, NULL);
    CHECK(strstr(out, "Content-Length: 5\r\n") != NULL);
    CHECK_STR(strstr(out, "\r\n\r\n"), "\r\n\r\n23456");
    http_server_stop(toy.server, 1000);
}

static void a_reply_that_breaks_off_resets_the_connection(struct t *t)
{
    static const char *const paths[] = { "error-after", "short", "file-too-short" };
    struct toy toy;
    char text[128], out[4096];
    bool reset;

    REQUIRE(toy_start(&toy, &toy_config));
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        t_note(t, "%s", paths[i]);
        str_format(text, sizeof text, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
        reset = false;
        toy_ask(&toy, text, out, sizeof out, &reset);
        CHECK(reset);
    }
    /* more than was announced is not sent at all */
    t_note(t, "%s", "");
    toy_ask(&toy, "GET /long HTTP/1.1\r\n" CLOSE "\r\n", out, sizeof out, &reset);
    CHECK_STR(strstr(out, "\r\n\r\n"), "\r\n\r\n1234");
    CHECK(!reset);
    http_server_stop(toy.server, 1000);
}

/* ---- connections ---- */

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static bool closed_within(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char c;

    return poll(&p, 1, ms) == 1 && read(fd, &c, 1) <= 0;
}

static void slow_and_idle_peers_are_let_go(struct t *t)
{
    struct toy toy;
    char out[4096];
    int64_t begun;
    int fd;

    REQUIRE(toy_start(&toy, &toy_config));
    /* nothing is sent */
    REQUIRE((fd = toy_connect(&toy)) >= 0);
    CHECK(closed_within(fd, 3000));
    close(fd);
    /* a head that never ends, however busily it is sent */
    REQUIRE((fd = toy_connect(&toy)) >= 0);
    begun = clock_mono_ms();
    CHECK(send(fd, "GET / HTTP/1.1\r\nA: ", 19, MSG_NOSIGNAL) == 19);
    while (!closed_within(fd, 50) && clock_mono_ms() < begun + 5000) {
        char got[1];

        if (recv(fd, got, 1, MSG_DONTWAIT | MSG_PEEK) == 1)
            break;
        send(fd, "a", 1, MSG_NOSIGNAL);
    }
    receive_all(fd, out, sizeof out, NULL);
    CHECK(strstr(out, "408 Request Timeout") != NULL || str_starts(out, "TTP/1.1 408"));
    CHECK(clock_mono_ms() - begun < 3000);
    close(fd);
    /* a body that stalls */
    toy_ask(&toy, "PUT /u HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", out, sizeof out, NULL);
    CHECK(str_starts(out, "HTTP/1.1 408 "));
    /* a connection without a further request */
    begun = clock_mono_ms();
    toy_ask(&toy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", out, sizeof out, NULL);
    CHECK(str_starts(out, "HTTP/1.1 200 "));
    CHECK(clock_mono_ms() - begun < 3000);
    http_server_stop(toy.server, 1000);
}

static void idle_connections_give_way_when_workers_are_scarce(struct t *t)
{
    struct http_config cfg = toy_config;
    struct toy toy;
    char out[4096];
    int idle[60], before = descriptors();
    int64_t begun;

    cfg.workers = 4;
    cfg.head_timeout_ms = cfg.idle_timeout_ms = 60000;
    REQUIRE(toy_start(&toy, &cfg));
    for (unsigned i = 0; i < 60; i++)
        REQUIRE((idle[i] = toy_connect(&toy)) >= 0);
    begun = clock_mono_ms();
    toy_ask(&toy, "GET / HTTP/1.1\r\n" CLOSE "\r\n", out, sizeof out, NULL);
    CHECK(str_starts(out, "HTTP/1.1 200 "));
    CHECK(clock_mono_ms() - begun < 30000); /* 60 / 4 times the quarter of a second of grace, and slack */
    for (unsigned i = 0; i < 60; i++)
        close(idle[i]);
    http_server_stop(toy.server, 1000);
    CHECK_INT(descriptors(), before);
}

static void connections_are_kept_unless_most_workers_are_busy(struct t *t)
{
    struct toy toy;
    char out[4096];
    int fd[8];

    REQUIRE(toy_start(&toy, &toy_config));
    for (unsigned i = 0; i < 6; i++) { /* 6 of 8: not yet most */
        REQUIRE((fd[i] = toy_connect(&toy)) >= 0);
        CHECK(send(fd[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, MSG_NOSIGNAL) == 27);
        CHECK(read(fd[i], out, sizeof out) > 0);
        CHECK(strstr(out, "Connection: close") == NULL);
    }
    REQUIRE((fd[6] = toy_connect(&toy)) >= 0);
    CHECK(send(fd[6], "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, MSG_NOSIGNAL) == 27);
    receive_all(fd[6], out, sizeof out, NULL);
    CHECK(strstr(out, "Connection: close\r\n") != NULL);
    for (unsigned i = 0; i < 7; i++)
        close(fd[i]);
    http_server_stop(toy.server, 1000);
}

static void *stop_soon(void *arg)
{
    usleep(100000);
    http_server_stop(((struct toy *)arg)->server, 500);
    return NULL;
}

static void stopping_lets_requests_end_and_cuts_what_does_not(struct t *t)
{
    struct http_config cfg = toy_config;
    struct toy toy;
    char out[4096];
    int idle, ends, endless, before = descriptors();
    int64_t begun = clock_mono_ms();
    pthread_t stopper;
    bool reset = false;

    cfg.head_timeout_ms = cfg.idle_timeout_ms = cfg.io_timeout_ms = 60000;
    REQUIRE(toy_start(&toy, &cfg));
    REQUIRE((idle = toy_connect(&toy)) >= 0);
    REQUIRE((ends = toy_connect(&toy)) >= 0);
    REQUIRE((endless = toy_connect(&toy)) >= 0);
    CHECK(send(ends, "GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n", 32, MSG_NOSIGNAL) == 32);
    CHECK(send(endless, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", 31, MSG_NOSIGNAL) == 31);
    while (atomic_load(&toy.inside) < 2 && clock_mono_ms() < begun + 10000)
        usleep(1000);
    REQUIRE(pthread_create(&stopper, NULL, stop_soon, &toy) == 0);
    CHECK(closed_within(idle, 5000));
    receive_all(ends, out, sizeof out, NULL);
    CHECK(strstr(out, "Connection: close\r\n\r\nslept") != NULL);
    receive_all(endless, out, sizeof out, &reset);
    CHECK(strstr(out, "Content-Length: 400\r\n") != NULL);
    pthread_join(stopper, NULL);
    CHECK(clock_mono_ms() - begun < 10000); /* not the 20 s that the request would take */
    close(idle);
    close(ends);
    close(endless);
    CHECK_INT(descriptors(), before);
}

static void the_addresses_listened_on_are_reported(struct t *t)
{
    static const char *const bad[] = { "", ":", "5000", ":65536", ":-1", ":5000,", "1.2.3:5000", "[::1:5000",
                                       "::1:5000", "host:5000", "127.0.0.1:", "127.0.0.1:80x", ":1 2" };
    struct http_config cfg = toy_config;
    struct http_handler h;
    struct toy toy, second;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        t_note(t, "%s", bad[i]);
        memset(&toy, 0, sizeof toy);
        log_init(&toy.log, 2, LOG_OFF);
        h = toy_handler(&toy);
        cfg.listen = bad[i];
        CHECK_INT(http_server_start(&toy.server, &cfg, &h, &toy.log), ERR_INVALID);
    }
    t_note(t, "%s", "");
    cfg.listen = "127.0.0.1:0, localhost:0";
    REQUIRE(toy_start(&toy, &cfg));
    CHECK(str_starts(http_server_address(toy.server, 0), "127.0.0.1:"));
    CHECK(str_starts(http_server_address(toy.server, 1), "127.0.0.1:"));
    CHECK(http_server_address(toy.server, 2) == NULL);
    CHECK(!str_eq(http_server_address(toy.server, 0), "127.0.0.1:0"));
    /* a port that is taken */
    memset(&second, 0, sizeof second);
    log_init(&second.log, 2, LOG_OFF);
    h = toy_handler(&second);
    cfg.listen = http_server_address(toy.server, 0);
    CHECK_INT(http_server_start(&second.server, &cfg, &h, &second.log), ERR_IO);
    http_server_stop(toy.server, 0);
    /* all addresses, whichever kinds the machine has */
    cfg.listen = ":0";
    REQUIRE(toy_start(&toy, &cfg));
    CHECK(toy_connect(&toy) >= 0);
    http_server_stop(toy.server, 0);
}

struct load {
    struct toy *toy;
    atomic_int good;
};

static void *ask_often(void *arg)
{
    struct load *load = arg;
    char out[4096];

    for (int i = 0; i < 40; i++) {
        toy_ask(load->toy, "PUT /u HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                           "GET /file HTTP/1.1\r\n" CLOSE "\r\n", out, sizeof out, NULL);
        if (str_starts(out, "HTTP/1.1 200 "))
            atomic_fetch_add(&load->good, 1);
    }
    return NULL;
}

static void many_clients_are_served_at_once(struct t *t)
{
    struct toy toy;
    struct load load = { .toy = &toy };
    pthread_t thread[12];
    int before = descriptors();

    REQUIRE(toy_start(&toy, &toy_config));
    for (unsigned i = 0; i < 12; i++)
        REQUIRE(pthread_create(&thread[i], NULL, ask_often, &load) == 0);
    for (unsigned i = 0; i < 12; i++)
        pthread_join(thread[i], NULL);
    CHECK_INT(atomic_load(&load.good), 12 * 40);
    http_server_stop(toy.server, 1000);
    CHECK_INT(descriptors(), before);
}

T_MAIN(T(heads_that_could_be_read_in_two_ways_are_refused),
       T(a_head_may_come_in_any_pieces),
       T(too_much_of_a_head_is_told_apart),
       T(the_target_is_handed_on_as_sent),
       T(a_connection_is_kept_as_the_client_wants),
       T(query_values_are_decoded),
       T(a_chunked_body_may_come_in_any_pieces),
       T(malformed_chunks_are_refused_and_end_the_connection),
       T(endless_extensions_and_trailers_are_refused),
       T(a_body_that_breaks_off_is_not_a_whole_one),
       T(an_unread_small_body_is_skipped),
       T(headers_are_set_once_or_added),
       T(an_error_before_the_head_is_answered_and_keeps_headers),
       T(replies_without_a_body_have_none),
       T(a_part_of_a_file_is_sent),
       T(a_reply_that_breaks_off_resets_the_connection),
       T_CONCURRENT(slow_and_idle_peers_are_let_go),
       T_CONCURRENT(idle_connections_give_way_when_workers_are_scarce),
       T_CONCURRENT(connections_are_kept_unless_most_workers_are_busy),
       T_CONCURRENT(stopping_lets_requests_end_and_cuts_what_does_not),
       T(the_addresses_listened_on_are_reported),
       T_CONCURRENT(many_clients_are_served_at_once))
