/* Opening, the pool of readers, the one writer and its transactions.
 */
#include "catalog/catalog.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "catalog/db.h"

/* Connections that read at the same time. Queries take microseconds: more would only
 * hold more memory (some 300 KiB each). */
#define READERS_MAX 8

struct catalog {
    struct log *log;
    struct catalog_config cfg; /* path and vfs are our own copies */

    pthread_mutex_t read_lock; /* over what follows */
    pthread_cond_t reader_free;
    struct conn *readers;
    unsigned reader_count;

    pthread_mutex_t write_lock; /* over writing */
    pthread_cond_t write_free;
    bool writing; /* a transaction is under way, in this process */
    struct conn *writer;
    struct catalog_tx tx; /* that one */
};

enum err reader_take(struct catalog *c, struct conn **out)
{
    enum err e = ERR_OK;

    pthread_mutex_lock(&c->read_lock);
    while (c->readers == NULL && c->reader_count == READERS_MAX)
        pthread_cond_wait(&c->reader_free, &c->read_lock);
    *out = c->readers;
    if (*out != NULL)
        c->readers = (*out)->next;
    else
        c->reader_count++;
    pthread_mutex_unlock(&c->read_lock);
    if (*out == NULL && (e = conn_open(out, &c->cfg, false, c->log))) {
        pthread_mutex_lock(&c->read_lock);
        c->reader_count--;
        pthread_cond_signal(&c->reader_free);
        pthread_mutex_unlock(&c->read_lock);
    }
    return e;
}

void reader_give(struct catalog *c, struct conn *conn)
{
    pthread_mutex_lock(&c->read_lock);
    conn->next = c->readers;
    c->readers = conn;
    pthread_cond_signal(&c->reader_free);
    pthread_mutex_unlock(&c->read_lock);
}

