/* The two shims. Each passes a call on to the real thing (io_posix, SQLite's own VFS) unless
 * it is the one to fail. Unlocking, closing a SQLite file and the hints cannot fail: callers
 * have nothing to do about them. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* Is this call to fail? room: it needs space on the disk. */
static bool hit(struct fault *f, const char *what, bool room)
{
    if (!f->armed || f->kind == FAULT_SHORT || (f->kind == FAULT_FULL && !room))
        return false;
    f->calls++;
    if (f->calls < f->nth || (f->calls > f->nth && !f->lasting))
        return false;
    if (f->failed++ == 0)
        f->what = what;
    return true;
}

static int fail(const struct fault *f)
{
    errno = f->kind == FAULT_FULL ? ENOSPC : EIO;
    return -1;
}

/* FAULT_SHORT: how much of n bytes this call may move. */
static size_t shorten(struct fault *f, const char *what, size_t n)
{
    if (!f->armed || f->kind != FAULT_SHORT || n < 2)
        return n;
    f->calls++;
    if (f->calls < f->nth || (f->calls > f->nth && !f->lasting))
        return n;
    if (f->failed++ == 0)
        f->what = what;
    return n / 2;
}

/* ---- struct io ---- */

static int f_openat(const struct io *io, int dirfd, const char *path, int flags, mode_t mode)
{
    struct stat st;

    if (hit(io->arg, "openat", (flags & O_CREAT) && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW)))
        return fail(io->arg);
    return io_posix.openat(&io_posix, dirfd, path, flags, mode);
}

static int f_close(const struct io *io, int fd)
{
    bool bad = hit(io->arg, "close", false);
    int rc = io_posix.close(&io_posix, fd);

    return bad ? fail(io->arg) : rc;
}

static ssize_t f_pread(const struct io *io, int fd, void *p, size_t n, off_t off)
{
    if (hit(io->arg, "pread", false))
        return fail(io->arg);
    return io_posix.pread(&io_posix, fd, p, shorten(io->arg, "pread", n), off);
}

static ssize_t f_pwrite(const struct io *io, int fd, const void *p, size_t n, off_t off)
{
    struct fault *f = io->arg;

    if (hit(f, "pwrite", true)) {
        /* A disk that fills up takes what still fits, says so, and refuses the next write. */
        if (f->kind == FAULT_FULL && f->lasting && f->failed == 1 && n > 1)
            return io_posix.pwrite(&io_posix, fd, p, n / 2, off);
        if (n > 1)
            (void)io_posix.pwrite(&io_posix, fd, p, n / 2, off);
        return fail(f);
    }
    return io_posix.pwrite(&io_posix, fd, p, shorten(f, "pwrite", n), off);
}

static int f_fsync(const struct io *io, int fd)
{
    struct fault *f = io->arg;

    if (hit(f, "fsync", true)) {
        f->sync_failed = true;
        return fail(f);
    }
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0; /* nothing is cut off here: there is no need to wait */
}

