/* civetweb_seam.h - the part of civetweb that berth uses: listeners, the accept queue, the workers.
 *
 * civetweb binds the ports, accepts, and hands each connection to a worker thread. From there on
 * the connection is ours until serve() returns; civetweb's own request loop never runs (the .c file
 * says why). Only civetweb_seam.c includes civetweb's source.
 *
 *     seam_start -> (serve runs, on worker threads) -> seam_stop_begin -> seam_stop_end
 */
#ifndef BERTH_HTTP_CIVETWEB_SEAM_H
#define BERTH_HTTP_CIVETWEB_SEAM_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/err.h"

struct seam; /* civetweb's context */

struct seam_config {
    const char *ports;    /* in civetweb's words: "+5000,127.0.0.1:5001,[::1]:5002" */
    unsigned workers;     /* threads */
    unsigned stack_bytes; /* of each thread */
    /* One connection, on worker thread number worker (from 0). fd is non-blocking and is closed by
     * civetweb afterwards. */
    void (*serve)(void *arg, unsigned worker, int fd, const struct sockaddr *peer);
    void (*complain)(void *arg, const char *text); /* what civetweb has to report; any thread */
    void *arg;
};

/* Bind all ports and start the threads. cfg must live until seam_stop_end has returned.
 * ERR_IO: a port could not be bound; complain was told. ERR_NO_MEMORY: or no thread could be started. */
enum err seam_start(struct seam **out, const struct seam_config *cfg);
/* The n-th bound address, its real port filled in; NULL from n on. */
const struct sockaddr *seam_address(const struct seam *s, unsigned n);

/* How many workers could be started. */
unsigned seam_workers(const struct seam *s);

/* Accept nothing more and close what waits in the queue. Connections being served go on. */
void seam_stop_begin(struct seam *s);
/* Wait for every worker to leave its connection, then free everything. */
void seam_stop_end(struct seam *s);

#endif