/* user_version of the file, as the writer sees it. */
static enum err version_get(struct conn *w, int *out)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(w->db, "PRAGMA user_version", -1, &st, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        *out = sqlite3_column_int(st, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_OK ? ERR_OK : db_fail(w, rc, "user_version");
}

/* Take the steps that the file has not had, all in one transaction. Nothing is written when
 * there are none: opening works on a full disk. */
static enum err schema_update(struct conn *w, bool create)
{
    char text[64];
    int version;
    enum err e;

    if ((e = version_get(w, &version)))
        return e;
    if (version == schema_version)
        return ERR_OK;
    if (version == 0 && !create)
        return log_fail(w->log, ERR_CORRUPT, "catalogue: there is nothing in it");
    if (version > schema_version)
        return log_fail(w->log, ERR_CORRUPT,
                        "catalogue: made by a newer berth (schema %d, this one knows %d): use that one",
                        version, schema_version);
    if ((e = conn_script(w, query_sql[Q_BEGIN], "update the schema")))
        return e;
    /* Another process may have done it while we waited for the lock. */
    if ((e = version_get(w, &version)))
        goto fail;
    for (; version < schema_version; version++) {
        if ((e = conn_script(w, schema_steps[version], "update the schema")))
            goto fail;
    }
    snprintf(text, sizeof text, "PRAGMA user_version = %d", schema_version);
    if ((e = conn_script(w, text, "update the schema")) ||
        (e = conn_script(w, query_sql[Q_COMMIT], "update the schema")))
        goto fail;
    return ERR_OK;
fail:
    sqlite3_exec(w->db, query_sql[Q_ROLLBACK], NULL, NULL, NULL);
    return e;
}

enum err catalog_open(struct catalog **out, const struct catalog_config *cfg, struct log *log)
{
    struct catalog *c = calloc(1, sizeof *c);
    pthread_condattr_t attr;
    enum err e;

    *out = NULL;
    if (c == NULL)
        return log_fail(log, ERR_NO_MEMORY, "catalogue: out of memory");
    c->log = log;
    c->cfg = *cfg;
    if (c->cfg.busy_ms == 0)
        c->cfg.busy_ms = CATALOG_BUSY_MS;
    pthread_mutex_init(&c->read_lock, NULL);
    pthread_mutex_init(&c->write_lock, NULL);
    pthread_cond_init(&c->reader_free, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the wall clock may be set while somebody waits */
    pthread_cond_init(&c->write_free, &attr);
    pthread_condattr_destroy(&attr);
    c->cfg.path = strdup(cfg->path);
    c->cfg.vfs = cfg->vfs ? strdup(cfg->vfs) : NULL;
    if (c->cfg.path == NULL || (cfg->vfs && c->cfg.vfs == NULL)) {
        e = log_fail(log, ERR_NO_MEMORY, "catalogue: out of memory");
        goto fail;
    }
    if ((e = conn_open(&c->writer, &c->cfg, true, log)) || (e = schema_update(c->writer, cfg->create)))
        goto fail;
    *out = c;
    return ERR_OK;
fail:
    catalog_close(c);
    return e;
}

static void readers_close(struct catalog *c)
{
    while (c->readers != NULL) {
        struct conn *r = c->readers;

        c->readers = r->next;
        c->reader_count--;
        conn_close(r);
    }
}

void catalog_close(struct catalog *c)
{
    if (c == NULL)
        return;
    readers_close(c);
    assert(c->reader_count == 0); /* one is still on loan: a thread outlived its server */
    conn_close(c->writer);        /* last: it checkpoints */
    pthread_mutex_destroy(&c->read_lock);
    pthread_mutex_destroy(&c->write_lock);
    pthread_cond_destroy(&c->reader_free);
    pthread_cond_destroy(&c->write_free);
    free((char *)c->cfg.path);
    free((char *)c->cfg.vfs);
    free(c);
}

enum err catalog_close_sealed(struct catalog *c)
{
    enum err e;

    /* Leaving WAL mode checkpoints, syncs, and removes the log and its index. It takes the file
     * for itself: no reader may have it open. */
    readers_close(c);
    e = conn_script(c->writer, "PRAGMA journal_mode = DELETE", "close as one file");
    catalog_close(c);
    return e;
}

/* Wait for this process's turn to write. ERR_BUSY: it did not come until then. */
static enum err turn_take(struct catalog *c, int64_t until_ms)
{
    struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };
    int rc = 0;

    pthread_mutex_lock(&c->write_lock);
    while (c->writing && rc == 0)
        rc = pthread_cond_timedwait(&c->write_free, &c->write_lock, &until);
    rc = c->writing;
    c->writing = true;
    pthread_mutex_unlock(&c->write_lock);
    return rc ? ERR_BUSY : ERR_OK;
}

static void turn_give(struct catalog *c)
{
    pthread_mutex_lock(&c->write_lock);
    c->writing = false;
    pthread_cond_signal(&c->write_free);
    pthread_mutex_unlock(&c->write_lock);
}

enum err catalog_begin(struct catalog_tx **out, struct catalog *c)
{
    int64_t until = clock_mono_ms() + c->cfg.busy_ms, left;
    struct stmt st;
    enum err e;

    *out = NULL;
    if ((e = turn_take(c, until)) == ERR_OK) {
        /* What the wait in this process took is not waited for again in the other. */
        left = until - clock_mono_ms();
        sqlite3_busy_timeout(c->writer->db, left > 1 ? (int)left : 1);
        st = stmt_begin(c->writer, Q_BEGIN);
        if ((e = stmt_end(&st, stmt_run(&st))))
            turn_give(c);
    }
    if (e == ERR_BUSY)
        log_msg(c->log, LOG_WARN, "catalogue: no turn to write in %u ms: another process holds the lock",
                c->cfg.busy_ms);
    if (e)
        return e;
    c->tx = (struct catalog_tx){ .catalog = c, .conn = c->writer, .log = c->log };
    *out = &c->tx;
    return ERR_OK;
}

void catalog_rollback(struct catalog_tx *tx)
{
    if (tx == NULL)
        return;
    /* After some faults SQLite has rolled back by itself. */
    if (!sqlite3_get_autocommit(tx->conn->db)) {
        struct stmt st = stmt_begin(tx->conn, Q_ROLLBACK);

        (void)stmt_end(&st, stmt_run(&st));
    }
    turn_give(tx->catalog);
}

enum err catalog_commit(struct catalog_tx *tx)
{
    struct stmt st;
    enum err e;

    if (sqlite3_get_autocommit(tx->conn->db)) {
        e = log_fail(tx->log, ERR_IO, "catalogue: the transaction was rolled back by a fault before its end");
        goto fail;
    }
    st = stmt_begin(tx->conn, Q_BUMP);
    if ((e = stmt_end(&st, stmt_run(&st))))
        goto fail;
    st = stmt_begin(tx->conn, Q_COMMIT);
    if ((e = stmt_end(&st, stmt_run(&st))))
        goto fail;
    turn_give(tx->catalog);
    return ERR_OK;
fail:
    catalog_rollback(tx);
    return e;
}

static enum err usage_read(struct catalog *c, enum query q, const char *repo, enum err none,
                           struct catalog_usage *out)
{
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, q);
    if (repo != NULL)
        stmt_text(&st, ":repo", repo);
    if ((e = stmt_row(&st, none)) == ERR_OK) {
        out->repos = (uint64_t)stmt_col_int(&st, 0);
        out->tags = (uint64_t)stmt_col_int(&st, 1);
        out->manifests = (uint64_t)stmt_col_int(&st, 2);
        out->blobs = (uint64_t)stmt_col_int(&st, 3);
        out->bytes = (uint64_t)stmt_col_int(&st, 4);
    }
    e = stmt_end(&st, e);
    reader_give(c, conn);
    return e;
}

enum err catalog_usage_get(struct catalog *c, struct catalog_usage *out)
{
    return usage_read(c, Q_USAGE, NULL, ERR_CORRUPT, out);
}

enum err catalog_repo_usage(struct catalog *c, const char *repo, struct catalog_usage *out)
{
    return usage_read(c, Q_REPO_USAGE, repo, ERR_NAME_UNKNOWN, out);
}

enum err catalog_generation(struct catalog *c, uint64_t *out)
{
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, Q_GENERATION);
    if ((e = stmt_row(&st, ERR_CORRUPT)) == ERR_OK)
        *out = (uint64_t)stmt_col_int(&st, 0);
    e = stmt_end(&st, e);
    reader_give(c, conn);
    return e;
}

enum err catalog_check(struct catalog *c)
{
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, Q_QUICK_CHECK);
    if ((e = stmt_row(&st, ERR_CORRUPT)) == ERR_OK && strcmp(stmt_col_peek(&st, 0), "ok") != 0)
        e = log_fail(c->log, ERR_CORRUPT, "catalogue: %s", stmt_col_peek(&st, 0));
    e = stmt_end(&st, e);
    if (e == ERR_OK) {
        st = stmt_begin(conn, Q_FK_CHECK);
        e = stmt_row(&st, ERR_NOT_FOUND);
        if (e == ERR_OK)
            e = log_fail(c->log, ERR_CORRUPT, "catalogue: a row of table %s refers to nothing",
                         stmt_col_peek(&st, 0));
        else if (e == ERR_NOT_FOUND)
            e = ERR_OK;
        e = stmt_end(&st, e);
    }
    reader_give(c, conn);
    return e;
}
