/* The log, the clock and the disk calls every other room stands on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "t.h"

/* What write() puts into a pipe, read back as one string. */
struct piped {
    int fd[2];
    struct log log;
    char text[3 * LOG_LINE_MAX];
};

static void piped_open(struct piped *p, enum log_level level)
{
    if (pipe(p->fd))
        abort();
    log_init(&p->log, p->fd[1], level);
}

static const char *piped_read(struct piped *p)
{
    ssize_t n;

    close(p->fd[1]);
    n = read(p->fd[0], p->text, sizeof p->text - 1);
    close(p->fd[0]);
    p->text[n > 0 ? n : 0] = '\0';
    return p->text;
}

static void a_line_has_its_keys_in_order_and_quotes_what_needs_it(struct t *t)
{
    struct log_line l;
    struct piped p;
    const char *s;

    piped_open(&p, LOG_INFO);
    log_begin(&l, &p.log, LOG_WARN, "two words");
    log_str(&l, "plain", "a/b:c@d");
    log_str(&l, "none", NULL);
    log_str(&l, "empty", "");
    log_str(&l, "odd", "say \"x\"\n\x1b[31m\xff");
    log_int(&l, "n", -5);
    log_end(&l, &p.log);
    s = piped_read(&p);
    CHECK(str_starts(s, "time="));
    CHECK_STR(strstr(s, " level="), " level=warn msg=\"two words\" plain=a/b:c@d empty=\"\" "
                                    "odd=\"say \\\"x\\\"\\n\\x1b[31m\\xff\" n=-5\n");
}

/* The value of key in the line s, as it stands there; "" when there is none. */
static void value_of(const char *s, const char *key, char out[LOG_LINE_MAX + 1])
{
    char name[32];
    const char *from, *to;

    out[0] = '\0';
    snprintf(name, sizeof name, " %s=", key);
    from = strstr(s, name);
    if (from == NULL)
        return;
    from += strlen(name);
    to = *from == '"' ? strchr(from + 1, '"') + 1 : from + strcspn(from, " \n");
    snprintf(out, LOG_LINE_MAX + 1, "%.*s", (int)(to - from), from);
}

static void a_value_that_is_too_long_is_cut_and_the_keys_after_it_are_there(struct t *t)
{
    static char big[2 * LOG_LINE_MAX], odd[2 * LOG_LINE_MAX];
    char value[LOG_LINE_MAX + 1];
    struct log_line l;
    struct piped p;
    const char *s;

    memset(big, 'x', sizeof big - 1);
    memset(odd, '\x01', sizeof odd - 1);
    piped_open(&p, LOG_INFO);
    log_begin(&l, &p.log, LOG_INFO, "m");
    log_str(&l, "big", big);
    log_str(&l, "odd", odd);
    log_str(&l, "after", "it");
    log_end(&l, &p.log);
    s = piped_read(&p);
    value_of(s, "big", value);
    CHECK_INT(strlen(value), LOG_VALUE_MAX);
    CHECK_INT(strspn(value, "x"), LOG_VALUE_MAX - 3);
    CHECK_STR(value + LOG_VALUE_MAX - 3, "...");
    /* No escape is cut in half, and what was opened is closed. */
    value_of(s, "odd", value);
    CHECK(strlen(value) <= LOG_VALUE_MAX && strlen(value) > LOG_VALUE_MAX - 4);
    CHECK_INT((strlen(value) - strlen("\"...\"")) % strlen("\\x01"), 0);
    CHECK(str_starts(value, "\"\\x01") && strcmp(value + strlen(value) - 8, "\\x01...\"") == 0);
    CHECK_STR(strstr(s, " after="), " after=it\n");
}

