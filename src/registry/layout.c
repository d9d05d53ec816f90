/* index.json, written in one pass over the catalogue through a fixed buffer: it has a line
 * for each tag, and a store may have many.
 */
#include "registry/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/str.h"
#include "registry/registry_internal.h"

#define INDEX_TMP   "index.json.tmp"
#define PAGE_REPOS  64
#define PAGE_ROWS   256
#define FLUSH_BYTES 65536

struct writer {
    struct registry *r;
    int fd;
    uint64_t off;
    struct buf buf;
    bool first;
    const char *repo;
    /* where the current list stands */
    uint64_t rows;
    char last_tag[TAG_MAX_BYTES + 1];
    struct digest last_digest;
};

static enum err flush(struct writer *w, size_t keep_under)
{
    const struct io *io = store_io(w->r->store);
    enum err e;

    if (w->buf.err)
        return log_fail(w->r->log, w->buf.err, "write %s: out of memory", STORE_INDEX_FILE);
    if (w->buf.len < keep_under)
        return ERR_OK;
    if ((e = io_write_all(io, w->fd, w->buf.p, w->buf.len, (off_t)w->off, w->r->log, INDEX_TMP)))
        return e;
    w->off += w->buf.len;
    buf_clear(&w->buf);
    return ERR_OK;
}

static enum err descriptor(struct writer *w, const struct catalog_manifest *m, const char *ref)
{
    char digest[DIGEST_TEXT_MAX + 1];

    digest_format(&m->digest, digest);
    buf_str(&w->buf, w->first ? "\n" : ",\n");
    w->first = false;
    buf_str(&w->buf, "{\"mediaType\":");
    buf_json(&w->buf, m->media_type);
    buf_fmt(&w->buf,
            ",\"digest\":\"%s\",\"size\":%llu,\"annotations\":{\"org.opencontainers.image.ref.name\":",
            digest, (unsigned long long)m->size);
    buf_json(&w->buf, ref);
    buf_str(&w->buf, "}}");
    return flush(w, FLUSH_BYTES);
}

static enum err tag_line(void *arg, const struct catalog_tag *t)
{
    char ref[NAME_MAX_BYTES + 1 + TAG_MAX_BYTES + 1];
    struct writer *w = arg;
    enum err e;

    w->rows++;
    memcpy(w->last_tag, t->name, sizeof w->last_tag);
    if ((e = str_format(ref, sizeof ref, "%s:%s", w->repo, t->name)))
        return e;
    return descriptor(w, &t->manifest, ref);
}

static enum err untagged_line(void *arg, const struct catalog_manifest *m, bool tagged, bool child_of_index)
{
    char ref[NAME_MAX_BYTES + 1 + DIGEST_TEXT_MAX + 1], digest[DIGEST_TEXT_MAX + 1];
    struct writer *w = arg;
    enum err e;

    w->rows++;
    w->last_digest = m->digest;
    if (tagged || child_of_index)
        return ERR_OK;
    digest_format(&m->digest, digest);
    if ((e = str_format(ref, sizeof ref, "%s@%s", w->repo, digest)))
        return e;
    return descriptor(w, m, ref);
}

/* All of one repository, page by page: no reader is held while the disk is waited for long. */
static enum err repo_lines(struct writer *w, const char *repo)
{
    struct catalog *c = w->r->catalog;
    bool more;
    enum err e;

    w->repo = repo;
    w->last_tag[0] = '\0';
    do {
        w->rows = 0;
        e = catalog_tag_foreach(c, repo, w->last_tag, PAGE_ROWS, tag_line, w);
        if (e == ERR_NAME_UNKNOWN)
            return ERR_OK; /* deleted since its name was read */
    } while (e == ERR_OK && w->rows == PAGE_ROWS);
    for (more = false; e == ERR_OK; more = true) {
        w->rows = 0;
        e = catalog_manifest_foreach(c, repo, more ? &w->last_digest : NULL, PAGE_ROWS, untagged_line, w);
        if (w->rows < PAGE_ROWS)
            break;
    }
    return e;
}

struct names {
    unsigned n;
    char name[PAGE_REPOS][NAME_MAX_BYTES + 1];
};