static int f_fdatasync(const struct io *io, int fd)
{
    struct fault *f = io->arg;

    if (hit(f, "fdatasync", true)) {
        f->sync_failed = true;
        return fail(f);
    }
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

static int f_ftruncate(const struct io *io, int fd, off_t len)
{
    return hit(io->arg, "ftruncate", false) ? fail(io->arg) : io_posix.ftruncate(&io_posix, fd, len);
}

static int f_reserve(const struct io *io, int fd, off_t len)
{
    return hit(io->arg, "reserve", true) ? fail(io->arg) : io_posix.reserve(&io_posix, fd, len);
}

static void f_start_writeback(const struct io *io, int fd, off_t off, off_t n)
{
    (void)io;
    io_posix.start_writeback(&io_posix, fd, off, n);
}

static int f_fchmod(const struct io *io, int fd, mode_t mode)
{
    return hit(io->arg, "fchmod", false) ? fail(io->arg) : io_posix.fchmod(&io_posix, fd, mode);
}

static int f_fchown(const struct io *io, int fd, uid_t owner, gid_t group)
{
    return hit(io->arg, "fchown", false) ? fail(io->arg) : io_posix.fchown(&io_posix, fd, owner, group);
}

static int f_renameat(const struct io *io, int from_dir, const char *from, int to_dir, const char *to)
{
    const struct fault *f = io->arg;

    /* On a disk that stays full, a name that was just taken away leaves room for the next one. */
    if (hit(io->arg, "renameat", !f->lasting))
        return fail(io->arg);
    return io_posix.renameat(&io_posix, from_dir, from, to_dir, to);
}

static int f_unlinkat(const struct io *io, int dirfd, const char *path)
{
    return hit(io->arg, "unlinkat", false) ? fail(io->arg) : io_posix.unlinkat(&io_posix, dirfd, path);
}

static int f_mkdirat(const struct io *io, int dirfd, const char *path, mode_t mode)
{
    return hit(io->arg, "mkdirat", true) ? fail(io->arg) : io_posix.mkdirat(&io_posix, dirfd, path, mode);
}

static int f_fstatat(const struct io *io, int dirfd, const char *path, struct stat *st)
{
    return hit(io->arg, "fstatat", false) ? fail(io->arg) : io_posix.fstatat(&io_posix, dirfd, path, st);
}

static int f_fstat(const struct io *io, int fd, struct stat *st)
{
    return hit(io->arg, "fstat", false) ? fail(io->arg) : io_posix.fstat(&io_posix, fd, st);
}

static int f_free_bytes(const struct io *io, int fd, uint64_t *out)
{
    return hit(io->arg, "free_bytes", false) ? fail(io->arg) : io_posix.free_bytes(&io_posix, fd, out);
}

/* ---- SQLite ---- */

struct fault_file {
    sqlite3_file base;
    struct fault *f;
    const char *name;   /* lives as long as the file: SQLite's promise */
    sqlite3_file *real; /* follows in the same memory */
};

static sqlite3_vfs fault_vfs;

static struct fault_file *ff(sqlite3_file *file)
{
    return (struct fault_file *)(void *)file;
}

static sqlite3_vfs *real_vfs(void)
{
    return sqlite3_vfs_find(NULL);
}

static int v_close(sqlite3_file *file)
{
    return ff(file)->real->pMethods->xClose(ff(file)->real);
}

static int v_read(sqlite3_file *file, void *p, int n, sqlite3_int64 off)
{
    if (hit(ff(file)->f, "xRead", false))
        return SQLITE_IOERR_READ;
    return ff(file)->real->pMethods->xRead(ff(file)->real, p, n, off);
}

static int v_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 off)
{
    struct fault *f = ff(file)->f;

    if (hit(f, "xWrite", true)) {
        if (n > 1)
            (void)ff(file)->real->pMethods->xWrite(ff(file)->real, p, n / 2, off);
        return f->kind == FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    return ff(file)->real->pMethods->xWrite(ff(file)->real, p, n, off);
}

static int v_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    if (hit(ff(file)->f, "xTruncate", false))
        return SQLITE_IOERR_TRUNCATE;
    return ff(file)->real->pMethods->xTruncate(ff(file)->real, len);
}

static int v_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    return hit(ff(file)->f, "xSync", false) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int v_file_size(sqlite3_file *file, sqlite3_int64 *out)
{
    if (hit(ff(file)->f, "xFileSize", false))
        return SQLITE_IOERR_FSTAT;
    return ff(file)->real->pMethods->xFileSize(ff(file)->real, out);
}

static int v_lock(sqlite3_file *file, int level)
{
    if (hit(ff(file)->f, "xLock", false))
        return SQLITE_IOERR_LOCK;
    return ff(file)->real->pMethods->xLock(ff(file)->real, level);
}

static int v_unlock(sqlite3_file *file, int level)
{
    return ff(file)->real->pMethods->xUnlock(ff(file)->real, level);
}

static int v_check_reserved(sqlite3_file *file, int *out)
{
    if (hit(ff(file)->f, "xCheckReservedLock", false))
        return SQLITE_IOERR_CHECKRESERVEDLOCK;
    return ff(file)->real->pMethods->xCheckReservedLock(ff(file)->real, out);
}

static int v_control(sqlite3_file *file, int op, void *arg)
{
    return ff(file)->real->pMethods->xFileControl(ff(file)->real, op, arg);
}

static int v_sector_size(sqlite3_file *file)
{
    return ff(file)->real->pMethods->xSectorSize(ff(file)->real);
}

static int v_characteristics(sqlite3_file *file)
{
    return ff(file)->real->pMethods->xDeviceCharacteristics(ff(file)->real);
}

static int v_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    struct fault *f = ff(file)->f;
    struct stat st;
    char path[4096];

    snprintf(path, sizeof path, "%s-shm", ff(file)->name);
    if (hit(f, "xShmMap", extend && (stat(path, &st) || st.st_size < (off_t)(region + 1) * size)))
        return f->kind == FAULT_FULL ? SQLITE_IOERR_SHMSIZE : SQLITE_IOERR_SHMMAP;
    return ff(file)->real->pMethods->xShmMap(ff(file)->real, region, size, extend, out);
}