static void a_value_is_cut_only_when_it_does_not_fit(struct t *t)
{
    char text[LOG_VALUE_MAX + 2], value[LOG_LINE_MAX + 1];

    for (size_t len = LOG_VALUE_MAX - 4; len <= LOG_VALUE_MAX + 1; len++) {
        struct log_line l;
        struct piped p;

        memset(text, 'x', len);
        text[len] = '\0';
        piped_open(&p, LOG_INFO);
        log_begin(&l, &p.log, LOG_INFO, "m");
        log_str(&l, "text", text);
        text[0] = '='; /* with quotes it takes two more */
        log_str(&l, "quoted", text);
        log_end(&l, &p.log);
        value_of(piped_read(&p), "text", value);
        CHECK_INT(strlen(value), len < LOG_VALUE_MAX ? len : LOG_VALUE_MAX);
        CHECK((strstr(value, "...") != NULL) == (len > LOG_VALUE_MAX));
        value_of(p.text, "quoted", value);
        CHECK_INT(strlen(value), len + 2 < LOG_VALUE_MAX ? len + 2 : LOG_VALUE_MAX);
        CHECK((strstr(value, "...\"") != NULL) == (len + 2 > LOG_VALUE_MAX));
    }
}

static void a_line_that_is_full_says_so(struct t *t)
{
    static char big[2 * LOG_LINE_MAX];
    struct log_line l;
    struct piped p;
    const char *s;

    for (size_t msg = 1; msg < 64; msg++) {
        memset(big, 'x', sizeof big - 1);
        big[msg] = '\0';
        piped_open(&p, LOG_INFO);
        log_begin(&l, &p.log, LOG_INFO, big);
        big[msg] = 'x';
        for (int i = 0; i < 5; i++)
            log_str(&l, "big", big);
        log_int(&l, "after", 1);
        log_end(&l, &p.log);
        s = piped_read(&p);
        CHECK(strlen(s) <= LOG_LINE_MAX);
        CHECK(strlen(s) > LOG_LINE_MAX - 64);
        CHECK_STR(s + strlen(s) - 8, "... ...\n");
        CHECK(strstr(s, "after=") == NULL);
    }
}

static void a_message_that_is_too_long_is_cut_and_says_so(struct t *t)
{
    static char big[2 * LOG_LINE_MAX];
    char value[LOG_LINE_MAX + 1];

    for (size_t len = LOG_MSG_MAX - 4; len <= LOG_MSG_MAX + 4; len++) {
        struct piped p;

        memset(big, 'x', len);
        big[len] = '\0';
        piped_open(&p, LOG_INFO);
        log_msg(&p.log, LOG_INFO, "%s", big);
        value_of(piped_read(&p), "msg", value);
        CHECK_INT(strlen(value), len < LOG_MSG_MAX ? len : LOG_MSG_MAX);
        CHECK((strstr(value, "...") != NULL) == (len > LOG_MSG_MAX));
    }
}

static void lines_below_the_level_are_not_written(struct t *t)
{
    struct piped p;

    piped_open(&p, LOG_WARN);
    log_msg(&p.log, LOG_INFO, "not this");
    log_msg(NULL, LOG_ERROR, "nor this");
    CHECK(log_fail(&p.log, ERR_IO, "but %s", "this") == ERR_IO);
    CHECK(strstr(piped_read(&p), "level=error msg=\"but this\"\n") != NULL);
    CHECK(strstr(p.text, "not this") == NULL);
}

static void a_level_is_one_of_five_words(struct t *t)
{
    enum log_level level;

    CHECK(log_level_parse("debug", &level) == ERR_OK && level == LOG_DEBUG);
    CHECK(log_level_parse("off", &level) == ERR_OK && level == LOG_OFF);
    CHECK(log_level_parse("loud", &level) == ERR_INVALID && log_level_parse("", &level) == ERR_INVALID);
}

static void every_error_has_a_phrase_of_its_own(struct t *t)
{
    for (int e = 0; e < ERR_COUNT; e++) {
        CHECK(strcmp(err_text((enum err)e), "unknown error") != 0);
        for (int other = 0; other < e; other++)
            CHECK(strcmp(err_text((enum err)e), err_text((enum err)other)) != 0);
    }
    CHECK_STR(err_text(ERR_COUNT), "unknown error");
}

static void times_are_written_as_rfc3339(struct t *t)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1769862896789, "2026-01-31T12:34:56.789Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { INT64_MAX, "9999-12-31T23:59:59.807Z" },
    };
    char out[CLOCK_RFC3339_LEN + 1];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        clock_rfc3339(rows[i].ms, out);
        CHECK_STR(out, rows[i].text);
    }
}

