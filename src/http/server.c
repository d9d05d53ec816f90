/* server.c - all connections together: start and stop, who is busy, who must give way. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "http/civetweb_seam.h"
#include "http/conn.h"

#define PORTS_MAX (HTTP_LISTEN_MAX * (INET6_ADDRSTRLEN + 16u)) /* bytes of the list given to civetweb */

/* ---- connections ---- */

bool server_is_busy(const struct http_server *s)
{
    return (uint64_t)atomic_load(&s->active) * 4 > (uint64_t)atomic_load(&s->workers) * 3;
}

bool server_is_full(const struct http_server *s)
{
    return atomic_load(&s->active) >= atomic_load(&s->workers);
}

static void set_peer(struct conn *c, const struct sockaddr *peer)
{
    c->peer[0] = '\0';
    c->loopback = false;
    if (peer->sa_family == AF_INET) {
        const struct in_addr *a = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;

        inet_ntop(AF_INET, a, c->peer, sizeof c->peer);
        c->loopback = ntohl(a->s_addr) >> 24 == 127;
    } else if (peer->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(a)) { /* an IPv4 client of a socket for both */
            inet_ntop(AF_INET, a->s6_addr + 12, c->peer, sizeof c->peer);
            c->loopback = a->s6_addr[12] == 127;
        } else {
            inet_ntop(AF_INET6, a, c->peer, sizeof c->peer);
            c->loopback = IN6_IS_ADDR_LOOPBACK(a);
        }
    }
}

/* Ask one idle connection to leave, if there is any. */
static void make_room(struct http_server *s)
{
    uint64_t one = 1;

    /* conn.c raises evictable first and looks at active then; here it is the other way round, so that
     * one of the two sees the other. A token that nobody needed wakes one more connection: it looks
     * whether the server is full, and stays. */
    if (server_is_full(s) && atomic_load(&s->evictable) > 0 && write(s->room_event, &one, sizeof one) < 0)
        log_msg(s->log, LOG_WARN, "eventfd: %s", strerror(errno));
}

void server_serve(struct http_server *s, unsigned worker, int fd, const struct sockaddr *peer)
{
    struct conn *c = &s->conns[worker];

    pthread_mutex_lock(&s->lock);
    c->wire.fd = fd;
    atomic_fetch_add(&s->active, 1);
    if (s->cutting)
        shutdown(fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    make_room(s);

    set_peer(c, peer);
    conn_run(c);

    pthread_mutex_lock(&s->lock);
    c->wire.fd = -1;
    if (atomic_fetch_sub(&s->active, 1) == 1)
        pthread_cond_broadcast(&s->none_left);
    pthread_mutex_unlock(&s->lock);
}

static void serve(void *arg, unsigned worker, int fd, const struct sockaddr *peer)
{
    server_serve(arg, worker, fd, peer);
}

/* ---- start and stop ---- */

enum err server_new(struct http_server **out, const struct http_config *cfg,
                    const struct http_handler *handler, struct log *log)
{
    struct http_server *s = calloc(1, sizeof *s);
    pthread_condattr_t attr;

    *out = NULL;
    if (!s)
        return log_fail(log, ERR_NO_MEMORY, "no memory for the HTTP server");
    s->cfg = *cfg;
    s->handler = *handler;
    s->log = log;
    atomic_init(&s->workers, cfg->workers);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->none_left, &attr);
    pthread_condattr_destroy(&attr);
    s->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->room_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    s->conns = calloc(cfg->workers, sizeof *s->conns);
    if (s->stop_event < 0 || s->room_event < 0 || !s->conns) {
        server_free(s);
        return log_fail(log, ERR_NO_MEMORY, "no memory or descriptors for %u connections", cfg->workers);
    }
    for (unsigned i = 0; i < cfg->workers; i++) {
        s->conns[i].server = s;
        s->conns[i].wire.fd = -1;
        s->conns[i].wire.timeout_ms = cfg->io_timeout_ms;
    }
    *out = s;
    return ERR_OK;
}

void server_free(struct http_server *s)
{
    if (!s)
        return;
    if (s->stop_event >= 0)
        close(s->stop_event);
    if (s->room_event >= 0)
        close(s->room_event);
    pthread_cond_destroy(&s->none_left);
    pthread_mutex_destroy(&s->lock);
    free(s->conns);
    free(s);
}

static bool have_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

/* One address of the list, "[ADDR]:PORT", in civetweb's words. */
static enum err translate_address(char *out, size_t cap, const char *text, size_t len)
{
    char addr[INET6_ADDRSTRLEN + 2], *host = addr;
    struct in6_addr any;
    uint64_t port;
    size_t n = len;

