/* The verbs that change store and catalogue together. The order is always the same:
 * bytes before the row that names them; the row gone before the bytes. What a crash leaves
 * between the two is a file without a row, which nobody is served, or a file in trash/ whose row
 * is still there, which the next start moves back.
 */
#include "registry/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "registry/registry_internal.h"

/* A client that lost its connection comes back before the server has noticed: its session is
 * then still open for a moment. */
#define RESUME_WAIT_MS 3000
#define RESUME_STEP_MS 20
#define LINKS_STEP     200 /* digests that one transaction takes from a repository */

static enum err path_join(char *out, size_t cap, const char *dir, const char *file)
{
    return str_format(out, cap, "%s/%s", dir, file);
}

/* ---- opening ---- */

static enum err found_one(void *arg, const struct digest *d, uint64_t size)
{
    (void)arg;
    (void)d;
    (void)size;
    return ERR_EXISTS; /* one is enough to know */
}

/* A catalogue may be made only where nothing is stored yet: over blobs it would hide them all, and the next
 * index.json would forget their names. It stops at the first blob: no walk. */
static enum err may_create(struct registry *r, const struct registry_config *cfg, bool *create)
{
    const struct io *io = store_io(r->store);
    struct stat st;
    bool there, empty;
    enum err e;

    there = io->fstatat(io, store_dirfd(r->store), CATALOG_FILE, &st) == 0;
    if (!there && errno != ENOENT)
        return log_fail(r->log, io_err(errno), "stat %s/%s: %s", cfg->data, CATALOG_FILE, strerror(errno));
    e = store_blob_foreach(r->store, found_one, NULL);
    if (e && e != ERR_EXISTS)
        return e;
    empty = e == ERR_OK;
    if (!there && !empty)
        return log_fail(r->log, ERR_CORRUPT,
                        "%s has blobs but no %s: run \"berth rebuild --data %s\" to make it again", cfg->data,
                        CATALOG_FILE, cfg->data);
    if (!there && !cfg->create)
        return ERR_NOT_FOUND;
    *create = cfg->create && empty;
    return ERR_OK;
}

struct trash_visit {
    struct registry *r;
    struct catalog_tx *tx;
    unsigned restored;
};

static enum err trash_finish(void *arg, const struct digest *d)
{
    struct trash_visit *v = arg;
    uint64_t size;
    enum err e;

    /* The write lock is held: no other process is between its rename and its commit. */
    if (v->tx == NULL && (e = catalog_begin(&v->tx, v->r->catalog)))
        return e;
    /* Deleted only when surely not needed: the row is gone, or the file is in its place again. */
    e = catalog_blob_exists(v->tx, d, NULL);
    if (e == ERR_OK) {
        e = store_blob_stat(v->r->store, d, &size);
        if (e == ERR_BLOB_UNKNOWN) {
            v->restored++;
            return store_trash_restore(v->r->store, d);
        }
    }
    if (e && e != ERR_BLOB_UNKNOWN)
        return e;
    return store_trash_delete(v->r->store, d);
}

/* Finish what a crash left half done. It costs what is in trash/, not what is stored. That
 * it fails must not keep the registry from starting: the files wait for the next time. */
static void trash_recover(struct registry *r)
{
    struct trash_visit v = { .r = r };

    (void)store_trash_foreach(r->store, trash_finish, &v);
    catalog_rollback(v.tx);
    if (v.restored)
        log_msg(r->log, LOG_WARN, "finished interrupted deletes: %u files are back in place", v.restored);
}

enum err registry_open(struct registry **out, const struct registry_config *cfg, struct log *log)
{
    struct registry *r = calloc(1, sizeof *r);
    struct catalog_config cc = { .vfs = cfg->vfs, .cache_kib = cfg->cache_kib, .busy_ms = cfg->busy_ms };
    char path[4096];
    enum err e;

