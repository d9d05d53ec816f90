/* Repositories, blobs and manifests: what is there, and who refers to it.
 */
#include <string.h>

#include "catalog/db.h"

enum err repo_id(struct conn *c, const char *repo, enum err none, int64_t *out)
{
    struct stmt st = stmt_begin(c, Q_REPO_ID);
    enum err e;

    stmt_text(&st, ":repo", repo);
    if ((e = stmt_row(&st, none)) == ERR_OK)
        *out = stmt_col_int(&st, 0);
    return stmt_end(&st, e);
}

enum err repo_id_or_add(struct conn *c, const char *repo, int64_t now, int64_t *out)
{
    struct stmt st;
    enum err e = repo_id(c, repo, ERR_NAME_UNKNOWN, out);

    if (e != ERR_NAME_UNKNOWN)
        return e;
    st = stmt_begin(c, Q_REPO_ADD);
    stmt_text(&st, ":repo", repo);
    stmt_int(&st, ":now", now);
    if ((e = stmt_end(&st, stmt_run(&st))))
        return e;
    return repo_id(c, repo, ERR_CORRUPT, out);
}

enum err has_row(struct conn *c, enum query q, const char *repo, const struct digest *d, enum err none)
{
    struct stmt st = stmt_begin(c, q);

    if (repo != NULL)
        stmt_text(&st, ":repo", repo);
    if (d != NULL)
        stmt_digest(&st, ":digest", d);
    return stmt_end(&st, stmt_row(&st, none));
}

/* Run a statement that changes rows of these two parameters. none: when it changed nothing. */
static enum err change(struct conn *c, enum query q, const char *repo, const struct digest *d, enum err none)
{
    struct stmt st = stmt_begin(c, q);
    enum err e;

    if (repo != NULL)
        stmt_text(&st, ":repo", repo);
    if (d != NULL)
        stmt_digest(&st, ":digest", d);
    e = stmt_end(&st, stmt_run(&st));
    if (e == ERR_OK && conn_changes(c) == 0)
        e = none;
    return e;
}

/* ---- repositories ---- */

enum err catalog_repo_has(struct catalog *c, const char *repo)
{
    struct conn *conn;
    int64_t id;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    e = repo_id(conn, repo, ERR_NAME_UNKNOWN, &id);
    reader_give(c, conn);
    return e;
}

/* LIMIT takes signed numbers. */
static int64_t as_limit(uint64_t limit)
{
    return limit > INT64_MAX ? INT64_MAX : (int64_t)limit;
}

enum err catalog_repo_foreach(struct catalog *c, const char *last, uint64_t limit,
                              enum err (*fn)(void *arg, const char *repo), void *arg)
{
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, Q_REPO_LIST);
    stmt_text(&st, ":last", last ? last : "");
    stmt_int(&st, ":limit", as_limit(limit));
    while ((e = stmt_row(&st, ERR_NOT_FOUND)) == ERR_OK) {
        if ((e = fn(arg, stmt_col_peek(&st, 0))))
            break;
    }
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    e = stmt_end(&st, e);
    reader_give(c, conn);
    return e;
}

enum err catalog_repo_links(struct catalog_tx *tx, const char *repo, struct digest *out, size_t cap,
                            size_t *n)
{
    struct stmt st = stmt_begin(tx->conn, Q_REPO_LINKS);
    enum err e = ERR_OK;

    stmt_text(&st, ":repo", repo);
    stmt_int(&st, ":limit", as_limit(cap));
    for (*n = 0; *n < cap && (e = stmt_row(&st, ERR_NOT_FOUND)) == ERR_OK; (*n)++) {
        if ((e = stmt_col_digest(&st, 0, &out[*n])))
            break;
    }
    return stmt_end(&st, e == ERR_NOT_FOUND ? ERR_OK : e);
}

enum err catalog_repo_unlink(struct catalog_tx *tx, const char *repo, const struct digest *d)
{
    enum err e;

    if ((e = change(tx->conn, Q_MANIFEST_DELETE, repo, d, ERR_OK)))
        return e;
    return change(tx->conn, Q_BLOB_UNLINK, repo, d, ERR_OK);
}

enum err catalog_repo_delete(struct catalog_tx *tx, const char *repo)
{
    struct digest left;
    size_t n;
    enum err e;