    while (n > 0 && text[n - 1] != ':')
        n--;
    if (n == 0 || len - n > 5 || str_u64(text + n, len - n, 65535, &port) ||
        str_copy_n(addr, sizeof addr, text, n - 1))
        return ERR_INVALID;
    n = strlen(addr);
    if (n == 0)
        return str_format(out, cap, have_ipv6() ? "+%u" : "0.0.0.0:%u", (unsigned)port);
    if (str_eq(addr, "localhost"))
        return str_format(out, cap, "127.0.0.1:%u", (unsigned)port);
    if (inet_pton(AF_INET, addr, &any) == 1)
        return str_format(out, cap, "%s:%u", addr, (unsigned)port);
    if (addr[0] != '[' || addr[n - 1] != ']')
        return ERR_INVALID;
    addr[n - 1] = '\0';
    host++;
    if (inet_pton(AF_INET6, host, &any) != 1)
        return ERR_INVALID;
    return str_format(out, cap, "[%s]:%u", host, (unsigned)port);
}

static enum err translate_listen(char *out, size_t cap, const char *listen)
{
    unsigned count = 0;
    size_t used = 0;

    for (;;) {
        size_t n, len;

        listen += strspn(listen, " \t");
        n = strcspn(listen, ",");
        for (len = n; len > 0 && (listen[len - 1] == ' ' || listen[len - 1] == '\t'); len--)
            ;
        if (count++ == HTTP_LISTEN_MAX || used + 1 >= cap)
            return ERR_INVALID;
        if (used > 0)
            out[used++] = ',';
        if (translate_address(out + used, cap - used, listen, len))
            return ERR_INVALID;
        used += strlen(out + used);
        listen += n;
        if (*listen++ == '\0')
            return ERR_OK;
    }
}

static void complain(void *arg, const char *text)
{
    struct http_server *s = arg;

    if (atomic_load(&s->started)) /* rare: a socket option that was refused */
        log_msg(s->log, LOG_WARN, "%s", text);
    else if (s->complaint[0] == '\0') /* the first one is the cause */
        str_copy_n(s->complaint, sizeof s->complaint, text, strnlen(text, sizeof s->complaint - 1));
}

static void keep_address(struct http_server *s, const struct sockaddr *a)
{
    char host[INET6_ADDRSTRLEN] = "";
    char *out = s->address[s->addresses++];

    if (a->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a6 = (const void *)a;

        inet_ntop(AF_INET6, &a6->sin6_addr, host, sizeof host);
        snprintf(out, sizeof s->address[0], "[%s]:%u", host, (unsigned)ntohs(a6->sin6_port));
    } else {
        const struct sockaddr_in *a4 = (const void *)a;

        inet_ntop(AF_INET, &a4->sin_addr, host, sizeof host);
        snprintf(out, sizeof s->address[0], "%s:%u", host, (unsigned)ntohs(a4->sin_port));
    }
}

enum err http_server_start(struct http_server **out, const struct http_config *cfg,
                           const struct http_handler *handler, struct log *log)
{
    struct http_server *s = NULL;
    char ports[PORTS_MAX];
    const struct sockaddr *a;
    enum err e;

    *out = NULL;
    if (translate_listen(ports, sizeof ports, cfg->listen))
        return log_fail(log, ERR_INVALID, "cannot listen on \"%s\": want [ADDR]:PORT[,...]", cfg->listen);
    if ((e = server_new(&s, cfg, handler, log)))
        return e;
    s->seam_cfg = (struct seam_config){ ports, cfg->workers, cfg->stack_bytes, serve, complain, s };
    if ((e = seam_start(&s->seam, &s->seam_cfg))) {
        log_fail(log, e, "cannot listen on %s: %s", cfg->listen, s->complaint);
        server_free(s);
        return e;
    }
    s->seam_cfg.ports = NULL; /* civetweb has its copy */
    atomic_store(&s->started, true);
    /* Where threads are scarce, fewer workers are better than none; the others must not be counted on. */
    atomic_store(&s->workers, seam_workers(s->seam));
    if (s->complaint[0])
        log_msg(log, LOG_WARN, "%u of %u workers started: %s", atomic_load(&s->workers), cfg->workers,
                s->complaint);
    for (unsigned i = 0; i < HTTP_LISTEN_MAX && (a = seam_address(s->seam, i)); i++)
        keep_address(s, a);
    *out = s;
    return ERR_OK;
}

const char *http_server_address(const struct http_server *s, unsigned n)
{
    return n < s->addresses ? s->address[n] : NULL;
}

void http_server_stop(struct http_server *s, unsigned drain_ms)
{
    struct timespec end;
    uint64_t one = 1;

    atomic_store(&s->stopping, true);
    if (write(s->stop_event, &one, sizeof one) < 0)
        log_msg(s->log, LOG_WARN, "eventfd: %s", strerror(errno));
    seam_stop_begin(s->seam);

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += drain_ms / 1000;
    end.tv_nsec += (long)(drain_ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&s->lock);
    while (atomic_load(&s->active) > 0 && pthread_cond_timedwait(&s->none_left, &s->lock, &end) == 0)
        ;
    /* Reads and writes of the rest fail from now on, and those of a worker that has taken a connection
     * but not begun with it. The descriptors stay theirs to close. */
    s->cutting = true;
    for (unsigned i = 0; i < s->cfg.workers; i++)
        if (s->conns[i].wire.fd >= 0)
            shutdown(s->conns[i].wire.fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);

    seam_stop_end(s->seam);
    server_free(s);
}
