/* The folders of the data directory and the moves between them.
 *
 * Every move is a rename followed by an fsync of the folder it leads to. The folder it
 * comes from is not flushed: on every journalling file system a rename is one step, and
 * where it were not, a file that reappears in trash/ is dealt with by the next start, and one in
 * uploads/ by the next sweep.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "store/store_internal.h"

#define LAYOUT_FILE    "oci-layout"
#define LAYOUT_VERSION "1.0.0"
#define LAYOUT_TEXT    "{\"imageLayoutVersion\":\"" LAYOUT_VERSION "\"}\n"
#define LAYOUT_MAX     4096 /* bytes of an oci-layout file */
#define INDEX_EMPTY \
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}\n"
#define HASH_STEP_BYTES 65536
#define FLAT_NAME_MAX   (6 + 1 + DIGEST_HEX_MAX) /* "sha512-" and the hex: a name in trash/ */

static void flat_name(const struct digest *d, char out[FLAT_NAME_MAX + 1])
{
    char hex[DIGEST_HEX_MAX + 1];

    digest_hex(d, hex);
    snprintf(out, FLAT_NAME_MAX + 1, "%s-%s", digest_alg_name(d->alg), hex);
}

/* The digest a flat name stands for; false for any other file. */
static bool flat_parse(const char *name, struct digest *out)
{
    char text[DIGEST_TEXT_MAX + 1];
    char *dash;

    if (str_copy(text, sizeof text, name) || (dash = strchr(text, '-')) == NULL)
        return false;
    *dash = ':';
    return digest_parse(text, strlen(text), out) == ERR_OK;
}

enum err store_sync_dir(struct store *s, int dirfd, const char *what)
{
    if (s->io->fsync(s->io, dirfd) < 0)
        return log_fail(s->log, io_err(errno), "sync folder %s: %s", what, strerror(errno));
    return ERR_OK;
}

/* Make the folder path (relative to dirfd) if it is missing, and open it. */
static enum err dir_open(struct store *s, int dirfd, const char *path, bool create, int *out)
{
    if (create && s->io->mkdirat(s->io, dirfd, path, 0755) < 0 && errno != EEXIST)
        return log_fail(s->log, io_err(errno), "make folder %s: %s", path, strerror(errno));
    *out = s->io->openat(s->io, dirfd, path, O_RDONLY | O_DIRECTORY, 0);
    if (*out < 0) {
        if (errno == ENOENT)
            return ERR_NOT_FOUND;
        return log_fail(s->log, io_err(errno), "open folder %s: %s", path, strerror(errno));
    }
    return ERR_OK;
}

/* Make path and its missing parents; each new entry is flushed, or a power cut could
 * take the folder away together with all that was acknowledged in it. The last parent is flushed
 * even when nothing was made: an earlier start may have been cut off in between. */
static enum err make_path(struct store *s, const char *path)
{
    char part[4096];
    size_t len = strlen(path);

    if (len == 0 || str_copy(part, sizeof part, path))
        return ERR_INVALID;
    while (len > 1 && part[len - 1] == '/')
        part[--len] = '\0';
    for (size_t i = 1; i <= len; i++) {
        char parent[4096];
        const char *slash;
        bool made;
        int fd;

        if (part[i] != '/' && part[i] != '\0')
            continue;
        char saved = part[i];
        part[i] = '\0';
        made = s->io->mkdirat(s->io, AT_FDCWD, part, 0755) == 0;
        if (!made && errno != EEXIST && errno != EROFS && errno != EACCES)
            return log_fail(s->log, io_err(errno), "make folder %s: %s", part, strerror(errno));
        if (made || saved == '\0') {
            slash = strrchr(part, '/');
            if (slash == NULL)
                (void)str_copy(parent, sizeof parent, ".");
            else
                (void)str_copy_n(parent, sizeof parent, part, slash == part ? 1 : (size_t)(slash - part));
            fd = s->io->openat(s->io, AT_FDCWD, parent, O_RDONLY | O_DIRECTORY, 0);
            if (fd < 0 && made)
                return log_fail(s->log, io_err(errno), "open folder %s: %s", parent, strerror(errno));
            if (fd >= 0) {
                enum err e = store_sync_dir(s, fd, parent);

                s->io->close(s->io, fd);
                if (e && made)
                    return e;
            }
        }
        part[i] = saved;
    }
    return ERR_OK;
}