    if ((e = catalog_repo_links(tx, repo, &left, 1, &n)))
        return e;
    if (n > 0)
        return ERR_IN_USE;
    return change(tx->conn, Q_REPO_DELETE, repo, NULL, ERR_NAME_UNKNOWN);
}

/* ---- blobs ---- */

static enum err size_row(struct stmt *st, uint64_t *size)
{
    enum err e = stmt_row(st, ERR_BLOB_UNKNOWN);

    if (e == ERR_OK && size != NULL)
        *size = (uint64_t)stmt_col_int(st, 0);
    return e;
}

enum err catalog_blob_get(struct catalog *c, const char *repo, const struct digest *d, uint64_t *size)
{
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, Q_BLOB_GET);
    stmt_text(&st, ":repo", repo);
    stmt_digest(&st, ":digest", d);
    e = stmt_end(&st, size_row(&st, size));
    reader_give(c, conn);
    return e;
}

enum err catalog_blob_find(struct catalog *c, const struct digest *d, char repo[NAME_MAX_BYTES + 1])
{
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, Q_BLOB_FIND);
    stmt_digest(&st, ":digest", d);
    if ((e = stmt_row(&st, ERR_BLOB_UNKNOWN)) == ERR_OK)
        e = stmt_col_text(&st, 0, repo, NAME_MAX_BYTES + 1);
    e = stmt_end(&st, e);
    reader_give(c, conn);
    return e;
}

static enum err blob_size(struct conn *c, const struct digest *d, uint64_t *size)
{
    struct stmt st = stmt_begin(c, Q_BLOB_SIZE);

    stmt_digest(&st, ":digest", d);
    return stmt_end(&st, size_row(&st, size));
}

enum err catalog_blob_exists(struct catalog_tx *tx, const struct digest *d, uint64_t *size)
{
    return blob_size(tx->conn, d, size);
}

enum err catalog_blob_known(struct catalog *c, const struct digest *d, uint64_t *size)
{
    struct conn *conn;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    e = blob_size(conn, d, size);
    reader_give(c, conn);
    return e;
}

static enum err blob_add(struct conn *c, const struct digest *d, uint64_t size, int64_t now)
{
    struct stmt st = stmt_begin(c, Q_BLOB_ADD);

    stmt_digest(&st, ":digest", d);
    stmt_int(&st, ":size", (int64_t)size);
    stmt_int(&st, ":now", now);
    return stmt_end(&st, stmt_run(&st));
}

enum err catalog_blob_link(struct catalog_tx *tx, const char *repo, const struct digest *d, uint64_t size,
                           int64_t now)
{
    struct stmt st;
    int64_t id;
    enum err e;

    if ((e = repo_id_or_add(tx->conn, repo, now, &id)) || (e = blob_add(tx->conn, d, size, now)))
        return e;
    st = stmt_begin(tx->conn, Q_BLOB_LINK);
    stmt_int(&st, ":id", id);
    stmt_digest(&st, ":digest", d);
    stmt_int(&st, ":now", now);
    return stmt_end(&st, stmt_run(&st));
}

enum err catalog_blob_linked(struct catalog_tx *tx, const char *repo, const struct digest *d)
{
    return has_row(tx->conn, Q_BLOB_LINKED, repo, d, ERR_BLOB_UNKNOWN);
}

enum err catalog_blob_unlink(struct catalog_tx *tx, const char *repo, const struct digest *d)
{
    enum err e;

    if ((e = catalog_blob_linked(tx, repo, d)))
        return e;
    e = has_row(tx->conn, Q_CHILD_USED, repo, d, ERR_BLOB_UNKNOWN);
    if (e == ERR_OK)
        return ERR_IN_USE;
    if (e != ERR_BLOB_UNKNOWN)
        return e;
    return change(tx->conn, Q_BLOB_UNLINK, repo, d, ERR_BLOB_UNKNOWN);
}

enum err catalog_blob_drop_if_unused(struct catalog_tx *tx, const struct digest *d, bool *gone)
{
    enum err e = has_row(tx->conn, Q_BLOB_USED, NULL, d, ERR_NOT_FOUND);

    *gone = false;
    if (e == ERR_OK)
        return ERR_OK;
    if (e != ERR_NOT_FOUND)
        return e;
    e = change(tx->conn, Q_BLOB_DELETE, NULL, d, ERR_NOT_FOUND);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    *gone = e == ERR_OK;
    return e;
}

