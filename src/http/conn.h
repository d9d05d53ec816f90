/* conn.h - a connection as src/http sees it: its buffers, the request it is at, the reply to it.
 *
 * One struct conn per worker, used for one connection after the other. It is large and mostly never
 * touched: only the pages that heads and replies really fill become resident.
 *
 *     conn.c     the loop: read a head, call the handler, keep or close
 *     body.c     the request's body: http_read, draining
 *     request.c  what the handler asks about the request
 *     reply.c    the reply: collect the head, send
 *     server.c   all connections together: start, stop, who must give way
 */
#ifndef BERTH_HTTP_CONN_H
#define BERTH_HTTP_CONN_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "http/civetweb_seam.h"
#include "http/head.h"
#include "http/http.h"
#include "http/wire.h"

#define CONN_IN_FIRST  4096u  /* bytes of a head before a larger buffer is allocated for it */
#define CONN_IN_SPARE  1024u  /* room kept behind the head for the framing of a chunked body */
#define CONN_OUT_MAX   8192u  /* bytes of a reply's headers */
#define CONN_DRAIN_MAX 262144u /* bytes of an unread body that are read for the sake of the connection */

enum body_state { /* of a chunked body: what comes next */
    BODY_SIZE,    /* the digits of a chunk's size */
    BODY_EXT,     /* the rest of that line */
    BODY_SIZE_LF,
    BODY_DATA,
    BODY_DATA_CR,
    BODY_DATA_LF,
    BODY_TRAILER, /* a trailer line, or the end */
    BODY_TRAILER_TEXT,
    BODY_TRAILER_LF,
    BODY_LAST_LF,
    BODY_END
};

struct http_req {
    struct conn *conn;
    struct head head;
    int64_t started_us;
    /* the body */
    uint64_t read;      /* bytes handed out */
    uint64_t left;      /* of the body, or of the chunk */
    enum body_state state;
    unsigned digits;    /* of the chunk's size so far */
    unsigned extra;     /* bytes of extension, or of all trailers */
    bool continue_due;  /* 100 Continue was asked for and not sent */
    enum err failed;    /* once reading failed, it fails */
};

struct http_res {
    struct conn *conn;
    int status;
    bool close;         /* after this reply */
    bool too_large;     /* a header did not fit */
    bool head_tried;    /* from here on no other head can be sent */
    bool head_sent;
    bool no_body;       /* HEAD, 204, 304: body bytes are counted and dropped */
    uint64_t length;    /* of the body, as announced */
    uint64_t given;     /* of it, by the handler */
    uint64_t sent;      /* of it, over the wire */
    size_t len;
    char out[CONN_OUT_MAX]; /* header lines */
};

struct conn {
    struct http_server *server;
    struct wire wire;
    char peer[INET6_ADDRSTRLEN];
    bool loopback;

    /* What was received: [0, head) is the request's head, [at, len) was read ahead of the body. */
    char *in;
    size_t cap, head, at, len;

    struct http_req req;
    struct http_res res;
    char in_first[CONN_IN_FIRST + CONN_IN_SPARE];
};

struct http_server {
    struct http_config cfg;
    struct http_handler handler;
    struct log *log;
    struct seam *seam; /* NULL in tests that bring their own connections */
    struct seam_config seam_cfg;

    struct conn *conns; /* one for each worker */
    pthread_mutex_t lock; /* over wire.fd of each, -1 when it serves none, and over cutting */
    pthread_cond_t none_left;
    atomic_uint workers;   /* that could be started */
    atomic_uint active;    /* of them, those that hold a connection */
    atomic_uint evictable; /* of these, those that wait idle and may be asked to leave */
    atomic_bool stopping;  /* replies close, idle connections leave */
    bool cutting;          /* the time to finish is over */
    int stop_event;        /* readable from the moment the server stops */
    int room_event;        /* one token: one idle connection should leave */

    char address[HTTP_LISTEN_MAX][INET6_ADDRSTRLEN + 10];
    unsigned addresses;
    char complaint[256]; /* civetweb's, while it starts */
    atomic_bool started; /* from here on they are warnings */
};

/* ---- body.c ---- */
void body_begin(struct http_req *req);
/* Bytes that are surely still to come; a chunked body that has not ended counts as one. */
uint64_t body_left(const struct http_req *req);
/* Read the rest, at most CONN_DRAIN_MAX bytes. False: the connection cannot go on. */
bool body_drain(struct http_req *req);

/* ---- reply.c ---- */
void reply_begin(struct http_res *res, struct conn *c);
/* A short reply of the server's own. */
void reply_plain(struct http_res *res, int status);
/* Whether head and body went out in full. */
bool reply_is_whole(const struct http_res *res);

/* ---- conn.c ---- */
/* Serve the connection c->wire from its first request to its last; does not close it. */
void conn_run(struct conn *c);

/* ---- server.c ---- */
/* A server without listeners, for http_server_start and for tests that bring their own connections. */
enum err server_new(struct http_server **out, const struct http_config *cfg,
                    const struct http_handler *handler, struct log *log);
void server_free(struct http_server *s); /* NULL is allowed */
/* Serve one connection as worker number worker. */
void server_serve(struct http_server *s, unsigned worker, int fd, const struct sockaddr *peer);
/* Whether replies should close their connections. */
bool server_is_busy(const struct http_server *s);
/* Whether an idle connection should give its worker to one that waits. */
bool server_is_full(const struct http_server *s);

#endif
