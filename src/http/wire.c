/* wire.c - socket reads and writes that wait with poll(2). */
#include "http/wire.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define LINGER_TOTAL_MS 5000           /* how long a peer may go on sending after our last byte */
#define LINGER_IDLE_MS  1000           /* and how long it may say nothing */
#define LINGER_BYTES    (256ull << 20) /* and how much it may send */
#define SENDFILE_BYTES  (1u << 30)     /* of one call; the kernel's own limit is just under 2 GiB */

_Static_assert(sizeof(off_t) == 8, "blobs are larger than 2 GiB: build with _FILE_OFFSET_BITS=64");

/* Bytes the kernel still holds for the peer. */
static int unsent(const struct wire *w)
{
    int n;

    return ioctl(w->fd, SIOCOUTQ, &n) ? 0 : n;
}

/* ERR_OK: try again. */
static enum err wait_for(const struct wire *w, short events)
{
    struct pollfd p = { .fd = w->fd, .events = events };
    int before = events & POLLOUT ? unsent(w) : 0;

    for (;;) {
        int rc = poll(&p, 1, (int)w->timeout_ms);

        if (rc > 0)
            return ERR_OK; /* errors too: the next call says which */
        if (rc < 0 && errno != EINTR)
            return ERR_GONE;
        if (rc < 0)
            continue;
        /* A socket is writable again only when a third of its buffer is free, megabytes perhaps: a
         * slow line may need longer than the time-out for so much, and yet take bytes all the time. */
        if (events & POLLOUT) {
            int now = unsent(w);

            if (now < before) {
                before = now;
                continue;
            }
        }
        return ERR_TIMEOUT;
    }
}

static enum err recv_once(struct wire *w, struct iovec *iov, int count, size_t *got)
{
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)count };
    ssize_t n;

    if (w->piece_max > 0) {
        m.msg_iovlen = 1;
        if (iov->iov_len > w->piece_max)
            iov->iov_len = w->piece_max;
    }
    do
        n = recvmsg(w->fd, &m, 0);
    while (n < 0 && errno == EINTR);
    *got = n > 0 ? (size_t)n : 0;
    if (n > 0)
        return ERR_OK;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? ERR_BUSY : ERR_GONE;
}

enum err wire_recv_now(struct wire *w, void *p, size_t cap, size_t *got)
{
    struct iovec iov = { p, cap };

    return recv_once(w, &iov, 1, got);
}

enum err wire_recv(struct wire *w, struct iovec *iov, int count, size_t *got)
{
    enum err e;

    assert(iov->iov_len > 0);
    while ((e = recv_once(w, iov, count, got)) == ERR_BUSY)
        if ((e = wait_for(w, POLLIN)))
            return e;
    return e;
}

enum err wire_send(struct wire *w, struct iovec *iov, int count, bool more)
{
    enum err e;

    for (;;) {
        struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)count };
        ssize_t n;

        while (count > 0 && iov->iov_len == 0) {
            m.msg_iov = ++iov;
            m.msg_iovlen = (size_t)--count;
        }
        if (count == 0)
            return ERR_OK;
        n = sendmsg(w->fd, &m, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                return ERR_GONE;
            if ((e = wait_for(w, POLLOUT)))
                return e;
            continue;
        }
        for (; count > 0 && (size_t)n >= iov->iov_len; iov++, count--)
            n -= (ssize_t)iov->iov_len;
        if (count > 0) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
}

/* For files that sendfile cannot read (some network and FUSE file systems). */
static enum err copy_file(struct wire *w, int fd, uint64_t off, uint64_t len, uint64_t *sent, struct log *log)
{
    char buf[16384];
    enum err e;

    while (len > 0) {
        ssize_t n = pread(fd, buf, len < sizeof buf ? (size_t)len : sizeof buf, (off_t)off);
        struct iovec iov = { buf, n > 0 ? (size_t)n : 0 };

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return log_fail(log, ERR_IO, "read of a file being sent: %s", strerror(errno));
        if (n == 0)
            return log_fail(log, ERR_CORRUPT, "a file being sent is shorter than it should be");
        if ((e = wire_send(w, &iov, 1, len > (uint64_t)n)))
            return e;
        off += (uint64_t)n;
        len -= (uint64_t)n;
        *sent += (uint64_t)n;
    }
    return ERR_OK;
}

enum err wire_send_file(struct wire *w, int fd, uint64_t off, uint64_t len, uint64_t *sent, struct log *log)
{
    off_t at = (off_t)off;
    enum err e;

    *sent = 0;
    while (len > 0) {
        ssize_t n = sendfile(w->fd, fd, &at, len < SENDFILE_BYTES ? (size_t)len : SENDFILE_BYTES);

        if (n > 0) {
            len -= (uint64_t)n;
            *sent += (uint64_t)n;
            continue;
        }
        if (n == 0)
            return log_fail(log, ERR_CORRUPT, "a file being sent is shorter than it should be");
        switch (errno) {
        case EINTR:
            break;
        case EAGAIN:
            if ((e = wait_for(w, POLLOUT)))
                return e;
            break;
        case EINVAL:
        case ENOSYS:
            return copy_file(w, fd, (uint64_t)at, len, sent, log);
        case EIO:
        case EBADF:
        case ENOMEM:
        case EOVERFLOW:
            return log_fail(log, ERR_IO, "sendfile: %s", strerror(errno));
        default: /* EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ...: the connection */
            return ERR_GONE;
        }
    }
    return ERR_OK;
}

void wire_linger(struct wire *w)
{
    int64_t end = clock_mono_ms() + LINGER_TOTAL_MS;
    uint64_t left = LINGER_BYTES;
    char buf[16384];

    if (shutdown(w->fd, SHUT_WR))
        return;
    while (left > 0) {
        struct pollfd p = { .fd = w->fd, .events = POLLIN };
        int64_t wait = end - clock_mono_ms();
        ssize_t n;

        if (wait <= 0 || poll(&p, 1, (int)(wait < LINGER_IDLE_MS ? wait : LINGER_IDLE_MS)) <= 0)
            return;
        n = recv(w->fd, buf, left < sizeof buf ? (size_t)left : sizeof buf, 0);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return;
        if (n > 0)
            left -= (uint64_t)n;
    }
}

void wire_abort(struct wire *w)
{
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };

    /* Dissolves the connection, on Linux by a reset. SO_LINGER with a time of 0 would come too late:
     * civetweb shuts down for writing before it closes, and the peer saw an orderly end first. */
    (void)connect(w->fd, &nobody, sizeof nobody);
}
