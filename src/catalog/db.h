/* db.h - one SQLite connection and its statements. Inside catalog/ only. */
#ifndef BERTH_CATALOG_DB_H
#define BERTH_CATALOG_DB_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "catalog/queries.h"

struct conn {
    sqlite3 *db;
    struct log *log;
    sqlite3_stmt *prepared[Q_COUNT];
    struct conn *next; /* while it waits for a reader */
};

/* A statement in use. A bind that fails is remembered and reported by the step. */
struct stmt {
    struct conn *conn;
    sqlite3_stmt *raw; /* NULL when it could not be prepared */
    int bind_rc;
};

enum err conn_open(struct conn **out, const struct catalog_config *cfg, bool writer, struct log *log);
void conn_close(struct conn *c); /* NULL is allowed */

/* What an SQLite result code means to a caller; c is asked for the system's errno. */
enum err db_err(struct conn *c, int rc);
/* Log the connection's last error about what, and return its code. */
enum err db_fail(struct conn *c, int rc, const char *what);

struct stmt stmt_begin(struct conn *c, enum query q);
void stmt_text(struct stmt *st, const char *name, const char *value); /* NULL value: SQL NULL */
void stmt_int(struct stmt *st, const char *name, int64_t value);
void stmt_digest(struct stmt *st, const char *name, const struct digest *d); /* NULL: SQL NULL */
/* Step to the next row. none: what "no row" means to this caller. */
enum err stmt_row(struct stmt *st, enum err none);
/* Columns copy: what they give does not die with the row. */
enum err stmt_col_digest(struct stmt *st, int col, struct digest *out);
enum err stmt_col_text(struct stmt *st, int col, char *out, size_t cap);
const char *stmt_col_peek(struct stmt *st, int col); /* dies with the row; NULL for SQL NULL */
int64_t stmt_col_int(struct stmt *st, int col);
enum err stmt_end(struct stmt *st, enum err e); /* resets, hands e on */

/* A statement that gives no row, run to its end. */
enum err stmt_run(struct stmt *st);
/* How many rows the connection's last statement changed. */
int conn_changes(struct conn *c);
/* Run several statements in one text. */
enum err conn_script(struct conn *c, const char *sql, const char *what);

/* Readers on loan: see READERS_MAX in catalog.c. */
enum err reader_take(struct catalog *c, struct conn **out);
void reader_give(struct catalog *c, struct conn *conn);

struct catalog_tx {
    struct catalog *catalog;
    struct conn *conn;
    struct log *log;
};

/* The id of a repository. none: when there is none. */
enum err repo_id(struct conn *c, const char *repo, enum err none, int64_t *out);
/* Its id; it is made when there is none. */
enum err repo_id_or_add(struct conn *c, const char *repo, int64_t now, int64_t *out);
/* Is there a row for these two parameters? none otherwise. */
enum err has_row(struct conn *c, enum query q, const char *repo, const struct digest *d, enum err none);
/* Read the MANIFEST columns of queries.c, which stand first in the row. */
enum err manifest_row(struct stmt *st, struct catalog_manifest *out);

#endif
