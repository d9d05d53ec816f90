/* A new catalogue from what is on the disk: index.json says which manifests there are and what they
 * are called, the manifests say which blobs belong to them.
 *
 * All of it goes into catalog.db.new, which takes its place by one rename at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "registry/layout.h"
#include "registry/registry_internal.h"

#define NEW_FILE        CATALOG_FILE ".new"
#define OLD_FILE        CATALOG_FILE ".old"
#define INDEX_FILE      "index.json"
#define INDEX_BYTES_MAX (256u << 20)
#define NESTING_MAX     8    /* indexes inside indexes */
#define COMMIT_EVERY    2000 /* manifests in one transaction */

struct rebuild {
    const struct rebuild_config *cfg;
    struct rebuild_report *report;
    struct log *log;
    struct store *store;
    struct catalog *catalog;
    struct catalog_tx *tx;
    unsigned pending;
    uint64_t done, total;
    int64_t now;
};

static void progress(struct rebuild *b, const char *what)
{
    if (b->cfg->progress)
        b->cfg->progress(b->cfg->arg, b->done, b->total, what);
}

/* Read a whole file of at most max bytes; the caller frees *out. */
static enum err read_whole(struct rebuild *b, int fd, uint64_t size, uint64_t max, const char *what,
                           char **out)
{
    const struct io *io = store_io(b->store);
    enum err e;

    if (size > max)
        return log_fail(b->log, ERR_TOO_LARGE, "%s: larger than %llu bytes", what, (unsigned long long)max);
    *out = malloc(size + 1);
    if (*out == NULL)
        return log_fail(b->log, ERR_NO_MEMORY, "read %s: out of memory", what);
    if ((e = io_read_all(io, fd, *out, (size_t)size, 0, b->log, what))) {
        free(*out);
        *out = NULL;
    }
    return e;
}

/* The bytes of a manifest, proven; a rotten file goes to quarantine. ERR_BLOB_UNKNOWN: it is not there
 * (any more). */
static enum err manifest_read(struct rebuild *b, const struct digest *d, char **out, size_t *len)
{
    const struct io *io = store_io(b->store);
    char text[DIGEST_TEXT_MAX + 1];
    struct digest got;
    uint64_t size;
    enum err e;
    int fd;

    *out = NULL;
    digest_format(d, text);
    if ((e = store_blob_open(b->store, d, &fd, &size)))
        return e;
    e = size > MANIFEST_BYTES_MAX ? ERR_TOO_LARGE : read_whole(b, fd, size, MANIFEST_BYTES_MAX, text, out);
    io->close(io, fd);
    if (e)
        return e;
    *len = (size_t)size;
    digest_of(d->alg, *out, *len, &got);
    if (digest_eq(&got, d))
        return ERR_OK;
    log_msg(b->log, LOG_WARN, "manifest %s: its bytes do not match, moved to quarantine", text);
    free(*out);
    *out = NULL;
    b->report->rotten++;
    e = store_blob_quarantine(b->store, d);
    return e ? e : ERR_BLOB_UNKNOWN;
}

static enum err tx_step(struct rebuild *b)
{
    enum err e = ERR_OK;

    if (b->tx != NULL && b->pending >= COMMIT_EVERY) {
        e = catalog_commit(b->tx);
        b->tx = NULL;
    }
    if (e == ERR_OK && b->tx == NULL) {
        b->pending = 0;
        e = catalog_begin(&b->tx, b->catalog);
    }
    return e;
}

/* Link one blob that a manifest names. A missing one is counted; what is left of the
 * image is better than nothing. */
static enum err blob_restore(struct rebuild *b, const char *repo, struct child *child)
{
    uint64_t size;
    enum err e = store_blob_stat(b->store, &child->digest, &size);

    /* A size that differs is no proof: a descriptor may be wrong, and was accepted. */
    if (e == ERR_OK && (b->cfg->verify || size != child->size) &&
        catalog_blob_exists(b->tx, &child->digest, NULL) == ERR_BLOB_UNKNOWN) {
        e = store_blob_verify(b->store, &child->digest);
        if (e == ERR_CORRUPT) {
            b->report->rotten++;
            e = store_blob_quarantine(b->store, &child->digest);
            e = e ? e : ERR_BLOB_UNKNOWN;
        }
    }
    if (e == ERR_BLOB_UNKNOWN) {
        if (!child->optional)
            b->report->missing++;
        child->optional = true;
        return ERR_OK;
    }
    return e ? e : catalog_blob_link(b->tx, repo, &child->digest, size, b->now);
}

