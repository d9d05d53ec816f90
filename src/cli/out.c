/* out.c - sizes, ages, tables, progress. */
#include "cli/out.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define PROGRESS_EVERY_MS 100
#define PROGRESS_WIDTH    30

void out_size(uint64_t bytes, char out[OUT_SIZE_MAX + 1])
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB" };
    double n = (double)bytes / 1024;
    size_t i = 0;

    if (bytes < 1024) {
        snprintf(out, OUT_SIZE_MAX + 1, "%u B", (unsigned)bytes);
        return;
    }
    /* 1023.5 and more would be written as 1024. */
    while (n >= 1023.5 && i + 1 < sizeof units / sizeof units[0]) {
        n /= 1024;
        i++;
    }
    snprintf(out, OUT_SIZE_MAX + 1, n < 9.95 ? "%.1f %s" : "%.0f %s", n, units[i]);
}

void out_age(int64_t unix_ms, int64_t now_ms, char out[OUT_AGE_MAX + 1])
{
    static const struct {
        int64_t until, factor; /* seconds */
        const char *one, *many;
    } steps[] = {
        { 10, 0, "just now", NULL },
        { 120, 1, "second", "seconds" },
        { 2 * 3600, 60, "minute", "minutes" },
        { 2 * 86400, 3600, "hour", "hours" },
        { 60 * 86400, 86400, "day", "days" },
    };
    char date[CLOCK_RFC3339_LEN + 1];
    int64_t s = (now_ms - unix_ms) / 1000;

    for (size_t i = 0; s >= 0 && i < sizeof steps / sizeof steps[0]; i++) {
        long long n;

        if (s >= steps[i].until)
            continue;
        n = steps[i].factor ? (long long)(s / steps[i].factor) : 0;
        if (steps[i].factor)
            snprintf(out, OUT_AGE_MAX + 1, "%lld %s", n, n == 1 ? steps[i].one : steps[i].many);
        else
            snprintf(out, OUT_AGE_MAX + 1, "%s", steps[i].one);
        return;
    }
    clock_rfc3339(unix_ms, date);
    snprintf(out, OUT_AGE_MAX + 1, "%.10s", date);
}

void out_count(struct buf *b, uint64_t n, const char *one, const char *many)
{
    buf_fmt(b, "%llu %s", (unsigned long long)n, n == 1 ? one : many);
}

void out_json_time(struct buf *b, const char *key, int64_t unix_ms)
{
    char text[CLOCK_RFC3339_LEN + 1];

    clock_rfc3339(unix_ms, text);
    buf_fmt(b, ",\"%s\":\"%s\"", key, text);
}

enum err out_flush(struct buf *b)
{
    enum err e = b->err;

    if (b->len > 0 && !e)
        fwrite(b->p, 1, b->len, stdout);
    buf_clear(b);
    return e;
}

enum err table_add(struct table *t, const char *text)
{
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        char **cells = realloc(t->cells, cap * sizeof *cells);

        if (!cells)
            return ERR_NO_MEMORY;
        t->cells = cells;
        t->cap = cap;
    }
    t->cells[t->count] = strdup(text);
    if (!t->cells[t->count])
        return ERR_NO_MEMORY;
    t->count++;
    return ERR_OK;
}

void table_print(const struct table *t, FILE *to)
{
    size_t width[16] = { 0 };

    for (size_t i = 0; i < t->count; i++) {
        size_t len = strlen(t->cells[i]);

        if (len > width[i % t->columns])
            width[i % t->columns] = len;
    }
    for (size_t i = 0; i < t->count; i++) {
        unsigned column = (unsigned)(i % t->columns);
        bool last = column + 1 == t->columns;
        int w = (int)width[column];

        if (t->right & (1u << column))
            fprintf(to, "%*s%s", w, t->cells[i], last ? "\n" : "  ");
        else if (last)
            fprintf(to, "%s\n", t->cells[i]); /* no blanks at the line's end */
        else
            fprintf(to, "%-*s  ", w, t->cells[i]);
    }
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    t->cells = NULL;
    t->count = t->cap = 0;
}

void progress_begin(struct progress *p)
{
    const char *term = getenv("TERM");

    memset(p, 0, sizeof *p);
    p->on = isatty(STDERR_FILENO) && !str_eq(term, "dumb");
}

void progress_step(struct progress *p, uint64_t done, uint64_t total, const char *what)
{
    char bar[PROGRESS_WIDTH + 1];
    int64_t now = clock_mono_ms();
    unsigned full;

    if (!p->on || (p->shown && now - p->last_ms < PROGRESS_EVERY_MS && done < total))
        return;
    p->shown = true;
    p->last_ms = now;
    if (total == 0) {
        fprintf(stderr, "\r%-24.24s  %llu\033[K", what, (unsigned long long)done);
        return;
    }
    full = done >= total ? PROGRESS_WIDTH : (unsigned)((double)done / (double)total * PROGRESS_WIDTH);
    memset(bar, '.', PROGRESS_WIDTH);
    memset(bar, '#', full);
    bar[PROGRESS_WIDTH] = '\0';
    fprintf(stderr, "\r%-24.24s  [%s] %3u%%\033[K", what, bar,
            done >= total ? 100u : (unsigned)((double)done / (double)total * 100));
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
