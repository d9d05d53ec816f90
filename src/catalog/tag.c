/* Tags and their history. Every change of a tag is one event, in the same transaction.
 */
#include <string.h>

#include "catalog/db.h"

static enum err event_add(struct conn *c, const char *repo, const char *tag, const struct digest *was,
                          const struct digest *is, const char *who, int64_t now)
{
    struct stmt st = stmt_begin(c, Q_TAG_EVENT);

    stmt_text(&st, ":repo", repo);
    stmt_text(&st, ":tag", tag);
    stmt_digest(&st, ":old", was);
    stmt_digest(&st, ":new", is);
    stmt_int(&st, ":now", now);
    stmt_text(&st, ":who", who);
    return stmt_end(&st, stmt_run(&st));
}

static enum err tag_digest(struct conn *c, const char *repo, const char *tag, struct digest *out)
{
    struct stmt st = stmt_begin(c, Q_TAG_DIGEST);
    enum err e;

    stmt_text(&st, ":repo", repo);
    stmt_text(&st, ":tag", tag);
    if ((e = stmt_row(&st, ERR_MANIFEST_UNKNOWN)) == ERR_OK)
        e = stmt_col_digest(&st, 0, out);
    return stmt_end(&st, e);
}

enum err catalog_tag_set(struct catalog_tx *tx, const char *repo, const char *tag, const struct digest *d,
                         const char *who, int64_t now)
{
    struct digest old;
    struct stmt st;
    bool had;
    enum err e;

    if ((e = catalog_manifest_linked(tx, repo, d)))
        return e;
    e = tag_digest(tx->conn, repo, tag, &old);
    if (e && e != ERR_MANIFEST_UNKNOWN)
        return e;
    had = e == ERR_OK;
    if (had && digest_eq(&old, d))
        return ERR_OK;
    st = stmt_begin(tx->conn, Q_TAG_SET);
    stmt_text(&st, ":repo", repo);
    stmt_text(&st, ":tag", tag);
    stmt_digest(&st, ":digest", d);
    stmt_int(&st, ":now", now);
    if ((e = stmt_end(&st, stmt_run(&st))))
        return e;
    return event_add(tx->conn, repo, tag, had ? &old : NULL, d, who, now);
}

enum err catalog_tag_delete(struct catalog_tx *tx, const char *repo, const char *tag, const char *who,
                            int64_t now)
{
    struct digest old;
    struct stmt st;
    enum err e;

    if ((e = tag_digest(tx->conn, repo, tag, &old)))
        return e;
    st = stmt_begin(tx->conn, Q_TAG_DELETE);
    stmt_text(&st, ":repo", repo);
    stmt_text(&st, ":tag", tag);
    if ((e = stmt_end(&st, stmt_run(&st))))
        return e;
    return event_add(tx->conn, repo, tag, &old, NULL, who, now);
}

enum err catalog_repo_clear_tags(struct catalog_tx *tx, const char *repo, const char *who, int64_t now)
{
    int64_t id;
    enum err e;

    if ((e = repo_id(tx->conn, repo, ERR_NAME_UNKNOWN, &id)))
        return e;
    for (;;) {
        struct stmt st = stmt_begin(tx->conn, Q_TAGS_OF_REPO);
        char tag[TAG_MAX_BYTES + 1];

        stmt_text(&st, ":repo", repo);
        if ((e = stmt_row(&st, ERR_NOT_FOUND)) == ERR_OK)
            e = stmt_col_text(&st, 0, tag, sizeof tag);
        if ((e = stmt_end(&st, e)))
            return e == ERR_NOT_FOUND ? ERR_OK : e;
        if ((e = catalog_tag_delete(tx, repo, tag, who, now)))
            return e;
    }
}

enum err catalog_tag_foreach(struct catalog *c, const char *repo, const char *last, uint64_t limit,
                             enum err (*fn)(void *arg, const struct catalog_tag *t), void *arg)
{
    struct catalog_tag t;
    struct conn *conn;
    struct stmt st;
    int64_t id;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    if ((e = repo_id(conn, repo, ERR_NAME_UNKNOWN, &id)))
        goto out;
    st = stmt_begin(conn, Q_TAG_LIST);
    stmt_text(&st, ":repo", repo);
    stmt_text(&st, ":last", last ? last : "");
    stmt_int(&st, ":limit", limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    while ((e = stmt_row(&st, ERR_NOT_FOUND)) == ERR_OK) {
        if ((e = manifest_row(&st, &t.manifest)) || (e = stmt_col_text(&st, 8, t.name, sizeof t.name)))
            break;
        t.updated_at = stmt_col_int(&st, 9);
        if ((e = fn(arg, &t)))
            break;
    }
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    e = stmt_end(&st, e);
out:
    reader_give(c, conn);
    return e;
}