static void a_file_is_replaced_whole_and_leaves_no_other(struct t *t)
{
    char text[16] = "";
    int dir = open(t_dir(t), O_RDONLY | O_DIRECTORY), fd;

    CHECK(io_replace_file(&io_posix, dir, "f", "one", 3, 0644, NULL) == ERR_OK);
    CHECK(io_replace_file(&io_posix, dir, "f", "second", 6, 0644, NULL) == ERR_OK);
    fd = openat(dir, "f", O_RDONLY);
    CHECK(read(fd, text, sizeof text) == 6 && memcmp(text, "second", 6) == 0);
    CHECK(faccessat(dir, "f.tmp", F_OK, 0) != 0);
    close(fd);
    close(dir);
}

/* A disk that takes a few bytes at a time, as the call may. */
static ssize_t pwrite_little(const struct io *io, int fd, const void *p, size_t n, off_t off)
{
    (void)io;
    return pwrite(fd, p, n > 3 ? 3 : n, off);
}

static ssize_t pread_little(const struct io *io, int fd, void *p, size_t n, off_t off)
{
    (void)io;
    return pread(fd, p, n > 2 ? 2 : n, off);
}

static void partial_reads_and_writes_go_on_to_the_end(struct t *t)
{
    struct io io = io_posix;
    char path[4096], back[11] = "";
    int fd;

    io.pwrite = pwrite_little;
    io.pread = pread_little;
    REQUIRE(str_format(path, sizeof path, "%s/f", t_dir(t)) == ERR_OK);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(io_write_all(&io, fd, "0123456789", 10, 4, NULL, "f") == ERR_OK);
    CHECK(io_read_all(&io, fd, back, 10, 4, NULL, "f") == ERR_OK);
    CHECK_STR(back, "0123456789");
    CHECK(io_read_all(&io, fd, back, 11, 4, NULL, "f") == ERR_CORRUPT);
    close(fd);
}

static enum err count_or_stop(void *arg, const char *name)
{
    int *n = arg;

    return strcmp(name, "stop") == 0 ? ERR_EXISTS : ((*n)++, ERR_OK);
}

static void a_folder_is_listed_without_its_dots_until_an_error(struct t *t)
{
    int dir = open(t_dir(t), O_RDONLY | O_DIRECTORY), n = 0;

    close(openat(dir, "a", O_CREAT | O_WRONLY, 0600));
    close(openat(dir, "b", O_CREAT | O_WRONLY, 0600));
    CHECK(io_foreach_entry(&io_posix, dir, ".", NULL, count_or_stop, &n) == ERR_OK && n == 2);
    close(openat(dir, "stop", O_CREAT | O_WRONLY, 0600));
    CHECK(io_foreach_entry(&io_posix, dir, ".", NULL, count_or_stop, &n) == ERR_EXISTS);
    CHECK(io_foreach_entry(&io_posix, dir, "none", NULL, count_or_stop, &n) == ERR_NOT_FOUND);
    close(dir);
}

static void errno_is_told_in_our_terms(struct t *t)
{
    CHECK(io_err(ENOSPC) == ERR_NO_SPACE && io_err(EDQUOT) == ERR_NO_SPACE && io_err(EFBIG) == ERR_NO_SPACE);
    CHECK(io_err(ENOMEM) == ERR_NO_MEMORY && io_err(ENOENT) == ERR_NOT_FOUND && io_err(EEXIST) == ERR_EXISTS);
    CHECK(io_err(EIO) == ERR_IO && io_err(EROFS) == ERR_IO);
}

T_MAIN(T(a_line_has_its_keys_in_order_and_quotes_what_needs_it),
       T(a_value_that_is_too_long_is_cut_and_the_keys_after_it_are_there),
       T(a_value_is_cut_only_when_it_does_not_fit), T(a_line_that_is_full_says_so),
       T(a_message_that_is_too_long_is_cut_and_says_so), T(lines_below_the_level_are_not_written),
       T(a_level_is_one_of_five_words), T(every_error_has_a_phrase_of_its_own),
       T(times_are_written_as_rfc3339), T(a_file_is_replaced_whole_and_leaves_no_other),
       T(partial_reads_and_writes_go_on_to_the_end), T(a_folder_is_listed_without_its_dots_until_an_error),
       T(errno_is_told_in_our_terms))
