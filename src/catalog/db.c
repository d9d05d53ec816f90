/* SQLite, wrapped thinly: connections with their settings, statements by name, errors
 * in our terms. A fault is logged here, where its text is at hand.
 */
#include "catalog/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"

/* The log beside the database is cut back to this after a checkpoint, but never removed: with it
 * (and the index file) in place, opening and small changes work on a full disk. */
#define WAL_KEEP_BYTES (4 << 20)

enum err db_err(struct conn *c, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ERR_NO_SPACE;
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        if (c->db != NULL && io_err(sqlite3_system_errno(c->db)) == ERR_NO_SPACE)
            return ERR_NO_SPACE;
        return ERR_IO;
    default:
        return ERR_IO;
    }
}

enum err db_fail(struct conn *c, int rc, const char *what)
{
    enum err e = db_err(c, rc);

    if (e == ERR_BUSY)
        return e; /* an answer, not a fault: another process is writing */
    return log_fail(c->log, e, "catalogue: %s: %s (%d)", what,
                    c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc), rc);
}

enum err conn_script(struct conn *c, const char *sql, const char *what)
{
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? ERR_OK : db_fail(c, rc, what);
}

enum err conn_open(struct conn **out, const struct catalog_config *cfg, bool writer, struct log *log)
{
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (writer && cfg->create ? SQLITE_OPEN_CREATE : 0);
    unsigned cache = cfg->cache_kib ? cfg->cache_kib : CATALOG_CACHE_KIB;
    unsigned busy = cfg->busy_ms ? cfg->busy_ms : CATALOG_BUSY_MS;
    struct conn *c = calloc(1, sizeof *c);
    char text[256];
    int one = 1, rc;
    enum err e;

    *out = NULL;
    if (c == NULL)
        return log_fail(log, ERR_NO_MEMORY, "catalogue: out of memory");
    c->log = log;
    rc = sqlite3_open_v2(cfg->path, &c->db, flags, cfg->vfs);
    if (rc != SQLITE_OK) {
        e = db_fail(c, rc, cfg->path);
        goto fail;
    }
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, (int)busy);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_file_control(c->db, NULL, SQLITE_FCNTL_PERSIST_WAL, &one);
    if ((e = str_format(text, sizeof text,
                        "PRAGMA cache_size = -%u; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;"
                        "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = %d; %s",
                        cache, WAL_KEEP_BYTES,
                        writer ? "PRAGMA journal_mode = WAL;" : "PRAGMA query_only = ON;")))
        goto fail;
    if ((e = conn_script(c, text, cfg->path)))
        goto fail;
    *out = c;
    return ERR_OK;
fail:
    conn_close(c);
    return e;
}

void conn_close(struct conn *c)
{
    if (c == NULL)
        return;
    for (int q = 0; q < Q_COUNT; q++)
        sqlite3_finalize(c->prepared[q]);
    sqlite3_close(c->db);
    free(c);
}

struct stmt stmt_begin(struct conn *c, enum query q)
{
    struct stmt st = { .conn = c, .bind_rc = SQLITE_OK };

    if (c->prepared[q] == NULL)
        st.bind_rc =
            sqlite3_prepare_v3(c->db, query_sql[q], -1, SQLITE_PREPARE_PERSISTENT, &c->prepared[q], NULL);
    st.raw = c->prepared[q];
    return st;
}

static int bind_index(struct stmt *st, const char *name)
{
    int i;

    if (st->bind_rc != SQLITE_OK)
        return 0;
    i = sqlite3_bind_parameter_index(st->raw, name);
    if (i == 0)
        st->bind_rc = SQLITE_RANGE; /* a mistake in queries.c: every test of the statement finds it */
    return i;
}

void stmt_text(struct stmt *st, const char *name, const char *value)
{
    int i = bind_index(st, name);

    /* STATIC: values live until stmt_end, which clears the bindings. */
    if (i)
        st->bind_rc =
            value ? sqlite3_bind_text(st->raw, i, value, -1, SQLITE_STATIC) : sqlite3_bind_null(st->raw, i);
}

void stmt_int(struct stmt *st, const char *name, int64_t value)
{
    int i = bind_index(st, name);

    if (i)
        st->bind_rc = sqlite3_bind_int64(st->raw, i, value);
}

void stmt_digest(struct stmt *st, const char *name, const struct digest *d)
{
    char text[DIGEST_TEXT_MAX + 1];
    int i = bind_index(st, name);

    if (i == 0)
        return;
    if (d == NULL) {
        st->bind_rc = sqlite3_bind_null(st->raw, i);
        return;
    }
    digest_format(d, text);
    st->bind_rc = sqlite3_bind_text(st->raw, i, text, -1, SQLITE_TRANSIENT);
}

enum err stmt_row(struct stmt *st, enum err none)
{
    int rc = st->bind_rc == SQLITE_OK ? sqlite3_step(st->raw) : st->bind_rc;

    if (rc == SQLITE_ROW)
        return ERR_OK;
    if (rc == SQLITE_DONE)
        return none;
    return db_fail(st->conn, rc, st->raw ? sqlite3_sql(st->raw) : "prepare");
}

enum err stmt_run(struct stmt *st)
{
    /* ERR_NOT_FOUND never leaves: "no row" is how these statements end well. */
    enum err e = stmt_row(st, ERR_NOT_FOUND);

    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

const char *stmt_col_peek(struct stmt *st, int col)
{
    return (const char *)sqlite3_column_text(st->raw, col);
}

enum err stmt_col_text(struct stmt *st, int col, char *out, size_t cap)
{
    const char *s = stmt_col_peek(st, col);

    if (s == NULL || str_copy(out, cap, s))
        return log_fail(st->conn->log, ERR_CORRUPT, "catalogue: column %d of %s is not what it should be",
                        col, sqlite3_sql(st->raw));
    return ERR_OK;
}

enum err stmt_col_digest(struct stmt *st, int col, struct digest *out)
{
    const char *s = stmt_col_peek(st, col);

    if (s == NULL || digest_parse(s, strlen(s), out))
        return log_fail(st->conn->log, ERR_CORRUPT, "catalogue: no digest in column %d of %s", col,
                        sqlite3_sql(st->raw));
    return ERR_OK;
}

int64_t stmt_col_int(struct stmt *st, int col)
{
    return sqlite3_column_int64(st->raw, col);
}

enum err stmt_end(struct stmt *st, enum err e)
{
    if (st->raw != NULL) {
        sqlite3_reset(st->raw);
        sqlite3_clear_bindings(st->raw);
    }
    return e;
}

int conn_changes(struct conn *c)
{
    return sqlite3_changes(c->db);
}