    *out = NULL;
    if (r == NULL)
        return log_fail(log, ERR_NO_MEMORY, "open %s: out of memory", cfg->data);
    r->log = log;
    if ((e = path_join(path, sizeof path, cfg->data, CATALOG_FILE)) ||
        (e = store_open(&r->store, cfg->data, cfg->create, cfg->io ? cfg->io : &io_posix, log)))
        goto fail;
    /* Shared: any number of processes, but none while a catalogue is being made. */
    if (flock(store_dirfd(r->store), LOCK_SH | LOCK_NB) < 0) {
        e = errno == EWOULDBLOCK
                ? log_fail(log, ERR_BUSY, "%s: \"berth rebuild\" is at work there", cfg->data)
                : log_fail(log, ERR_IO, "lock %s: %s", cfg->data, strerror(errno));
        goto fail;
    }
    if ((e = may_create(r, cfg, &cc.create)))
        goto fail;
    cc.path = path;
    if ((e = catalog_open(&r->catalog, &cc, log))) {
        if (e == ERR_CORRUPT)
            log_msg(log, LOG_ERROR, "%s/%s is damaged: \"berth rebuild --force --data %s\" makes it again",
                    cfg->data, CATALOG_FILE, cfg->data);
        goto fail;
    }
    trash_recover(r);
    *out = r;
    return ERR_OK;
fail:
    registry_close(r);
    return e;
}

void registry_close(struct registry *r)
{
    if (r == NULL)
        return;
    catalog_close(r->catalog);
    store_close(r->store);
    free(r);
}

struct catalog *registry_catalog(struct registry *r)
{
    return r->catalog;
}

/* ---- pushing blobs ---- */

enum err registry_upload_begin(struct upload **out, struct registry *r, const char *repo, enum digest_alg alg)
{
    return upload_begin(out, r->store, repo, alg);
}

enum err registry_upload_resume(struct upload **out, struct registry *r, const char *repo, const char *id)
{
    enum err e = upload_resume(out, r->store, repo, id);

    for (int waited = 0; e == ERR_BUSY && waited < RESUME_WAIT_MS; waited += RESUME_STEP_MS) {
        struct timespec step = { .tv_nsec = RESUME_STEP_MS * 1000000L };

        nanosleep(&step, NULL);
        e = upload_resume(out, r->store, repo, id);
    }
    return e;
}

enum err registry_upload_sweep(struct registry *r, int64_t age_ms, uint64_t *removed)
{
    return upload_sweep(r->store, clock_unix_ms() - age_ms, removed);
}

enum err registry_upload_stat(struct registry *r, const char *repo, const char *id, uint64_t *size)
{
    return upload_stat(r->store, repo, id, size);
}

/* Is d here as a row and as a file? (A row whose file is gone is mended by the next push.) */
static enum err blob_whole(struct registry *r, struct catalog_tx *tx, const struct digest *d, bool *whole)
{
    uint64_t row, file;
    enum err e;

    *whole = false;
    e = catalog_blob_exists(tx, d, &row);
    if (e == ERR_OK)
        e = store_blob_stat(r->store, d, &file);
    if (e == ERR_BLOB_UNKNOWN)
        return ERR_OK;
    *whole = e == ERR_OK && row == file;
    return e;
}

/* Put the proven bytes of up in place under the write lock, unless d is there already. *published:
 * there may be a new file, even if this failed. */
static enum err publish_once(struct registry *r, struct catalog_tx *tx, struct upload *up,
                             const struct digest *d, bool *published)
{
    bool whole;
    enum err e;

    *published = false;
    if ((e = blob_whole(r, tx, d, &whole)))
        return e;
    if (whole) {
        upload_cancel(up);
        return ERR_OK;
    }
    *published = true;
    return upload_publish(up);
}

/* End a transaction that took the last links of these n blobs, and let their files go: to the trash before
 * the commit, off the disk after it. The latter under the write lock: without it, somebody may have pushed
 * and deleted the same blob again, and what lies in the trash is theirs. */
static enum err commit_and_trash(struct registry *r, struct catalog_tx *tx, const struct digest *d, size_t n)
{
    enum err e = ERR_OK;
    size_t moved = 0;

    while (moved < n && (e = store_blob_trash(r->store, &d[moved])) == ERR_OK)
        moved++;
    if (e)
        catalog_rollback(tx);
    else
        e = catalog_commit(tx);
    if (e) {
        /* The rows are still there (or nobody can tell): so must the files be. */
        for (size_t i = 0; i < n && i <= moved; i++)
            (void)store_trash_restore(r->store, &d[i]);
        return e;
    }
    if (n > 0)
        trash_recover(r);
    return ERR_OK;
}