static enum err name_add(void *arg, const char *repo)
{
    struct names *names = arg;

    return str_copy(names->name[names->n++], NAME_MAX_BYTES + 1, repo);
}

static enum err all_lines(struct writer *w)
{
    struct names *names = malloc(sizeof *names);
    char last[NAME_MAX_BYTES + 1] = "";
    enum err e;

    if (names == NULL)
        return log_fail(w->r->log, ERR_NO_MEMORY, "write %s: out of memory", STORE_INDEX_FILE);
    do {
        names->n = 0;
        e = catalog_repo_foreach(w->r->catalog, last, PAGE_REPOS, name_add, names);
        for (unsigned i = 0; i < names->n && e == ERR_OK; i++)
            e = repo_lines(w, names->name[i]);
        if (names->n > 0)
            memcpy(last, names->name[names->n - 1], sizeof last);
    } while (e == ERR_OK && names->n == PAGE_REPOS);
    free(names);
    return e;
}

/* Open the temporary file for this process alone. ERR_BUSY: another one is writing index.json. */
static enum err tmp_open(struct registry *r, int *fd)
{
    const struct io *io = store_io(r->store);
    int dir = store_dirfd(r->store);
    struct stat mine, now;

    for (int tries = 0; tries < 3; tries++) {
        *fd = io->openat(io, dir, INDEX_TMP, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
        if (*fd < 0)
            return log_fail(r->log, io_err(errno), "create %s: %s", INDEX_TMP, strerror(errno));
        if (flock(*fd, LOCK_EX | LOCK_NB) < 0) {
            io->close(io, *fd);
            return ERR_BUSY;
        }
        /* Whoever had it before may have renamed it between our open and our lock: what we hold
         * is then the live index.json, and must not be touched. */
        if (io->fstat(io, *fd, &mine) == 0 && io->fstatat(io, dir, INDEX_TMP, &now) == 0 &&
            mine.st_ino == now.st_ino && mine.st_dev == now.st_dev) {
            if (io->ftruncate(io, *fd, 0) == 0)
                return ERR_OK;
            io->close(io, *fd);
            return log_fail(r->log, io_err(errno), "truncate %s: %s", INDEX_TMP, strerror(errno));
        }
        io->close(io, *fd);
    }
    return ERR_BUSY;
}

enum err layout_sync(struct registry *r)
{
    static const char head[] = "{\"schemaVersion\":2,\"mediaType\":\"" MT_OCI_INDEX "\",\"manifests\":[";
    const struct io *io = store_io(r->store);
    int dir = store_dirfd(r->store);
    struct writer w = { .r = r, .first = true };
    uint64_t generation;
    enum err e;

    /* Read before the rows: a change in between makes the next call write again. */
    if ((e = catalog_generation(r->catalog, &generation)) || (e = tmp_open(r, &w.fd)))
        return e;
    buf_str(&w.buf, head);
    if ((e = all_lines(&w)))
        goto out;
    buf_str(&w.buf, "\n]}\n");
    if ((e = flush(&w, 0)))
        goto out;
    if (io->fdatasync(io, w.fd) < 0) {
        e = log_fail(r->log, io_err(errno), "sync %s: %s", INDEX_TMP, strerror(errno));
        goto out;
    }
    if (io->renameat(io, dir, INDEX_TMP, dir, STORE_INDEX_FILE) < 0) {
        e = log_fail(r->log, io_err(errno), "rename %s: %s", INDEX_TMP, strerror(errno));
        goto out;
    }
    if (io->fsync(io, dir) < 0)
        e = log_fail(r->log, io_err(errno), "sync the folder of %s: %s", STORE_INDEX_FILE, strerror(errno));
    else
        r->synced = generation + 1;
out:
    if (e)
        (void)io->unlinkat(io, dir, INDEX_TMP); /* on a full disk it holds room that others need */
    io->close(io, w.fd);
    buf_free(&w.buf);
    return e;
}

enum err layout_sync_if_changed(struct registry *r)
{
    uint64_t generation;
    enum err e = catalog_generation(r->catalog, &generation);

    if (e)
        return e;
    return r->synced == generation + 1 ? ERR_OK : layout_sync(r);
}
