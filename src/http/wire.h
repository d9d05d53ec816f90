/* wire.h - bytes in and out of one connection, with a time-out for a peer that stalls.
 *
 * The only place that calls send and recv, and so the place where TLS goes in. The descriptor is
 * non-blocking and belongs to whoever made the wire.
 */
#ifndef BERTH_HTTP_WIRE_H
#define BERTH_HTTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/log.h"

struct wire {
    int fd;
    unsigned timeout_ms; /* without a byte going either way */
    size_t piece_max;    /* most bytes of one receive, for tests of odd splits; 0: no limit */
};

/* Receive into iov, at least one byte. ERR_TIMEOUT: none came in time. ERR_GONE: the peer has closed or
 * the connection is broken. */
enum err wire_recv(struct wire *w, struct iovec *iov, int count, size_t *got);
/* The same, but returns ERR_BUSY at once when there is nothing. */
enum err wire_recv_now(struct wire *w, void *p, size_t cap, size_t *got);

/* Send all of iov, which is used up. more: keep the last packet open, more follows at once.
 * ERR_TIMEOUT: the peer took nothing for the whole time-out. ERR_GONE: it is not there. */
enum err wire_send(struct wire *w, struct iovec *iov, int count, bool more);
/* Send len bytes of fd from off. ERR_CORRUPT: the file is shorter (logged). ERR_IO: it cannot be read
 * (logged). *sent counts what was sent, also on failure. */
enum err wire_send_file(struct wire *w, int fd, uint64_t off, uint64_t len, uint64_t *sent, struct log *log);

/* Close in a way that the peer still gets what was sent although it is sending itself: say that we
 * have finished, then throw away what comes, for a bounded time and number of bytes. */
void wire_linger(struct wire *w);
/* Reset the connection: what is unsent is forgotten, and the peer cannot take its end for a proper one. */
void wire_abort(struct wire *w);

#endif