/* ERR_BLOB_UNKNOWN: the manifest is not there, or is none. */
static enum err manifest_restore(struct rebuild *b, const char *repo, const struct digest *d,
                                 const char *media_type, int depth)
{
    char platform[PLATFORM_MAX + 1];
    struct digest missing;
    struct manifest m;
    const char *why = NULL;
    char *text = NULL;
    size_t len = 0;
    enum err e;

    if (depth > NESTING_MAX)
        return ERR_BLOB_UNKNOWN;
    /* Done already: small indexes that name each other could otherwise keep us for ever. */
    if ((e = catalog_manifest_linked(b->tx, repo, d)) != ERR_MANIFEST_UNKNOWN)
        return e;
    if ((e = manifest_read(b, d, &text, &len)))
        return e == ERR_TOO_LARGE ? ERR_BLOB_UNKNOWN : e;
    e = manifest_parse(&m, text, len, media_type, &why);
    free(text);
    if (e)
        return ERR_BLOB_UNKNOWN;
    for (size_t i = 0; i < m.child_count && e == ERR_OK; i++) {
        struct child *child = &m.children[i];

        if (child->kind == CHILD_SUBJECT)
            continue;
        e = child->kind == CHILD_MANIFEST ? manifest_restore(b, repo, &child->digest, NULL, depth + 1)
                                          : ERR_BLOB_UNKNOWN;
        if (e == ERR_BLOB_UNKNOWN)
            e = blob_restore(b, repo, child);
    }
    if (e == ERR_OK && (e = tx_step(b)) == ERR_OK) {
        platform_of(b->store, &m, platform);
        e = catalog_manifest_put(b->tx, repo, d, len, &m, platform, b->now, &missing);
        b->pending++;
    }
    manifest_clear(&m);
    return e;
}

/* One line of index.json. */
static enum err index_entry(void *arg, const char *key, const struct json_val *item)
{
    struct rebuild *b = arg;
    const char *ref =
        json_str(json_get(json_get(item, "annotations"), "org.opencontainers.image.ref.name"), NULL);
    const char *media_type = json_str(json_get(item, "mediaType"), NULL);
    size_t len = 0;
    const char *text = json_str(json_get(item, "digest"), &len);
    struct image_ref name;
    struct digest d;
    enum err e;

    (void)key;
    b->done++;
    progress(b, "manifests");
    /* A layout made by another tool may name its images otherwise: those have no place here. */
    if (ref == NULL || text == NULL || digest_parse(text, len, &d) || image_ref_parse(ref, &name) ||
        !name.has_ref) {
        b->report->missing++;
        log_msg(b->log, LOG_WARN, "index.json: entry %llu has no name of the form REPOSITORY:TAG, left out",
                (unsigned long long)b->done);
        return ERR_OK;
    }
    if ((e = tx_step(b)))
        return e;
    e = manifest_restore(b, name.name, &d, media_type, 0);
    if (e == ERR_BLOB_UNKNOWN) {
        b->report->missing++;
        log_msg(b->log, LOG_WARN, "%s: its manifest is not on the disk, left out", ref);
        return ERR_OK;
    }
    if (e == ERR_OK && !name.ref.is_digest)
        e = catalog_tag_set(b->tx, name.name, name.ref.tag, &d, "rebuild", b->now);
    return e;
}

static enum err index_read(struct rebuild *b)
{
    const struct io *io = store_io(b->store);
    const struct json_val *list;
    struct json *j = NULL;
    const char *why = NULL;
    struct stat st;
    char *text = NULL;
    enum err e;
    int fd = io->openat(io, store_dirfd(b->store), INDEX_FILE, O_RDONLY | O_NOFOLLOW, 0);

    if (fd < 0)
        return log_fail(b->log, io_err(errno), "open %s: %s", INDEX_FILE, strerror(errno));
    e = io->fstat(io, fd, &st) < 0
            ? log_fail(b->log, io_err(errno), "stat %s: %s", INDEX_FILE, strerror(errno))
            : read_whole(b, fd, (uint64_t)st.st_size, INDEX_BYTES_MAX, INDEX_FILE, &text);
    io->close(io, fd);
    if (e)
        return e;
    if (json_parse_within(&j, text, (size_t)st.st_size, SIZE_MAX / 2, &why)) {
        e = log_fail(b->log, ERR_CORRUPT, "%s: %s", INDEX_FILE, why ? why : "not JSON");
        goto out;
    }
    list = json_get(json_root(j), "manifests");
    if (!json_is_array(list)) {
        e = log_fail(b->log, ERR_CORRUPT, "%s: no list of manifests", INDEX_FILE);
        goto out;
    }
    b->total = json_count(list);
    e = json_foreach(list, index_entry, b);
out:
    json_free(j);
    free(text);
    return e;
}

static enum err count_unreferenced(void *arg, const struct digest *d, uint64_t size)
{
    struct rebuild *b = arg;
    enum err e = catalog_blob_known(b->catalog, d, NULL);

