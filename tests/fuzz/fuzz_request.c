/* The request path: the bytes of a connection, from the first request to the close, through the real
 * loop, parser, body reader and reply writer, over a socket pair and without threads. The first byte
 * says in what pieces they arrive (0: as many as there are). The path chooses what the handler does.
 *
 * Besides memory errors it looks for what must hold of any input: a handler sees sane requests, and
 * what comes back is a row of well-formed replies of which only the last one closes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "http/conn.h"

#define INPUT_MAX   40000u /* bytes: a little more than the largest head */
#define OUTPUT_MAX  (4u << 20)
#define FILE_BYTES  100u
#define REPLIES_MAX 100u /* the rest would fill the socket pair, which nobody empties meanwhile */

static struct fuzz {
    struct http_server *server;
    struct log log;
    int file;
    unsigned handled, replied;
    struct { bool bare, whole; } reply[REPLIES_MAX + 1]; /* what the server says it has sent */
    char *out;
} fuzz;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond) ((cond) ? (void)0 : must(#cond, __LINE__))

static void must(const char *what, int line)
{
    fprintf(stderr, "fuzz_request.c:%d: %s\n", line, what);
    abort();
}

static void check_request(const struct http_req *req)
{
    uint64_t length;
    char value[16];

    MUST(http_method(req)[0] != '\0' && strlen(http_method(req)) <= HEAD_METHOD_MAX);
    MUST(http_path(req)[0] == '/' || str_eq(http_path(req), "*"));
    MUST(strlen(http_path(req)) + strlen(http_query(req)) <= HTTP_TARGET_MAX);
    MUST(!strpbrk(http_path(req), " \t\r\n?#") && !strpbrk(http_query(req), " \t\r\n#"));
    MUST(req->head.fields <= HTTP_HEADERS_MAX);
    for (unsigned i = 0; i < req->head.fields; i++) {
        const char *v = req->head.field[i].value;

        MUST(req->head.field[i].name[0] != '\0' && !strpbrk(req->head.field[i].name, " \t\r\n:"));
        MUST(!strpbrk(v, "\r\n") && v[0] != ' ' && (v[0] == '\0' || v[strlen(v) - 1] != ' '));
        MUST(http_header(req, req->head.field[i].name) != NULL);
    }
    MUST(!(http_content_length(req, &length) && req->head.chunked));
    MUST(!http_header_nth(req, "Host", 1) && !http_header_nth(req, "Content-Length", 1));
    if (http_query_get(req, "a", value, sizeof value) == ERR_OK)
        MUST(strlen(value) < sizeof value);
}

/* The body to its end, in pieces of the size that the path's last character gives. */
static enum err read_body(struct http_req *req, uint64_t limit)
{
    const char *path = http_path(req);
    char buf[256];
    size_t cap = 1 + (unsigned char)path[strlen(path) - 1], n;
    uint64_t total = 0, length;
    enum err e;

    do {
        if ((e = http_read(req, buf, cap, &n))) {
            MUST(http_read(req, buf, cap, &n) == e && n == 0);
            return e;
        }
        total += n;
        MUST(n <= cap && total == http_read_bytes(req));
        if (total >= limit)
            return ERR_OK;
    } while (n > 0);
    MUST(!http_content_length(req, &length) || total == length);
    MUST(http_read(req, buf, cap, &n) == ERR_OK && n == 0);
    return ERR_OK;
}

static enum err handle(void *arg, struct http_req *req, struct http_res *res)
{
    char text[64];
    enum err e;

    (void)arg;
    check_request(req);
    if (++fuzz.handled >= REPLIES_MAX)
        http_close_after(res);
    switch (http_path(req)[1]) {
    case 'n': /* not read at all */
        return http_send(res, "unread", 6);
    case 'e':
        return ERR_DENIED;
    case 'p': /* read in part */
        if ((e = read_body(req, 3)))
            return e;
        http_status(res, 202);
        return http_send(res, "", 0);
    case 'f':
        return http_send_file(res, fuzz.file, 10, 20);
    case 'w':
        if ((e = http_send_head(res, 8)) || (e = http_write(res, "12345", 5)))
            return e;
        return http_write_file(res, fuzz.file, 0, 3);
    case 's': /* shorter than announced */
        return http_send_head(res, 8);
    case 'z':
        http_status(res, 204);
        return http_send(res, "", 0);
    default:
        if ((e = read_body(req, UINT64_MAX)))
            return e;
        str_format(text, sizeof text, "%llu", (unsigned long long)http_read_bytes(req));
        http_set(res, "Content-Type", "text/plain");
        return http_send(res, text, strlen(text));
    }
}

static void on_error(void *arg, struct http_req *req, struct http_res *res, enum err e)
{
    (void)arg;
    (void)req;
    http_status(res, e == ERR_DENIED ? 403 : 400);
    http_send(res, err_text(e), strlen(err_text(e)));
}

static void on_done(void *arg, struct http_req *req, struct http_res *res)
{
    (void)arg;
    (void)req;
    if (!http_sent_status(res))
        return;
    MUST(fuzz.replied <= REPLIES_MAX);
    fuzz.reply[fuzz.replied].bare = res->no_body;
    fuzz.reply[fuzz.replied++].whole = reply_is_whole(res);
}

static void start(void)
{
    static const struct http_config cfg = {
        .listen = "", .workers = 8, .stack_bytes = 1 << 18,
        .io_timeout_ms = 1, .head_timeout_ms = 1, .idle_timeout_ms = 1,
    };
    static const struct http_handler handler = { .handle = handle, .on_error = on_error, .on_done = on_done };
    char bytes[FILE_BYTES];

    log_init(&fuzz.log, 2, LOG_OFF);
    fuzz.out = malloc(OUTPUT_MAX + 1);
    fuzz.file = memfd_create("fuzz", MFD_CLOEXEC);
    memset(bytes, 'f', sizeof bytes);
    MUST(fuzz.out && write(fuzz.file, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    MUST(server_new(&fuzz.server, &cfg, &handler, &fuzz.log) == ERR_OK);
}

/* The head of a reply, or of a "100 Continue", at p: its length. */
static size_t check_head(const char *p, size_t len, int *status, bool *closes, size_t *body)
{
    const char *end = memmem(p, len, "\r\n\r\n", 4), *field;
    size_t head;
    char *copy;

    MUST(end != NULL);
    head = (size_t)(end - p) + 4;
    copy = strndup(p, head);
    MUST(copy && strlen(copy) == head);
    MUST(str_starts(copy, "HTTP/1.1 ") && copy[12] == ' ');
    *status = atoi(copy + 9);
    *closes = strstr(copy, "\r\nConnection: close\r\n") != NULL;
    field = strstr(copy, "\r\nContent-Length: ");
    *body = field ? strtoul(field + 18, NULL, 10) : 0;
    MUST(*status == 100 || strstr(copy, "\r\nDate: ") != NULL);
    MUST(field || *status == 100 || *status == 204);
    free(copy);
    return head;
}

static void check_output(size_t len)
{
    unsigned finals = 0;
    bool closes = false;
    size_t at = 0, body;
    int status;

    while (at < len) {
        MUST(!closes);
        at += check_head(fuzz.out + at, len - at, &status, &closes, &body);
        if (status == 100)
            continue;
        MUST(finals < fuzz.replied);
        if (!fuzz.reply[finals].bare) {
            MUST(body <= len - at || !fuzz.reply[finals].whole);
            at += body <= len - at ? body : len - at;
        }
        finals++;
    }
    MUST(finals == fuzz.replied);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr nobody = { .sa_family = AF_UNIX };
    int room = 1 << 20, fd[2];
    size_t len = 0;
    ssize_t n;

    if (size < 1 || size > INPUT_MAX)
        return -1;
    if (!fuzz.server)
        start();
    fuzz.handled = fuzz.replied = 0;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
    setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    MUST(write(fd[0], data + 1, size - 1) == (ssize_t)(size - 1));
    shutdown(fd[0], SHUT_WR);
    fuzz.server->conns[0].wire.piece_max = data[0];
    server_serve(fuzz.server, 0, fd[1], &nobody);
    close(fd[1]);
    while (len < OUTPUT_MAX && (n = read(fd[0], fuzz.out + len, OUTPUT_MAX - len)) > 0)
        len += (size_t)n;
    close(fd[0]);
    check_output(len);
    return 0;
}
