/* log.h - logfmt lines to one file descriptor (stderr).
 *
 * One event is one line, "time=... level=... msg=... key=value ...", written by
 * one write(2), so that lines of many threads never mix. A value that needs it
 * is quoted and escaped; one longer than LOG_VALUE_MAX is cut, with "..." as its
 * last characters, and the keys after it still have their room. Keys for which a
 * line of LOG_LINE_MAX has none left are dropped, and the line ends in " ...":
 * short keys go first. Any thread; the log outlives everything that holds it.
 */
#ifndef BERTH_BASE_LOG_H
#define BERTH_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define LOG_LINE_MAX  4096 /* bytes, the newline included */
#define LOG_MSG_MAX   2048 /* bytes of msg, quotes and escapes included */
#define LOG_VALUE_MAX 1024 /* the same of any other value, so that a line has room for several cut ones */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

struct log {
    int fd;
    _Atomic int level; /* enum log_level: below it nothing is written; SIGHUP may change it */
};

void log_init(struct log *log, int fd, enum log_level level);

/* "debug", "info", "warn", "error", "off". ERR_INVALID: none of them. */
enum err log_level_parse(const char *text, enum log_level *out);

/* A line whose msg is the formatted text. A NULL log is allowed and silent. */
void log_msg(struct log *log, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Log at error level and hand e on, so that a finder of a fault writes
 * "return log_fail(log, ERR_IO, ...)". */
enum err log_fail(struct log *log, enum err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A line of its own keys: begin, add, end. The line lives on the caller's stack. */
struct log_line {
    char buf[LOG_LINE_MAX];
    unsigned len;
    bool on, cut;
};
void log_begin(struct log_line *l, struct log *log, enum log_level level, const char *msg);
void log_str(struct log_line *l, const char *key, const char *value); /* NULL value: left out */
void log_int(struct log_line *l, const char *key, int64_t value);
void log_end(struct log_line *l, struct log *log);

#endif