/* ---- manifests ---- */

enum err manifest_row(struct stmt *st, struct catalog_manifest *out)
{
    enum err e;

    memset(out, 0, sizeof *out);
    if ((e = stmt_col_digest(st, 0, &out->digest)) ||
        (e = stmt_col_text(st, 1, out->media_type, sizeof out->media_type)) ||
        (e = stmt_col_text(st, 3, out->artifact_type, sizeof out->artifact_type)) ||
        (e = stmt_col_text(st, 4, out->platform, sizeof out->platform)))
        return e;
    out->size = (uint64_t)stmt_col_int(st, 2);
    out->has_subject = stmt_col_peek(st, 5) != NULL;
    if (out->has_subject && (e = stmt_col_digest(st, 5, &out->subject)))
        return e;
    out->content_size = (uint64_t)stmt_col_int(st, 6);
    out->pushed_at = stmt_col_int(st, 7);
    return ERR_OK;
}

enum err catalog_manifest_get(struct catalog *c, const char *repo, const struct reference *ref,
                              struct catalog_manifest *out)
{
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, ref->is_digest ? Q_MANIFEST_BY_DIGEST : Q_MANIFEST_BY_TAG);
    stmt_text(&st, ":repo", repo);
    if (ref->is_digest)
        stmt_digest(&st, ":digest", &ref->digest);
    else
        stmt_text(&st, ":tag", ref->tag);
    if ((e = stmt_row(&st, ERR_MANIFEST_UNKNOWN)) == ERR_OK)
        e = manifest_row(&st, out);
    e = stmt_end(&st, e);
    reader_give(c, conn);
    return e;
}

/* Is what the manifest names here? An index may list blobs as well as manifests: build
 * caches do. */
static enum err child_check(struct conn *c, const char *repo, const struct child *child)
{
    enum err e = ERR_MANIFEST_BLOB_UNKNOWN;

    if (child->optional)
        return ERR_OK;
    if (child->kind == CHILD_MANIFEST)
        e = has_row(c, Q_MANIFEST_LINKED, repo, &child->digest, e);
    if (e == ERR_MANIFEST_BLOB_UNKNOWN)
        e = has_row(c, Q_BLOB_LINKED, repo, &child->digest, e);
    return e;
}

/* In place of those of an earlier push, which may have been read as another media type. */
static enum err refs_set(struct conn *c, int64_t id, const struct digest *parent, const struct manifest *m)
{
    static const char *const kinds[] = {
        [CHILD_CONFIG] = "config",
        [CHILD_LAYER] = "layer",
        [CHILD_MANIFEST] = "manifest",
        [CHILD_SUBJECT] = "subject",
    };
    struct stmt old = stmt_begin(c, Q_MANIFEST_UNREF);
    enum err e;

    stmt_int(&old, ":id", id);
    stmt_digest(&old, ":digest", parent);
    if ((e = stmt_end(&old, stmt_run(&old))))
        return e;
    for (size_t i = 0; i < m->child_count; i++) {
        struct stmt st = stmt_begin(c, Q_MANIFEST_REF);

        stmt_int(&st, ":id", id);
        stmt_digest(&st, ":digest", parent);
        stmt_digest(&st, ":child", &m->children[i].digest);
        stmt_text(&st, ":kind", kinds[m->children[i].kind]);
        if ((e = stmt_end(&st, stmt_run(&st))))
            return e;
    }
    return ERR_OK;
}

enum err catalog_manifest_put(struct catalog_tx *tx, const char *repo, const struct digest *d, uint64_t size,
                              const struct manifest *m, const char *platform, int64_t now,
                              struct digest *missing)
{
    struct conn *c = tx->conn;
    struct stmt st;
    int64_t id;
    enum err e;