/* A file was put in place for a transaction that failed: take it away again, unless somebody has recorded it
 * meanwhile. Best effort: what stays is a file nobody is served.
 * The row of a commit that failed might still be found on the disk after a power cut. It cannot once another
 * commit has written over it in the log: so there is one here before the file goes. */
static void forget_orphan(struct registry *r, const struct digest *d)
{
    struct catalog_tx *tx;

    if (catalog_begin(&tx, r->catalog))
        return;
    if (catalog_blob_exists(tx, d, NULL) == ERR_BLOB_UNKNOWN)
        (void)commit_and_trash(r, tx, d, 1);
    else
        catalog_rollback(tx);
}

enum err registry_upload_commit(struct registry *r, const char *repo, struct upload *up,
                                const struct digest *d)
{
    struct catalog_tx *tx = NULL;
    uint64_t size = upload_size(up);
    bool published = false;
    enum err e;

    /* The bytes go to the disk before the lock is taken: it is held for a rename and a commit. */
    if ((e = upload_prove(up, d)) || (e = catalog_begin(&tx, r->catalog)))
        return e;
    if ((e = publish_once(r, tx, up, d, &published)) ||
        (e = catalog_blob_link(tx, repo, d, size, clock_unix_ms()))) {
        catalog_rollback(tx);
        if (published)
            forget_orphan(r, d);
        return e;
    }
    if ((e = catalog_commit(tx)) && published)
        forget_orphan(r, d);
    return e;
}

enum err registry_blob_mount(struct registry *r, const char *repo, const struct digest *d, const char *from)
{
    struct catalog_tx *tx;
    char found[NAME_MAX_BYTES + 1];
    uint64_t size;
    bool whole;
    enum err e;

    /* Most mounts that fail do so here, without the write lock. */
    if (from == NULL) {
        if ((e = catalog_blob_find(r->catalog, d, found)))
            return e;
        from = found;
    } else if ((e = catalog_blob_get(r->catalog, from, d, &size))) {
        return e;
    }
    if ((e = catalog_begin(&tx, r->catalog)))
        return e;
    if ((e = catalog_blob_linked(tx, from, d)) || (e = catalog_blob_exists(tx, d, &size)) ||
        (e = blob_whole(r, tx, d, &whole)))
        goto fail;
    if (!whole) {
        e = ERR_BLOB_UNKNOWN;
        goto fail;
    }
    if ((e = catalog_blob_link(tx, repo, d, size, clock_unix_ms())))
        goto fail;
    return catalog_commit(tx);
fail:
    catalog_rollback(tx);
    return e;
}

/* ---- pulling ---- */

/* A row without its file: another process may have been killed in the middle of a delete, or a file could not
 * be moved back after one failed. Both leave the file in trash/, where it can be had again. */
static enum err file_lost(struct registry *r, const struct digest *d)
{
    uint64_t size;

    trash_recover(r);
    return store_blob_stat(r->store, d, &size);
}

static enum err blob_file_open(struct registry *r, const struct digest *d, int *fd, uint64_t *size)
{
    enum err e = store_blob_open(r->store, d, fd, size);

    if (e == ERR_BLOB_UNKNOWN && file_lost(r, d) == ERR_OK)
        e = store_blob_open(r->store, d, fd, size);
    return e;
}

static enum err blob_file_stat(struct registry *r, const struct digest *d, uint64_t *size)
{
    enum err e = store_blob_stat(r->store, d, size);

    if (e == ERR_BLOB_UNKNOWN && file_lost(r, d) == ERR_OK)
        e = store_blob_stat(r->store, d, size);
    return e;
}

enum err registry_blob_open(struct registry *r, const char *repo, const struct digest *d, int *fd,
                            uint64_t *size)
{
    uint64_t row;
    enum err e;

    if ((e = catalog_blob_get(r->catalog, repo, d, &row)) || (e = blob_file_open(r, d, fd, size)))
        return e;
    if (*size == row)
        return ERR_OK;
    store_io(r->store)->close(store_io(r->store), *fd);
    return log_fail(r->log, ERR_BLOB_UNKNOWN, "a blob of %s has %llu bytes on the disk and should have %llu",
                    repo, (unsigned long long)*size, (unsigned long long)row);
}

