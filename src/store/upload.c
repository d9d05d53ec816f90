/* A session is the file uploads/<id>-<owner tag>; the tag is a short hash of the owner, so
 * that a resume by another owner simply finds no file, without a record anywhere.
 *
 * One handle at a time is flock(2)'s doing, so that it holds between processes, too,
 * and is gone with a process that was killed.
 */
#include "store/upload.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/rand.h"
#include "base/str.h"
#include "store/store_internal.h"

#define OWNER_TAG_BYTES 8
#define FILE_NAME_MAX   (UPLOAD_ID_LEN + 1 + 2 * OWNER_TAG_BYTES)
#define HASH_STEP_BYTES 65536
/* Write-back is started each time so many bytes have come, so that the final sync
 * finds little left to do. */
#define WRITEBACK_BYTES (8u << 20)

struct upload {
    struct store *s;
    int fd;
    char id[UPLOAD_ID_LEN + 1];
    char file[FILE_NAME_MAX + 1];
    uint64_t size;
    uint64_t reserved;  /* room claimed on the disk, from the start of the file */
    uint64_t flushing;  /* write-back was started up to here */
    bool hash_ok;       /* hasher has seen all bytes up to size */
    bool proven, ended; /* ended: the file is no longer in uploads/ */
    bool cancelled;
    struct hasher hasher;
    struct digest digest; /* once proven */
};

static bool id_ok(const char *id)
{
    for (int i = 0; i < UPLOAD_ID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? id[i] != '-' : !((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'f')))
            return false;
    }
    return id[UPLOAD_ID_LEN] == '\0';
}

static enum err id_make(struct log *log, char out[UPLOAD_ID_LEN + 1])
{
    char hex[33];
    uint8_t r[16];

    enum err e = rand_bytes(r, sizeof r, log);

    if (e)
        return e;
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); /* RFC 9562: version 4, variant 10 */
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    str_hex(hex, r, sizeof r);
    return str_format(out, UPLOAD_ID_LEN + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                      hex + 20);
}

static void file_name(const char *owner, const char *id, char out[FILE_NAME_MAX + 1])
{
    char tag[2 * OWNER_TAG_BYTES + 1];
    struct digest d;

    digest_of(DIGEST_SHA256, owner, strlen(owner), &d);
    str_hex(tag, d.bytes, OWNER_TAG_BYTES);
    snprintf(out, FILE_NAME_MAX + 1, "%s-%s", id, tag);
}

/* Take the remembered hash of the session id, if there is one for exactly size bytes. */
static bool kept_take(struct store *s, const char *id, uint64_t size, struct hasher *out)
{
    bool found = false;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < UPLOAD_HASHES_MAX; i++) {
        struct kept_hash *k = &s->kept[i];

        if (strcmp(k->id, id) != 0)
            continue;
        /* Another process may have gone on with the session: then sizes differ. */
        if (k->size == size) {
            *out = k->hasher;
            found = true;
        }
        k->id[0] = '\0';
        break;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void kept_put(struct store *s, const struct upload *up)
{
    struct kept_hash *place = &s->kept[0];

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < UPLOAD_HASHES_MAX; i++) {
        struct kept_hash *k = &s->kept[i];

        if (k->id[0] == '\0') {
            place = k;
            break;
        }
        if (k->used < place->used)
            place = k;
    }
    memcpy(place->id, up->id, sizeof place->id);
    place->size = up->size;
    place->used = ++s->uses;
    place->hasher = up->hasher;
    pthread_mutex_unlock(&s->lock);
}

static struct upload *upload_new(struct store *s)
{
    struct upload *up = calloc(1, sizeof *up);

    if (up == NULL) {
        (void)log_fail(s->log, ERR_NO_MEMORY, "upload: out of memory");
        return NULL;
    }
    up->s = s;
    up->fd = -1;
    return up;
}

enum err upload_begin(struct upload **out, struct store *s, const char *owner, enum digest_alg alg)
{
    struct upload *up = upload_new(s);
    enum err e;