    for (size_t i = 0; i < m->child_count; i++) {
        e = child_check(c, repo, &m->children[i]);
        if (e == ERR_MANIFEST_BLOB_UNKNOWN)
            *missing = m->children[i].digest;
        if (e)
            return e;
    }
    if ((e = repo_id_or_add(c, repo, now, &id)) || (e = blob_add(c, d, size, now)))
        return e;
    st = stmt_begin(c, Q_MANIFEST_ADD);
    stmt_int(&st, ":id", id);
    stmt_digest(&st, ":digest", d);
    stmt_text(&st, ":media_type", m->media_type);
    stmt_text(&st, ":artifact_type", m->artifact_type);
    stmt_digest(&st, ":subject", m->has_subject ? &m->subject : NULL);
    stmt_int(&st, ":size", (int64_t)size);
    stmt_int(&st, ":content_size", m->content_size > INT64_MAX ? INT64_MAX : (int64_t)m->content_size);
    stmt_text(&st, ":platform", platform);
    stmt_text(&st, ":annotations", m->has_subject ? m->annotations : NULL);
    stmt_int(&st, ":now", now);
    if ((e = stmt_end(&st, stmt_run(&st))))
        return e;
    return refs_set(c, id, d, m);
}

enum err catalog_manifest_linked(struct catalog_tx *tx, const char *repo, const struct digest *d)
{
    return has_row(tx->conn, Q_MANIFEST_LINKED, repo, d, ERR_MANIFEST_UNKNOWN);
}

enum err catalog_manifest_delete(struct catalog_tx *tx, const char *repo, const struct digest *d,
                                 const char *who, int64_t now)
{
    struct conn *c = tx->conn;
    enum err e;

    if ((e = catalog_manifest_linked(tx, repo, d)))
        return e;
    e = has_row(c, Q_CHILD_IN_INDEX, repo, d, ERR_NOT_FOUND);
    if (e != ERR_NOT_FOUND)
        return e ? e : ERR_IN_USE;
    /* One tag at a time: each is an event of its own in the history. */
    for (;;) {
        struct stmt st = stmt_begin(c, Q_TAGS_OF_DIGEST);
        char tag[TAG_MAX_BYTES + 1];

        stmt_text(&st, ":repo", repo);
        stmt_digest(&st, ":digest", d);
        if ((e = stmt_row(&st, ERR_NOT_FOUND)) == ERR_OK)
            e = stmt_col_text(&st, 0, tag, sizeof tag);
        if ((e = stmt_end(&st, e)))
            break;
        if ((e = catalog_tag_delete(tx, repo, tag, who, now)))
            return e;
    }
    if (e != ERR_NOT_FOUND)
        return e;
    return change(c, Q_MANIFEST_DELETE, repo, d, ERR_MANIFEST_UNKNOWN);
}

static void bind_last(struct stmt *st, const struct digest *last)
{
    if (last != NULL)
        stmt_digest(st, ":last", last);
    else
        stmt_text(st, ":last", "");
}

enum err catalog_manifest_foreach(
    struct catalog *c, const char *repo, const struct digest *last, uint64_t limit,
    enum err (*fn)(void *arg, const struct catalog_manifest *m, bool tagged, bool child_of_index), void *arg)
{
    struct catalog_manifest m;
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, Q_MANIFEST_LIST);
    stmt_text(&st, ":repo", repo);
    bind_last(&st, last);
    stmt_int(&st, ":limit", as_limit(limit));
    while ((e = stmt_row(&st, ERR_NOT_FOUND)) == ERR_OK) {
        if ((e = manifest_row(&st, &m)) ||
            (e = fn(arg, &m, stmt_col_int(&st, 8) != 0, stmt_col_int(&st, 9) != 0)))
            break;
    }
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    e = stmt_end(&st, e);
    reader_give(c, conn);
    return e;
}

enum err catalog_referrer_foreach(struct catalog *c, const char *repo, const struct digest *subject,
                                  const char *artifact_type, const struct digest *last, uint64_t limit,
                                  enum err (*fn)(void *arg, const struct catalog_manifest *m,
                                                 const char *annotations),
                                  void *arg)
{
    struct catalog_manifest m;
    struct conn *conn;
    struct stmt st;
    enum err e;

    if ((e = reader_take(c, &conn)))
        return e;
    st = stmt_begin(conn, Q_REFERRERS);
    stmt_text(&st, ":repo", repo);
    stmt_digest(&st, ":subject", subject);
    stmt_text(&st, ":type", artifact_type);
    bind_last(&st, last);
    stmt_int(&st, ":limit", as_limit(limit));
    while ((e = stmt_row(&st, ERR_NOT_FOUND)) == ERR_OK) {
        if ((e = manifest_row(&st, &m)) || (e = fn(arg, &m, stmt_col_peek(&st, 8))))
            break;
    }
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    e = stmt_end(&st, e);
    reader_give(c, conn);
    return e;
}