/* Is this an image layout that we understand? Make it one if there is nothing yet. */
static enum err layout_check(struct store *s, bool create)
{
    char text[LAYOUT_MAX];
    const struct json_val *version;
    struct json *j = NULL;
    struct stat st;
    const char *v;
    ssize_t n;
    enum err e;
    int fd = s->io->openat(s->io, s->root, LAYOUT_FILE, O_RDONLY | O_NOFOLLOW, 0);

    if (fd < 0 && errno == ENOENT) {
        if (!create)
            return ERR_NOT_FOUND;
        /* index.json first: a folder with an oci-layout file is a whole layout. One that is there is never
         * emptied: it may be all that is left of the names. */
        if (s->io->fstatat(s->io, s->root, STORE_INDEX_FILE, &st) < 0 &&
            (e = io_replace_file(s->io, s->root, STORE_INDEX_FILE, INDEX_EMPTY, strlen(INDEX_EMPTY), 0644,
                                 s->log)))
            return e;
        return io_replace_file(s->io, s->root, LAYOUT_FILE, LAYOUT_TEXT, strlen(LAYOUT_TEXT), 0644, s->log);
    }
    if (fd < 0)
        return log_fail(s->log, io_err(errno), "open %s: %s", LAYOUT_FILE, strerror(errno));
    n = s->io->pread(s->io, fd, text, sizeof text, 0);
    s->io->close(s->io, fd);
    if (n < 0)
        return log_fail(s->log, io_err(errno), "read %s: %s", LAYOUT_FILE, strerror(errno));
    e = json_parse(&j, text, (size_t)n, NULL);
    if (e == ERR_NO_MEMORY)
        return log_fail(s->log, e, "read %s: out of memory", LAYOUT_FILE);
    version = e == ERR_OK ? json_get(json_root(j), "imageLayoutVersion") : NULL;
    v = json_str(version, NULL);
    if (v == NULL || strcmp(v, LAYOUT_VERSION) != 0)
        e = log_fail(s->log, ERR_INVALID, "%s: not an OCI image layout of version %s", LAYOUT_FILE,
                     LAYOUT_VERSION);
    json_free(j);
    return e;
}

/* The folders inside the data directory. All parents are flushed, whether or not
 * something was made: see make_path. */
static enum err folders_open(struct store *s, bool create)
{
    int blobs = -1;
    enum err e;

    if ((e = dir_open(s, s->root, "blobs", create, &blobs)))
        goto out;
    for (int alg = 0; alg < DIGEST_ALG_COUNT; alg++) {
        if ((e = dir_open(s, blobs, digest_alg_name((enum digest_alg)alg), create, &s->blobs[alg])))
            goto out;
    }
    if ((e = dir_open(s, s->root, "uploads", create, &s->uploads)) ||
        (e = dir_open(s, s->root, "trash", create, &s->trash)) ||
        (e = dir_open(s, s->root, "quarantine", create, &s->quarantine)))
        goto out;
    if (create && ((e = store_sync_dir(s, blobs, "blobs")) || (e = store_sync_dir(s, s->root, "."))))
        goto out;
    e = layout_check(s, create);
out:
    if (blobs >= 0)
        s->io->close(s->io, blobs);
    return e;
}

enum err store_open(struct store **out, const char *path, bool create, const struct io *io, struct log *log)
{
    struct store *s = calloc(1, sizeof *s);
    enum err e;

    *out = NULL;
    if (s == NULL)
        return log_fail(log, ERR_NO_MEMORY, "open %s: out of memory", path);
    s->io = io;
    s->log = log;
    s->root = s->uploads = s->trash = s->quarantine = -1;
    for (int alg = 0; alg < DIGEST_ALG_COUNT; alg++)
        s->blobs[alg] = -1;
    pthread_mutex_init(&s->lock, NULL);
    s->kept = calloc(UPLOAD_HASHES_MAX, sizeof *s->kept);
    if (s->kept == NULL) {
        e = log_fail(log, ERR_NO_MEMORY, "open %s: out of memory", path);
        goto out;
    }
    if (create && (e = make_path(s, path)))
        goto out;
    if ((e = dir_open(s, AT_FDCWD, path, false, &s->root)) || (e = folders_open(s, create)))
        goto out;
    *out = s;
    s = NULL;
out:
    store_close(s);
    return e;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    int fds[] = {
        s->root, s->uploads, s->trash, s->quarantine, s->blobs[DIGEST_SHA256], s->blobs[DIGEST_SHA512]
    };

