/* notify.h - tell the service manager how things are: the sd_notify protocol (NOTIFY_SOCKET). */
#ifndef BERTH_CLI_NOTIFY_H
#define BERTH_CLI_NOTIFY_H

#include <stdint.h>

struct notify {
    int fd;                 /* -1: nobody asked */
    int64_t watchdog_ms;    /* a ping is due this often; 0: not wanted */
};

/* Read the environment. A socket that cannot be reached is the same as none. */
void notify_open(struct notify *n);
void notify_close(struct notify *n);

/* One datagram of "KEY=value" lines. */
void notify_send(const struct notify *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