    *out = NULL;
    if (up == NULL)
        return ERR_NO_MEMORY;
    if ((e = id_make(s->log, up->id)))
        goto fail;
    file_name(owner, up->id, up->file);
    up->fd = s->io->openat(s->io, s->uploads, up->file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (up->fd < 0) {
        e = log_fail(s->log, io_err(errno), "create uploads/%s: %s", up->file, strerror(errno));
        goto fail;
    }
    if (flock(up->fd, LOCK_EX | LOCK_NB) < 0) {
        e = log_fail(s->log, ERR_IO, "lock uploads/%s: %s", up->file, strerror(errno));
        goto fail;
    }
    hasher_init(&up->hasher, alg);
    up->hash_ok = true;
    *out = up;
    return ERR_OK;
fail:
    up->cancelled = true;
    upload_close(up);
    return e;
}

enum err upload_resume(struct upload **out, struct store *s, const char *owner, const char *id)
{
    struct upload *up;
    struct stat st, now;
    enum err e;

    *out = NULL;
    if (!id_ok(id))
        return ERR_UPLOAD_UNKNOWN;
    up = upload_new(s);
    if (up == NULL)
        return ERR_NO_MEMORY;
    memcpy(up->id, id, sizeof up->id);
    file_name(owner, id, up->file);
    up->fd = s->io->openat(s->io, s->uploads, up->file, O_RDWR | O_NOFOLLOW, 0);
    if (up->fd < 0) {
        /* EACCES: a process was killed between proving the session and publishing it: it is read-only. */
        e = errno == ENOENT || errno == EACCES
                ? ERR_UPLOAD_UNKNOWN
                : log_fail(s->log, io_err(errno), "open uploads/%s: %s", up->file, strerror(errno));
        goto fail;
    }
    if (flock(up->fd, LOCK_EX | LOCK_NB) < 0) {
        e = errno == EWOULDBLOCK ? ERR_BUSY
                                 : log_fail(s->log, ERR_IO, "lock uploads/%s: %s", up->file, strerror(errno));
        /* Not ours to close as a session: the other handle has it. */
        s->io->close(s->io, up->fd);
        free(up);
        return e;
    }
    if (s->io->fstat(s->io, up->fd, &st) < 0) {
        e = log_fail(s->log, io_err(errno), "stat uploads/%s: %s", up->file, strerror(errno));
        goto fail;
    }
    /* Between our open and our lock the session may have ended: the file we hold is then a
     * blob, and must never be written to. */
    if (s->io->fstatat(s->io, s->uploads, up->file, &now) < 0) {
        e = errno == ENOENT
                ? ERR_UPLOAD_UNKNOWN
                : log_fail(s->log, io_err(errno), "stat uploads/%s: %s", up->file, strerror(errno));
        goto fail;
    }
    if (now.st_ino != st.st_ino || now.st_dev != st.st_dev) {
        e = ERR_UPLOAD_UNKNOWN;
        goto fail;
    }
    up->size = (uint64_t)st.st_size;
    up->flushing = up->size;
    /* A process that was killed may have claimed more room than it filled. */
    up->reserved = (uint64_t)st.st_blocks * 512 > up->size ? (uint64_t)st.st_blocks * 512 : up->size;
    up->hash_ok = kept_take(s, id, up->size, &up->hasher);
    if (!up->hash_ok && up->size == 0) {
        hasher_init(&up->hasher, DIGEST_SHA256);
        up->hash_ok = true;
    }
    *out = up;
    return ERR_OK;
fail:
    up->ended = true; /* touch nothing on the way out */
    upload_close(up);
    return e;
}

enum err upload_stat(struct store *s, const char *owner, const char *id, uint64_t *size)
{
    char file[FILE_NAME_MAX + 1];
    struct stat st;

