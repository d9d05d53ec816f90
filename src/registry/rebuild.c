/* A new catalogue from what is on the disk: index.json says which manifests there are and what they
 * are called, the manifests say which blobs belong to them. A file that is lost, damaged or cannot be read
 * is counted and left out; all the rest is there again.
 *
 * All of it goes into catalog.db.new, which takes its place by one rename at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "registry/layout.h"
#include "registry/registry_internal.h"

#define NEW_FILE        CATALOG_FILE ".new"
#define OLD_FILE        CATALOG_FILE ".old"
#define INDEX_FILE      "index.json"
#define INDEX_BYTES_MAX (256u << 20)
#define NESTING_MAX     32   /* indexes inside indexes: each is a call inside a call */
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
    const char *why; /* the last manifest was left out: "its manifest ..." */
    enum err fault;  /* of the catalogue, while files are walked */
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

/* Is e the fault of one file? It is counted and the others go on: whoever makes a catalogue again may well
 * have a disk that is dying. Not quarantined: it may be the cable. */
static bool unreadable(struct rebuild *b, enum err e)
{
    if (e != ERR_IO && e != ERR_CORRUPT)
        return false;
    b->report->unreadable++;
    return true;
}

/* Move a file whose bytes are wrong out of the way. ERR_BLOB_UNKNOWN: it is not there (any more). Where it
 * cannot be moved it stays, without a row: nobody is served it, and a push replaces it. */
static enum err quarantine(struct rebuild *b, const struct digest *d)
{
    enum err e = store_blob_quarantine(b->store, d);

    b->report->rotten++;
    return e == ERR_OK || e == ERR_IO ? ERR_BLOB_UNKNOWN : e;
}

/* The bytes of a manifest, proven; a rotten file goes to quarantine. ERR_BLOB_UNKNOWN: it is not there
 * (any more). ERR_TOO_LARGE: it is none. */
static enum err manifest_read(struct rebuild *b, const struct digest *d, char **out, size_t *len)
{
    const struct io *io = store_io(b->store);
    char text[DIGEST_TEXT_MAX + 1];
    struct digest got;
    uint64_t size;
    enum err e;
    int fd;

    *out = NULL;
    b->why = "is not on the disk";
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
    b->why = "was damaged";
    return quarantine(b, d);
}

/* Parse what a descriptor says is of this media type (NULL: it says nothing). A push does not compare the
 * descriptor with what it names: where it is wrong, the body speaks for itself. */
static enum err manifest_understand(struct rebuild *b, const char *text, size_t len, const char *media_type,
                                    struct manifest *m)
{
    enum err e = manifest_parse(m, text, len, media_type, &b->why);

    if (e == ERR_MANIFEST_INVALID && media_type != NULL)
        e = manifest_parse(m, text, len, NULL, NULL);
    if (e == ERR_NO_MEMORY)
        return log_fail(b->log, e, "read a manifest: out of memory");
    return e ? ERR_MANIFEST_INVALID : ERR_OK;
}

/* ERR_MANIFEST_UNKNOWN: it has to be left out, and has been counted. ERR_MANIFEST_INVALID: there is such a
 * file, and it is no manifest. b->why says more of both. */
static enum err manifest_load(struct rebuild *b, const struct digest *d, const char *media_type,
                              struct manifest *m, size_t *len)
{
    char *text = NULL;
    enum err e = manifest_read(b, d, &text, len);

    if (unreadable(b, e)) {
        b->why = "cannot be read from the disk";
        return ERR_MANIFEST_UNKNOWN;
    }
    if (e == ERR_BLOB_UNKNOWN) {
        b->report->missing++;
        return ERR_MANIFEST_UNKNOWN;
    }
    if (e == ERR_TOO_LARGE) {
        b->why = "larger than 4 MiB";
        return ERR_MANIFEST_INVALID;
    }
    if (e == ERR_OK)
        e = manifest_understand(b, text, *len, media_type, m);
    free(text);
    return e;
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

/* ERR_BLOB_UNKNOWN: its bytes were wrong, and it is gone. */
static enum err blob_prove(struct rebuild *b, const struct digest *d)
{
    enum err e = store_blob_verify(b->store, d);

