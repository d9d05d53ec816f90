/* notify.c - sd_notify without libsystemd: one datagram on a Unix socket (man 3 sd_notify). */
#include "cli/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"

static int64_t watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t n;

    /* WATCHDOG_PID: the wish may be meant for a process above this one. */
    if (!usec || str_u64(usec, strlen(usec), INT64_MAX, &n))
        return 0;
    if (pid && strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    n /= 2000; /* half the time, in milliseconds, as the protocol recommends */
    return n > 0 ? (int64_t)n : 1;
}

void notify_open(struct notify *n)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    struct timeval patience = { .tv_sec = 2 }; /* for a manager that is busy; not for one that hangs */
    size_t len = path ? strlen(path) : 0;

    n->fd = -1;
    n->watchdog_ms = 0;
    /* "@name" stands for a socket without a file: its address begins with NUL. */
    if (len < 2 || len >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->fd < 0)
        return;
    setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    len += offsetof(struct sockaddr_un, sun_path);
    if (connect(n->fd, (const struct sockaddr *)&to, (socklen_t)len)) {
        notify_close(n);
        return;
    }
    n->watchdog_ms = watchdog_ms();
}

void notify_close(struct notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

void notify_send(const struct notify *n, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    int len;

    if (n->fd < 0)
        return;
    va_start(ap, fmt);
    len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* The manager is free not to listen: an error here changes nothing. */
    if (len > 0 && (size_t)len < sizeof text && send(n->fd, text, (size_t)len, MSG_NOSIGNAL) < 0)
        return;
}