    _Static_assert(DIGEST_ALG_COUNT == 2, "close each blob folder");
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0)
            s->io->close(s->io, fds[i]);
    }
    pthread_mutex_destroy(&s->lock);
    free(s->kept);
    free(s);
}

const struct io *store_io(const struct store *s)
{
    return s->io;
}

int store_dirfd(const struct store *s)
{
    return s->root;
}

enum err store_blob_open(struct store *s, const struct digest *d, int *fd, uint64_t *size)
{
    char hex[DIGEST_HEX_MAX + 1];
    struct stat st;
    enum err e = ERR_OK;

    digest_hex(d, hex);
    *fd = s->io->openat(s->io, s->blobs[d->alg], hex, O_RDONLY | O_NOFOLLOW, 0);
    if (*fd < 0) {
        if (errno == ENOENT)
            return ERR_BLOB_UNKNOWN;
        return log_fail(s->log, io_err(errno), "open blob %s: %s", hex, strerror(errno));
    }
    if (s->io->fstat(s->io, *fd, &st) < 0)
        e = log_fail(s->log, io_err(errno), "stat blob %s: %s", hex, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        e = log_fail(s->log, ERR_CORRUPT, "blob %s: not a regular file", hex);
    if (e) {
        s->io->close(s->io, *fd);
        *fd = -1;
        return e;
    }
    *size = (uint64_t)st.st_size;
    return ERR_OK;
}

enum err store_blob_stat(struct store *s, const struct digest *d, uint64_t *size)
{
    char hex[DIGEST_HEX_MAX + 1];
    struct stat st;

    digest_hex(d, hex);
    if (s->io->fstatat(s->io, s->blobs[d->alg], hex, &st) < 0) {
        if (errno == ENOENT)
            return ERR_BLOB_UNKNOWN;
        return log_fail(s->log, io_err(errno), "stat blob %s: %s", hex, strerror(errno));
    }
    *size = (uint64_t)st.st_size;
    return ERR_OK;
}

enum err store_blob_verify(struct store *s, const struct digest *d)
{
    uint8_t buf[HASH_STEP_BYTES];
    char hex[DIGEST_HEX_MAX + 1];
    struct digest got;
    struct hasher h;
    uint64_t size = 0, off = 0;
    enum err e;
    int fd;

    if ((e = store_blob_open(s, d, &fd, &size)))
        return e;
    digest_hex(d, hex);
    hasher_init(&h, d->alg);
    while (e == ERR_OK && off < size) {
        ssize_t n = s->io->pread(s->io, fd, buf, sizeof buf, (off_t)off);

        if (n < 0)
            e = log_fail(s->log, io_err(errno), "read blob %s: %s", hex, strerror(errno));
        if (n <= 0)
            break;
        hasher_update(&h, buf, (size_t)n);
        off += (uint64_t)n;
    }
    s->io->close(s->io, fd);
    hasher_finish(&h, &got);
    if (e == ERR_OK && !digest_eq(&got, d))
        e = log_fail(s->log, ERR_CORRUPT, "blob %s: its bytes do not match", hex);
    return e;
}

enum err store_adopt(struct store *s, int dirfd, const char *name, const struct digest *d, bool *moved)
{
    char hex[DIGEST_HEX_MAX + 1];

    *moved = false;
    digest_hex(d, hex);
    if (s->io->renameat(s->io, dirfd, name, s->blobs[d->alg], hex) < 0)
        return log_fail(s->log, io_err(errno), "rename %s to blob %s: %s", name, hex, strerror(errno));
    *moved = true;
    return store_sync_dir(s, s->blobs[d->alg], "blobs");
}

/* Move a blob to the folder to, under its flat name, durably. none: when there is no such file. */
static enum err blob_move_out(struct store *s, const struct digest *d, int to, const char *what,
                              enum err none)
{
    char hex[DIGEST_HEX_MAX + 1], flat[FLAT_NAME_MAX + 1];