static int v_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    if ((flags & SQLITE_SHM_LOCK) && hit(ff(file)->f, "xShmLock", false))
        return SQLITE_IOERR_SHMLOCK;
    return ff(file)->real->pMethods->xShmLock(ff(file)->real, offset, n, flags);
}

static void v_shm_barrier(sqlite3_file *file)
{
    ff(file)->real->pMethods->xShmBarrier(ff(file)->real);
}

static int v_shm_unmap(sqlite3_file *file, int delete_it)
{
    return ff(file)->real->pMethods->xShmUnmap(ff(file)->real, delete_it);
}

/* Version 2: without memory-mapped pages, so that each page that is read is a call that can fail. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = v_close,
    .xRead = v_read,
    .xWrite = v_write,
    .xTruncate = v_truncate,
    .xSync = v_sync,
    .xFileSize = v_file_size,
    .xLock = v_lock,
    .xUnlock = v_unlock,
    .xCheckReservedLock = v_check_reserved,
    .xFileControl = v_control,
    .xSectorSize = v_sector_size,
    .xDeviceCharacteristics = v_characteristics,
    .xShmMap = v_shm_map,
    .xShmLock = v_shm_lock,
    .xShmBarrier = v_shm_barrier,
    .xShmUnmap = v_shm_unmap,
};

static int v_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    struct fault_file *file_ = ff(file);
    struct stat st;
    int rc;

    memset(file_, 0, sizeof *file_);
    file_->f = vfs->pAppData;
    file_->name = name;
    file_->real = (sqlite3_file *)(void *)(file_ + 1);
    if (hit(file_->f, "xOpen", (flags & SQLITE_OPEN_CREATE) && name && stat(name, &st)))
        return SQLITE_CANTOPEN;
    rc = real_vfs()->xOpen(real_vfs(), name, file_->real, flags, out_flags);
    if (file_->real->pMethods)
        file->pMethods = &methods;
    return rc;
}

static int v_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    if (hit(vfs->pAppData, "xDelete", false))
        return SQLITE_IOERR_DELETE;
    (void)sync_dir;
    return real_vfs()->xDelete(real_vfs(), name, 0);
}

static int v_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    if (hit(vfs->pAppData, "xAccess", false))
        return SQLITE_IOERR_ACCESS;
    return real_vfs()->xAccess(real_vfs(), name, flags, out);
}

static int v_last_error(sqlite3_vfs *vfs, int n, char *text)
{
    const struct fault *f = vfs->pAppData;

    (void)n;
    (void)text;
    return f->kind == FAULT_FULL ? ENOSPC : EIO;
}

void fault_init(struct fault *f)
{
    memset(f, 0, sizeof *f);
    f->vfs = FAULT_VFS;
    f->what = "";
    f->io = (struct io){ .openat = f_openat, .close = f_close, .pread = f_pread, .pwrite = f_pwrite,
                         .fsync = f_fsync, .fdatasync = f_fdatasync, .ftruncate = f_ftruncate,
                         .reserve = f_reserve, .start_writeback = f_start_writeback, .fchmod = f_fchmod,
                         .fchown = f_fchown, .renameat = f_renameat, .unlinkat = f_unlinkat,
                         .mkdirat = f_mkdirat, .fstatat = f_fstatat, .fstat = f_fstat,
                         .free_bytes = f_free_bytes, .arg = f };
    sqlite3_initialize();
    /* What is not overridden (names, randomness, time) is the real VFS's own. */
    fault_vfs = *real_vfs();
    fault_vfs.pNext = NULL;
    fault_vfs.zName = FAULT_VFS;
    fault_vfs.pAppData = f;
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs()->szOsFile;
    fault_vfs.xOpen = v_open;
    fault_vfs.xDelete = v_delete;
    fault_vfs.xAccess = v_access;
    fault_vfs.xGetLastError = v_last_error;
    sqlite3_vfs_register(&fault_vfs, 0);
}

void fault_end(struct fault *f)
{
    (void)f;
    sqlite3_vfs_unregister(&fault_vfs);
}

void fault_arm(struct fault *f, enum fault_kind kind, unsigned long nth, bool lasting)
{
    f->kind = kind;
    f->nth = nth;
    f->lasting = lasting;
    f->calls = f->failed = 0;
    f->what = "";
    f->sync_failed = false;
    f->armed = true;
}

bool fault_disarm(struct fault *f)
{
    f->armed = false;
    return f->failed > 0;
}
