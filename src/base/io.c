/* io_posix is the system calls themselves, with EINTR dealt with and with the two
 * hints (reserve, start_writeback) degrading where a kernel or file system lacks them.
 */
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RETRY(var, call)                      \
    do {                                      \
        (var) = (call);                       \
    } while ((var) < 0 && errno == EINTR)

static int real_openat(const struct io *io, int dirfd, const char *path, int flags, mode_t mode)
{
    int fd;

    (void)io;
    RETRY(fd, openat(dirfd, path, flags | O_CLOEXEC, mode));
    return fd;
}

static int real_close(const struct io *io, int fd)
{
    (void)io;
    /* On Linux the descriptor is gone even when close says EINTR: never twice. */
    return close(fd);
}

static ssize_t real_pread(const struct io *io, int fd, void *p, size_t n, off_t off)
{
    ssize_t got;

    (void)io;
    RETRY(got, pread(fd, p, n, off));
    return got;
}

static ssize_t real_pwrite(const struct io *io, int fd, const void *p, size_t n, off_t off)
{
    ssize_t put;

    (void)io;
    RETRY(put, pwrite(fd, p, n, off));
    return put;
}

static int real_fsync(const struct io *io, int fd)
{
    int rc;

    (void)io;
    RETRY(rc, fsync(fd));
    return rc;
}

static int real_fdatasync(const struct io *io, int fd)
{
    int rc;

    (void)io;
    RETRY(rc, fdatasync(fd));
    return rc;
}

static int real_ftruncate(const struct io *io, int fd, off_t len)
{
    int rc;

    (void)io;
    RETRY(rc, ftruncate(fd, len));
    return rc;
}

static int real_reserve(const struct io *io, int fd, off_t len)
{
    int rc;

    (void)io;
    RETRY(rc, fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, len));
    if (rc < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV))
        errno = ENOTSUP;
    return rc;
}

static void real_start_writeback(const struct io *io, int fd, off_t off, off_t n)
{
    (void)io;
    (void)sync_file_range(fd, off, n, SYNC_FILE_RANGE_WRITE);
}

static int real_fchmod(const struct io *io, int fd, mode_t mode)
{
    int rc;

    (void)io;
    RETRY(rc, fchmod(fd, mode));
    return rc;
}

static int real_fchown(const struct io *io, int fd, uid_t owner, gid_t group)
{
    int rc;

    (void)io;
    RETRY(rc, fchown(fd, owner, group));
    return rc;
}

static int real_renameat(const struct io *io, int from_dir, const char *from, int to_dir, const char *to)
{
    int rc;

    (void)io;
    RETRY(rc, renameat(from_dir, from, to_dir, to));
    return rc;
}

static int real_unlinkat(const struct io *io, int dirfd, const char *path)
{
    int rc;

    (void)io;
    RETRY(rc, unlinkat(dirfd, path, 0));
    return rc;
}

static int real_mkdirat(const struct io *io, int dirfd, const char *path, mode_t mode)
{
    int rc;

    (void)io;
    RETRY(rc, mkdirat(dirfd, path, mode));
    return rc;
}

static int real_fstatat(const struct io *io, int dirfd, const char *path, struct stat *st)
{
    int rc;

    (void)io;
    RETRY(rc, fstatat(dirfd, path, st, AT_SYMLINK_NOFOLLOW));
    return rc;
}

static int real_fstat(const struct io *io, int fd, struct stat *st)
{
    int rc;

    (void)io;
    RETRY(rc, fstat(fd, st));
    return rc;
}

static int real_free_bytes(const struct io *io, int fd, uint64_t *out)
{
    struct statvfs v;
    int rc;

    (void)io;
    RETRY(rc, fstatvfs(fd, &v));
    if (rc == 0)
        *out = (uint64_t)v.f_bavail * v.f_frsize;
    return rc;
}

const struct io io_posix = {
    .openat = real_openat,
    .close = real_close,
    .pread = real_pread,
    .pwrite = real_pwrite,
    .fsync = real_fsync,
    .fdatasync = real_fdatasync,
    .ftruncate = real_ftruncate,
    .reserve = real_reserve,
    .start_writeback = real_start_writeback,
    .fchmod = real_fchmod,
    .fchown = real_fchown,
    .renameat = real_renameat,
    .unlinkat = real_unlinkat,
    .mkdirat = real_mkdirat,
    .fstatat = real_fstatat,
    .fstat = real_fstat,
    .free_bytes = real_free_bytes,
};

enum err io_err(int err_no)
{
    switch (err_no) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_NO_SPACE;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    default:
        return ERR_IO;
    }
}

enum err io_write_all(const struct io *io, int fd, const void *p, size_t len, off_t off, struct log *log,
                      const char *what)
{
    const char *from = p;

    while (len > 0) {
        ssize_t n = io->pwrite(io, fd, from, len, off);

        if (n <= 0) {
            if (n == 0)
                errno = EIO; /* a file that takes no byte and gives no reason */
            return log_fail(log, io_err(errno), "write %s: %s", what, strerror(errno));
        }
        from += n;
        off += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

enum err io_read_all(const struct io *io, int fd, void *p, size_t len, off_t off, struct log *log,
                     const char *what)
{
    char *to = p;

    while (len > 0) {
        ssize_t n = io->pread(io, fd, to, len, off);

        if (n < 0)
            return log_fail(log, io_err(errno), "read %s: %s", what, strerror(errno));
        if (n == 0)
            return log_fail(log, ERR_CORRUPT, "read %s: the file ends too early", what);
        to += n;
        off += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

enum err io_replace_file(const struct io *io, int dirfd, const char *name, const void *p, size_t len,
                         mode_t mode, struct log *log)
{
    char tmp[256];
    enum err e;
    int fd;

    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", name) >= sizeof tmp)
        return ERR_TOO_LARGE;
    fd = io->openat(io, dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
    if (fd < 0)
        return log_fail(log, io_err(errno), "create %s: %s", tmp, strerror(errno));
    e = io_write_all(io, fd, p, len, 0, log, tmp);
    if (e == ERR_OK && io->fdatasync(io, fd) < 0)
        e = log_fail(log, io_err(errno), "sync %s: %s", tmp, strerror(errno));
    io->close(io, fd);
    if (e == ERR_OK && io->renameat(io, dirfd, tmp, dirfd, name) < 0)
        e = log_fail(log, io_err(errno), "rename %s: %s", tmp, strerror(errno));
    if (e) {
        io->unlinkat(io, dirfd, tmp);
        return e;
    }
    if (io->fsync(io, dirfd) < 0)
        return log_fail(log, io_err(errno), "sync the folder of %s: %s", name, strerror(errno));
    return ERR_OK;
}

enum err io_foreach_entry(const struct io *io, int dirfd, const char *path, struct log *log,
                          enum err (*fn)(void *arg, const char *name), void *arg)
{
    enum err e = ERR_OK;
    struct dirent *ent;
    DIR *dir;
    int fd = io->openat(io, dirfd, path, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0)
        return log_fail(log, io_err(errno), "open %s: %s", path, strerror(errno));
    dir = fdopendir(fd);
    if (dir == NULL) {
        e = log_fail(log, io_err(errno), "list %s: %s", path, strerror(errno));
        io->close(io, fd);
        return e;
    }
    while (e == ERR_OK) {
        errno = 0;
        ent = readdir(dir);
        if (ent == NULL) {
            if (errno)
                e = log_fail(log, io_err(errno), "list %s: %s", path, strerror(errno));
            break;
        }
        if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
            e = fn(arg, ent->d_name);
    }
    closedir(dir);
    return e;
}