    digest_hex(d, hex);
    flat_name(d, flat);
    if (s->io->renameat(s->io, s->blobs[d->alg], hex, to, flat) < 0) {
        if (errno == ENOENT)
            return none;
        return log_fail(s->log, io_err(errno), "move blob %s to %s: %s", hex, what, strerror(errno));
    }
    return store_sync_dir(s, to, what);
}

enum err store_blob_trash(struct store *s, const struct digest *d)
{
    return blob_move_out(s, d, s->trash, "trash", ERR_OK);
}

enum err store_blob_quarantine(struct store *s, const struct digest *d)
{
    return blob_move_out(s, d, s->quarantine, "quarantine", ERR_BLOB_UNKNOWN);
}

enum err store_trash_delete(struct store *s, const struct digest *d)
{
    char flat[FLAT_NAME_MAX + 1];

    flat_name(d, flat);
    if (s->io->unlinkat(s->io, s->trash, flat) < 0 && errno != ENOENT)
        return log_fail(s->log, io_err(errno), "delete trash/%s: %s", flat, strerror(errno));
    return ERR_OK;
}

enum err store_trash_restore(struct store *s, const struct digest *d)
{
    char flat[FLAT_NAME_MAX + 1];
    struct stat st;
    bool moved;

    flat_name(d, flat);
    if (s->io->fstatat(s->io, s->trash, flat, &st) < 0) {
        if (errno == ENOENT)
            return ERR_BLOB_UNKNOWN;
        return log_fail(s->log, io_err(errno), "stat trash/%s: %s", flat, strerror(errno));
    }
    return store_adopt(s, s->trash, flat, d, &moved);
}

struct digest_visit {
    struct store *s;
    enum digest_alg alg;
    enum err (*trash_fn)(void *arg, const struct digest *d);
    enum err (*blob_fn)(void *arg, const struct digest *d, uint64_t size);
    void *arg;
};

static enum err trash_entry(void *arg, const char *name)
{
    struct digest_visit *v = arg;
    struct digest d;

    return flat_parse(name, &d) ? v->trash_fn(v->arg, &d) : ERR_OK;
}

enum err store_trash_foreach(struct store *s, enum err (*fn)(void *arg, const struct digest *d), void *arg)
{
    struct digest_visit v = { .s = s, .trash_fn = fn, .arg = arg };

    return io_foreach_entry(s->io, s->trash, ".", s->log, trash_entry, &v);
}

static enum err blob_entry(void *arg, const char *name)
{
    struct digest_visit *v = arg;
    char text[DIGEST_TEXT_MAX + 1];
    struct digest d;
    uint64_t size = 0;
    enum err e;

    if (str_format(text, sizeof text, "%s:%s", digest_alg_name(v->alg), name) ||
        digest_parse(text, strlen(text), &d))
        return ERR_OK; /* not ours: other tools may keep files here */
    e = store_blob_stat(v->s, &d, &size);
    if (e == ERR_BLOB_UNKNOWN)
        return ERR_OK; /* gone since the folder was read */
    return e ? e : v->blob_fn(v->arg, &d, size);
}

enum err store_blob_foreach(struct store *s, enum err (*fn)(void *arg, const struct digest *d, uint64_t size),
                            void *arg)
{
    struct digest_visit v = { .s = s, .blob_fn = fn, .arg = arg };
    enum err e = ERR_OK;

    for (int alg = 0; alg < DIGEST_ALG_COUNT && e == ERR_OK; alg++) {
        v.alg = (enum digest_alg)alg;
        e = io_foreach_entry(s->io, s->blobs[alg], ".", s->log, blob_entry, &v);
    }
    return e;
}

enum err store_free_bytes(struct store *s, uint64_t *out)
{
    if (s->io->free_bytes(s->io, s->root, out) < 0)
        return log_fail(s->log, io_err(errno), "free space: %s", strerror(errno));
    return ERR_OK;
}
