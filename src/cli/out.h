/* out.h - how commands write for people: sizes, ages, tables, progress. */
#ifndef BERTH_CLI_OUT_H
#define BERTH_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

#define OUT_SIZE_MAX 15 /* "1023 KiB" and what else out_size writes */
#define OUT_AGE_MAX  31

/* "0 B", "1.2 KiB", "34 MiB". */
void out_size(uint64_t bytes, char out[OUT_SIZE_MAX + 1]);
/* How long ago: "just now", "5 minutes", "3 days"; the date when that is long, or in the future. */
void out_age(int64_t unix_ms, int64_t now_ms, char out[OUT_AGE_MAX + 1]);
/* "1 tag", "2 tags", "1 repository", "2 repositories". */
void out_count(struct buf *b, uint64_t n, const char *one, const char *many);

/* ,"key":"2026-01-31T12:34:56.789Z" */
void out_json_time(struct buf *b, const char *key, int64_t unix_ms);
/* Write what b holds to stdout, and empty it. ERR_NO_MEMORY, ERR_TOO_LARGE: b failed. */
enum err out_flush(struct buf *b);

/* A table whose columns are as wide as their widest cell. Zeroed but for columns and right. */
struct table {
    unsigned columns;
    unsigned right; /* bit n: column n is aligned to the right */
    char **cells;
    size_t count, cap;
};
enum err table_add(struct table *t, const char *text); /* the next cell; copied */
void table_print(const struct table *t, FILE *to);
void table_free(struct table *t);

/* A line on stderr that is written over as work goes on; nothing when stderr is no terminal. */
struct progress {
    bool on, shown;
    int64_t last_ms;
};
void progress_begin(struct progress *p);
void progress_step(struct progress *p, uint64_t done, uint64_t total, const char *what);
void progress_end(struct progress *p); /* takes the line away */

#endif
