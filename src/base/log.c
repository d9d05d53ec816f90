/* A line is built on the caller's stack and leaves by one write(2): lines of many
 * threads and processes on the same pipe do not mix, and no lock is held while a
 * slow reader of stderr catches up.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static const char *const level_names[] = { "debug", "info", "warn", "error", "off" };

/* Room kept at the end of a line for the mark of a cut one and the newline. */
#define LINE_TAIL 8

void log_init(struct log *log, int fd, enum log_level level)
{
    log->fd = fd;
    log->level = (int)level;
}

enum err log_level_parse(const char *text, enum log_level *out)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static void line_raw(struct log_line *l, const char *p, size_t n)
{
    if (l->cut)
        return;
    if (l->len + n > LOG_LINE_MAX - LINE_TAIL) {
        l->cut = true;
        return;
    }
    memcpy(l->buf + l->len, p, n);
    l->len += (unsigned)n;
}

static bool needs_quotes(const char *s)
{
    if (*s == '\0')
        return true;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
            return true;
    }
    return false;
}

/* Bytes outside printable ASCII are escaped: what a client sent must not be able to
 * drive the terminal of whoever reads the log. */
static void line_quoted(struct log_line *l, const char *s)
{
    line_raw(l, "\"", 1);
    for (; *s && !l->cut; s++) {
        unsigned char c = (unsigned char)*s;
        char esc[5];

        if (c == '"' || c == '\\') {
            esc[0] = '\\';
            esc[1] = (char)c;
            line_raw(l, esc, 2);
        } else if (c == '\n') {
            line_raw(l, "\\n", 2);
        } else if (c < ' ' || c >= 0x7f) {
            snprintf(esc, sizeof esc, "\\x%02x", c);
            line_raw(l, esc, 4);
        } else {
            line_raw(l, s, 1);
        }
    }
    line_raw(l, "\"", 1);
}

void log_str(struct log_line *l, const char *key, const char *value)
{
    if (!l->on || value == NULL)
        return;
    if (l->len > 0)
        line_raw(l, " ", 1);
    line_raw(l, key, strlen(key));
    line_raw(l, "=", 1);
    if (needs_quotes(value))
        line_quoted(l, value);
    else
        line_raw(l, value, strlen(value));
}

void log_int(struct log_line *l, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    log_str(l, key, text);
}

void log_begin(struct log_line *l, struct log *log, enum log_level level, const char *msg)
{
    char now[CLOCK_RFC3339_LEN + 1];

    l->len = 0;
    l->cut = false;
    l->on = log != NULL && (int)level >= log->level;
    if (!l->on)
        return;
    clock_rfc3339(clock_unix_ms(), now);
    log_str(l, "time", now);
    log_str(l, "level", level_names[level]);
    log_str(l, "msg", msg);
}

void log_end(struct log_line *l, struct log *log)
{
    if (!l->on)
        return;
    if (l->cut) {
        memcpy(l->buf + l->len, "...", 3);
        l->len += 3;
    }
    l->buf[l->len++] = '\n';
    for (unsigned done = 0; done < l->len;) {
        ssize_t n = write(log->fd, l->buf + done, l->len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nowhere left to say it */
        done += (unsigned)n;
    }
}

__attribute__((format(printf, 3, 0)))
static void log_va(struct log *log, enum log_level level, const char *fmt, va_list ap)
{
    struct log_line l;
    char msg[LOG_LINE_MAX / 2];

    if (log == NULL || (int)level < log->level)
        return;
    vsnprintf(msg, sizeof msg, fmt, ap);
    log_begin(&l, log, level, msg);
    log_end(&l, log);
}

void log_msg(struct log *log, enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_va(log, level, fmt, ap);
    va_end(ap);
}

enum err log_fail(struct log *log, enum err e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_va(log, LOG_ERROR, fmt, ap);
    va_end(ap);
    return e;
}
