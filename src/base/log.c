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

#define CUT_MARK "..."
/* Kept free at the end of a line for the mark of a cut one and the newline. */
#define LINE_TAIL (sizeof " " CUT_MARK "\n")
#define VALUE_MIN 24 /* a key with less room than this for its value is dropped: all numbers and times fit */
#define ESCAPE_MAX 4 /* bytes that one byte of a value may become */

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
static size_t escape(char out[ESCAPE_MAX + 1], unsigned char c)
{
    if (c == '"' || c == '\\')
        return (size_t)snprintf(out, ESCAPE_MAX + 1, "\\%c", c);
    if (c == '\n')
        return (size_t)snprintf(out, ESCAPE_MAX + 1, "\\n");
    if (c < ' ' || c >= 0x7f)
        return (size_t)snprintf(out, ESCAPE_MAX + 1, "\\x%02x", c);
    out[0] = (char)c;
    return 1;
}

/* Add s in at most max bytes. */
static void line_value(struct log_line *l, const char *s, size_t max)
{
    bool quotes = needs_quotes(s);
    size_t end = l->len + max - (quotes ? 1 : 0), whole; /* whole: up to here the mark fits behind */

    if (quotes)
        line_raw(l, "\"", 1);
    whole = l->len;
    for (; *s; s++) {
        char esc[ESCAPE_MAX + 1];
        size_t n = escape(esc, (unsigned char)*s);

        if (l->len + n > end) {
            l->len = (unsigned)whole;
            line_raw(l, CUT_MARK, strlen(CUT_MARK));
            break;
        }
        line_raw(l, esc, n);
        if (l->len + strlen(CUT_MARK) <= end)
            whole = l->len;
    }
    if (quotes)
        line_raw(l, "\"", 1);
}

static void line_key(struct log_line *l, const char *key, const char *value, size_t max)
{
    size_t used = l->len + strlen(key) + 2; /* with the space and the '=' */
    size_t room = used < LOG_LINE_MAX - LINE_TAIL ? LOG_LINE_MAX - LINE_TAIL - used : 0;

    if (room < VALUE_MIN)
        l->cut = true;
    if (l->cut)
        return;
    if (l->len > 0)
        line_raw(l, " ", 1);
    line_raw(l, key, strlen(key));
    line_raw(l, "=", 1);
    line_value(l, value, room < max ? room : max);
}

void log_str(struct log_line *l, const char *key, const char *value)
{
    if (l->on && value != NULL)
        line_key(l, key, value, LOG_VALUE_MAX);
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
    line_key(l, "msg", msg, LOG_MSG_MAX);
}

void log_end(struct log_line *l, struct log *log)
{
    if (!l->on)
        return;
    if (l->cut)
        line_raw(l, " " CUT_MARK, strlen(" " CUT_MARK));
    line_raw(l, "\n", 1);
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
    char msg[LOG_MSG_MAX + 2]; /* a text that is cut here is still too long for its line, which marks it */

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