    if (!id_ok(id))
        return ERR_UPLOAD_UNKNOWN;
    file_name(owner, id, file);
    if (s->io->fstatat(s->io, s->uploads, file, &st) < 0) {
        if (errno == ENOENT)
            return ERR_UPLOAD_UNKNOWN;
        return log_fail(s->log, io_err(errno), "stat uploads/%s: %s", file, strerror(errno));
    }
    *size = (uint64_t)st.st_size;
    return ERR_OK;
}

const char *upload_id(const struct upload *up)
{
    return up->id;
}

uint64_t upload_size(const struct upload *up)
{
    return up->size;
}

enum err upload_expect(struct upload *up, uint64_t more)
{
    struct store *s = up->s;
    uint64_t want = up->size + more, free_now;
    enum err e;

    if (want < up->size || want > INT64_MAX)
        return log_fail(s->log, ERR_NO_SPACE, "uploads/%s: more bytes are announced than any file holds",
                        up->file);
    if (want <= up->reserved)
        return ERR_OK;
    /* Asked first: a claim that fails half way would take what is left from everybody else for a while. */
    if ((e = store_free_bytes(s, &free_now)))
        return e;
    if (free_now < want - up->reserved)
        return log_fail(s->log, ERR_NO_SPACE, "uploads/%s: %llu bytes are coming, %llu are free", up->file,
                        (unsigned long long)more, (unsigned long long)free_now);
    if (s->io->reserve(s->io, up->fd, (off_t)want) == 0) {
        up->reserved = want;
        return ERR_OK;
    }
    if (errno == ENOTSUP)
        return ERR_OK; /* not on this file system: the check above is all there is */
    e = log_fail(s->log, io_err(errno), "reserve %llu bytes for uploads/%s: %s", (unsigned long long)want,
                 up->file, strerror(errno));
    /* What it got before it failed goes back. */
    if (s->io->ftruncate(s->io, up->fd, (off_t)up->size) == 0)
        up->reserved = up->size;
    return e;
}

enum err upload_append(struct upload *up, const void *p, size_t len)
{
    struct store *s = up->s;
    enum err e = io_write_all(s->io, up->fd, p, len, (off_t)up->size, s->log, "upload");

    if (e) {
        /* What did get written must not count: the next status tells the file's size. */
        if (s->io->ftruncate(s->io, up->fd, (off_t)up->size) < 0) {
            (void)log_fail(s->log, io_err(errno), "truncate uploads/%s: %s", up->file, strerror(errno));
            up->cancelled = true;
        }
        up->reserved = up->size;
        /* A full disk needs the room more than a client that may not come back. */
        if (e == ERR_NO_SPACE)
            up->cancelled = true;
        return e;
    }
    if (up->hash_ok)
        hasher_update(&up->hasher, p, len);
    up->size += len;
    up->proven = false;
    if (up->size - up->flushing >= WRITEBACK_BYTES) {
        s->io->start_writeback(s->io, up->fd, (off_t)up->flushing, (off_t)(up->size - up->flushing));
        up->flushing = up->size;
    }
    return ERR_OK;
}

enum err upload_truncate(struct upload *up, uint64_t size)
{
    struct store *s = up->s;

    assert(size <= up->size && !up->ended);
    if (s->io->ftruncate(s->io, up->fd, (off_t)size) < 0) {
        up->cancelled = true;
        return log_fail(s->log, io_err(errno), "truncate uploads/%s: %s", up->file, strerror(errno));
    }
    /* A hash cannot go back: the file is read again when the digest is asked for. */
    if (size < up->size)
        up->hash_ok = false;
    up->size = up->reserved = size;
    if (up->flushing > size)
        up->flushing = size;
    up->proven = false;
    return ERR_OK;
}

enum err upload_read(struct upload *up, void *p, size_t len, uint64_t off)
{
    assert(off <= up->size && len <= up->size - off);
    return io_read_all(up->s->io, up->fd, p, len, (off_t)off, up->s->log, "upload");
}

/* Hash the file from its beginning with alg. */
static enum err hash_again(struct upload *up, enum digest_alg alg)
{
    uint8_t buf[HASH_STEP_BYTES];
    uint64_t off = 0;