    return e == ERR_CORRUPT ? quarantine(b, d) : e;
}

/* Link one blob that a manifest names. One that is lost is counted; what is left of the
 * image is better than nothing. */
static enum err blob_restore(struct rebuild *b, const char *repo, struct child *child)
{
    uint64_t size;
    enum err e = store_blob_stat(b->store, &child->digest, &size);

    /* A size that differs is no proof: a descriptor may be wrong, and was accepted. */
    if (e == ERR_OK && (b->cfg->verify || size != child->size) &&
        catalog_blob_exists(b->tx, &child->digest, NULL) == ERR_BLOB_UNKNOWN)
        e = blob_prove(b, &child->digest);
    if (e == ERR_BLOB_UNKNOWN && !child->optional)
        b->report->missing++;
    if (e == ERR_BLOB_UNKNOWN || unreadable(b, e)) {
        /* Without a row: a push brings it again. */
        child->optional = true;
        return ERR_OK;
    }
    return e ? e : catalog_blob_link(b->tx, repo, &child->digest, size, b->now);
}

static enum err manifest_restore(struct rebuild *b, const char *repo, const struct digest *d,
                                 const char *media_type, unsigned depth);

static enum err child_restore(struct rebuild *b, const char *repo, const struct manifest *m,
                              struct child *child, unsigned depth)
{
    char text[DIGEST_TEXT_MAX + 1];
    enum err e;