    (void)size;
    if (e == ERR_BLOB_UNKNOWN) {
        b->report->unreferenced++;
        e = ERR_OK;
    }
    return e;
}

static enum err unlink_if_there(struct rebuild *b, const char *name)
{
    const struct io *io = store_io(b->store);

    if (io->unlinkat(io, store_dirfd(b->store), name) < 0 && errno != ENOENT)
        return log_fail(b->log, io_err(errno), "delete %s: %s", name, strerror(errno));
    return ERR_OK;
}

static enum err rename_if_there(struct rebuild *b, const char *from, const char *to)
{
    const struct io *io = store_io(b->store);
    int dir = store_dirfd(b->store);

    if (io->renameat(io, dir, from, dir, to) < 0 && errno != ENOENT)
        return log_fail(b->log, io_err(errno), "rename %s: %s", from, strerror(errno));
    return ERR_OK;
}

/* Put the new catalogue in the old one's place. The old one's log must be gone first: SQLite
 * would take it for the new one's. */
static enum err swap_in(struct rebuild *b)
{
    const struct io *io = store_io(b->store);
    int dir = store_dirfd(b->store);
    enum err e;

    if ((e = rename_if_there(b, CATALOG_FILE, OLD_FILE)) ||
        (e = rename_if_there(b, CATALOG_FILE "-wal", OLD_FILE "-wal")) ||
        (e = unlink_if_there(b, CATALOG_FILE "-shm")))
        return e;
    if (io->fsync(io, dir) < 0)
        return log_fail(b->log, io_err(errno), "sync %s: %s", b->cfg->data, strerror(errno));
    if (io->renameat(io, dir, NEW_FILE, dir, CATALOG_FILE) < 0 || io->fsync(io, dir) < 0)
        return log_fail(b->log, io_err(errno), "rename %s: %s", NEW_FILE, strerror(errno));
    return ERR_OK;
}

static enum err rebuild_into(struct rebuild *b, const char *path)
{
    struct catalog_config cc = { .path = path, .create = true };
    struct catalog_usage usage;
    enum err e;

    /* What an earlier run left. */
    if ((e = unlink_if_there(b, NEW_FILE)) || (e = unlink_if_there(b, NEW_FILE "-wal")) ||
        (e = unlink_if_there(b, NEW_FILE "-shm")) || (e = unlink_if_there(b, NEW_FILE "-journal")))
        return e;
    if ((e = catalog_open(&b->catalog, &cc, b->log)))
        return e;
    e = index_read(b);
    if (e == ERR_OK && b->tx != NULL) {
        e = catalog_commit(b->tx);
        b->tx = NULL;
    }
    catalog_rollback(b->tx);
    if (e == ERR_OK && (e = catalog_usage_get(b->catalog, &usage)) == ERR_OK) {
        b->report->repos = usage.repos;
        b->report->tags = usage.tags;
        b->report->manifests = usage.manifests;
        b->report->blobs = usage.blobs;
        e = store_blob_foreach(b->store, count_unreferenced, b);
    }
    if (e) {
        catalog_close(b->catalog);
        return e;
    }
    if ((e = catalog_close_sealed(b->catalog)))
        return e;
    /* Empty, and kept by SQLite under a name that nobody will use again. */
    if ((e = unlink_if_there(b, NEW_FILE "-wal")))
        return e;
    return unlink_if_there(b, NEW_FILE "-shm");
}

enum err registry_rebuild(const struct rebuild_config *cfg, struct rebuild_report *out, struct log *log)
{
    struct rebuild b = { .cfg = cfg, .report = out, .log = log, .now = clock_unix_ms() };
    char path[4096];
    struct stat st;
    enum err e;

    memset(out, 0, sizeof *out);
    /* A folder without index.json is no image layout: making one of it would hide a mistyped path. */
    if ((e = str_format(path, sizeof path, "%s/%s", cfg->data, INDEX_FILE)))
        return e;
    if (io_posix.fstatat(&io_posix, AT_FDCWD, path, &st) < 0)
        return errno == ENOENT ? ERR_NOT_FOUND
                               : log_fail(log, io_err(errno), "stat %s: %s", path, strerror(errno));
    if ((e = str_format(path, sizeof path, "%s/%s", cfg->data, NEW_FILE)) ||
        (e = store_open(&b.store, cfg->data, true, &io_posix, log)))
        return e;
    if (flock(store_dirfd(b.store), LOCK_EX | LOCK_NB) < 0) {
        e = ERR_BUSY;
        goto out;
    }
    if (!cfg->force && io_posix.fstatat(&io_posix, store_dirfd(b.store), CATALOG_FILE, &st) == 0) {
        e = ERR_EXISTS;
        goto out;
    }
    if ((e = rebuild_into(&b, path)) == ERR_OK)
        e = swap_in(&b);
out:
    store_close(b.store);
    return e;
}