enum err registry_blob_stat(struct registry *r, const char *repo, const struct digest *d, uint64_t *size)
{
    uint64_t row;
    enum err e;

    if ((e = catalog_blob_get(r->catalog, repo, d, &row)) || (e = blob_file_stat(r, d, size)))
        return e;
    /* "It is here" keeps a client from sending it: say so only of a whole one. */
    return *size == row ? ERR_OK : ERR_BLOB_UNKNOWN;
}

enum err registry_manifest_open(struct registry *r, const char *repo, const struct reference *ref,
                                struct catalog_manifest *out, int *fd)
{
    uint64_t size;
    enum err e;

    if ((e = catalog_manifest_get(r->catalog, repo, ref, out)))
        return e;
    if (fd == NULL)
        e = blob_file_stat(r, &out->digest, &size);
    else
        e = blob_file_open(r, &out->digest, fd, &size);
    if (e)
        return e == ERR_BLOB_UNKNOWN ? ERR_MANIFEST_UNKNOWN : e;
    if (size == out->size)
        return ERR_OK;
    if (fd != NULL)
        store_io(r->store)->close(store_io(r->store), *fd);
    return log_fail(r->log, ERR_MANIFEST_UNKNOWN,
                    "a manifest of %s has %llu bytes on the disk and should have %llu", repo,
                    (unsigned long long)size, (unsigned long long)out->size);
}

/* ---- pushing manifests ---- */

/* The bytes of a manifest as a proven upload. */
static enum err manifest_upload(struct registry *r, const struct manifest_push *push, struct upload **out)
{
    enum err e;

    if ((e = upload_begin(out, r->store, "", push->digest.alg)))
        return e;
    if ((e = upload_append(*out, push->bytes, push->len)) == ERR_OK)
        e = upload_prove(*out, &push->digest);
    upload_cancel(*out); /* it goes on closing unless it has been published */
    return e;
}

/* One try. up NULL: the manifest's file is thought to be there; *again when it is not. */
static enum err manifest_commit(struct registry *r, struct manifest_push *push, const struct manifest *m,
                                const char *platform, struct upload *up, bool *again)
{
    struct catalog_tx *tx;
    int64_t now = clock_unix_ms();
    bool published = false, whole;
    enum err e;

    *again = false;
    if ((e = catalog_begin(&tx, r->catalog)))
        return e;
    if ((e = catalog_manifest_put(tx, push->repo, &push->digest, push->len, m, platform, now,
                                  &push->missing)))
        goto fail;
    for (size_t i = 0; i < push->tag_count; i++) {
        if ((e = catalog_tag_set(tx, push->repo, push->tags[i], &push->digest, push->who, now)))
            goto fail;
    }
    /* All checks have passed: the bytes go in place last, and the commit makes both true. */
    if (up == NULL) {
        if ((e = blob_whole(r, tx, &push->digest, &whole)))
            goto fail;
        if (!whole) {
            *again = true;
            goto fail;
        }
    } else if ((e = publish_once(r, tx, up, &push->digest, &published))) {
        goto fail;
    }
    e = catalog_commit(tx);
    tx = NULL;
fail:
    catalog_rollback(tx);
    if (e && published)
        forget_orphan(r, &push->digest);
    return e;
}

enum err registry_manifest_put(struct registry *r, struct manifest_push *push)
{
    char platform[PLATFORM_MAX + 1];
    struct manifest m;
    struct upload *up = NULL;
    uint64_t row, file;
    bool again = true;
    enum err e;

    push->why = NULL;
    push->has_subject = false;
    if (push->len > MANIFEST_BYTES_MAX)
        return ERR_TOO_LARGE;
    if ((e = manifest_parse(&m, push->bytes, push->len, push->content_type, &push->why)))
        return e == ERR_NO_MEMORY ? log_fail(r->log, e, "read a manifest: out of memory") : e;
    digest_of(push->want ? push->want->alg : push->alg, push->bytes, push->len, &push->digest);
    if (push->want != NULL && !digest_eq(push->want, &push->digest)) {
        e = ERR_DIGEST_INVALID;
        goto out;
    }
    platform_of(r->store, &m, platform);
    /* A manifest that is stored already, as when only a tag moves, is not written again. */
    if (catalog_blob_known(r->catalog, &push->digest, &row) == ERR_OK &&
        store_blob_stat(r->store, &push->digest, &file) == ERR_OK && row == file)
        e = manifest_commit(r, push, &m, platform, NULL, &again);
    if (again && (e = manifest_upload(r, push, &up)) == ERR_OK)
        e = manifest_commit(r, push, &m, platform, up, &again);
    push->has_subject = m.has_subject;
    push->subject = m.subject;
out:
    upload_close(up);
    manifest_clear(&m);
    return e;
}