    if (child->kind == CHILD_SUBJECT)
        return ERR_OK;
    if (child->kind != CHILD_MANIFEST)
        return blob_restore(b, repo, child);
    e = manifest_restore(b, repo, &child->digest, manifest_child_type(m, child), depth + 1);
    /* An index may list blobs as well as manifests: build caches do. */
    if (e == ERR_MANIFEST_INVALID)
        return blob_restore(b, repo, child);
    if (e != ERR_MANIFEST_UNKNOWN)
        return e;
    digest_format(&child->digest, text);
    log_msg(b->log, LOG_WARN, "%s: an index names %s, which %s: left out", repo, text, b->why);
    child->optional = true;
    return ERR_OK;
}

/* A manifest with all that it names. Errors as of manifest_load. */
static enum err manifest_restore(struct rebuild *b, const char *repo, const struct digest *d,
                                 const char *media_type, unsigned depth)
{
    char platform[PLATFORM_MAX + 1];
    struct digest missing;
    struct manifest m;
    size_t len = 0;
    enum err e;

    /* Done already: small indexes that name each other could otherwise keep us for ever. */
    if ((e = catalog_manifest_linked(b->tx, repo, d)) != ERR_MANIFEST_UNKNOWN)
        return e;
    if (depth > NESTING_MAX) {
        b->report->missing++;
        b->why = "is inside of too many indexes";
        return ERR_MANIFEST_UNKNOWN;
    }
    if ((e = manifest_load(b, d, media_type, &m, &len)))
        return e;
    for (size_t i = 0; i < m.child_count && e == ERR_OK; i++)
        e = child_restore(b, repo, &m, &m.children[i], depth);
    if (e == ERR_OK && (e = tx_step(b)) == ERR_OK) {
        platform_of(b->store, &m, platform);
        e = catalog_manifest_put(b->tx, repo, d, len, &m, platform, b->now, &missing);
        b->pending++;
    }
    /* In an index, JSON of an unknown type may as well have been pushed as a blob: served as both. */
    if (e == ERR_OK && depth > 0 && !m.is_known)
        e = catalog_blob_link(b->tx, repo, d, len, b->now);
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
    if (e == ERR_MANIFEST_INVALID) {
        b->report->missing++;
        log_msg(b->log, LOG_WARN, "%s: left out: it cannot be read as a manifest: %s", ref, b->why);
        return ERR_OK;
    }
    if (e == ERR_MANIFEST_UNKNOWN) {
        log_msg(b->log, LOG_WARN, "%s: left out: its manifest %s", ref, b->why);
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
    if ((e = json_parse_within(&j, text, (size_t)st.st_size, SIZE_MAX / 2, &why))) {
        e = log_fail(b->log, e == ERR_NO_MEMORY ? e : ERR_CORRUPT, "%s: %s", INDEX_FILE,
                     why ? why : err_text(e));
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
    if (e == ERR_OK)
        return e;
    if (e == ERR_BLOB_UNKNOWN)
        b->report->unreferenced++;
    else
        b->fault = e;
    return b->fault;
}

static enum err totals(struct rebuild *b)
{
    struct catalog_usage usage;
    enum err e;

    if ((e = catalog_usage_get(b->catalog, &usage)))
        return e;
    b->report->repos = usage.repos;
    b->report->tags = usage.tags;
    b->report->manifests = usage.manifests;
    b->report->blobs = usage.blobs;
    e = store_blob_foreach(b->store, count_unreferenced, b);
    if (b->fault || !unreadable(b, e))
        return e;
    log_msg(b->log, LOG_WARN, "not all files could be looked at: more than %llu may be unreferenced",
            (unsigned long long)b->report->unreferenced);
    return ERR_OK;
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

/* What this or an earlier run left. */
static enum err drop_new(struct rebuild *b)
{
    enum err e;

    if ((e = unlink_if_there(b, NEW_FILE)) || (e = unlink_if_there(b, NEW_FILE "-wal")) ||
        (e = unlink_if_there(b, NEW_FILE "-shm")))
        return e;
    return unlink_if_there(b, NEW_FILE "-journal");
}

static enum err sync_folder(struct rebuild *b)
{
    const struct io *io = store_io(b->store);

    if (io->fsync(io, store_dirfd(b->store)) < 0)
        return log_fail(b->log, io_err(errno), "sync %s: %s", b->cfg->data, strerror(errno));
    return ERR_OK;
}

/* Is there a catalogue? A disk that cannot tell is no answer. */
static enum err catalog_there(struct rebuild *b, bool *there)
{
    const struct io *io = store_io(b->store);
    struct stat st;

    *there = io->fstatat(io, store_dirfd(b->store), CATALOG_FILE, &st) == 0;
    if (!*there && errno != ENOENT)
        return log_fail(b->log, io_err(errno), "stat %s: %s", CATALOG_FILE, strerror(errno));
    return ERR_OK;
}

/* Give the old catalogue its other name. Its log must be gone too before the new one comes: SQLite would
 * take it for the new one's. *moved: there was one. */
static enum err set_aside(struct rebuild *b, bool *moved)
{
    enum err e;

    *moved = false;
    if ((e = catalog_there(b, moved)))
        return e;
    /* A log beside an older catalog.db.old is no log of this one. Without a catalogue the log belongs to the
     * one that a run before this, cut off here, has set aside. */
    if (*moved && ((e = unlink_if_there(b, OLD_FILE "-wal")) || (e = unlink_if_there(b, OLD_FILE "-shm"))))
        return e;
    if ((e = rename_if_there(b, CATALOG_FILE, OLD_FILE)) ||
        (e = rename_if_there(b, CATALOG_FILE "-wal", OLD_FILE "-wal")) ||
        (e = unlink_if_there(b, CATALOG_FILE "-shm")))
        return e;
    return sync_folder(b);
}

/* Never without its log, which has its last changes. What does not work here can still be rebuilt. */
static void put_back(struct rebuild *b)
{
    if (rename_if_there(b, OLD_FILE "-wal", CATALOG_FILE "-wal") == ERR_OK)
        (void)rename_if_there(b, OLD_FILE, CATALOG_FILE);
    (void)sync_folder(b);
}

/* Put the new catalogue in the old one's place. */
static enum err swap_in(struct rebuild *b)
{
    const struct io *io = store_io(b->store);
    int dir = store_dirfd(b->store);
    bool moved;
    enum err e = set_aside(b, &moved);

    if (e == ERR_OK && io->renameat(io, dir, NEW_FILE, dir, CATALOG_FILE) < 0)
        e = log_fail(b->log, io_err(errno), "rename %s: %s", NEW_FILE, strerror(errno));
    if (e == ERR_OK)
        return sync_folder(b);
    if (moved)
        put_back(b);
    return e;
}

/* Made by root for a server that runs as another user: it must be able to write. SQLite gives the
 * files that it makes beside it to the same owner. */
static enum err give_to_owner(struct rebuild *b)
{
    const struct io *io = store_io(b->store);
    int dir = store_dirfd(b->store), fd;
    struct stat want, st;
    enum err e = ERR_OK;

    if (geteuid() != 0)
        return ERR_OK;
    fd = io->openat(io, dir, NEW_FILE, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0)
        return log_fail(b->log, io_err(errno), "open %s: %s", NEW_FILE, strerror(errno));
    if (io->fstat(io, dir, &want) < 0 || io->fstat(io, fd, &st) < 0)
        e = log_fail(b->log, io_err(errno), "stat %s: %s", NEW_FILE, strerror(errno));
    else if ((st.st_uid != want.st_uid || st.st_gid != want.st_gid) &&
             (io->fchown(io, fd, want.st_uid, want.st_gid) < 0 || io->fsync(io, fd) < 0))
        e = log_fail(b->log, io_err(errno), "change the owner of %s: %s", NEW_FILE, strerror(errno));
    io->close(io, fd);
    return e;
}

static enum err fill(struct rebuild *b)
{
    enum err e = index_read(b);

    if (e == ERR_OK && b->tx != NULL) {
        e = catalog_commit(b->tx);
        b->tx = NULL;
    }
    catalog_rollback(b->tx);
    return e ? e : totals(b);
}

/* Make the new catalogue, whole and in one file. */
static enum err rebuild_into(struct rebuild *b, const char *path)
{
    struct catalog_config cc = { .path = path, .vfs = b->cfg->vfs, .create = true };
    enum err e;

    if ((e = drop_new(b)) || (e = catalog_open(&b->catalog, &cc, b->log)))
        return e;
    if ((e = fill(b))) {
        catalog_close(b->catalog);
        return e;
    }
    if ((e = catalog_close_sealed(b->catalog)))
        return e;
    /* Empty, and kept by SQLite under a name that nobody will use again. */
    if ((e = unlink_if_there(b, NEW_FILE "-wal")) || (e = unlink_if_there(b, NEW_FILE "-shm")))
        return e;
    return give_to_owner(b);
}

/* No server has the data directory open, and there is no catalogue unless it may go. */
static enum err may_rebuild(struct rebuild *b)
{
    bool there;
    enum err e;

    if (flock(store_dirfd(b->store), LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? ERR_BUSY
                                    : log_fail(b->log, ERR_IO, "lock %s: %s", b->cfg->data, strerror(errno));
    if (b->cfg->force)
        return ERR_OK;
    e = catalog_there(b, &there);
    return e ? e : there ? ERR_EXISTS : ERR_OK;
}

enum err registry_rebuild(const struct rebuild_config *cfg, struct rebuild_report *out, struct log *log)
{
    struct rebuild b = { .cfg = cfg, .report = out, .log = log, .now = clock_unix_ms() };
    const struct io *io = cfg->io ? cfg->io : &io_posix;
    char path[4096];
    struct stat st;
    enum err e;

    memset(out, 0, sizeof *out);
    /* A folder without index.json is no image layout: making one of it would hide a mistyped path. */
    if ((e = str_format(path, sizeof path, "%s/%s", cfg->data, INDEX_FILE)))
        return e;
    if (io->fstatat(io, AT_FDCWD, path, &st) < 0)
        return errno == ENOENT ? ERR_NOT_FOUND
                               : log_fail(log, io_err(errno), "stat %s: %s", path, strerror(errno));
    if ((e = str_format(path, sizeof path, "%s/%s", cfg->data, NEW_FILE)) ||
        (e = store_open(&b.store, cfg->data, true, io, log)))
        return e;
    if ((e = may_rebuild(&b)) == ERR_OK && ((e = rebuild_into(&b, path)) || (e = swap_in(&b))))
        (void)drop_new(&b); /* it may be the disk's last room */
    store_close(b.store);
    return e;
}