    up->hash_ok = false;
    hasher_init(&up->hasher, alg);
    while (off < up->size) {
        size_t n = up->size - off < sizeof buf ? (size_t)(up->size - off) : sizeof buf;
        enum err e = upload_read(up, buf, n, off);

        if (e)
            return e;
        hasher_update(&up->hasher, buf, n);
        off += n;
    }
    up->hash_ok = true;
    return ERR_OK;
}

enum err upload_prove(struct upload *up, const struct digest *want)
{
    struct store *s = up->s;
    struct hasher h;
    enum err e;

    if ((!up->hash_ok || up->hasher.alg != want->alg) && (e = hash_again(up, want->alg)))
        return e;
    h = up->hasher; /* the session may go on if this was not the end */
    hasher_finish(&h, &up->digest);
    if (!digest_eq(&up->digest, want))
        return ERR_DIGEST_INVALID;
    /* More room may have been claimed than was used: give it back with the size fixed. */
    if (up->reserved > up->size && s->io->ftruncate(s->io, up->fd, (off_t)up->size) < 0)
        return log_fail(s->log, io_err(errno), "truncate uploads/%s: %s", up->file, strerror(errno));
    up->reserved = up->size;
    if (s->io->fchmod(s->io, up->fd, 0444) < 0)
        return log_fail(s->log, io_err(errno), "protect uploads/%s: %s", up->file, strerror(errno));
    if (s->io->fdatasync(s->io, up->fd) < 0) {
        /* The kernel may now count the lost pages as clean: a second sync would succeed and
         * mean nothing. Only bytes sent anew can be trusted. */
        up->cancelled = true;
        return log_fail(s->log, io_err(errno), "sync uploads/%s: %s", up->file, strerror(errno));
    }
    up->proven = true;
    return ERR_OK;
}

enum err upload_publish(struct upload *up)
{
    struct store *s = up->s;

    assert(up->proven);
    return store_adopt(s, s->uploads, up->file, &up->digest, &up->ended);
}

void upload_cancel(struct upload *up)
{
    up->cancelled = true;
}

void upload_close(struct upload *up)
{
    if (up == NULL)
        return;
    if (up->cancelled && !up->ended && up->fd >= 0) {
        if (up->s->io->unlinkat(up->s->io, up->s->uploads, up->file) < 0 && errno != ENOENT)
            (void)log_fail(up->s->log, io_err(errno), "delete uploads/%s: %s", up->file, strerror(errno));
    } else if (!up->ended && up->fd >= 0) {
        /* Not published after all: the session can go on. */
        if (up->proven)
            (void)up->s->io->fchmod(up->s->io, up->fd, 0600);
        /* Room claimed for bytes that did not come goes back now, not when the session ends. */
        if (up->reserved > up->size)
            (void)up->s->io->ftruncate(up->s->io, up->fd, (off_t)up->size);
        if (up->hash_ok)
            kept_put(up->s, up);
    }
    if (up->fd >= 0)
        up->s->io->close(up->s->io, up->fd); /* the lock goes with it */
    free(up);
}

struct sweep {
    struct store *s;
    int64_t before; /* Unix milliseconds */
    uint64_t *removed;
};

/* Remove the session in this file if it has rested since before and nobody has it open. */
static enum err sweep_one(void *arg, const char *file)
{
    struct sweep *sw = arg;
    const struct io *io = sw->s->io;
    struct stat st;
    int fd = io->openat(io, sw->s->uploads, file, O_RDONLY | O_NOFOLLOW, 0);

    if (fd < 0)
        return ERR_OK; /* ended meanwhile */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && io->fstat(io, fd, &st) == 0 && S_ISREG(st.st_mode) &&
        (int64_t)st.st_mtime * 1000 < sw->before && io->unlinkat(io, sw->s->uploads, file) == 0)
        ++*sw->removed;
    io->close(io, fd);
    return ERR_OK;
}

enum err upload_sweep(struct store *s, int64_t before, uint64_t *removed)
{
    struct sweep sw = { .s = s, .before = before, .removed = removed };

    *removed = 0;
    return io_foreach_entry(s->io, s->uploads, ".", s->log, sweep_one, &sw);
}