/* ---- tags and deleting ---- */

enum err registry_tag_set(struct registry *r, const char *repo, const char *tag, const struct digest *d,
                          const char *who)
{
    struct catalog_tx *tx;
    enum err e;

    if ((e = catalog_begin(&tx, r->catalog)))
        return e;
    if ((e = catalog_tag_set(tx, repo, tag, d, who, clock_unix_ms()))) {
        catalog_rollback(tx);
        return e;
    }
    return catalog_commit(tx);
}

enum err registry_tag_delete(struct registry *r, const char *repo, const char *tag, const char *who)
{
    struct catalog_tx *tx;
    enum err e;

    if ((e = catalog_begin(&tx, r->catalog)))
        return e;
    if ((e = catalog_tag_delete(tx, repo, tag, who, clock_unix_ms()))) {
        catalog_rollback(tx);
        return e;
    }
    return catalog_commit(tx);
}

enum err registry_manifest_delete(struct registry *r, const char *repo, const struct digest *d,
                                  const char *who)
{
    struct catalog_tx *tx;
    bool gone;
    enum err e;

    if ((e = catalog_begin(&tx, r->catalog)))
        return e;
    if ((e = catalog_manifest_delete(tx, repo, d, who, clock_unix_ms())) ||
        (e = catalog_blob_drop_if_unused(tx, d, &gone))) {
        catalog_rollback(tx);
        return e;
    }
    return commit_and_trash(r, tx, d, gone ? 1 : 0);
}

enum err registry_blob_delete(struct registry *r, const char *repo, const struct digest *d)
{
    struct catalog_tx *tx;
    bool gone;
    enum err e;

    if ((e = catalog_begin(&tx, r->catalog)))
        return e;
    if ((e = catalog_blob_unlink(tx, repo, d)) || (e = catalog_blob_drop_if_unused(tx, d, &gone))) {
        catalog_rollback(tx);
        return e;
    }
    return commit_and_trash(r, tx, d, gone ? 1 : 0);
}

/* Take up to LINKS_STEP digests from the repository; *left tells whether there were any. */
static enum err repo_delete_step(struct registry *r, const char *repo, const char *who, bool *left)
{
    struct digest links[LINKS_STEP], gone[LINKS_STEP];
    struct catalog_tx *tx;
    size_t n, gone_count = 0;
    enum err e;

    if ((e = catalog_begin(&tx, r->catalog)))
        return e;
    /* The tags go first and together: from then on nobody starts a pull of something half deleted. In each
     * step again: a push may have set one meanwhile. */
    if ((e = catalog_repo_clear_tags(tx, repo, who, clock_unix_ms())) ||
        (e = catalog_repo_links(tx, repo, links, LINKS_STEP, &n)))
        goto fail;
    *left = n > 0;
    if (n == 0) {
        if ((e = catalog_repo_delete(tx, repo)))
            goto fail;
        return catalog_commit(tx);
    }
    for (size_t i = 0; i < n; i++) {
        bool unused;

        if ((e = catalog_repo_unlink(tx, repo, &links[i])) ||
            (e = catalog_blob_drop_if_unused(tx, &links[i], &unused)))
            goto fail;
        if (unused)
            gone[gone_count++] = links[i];
    }
    return commit_and_trash(r, tx, gone, gone_count);
fail:
    catalog_rollback(tx);
    return e;
}

enum err registry_repo_delete(struct registry *r, const char *repo, const char *who)
{
    bool left = true;
    enum err e = ERR_OK;

    while (e == ERR_OK && left)
        e = repo_delete_step(r, repo, who, &left);
    return e;
}
