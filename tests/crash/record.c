/* The recording shims. A node is found again by device and inode number; a number that the
 * file system gives out again after an unlink must not lead to the old node. */
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct record_node {
    dev_t dev;
    ino_t ino;
    bool gone;    /* its last name was taken away: the inode number may belong to another one */
    char *name;   /* under which it was made, from the root on */
};

static void *grow(void *p, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return p;
    *cap = *cap ? *cap * 2 : 64;
    p = realloc(p, *cap * size);
    if (!p)
        abort();
    return p;
}

static struct rec *add(struct record *r, enum rec_kind kind, int node)
{
    struct rec *rec;

    r->recs = grow(r->recs, r->count, &r->cap, sizeof *r->recs);
    rec = &r->recs[r->count++];
    memset(rec, 0, sizeof *rec);
    rec->kind = kind;
    rec->node = node;
    return rec;
}

static int node_of(const struct record *r, const struct stat *st)
{
    for (size_t i = r->node_count; i-- > 0;)
        if (!r->nodes[i].gone && r->nodes[i].ino == st->st_ino && r->nodes[i].dev == st->st_dev)
            return (int)i;
    return -1;
}

static int node_of_fd(const struct record *r, int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? node_of(r, &st) : -1;
}

static int node_at(const struct record *r, int dirfd, const char *path)
{
    struct stat st;

    return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? node_of(r, &st) : -1;
}

/* The folder that path is in, and its last part. -1: outside of the watched folder. */
static int split(const struct record *r, int dirfd, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    char dir[4096];

    *name = slash ? slash + 1 : path;
    if (!slash)
        snprintf(dir, sizeof dir, ".");
    else
        snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return node_at(r, dirfd, dir);
}

static int node_new(struct record *r, const struct stat *st, int dir, const char *name)
{
    struct record_node *n;
    char path[1024];

    r->nodes = grow(r->nodes, r->node_count, &r->node_cap, sizeof *r->nodes);
    n = &r->nodes[r->node_count];
    if (dir > 0)
        snprintf(path, sizeof path, "%s/%s", r->nodes[dir].name, name);
    else
        snprintf(path, sizeof path, "%s", name);
    *n = (struct record_node){ .dev = st->st_dev, .ino = st->st_ino, .name = strdup(path) };
    return (int)r->node_count++;
}

/* Something was made under path. */
static void made(struct record *r, int dirfd, const char *path, bool folder)
{
    const char *name;
    struct stat st;
    struct rec *rec;
    int dir = split(r, dirfd, path, &name), node;

    if (dir < 0 || fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW))
        return;
    node = node_new(r, &st, dir, name);
    rec = add(r, folder ? REC_MKDIR : REC_CREATE, node);
    rec->dir = dir;
    rec->name = strdup(name);
}

static void wrote(struct record *r, int node, const void *p, size_t n, uint64_t off)
{
    struct rec *rec;

    if (node < 0) {
        r->strangers++;
        return;
    }
    rec = add(r, REC_WRITE, node);
    rec->off = off;
    rec->len = n;
    rec->data = malloc(n ? n : 1);
    if (!rec->data)
        abort();
    memcpy(rec->data, p, n);
}

static void truncated(struct record *r, int node, uint64_t len)
{
    if (node < 0)
        r->strangers++;
    else
        add(r, REC_TRUNCATE, node)->off = len;
}

static void unlinked(struct record *r, int dir, const char *name, int node)
{
    struct rec *rec;

    if (dir < 0 || node < 0)
        return;
    rec = add(r, REC_UNLINK, node);
    rec->dir = dir;
    rec->name = strdup(name);
    r->nodes[node].gone = true;
}

static bool in_folder(const struct record *r, int node, const char *part)
{
    return strstr(r->nodes[node].name, part) != NULL;
}

static bool is_data_dir(const struct record *r, int node)
{
    return strchr(r->nodes[node].name, '/') == NULL && node > 0;
}

/* A sync of a node. sql: SQLite's. false: this one is to fail. */
static bool synced(struct record *r, int node, bool folder, bool sql)
{
    enum record_ignore ig = r->ignore;

    if (node < 0)
        return true;
    r->syncs++;
    if (r->syncs == r->fail_sync) {
        r->failed_at = r->count;
        if (!folder)
            add(r, REC_SYNC_FAILED, node);
        return false;
    }
    if ((ig == IGNORE_UPLOAD_SYNC && !folder && !sql && in_folder(r, node, "uploads/")) ||
        (ig == IGNORE_BLOB_DIR && folder && in_folder(r, node, "blobs/")) ||
        (ig == IGNORE_ROOT_DIR && folder && is_data_dir(r, node)) || (ig == IGNORE_CATALOG && sql))
        return true;
    add(r, folder ? REC_SYNC_DIR : REC_SYNC, node);
    return true;
}

/* ---- struct io ---- */

static int r_openat(const struct io *io, int dirfd, const char *path, int flags, mode_t mode)
{
    struct record *r = io->arg;
    struct stat st;
    bool there = !(flags & O_CREAT) || fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = io_posix.openat(&io_posix, dirfd, path, flags, mode);

    if (fd < 0)
        return fd;
    if (!there)
        made(r, dirfd, path, false);
    else if ((flags & O_TRUNC) && node_of_fd(r, fd) >= 0)
        truncated(r, node_of_fd(r, fd), 0);
    return fd;
}

static int r_close(const struct io *io, int fd)
{
    (void)io;
    return io_posix.close(&io_posix, fd);
}

static ssize_t r_pread(const struct io *io, int fd, void *p, size_t n, off_t off)
{
    (void)io;
    return io_posix.pread(&io_posix, fd, p, n, off);
}

static ssize_t r_pwrite(const struct io *io, int fd, const void *p, size_t n, off_t off)
{
    struct record *r = io->arg;
    ssize_t put = io_posix.pwrite(&io_posix, fd, p, n, off);

    if (put > 0)
        wrote(r, node_of_fd(r, fd), p, (size_t)put, (uint64_t)off);
    return put;
}

static int r_fsync(const struct io *io, int fd)
{
    struct record *r = io->arg;
    struct stat st;

    if (fstat(fd, &st))
        return -1;
    if (!synced(r, node_of(r, &st), S_ISDIR(st.st_mode), false)) {
        errno = EIO;
        return -1;
    }
    return 0; /* the real disk is memory: nothing to wait for */
}

static int r_ftruncate(const struct io *io, int fd, off_t len)
{
    int rc = io_posix.ftruncate(&io_posix, fd, len);

    if (rc == 0)
        truncated(io->arg, node_of_fd(io->arg, fd), (uint64_t)len);
    return rc;
}

static int r_reserve(const struct io *io, int fd, off_t len)
{
    (void)io;
    return io_posix.reserve(&io_posix, fd, len);
}

static void r_start_writeback(const struct io *io, int fd, off_t off, off_t n)
{
    (void)io;
    (void)fd;
    (void)off;
    (void)n;
}

static int r_fchmod(const struct io *io, int fd, mode_t mode)
{
    (void)io;
    return io_posix.fchmod(&io_posix, fd, mode);
}

static int r_fchown(const struct io *io, int fd, uid_t owner, gid_t group)
{
    (void)io;
    return io_posix.fchown(&io_posix, fd, owner, group);
}

static int r_renameat(const struct io *io, int from_dir, const char *from, int to_dir, const char *to)
{
    struct record *r = io->arg;
    const char *name, *to_name;
    int dir = split(r, from_dir, from, &name), dir2 = split(r, to_dir, to, &to_name);
    int node = node_at(r, from_dir, from), old = node_at(r, to_dir, to);
    int rc = io_posix.renameat(&io_posix, from_dir, from, to_dir, to);
    struct rec *rec;

    if (rc)
        return rc;
    if (dir < 0 || dir2 < 0 || node < 0) {
        r->strangers++;
        return rc;
    }
    if (old >= 0)
        r->nodes[old].gone = true;
    rec = add(r, REC_RENAME, node);
    rec->dir = dir;
    rec->to_dir = dir2;
    rec->name = strdup(name);
    rec->to_name = strdup(to_name);
    return rc;
}

static int r_unlinkat(const struct io *io, int dirfd, const char *path)
{
    struct record *r = io->arg;
    const char *name;
    int dir = split(r, dirfd, path, &name), node = node_at(r, dirfd, path);
    int rc = io_posix.unlinkat(&io_posix, dirfd, path);

    if (rc == 0)
        unlinked(r, dir, name, node);
    return rc;
}

static int r_mkdirat(const struct io *io, int dirfd, const char *path, mode_t mode)
{
    int rc = io_posix.mkdirat(&io_posix, dirfd, path, mode);

    if (rc == 0)
        made(io->arg, dirfd, path, true);
    return rc;
}

static int r_fstatat(const struct io *io, int dirfd, const char *path, struct stat *st)
{
    (void)io;
    return io_posix.fstatat(&io_posix, dirfd, path, st);
}

static int r_fstat(const struct io *io, int fd, struct stat *st)
{
    (void)io;
    return io_posix.fstat(&io_posix, fd, st);
}

static int r_free_bytes(const struct io *io, int fd, uint64_t *out)
{
    (void)io;
    return io_posix.free_bytes(&io_posix, fd, out);
}

/* ---- SQLite ---- */

struct record_file {
    sqlite3_file base;
    struct record *r;
    int node;        /* -1: not in the watched folder */
    int dir_to_sync; /* -1: none. SQLite's own VFS syncs the folder with the first sync of a new journal */
    sqlite3_file *real;
};

static sqlite3_vfs record_vfs;

static struct record_file *rf(sqlite3_file *file)
{
    return (struct record_file *)(void *)file;
}

static sqlite3_vfs *real_vfs(void)
{
    return sqlite3_vfs_find(NULL);
}

static int v_close(sqlite3_file *file)
{
    return rf(file)->real->pMethods->xClose(rf(file)->real);
}

static int v_read(sqlite3_file *file, void *p, int n, sqlite3_int64 off)
{
    return rf(file)->real->pMethods->xRead(rf(file)->real, p, n, off);
}

static int v_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 off)
{
    int rc = rf(file)->real->pMethods->xWrite(rf(file)->real, p, n, off);

    if (rc == SQLITE_OK && rf(file)->node >= 0)
        wrote(rf(file)->r, rf(file)->node, p, (size_t)n, (uint64_t)off);
    return rc;
}

static int v_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    int rc = rf(file)->real->pMethods->xTruncate(rf(file)->real, len);

    if (rc == SQLITE_OK && rf(file)->node >= 0)
        truncated(rf(file)->r, rf(file)->node, (uint64_t)len);
    return rc;
}

static int v_sync(sqlite3_file *file, int flags)
{
    struct record_file *f = rf(file);

    (void)flags;
    if (!synced(f->r, f->node, false, true))
        return SQLITE_IOERR_FSYNC;
    if (f->dir_to_sync >= 0) {
        if (!synced(f->r, f->dir_to_sync, true, true))
            return SQLITE_IOERR_DIR_FSYNC;
        f->dir_to_sync = -1;
    }
    return SQLITE_OK;
}

static int v_file_size(sqlite3_file *file, sqlite3_int64 *out)
{
    return rf(file)->real->pMethods->xFileSize(rf(file)->real, out);
}

static int v_lock(sqlite3_file *file, int level)
{
    return rf(file)->real->pMethods->xLock(rf(file)->real, level);
}

static int v_unlock(sqlite3_file *file, int level)
{
    return rf(file)->real->pMethods->xUnlock(rf(file)->real, level);
}

static int v_check_reserved(sqlite3_file *file, int *out)
{
    return rf(file)->real->pMethods->xCheckReservedLock(rf(file)->real, out);
}

static int v_control(sqlite3_file *file, int op, void *arg)
{
    return rf(file)->real->pMethods->xFileControl(rf(file)->real, op, arg);
}

static int v_sector_size(sqlite3_file *file)
{
    return rf(file)->real->pMethods->xSectorSize(rf(file)->real);
}

static int v_characteristics(sqlite3_file *file)
{
    return rf(file)->real->pMethods->xDeviceCharacteristics(rf(file)->real);
}

static int v_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    return rf(file)->real->pMethods->xShmMap(rf(file)->real, region, size, extend, out);
}

static int v_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return rf(file)->real->pMethods->xShmLock(rf(file)->real, offset, n, flags);
}

static void v_shm_barrier(sqlite3_file *file)
{
    rf(file)->real->pMethods->xShmBarrier(rf(file)->real);
}

static int v_shm_unmap(sqlite3_file *file, int delete_it)
{
    return rf(file)->real->pMethods->xShmUnmap(rf(file)->real, delete_it);
}

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
    struct record_file *f = rf(file);
    struct record *r = vfs->pAppData;
    const char *base;
    struct stat st;
    bool there;
    int rc, dir;

    memset(f, 0, sizeof *f);
    f->r = r;
    f->node = f->dir_to_sync = -1;
    f->real = (sqlite3_file *)(void *)(f + 1);
    there = !name || stat(name, &st) == 0;
    rc = real_vfs()->xOpen(real_vfs(), name, f->real, flags, out_flags);
    if (f->real->pMethods)
        file->pMethods = &methods;
    if (rc != SQLITE_OK || !name || (flags & SQLITE_OPEN_DELETEONCLOSE))
        return rc;
    dir = split(r, AT_FDCWD, name, &base);
    if (dir < 0)
        return rc;
    if (!there)
        made(r, AT_FDCWD, name, false);
    f->node = node_at(r, AT_FDCWD, name);
    if (f->node < 0)
        r->strangers++;
    if ((flags & SQLITE_OPEN_CREATE) &&
        (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL)))
        f->dir_to_sync = dir;
    return rc;
}

static int v_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    struct record *r = vfs->pAppData;
    const char *base;
    int dir = split(r, AT_FDCWD, name, &base), node = node_at(r, AT_FDCWD, name);
    int rc = real_vfs()->xDelete(real_vfs(), name, 0);

    if (rc == SQLITE_OK) {
        unlinked(r, dir, base, node);
        if (sync_dir && !synced(r, dir, true, true))
            return SQLITE_IOERR_DIR_FSYNC;
    }
    return rc;
}

/* ---- life ---- */

/* What is in the folder already, as if it had been made and synced. */
static void import(struct record *r, const char *path, int dir)
{
    DIR *d = opendir(path);
    struct dirent *de;

    if (!d)
        abort();
    while ((de = readdir(d))) {
        char sub[1024];
        struct stat st;
        size_t n = strlen(de->d_name);

        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
            (n > 4 && strcmp(de->d_name + n - 4, "-shm") == 0))
            continue;
        snprintf(sub, sizeof sub, "%s/%s", path, de->d_name);
        if (lstat(sub, &st))
            abort();
        made(r, AT_FDCWD, sub, S_ISDIR(st.st_mode));
        if (S_ISDIR(st.st_mode)) {
            import(r, sub, node_at(r, AT_FDCWD, sub));
        } else {
            int fd = open(sub, O_RDONLY | O_CLOEXEC), node = node_at(r, AT_FDCWD, sub);
            uint8_t *p = malloc((size_t)st.st_size + 1);

            if (fd < 0 || !p || pread(fd, p, (size_t)st.st_size, 0) != st.st_size)
                abort();
            wrote(r, node, p, (size_t)st.st_size, 0);
            add(r, REC_SYNC, node);
            free(p);
            close(fd);
        }
    }
    closedir(d);
    add(r, REC_SYNC_DIR, dir);
}

void record_start(struct record *r, const char *root)
{
    struct stat st;

    memset(r, 0, sizeof *r);
    r->vfs = RECORD_VFS;
    r->io = (struct io){ .openat = r_openat, .close = r_close, .pread = r_pread, .pwrite = r_pwrite,
                         .fsync = r_fsync, .fdatasync = r_fsync, .ftruncate = r_ftruncate,
                         .reserve = r_reserve, .start_writeback = r_start_writeback, .fchmod = r_fchmod,
                         .fchown = r_fchown, .renameat = r_renameat, .unlinkat = r_unlinkat,
                         .mkdirat = r_mkdirat, .fstatat = r_fstatat, .fstat = r_fstat,
                         .free_bytes = r_free_bytes, .arg = r };
    r->root = strdup(root);
    if (!r->root || stat(root, &st))
        abort();
    node_new(r, &st, -1, "");
    import(r, root, 0);
    sqlite3_initialize();
    record_vfs = *real_vfs();
    record_vfs.pNext = NULL;
    record_vfs.zName = RECORD_VFS;
    record_vfs.pAppData = r;
    record_vfs.szOsFile = (int)sizeof(struct record_file) + real_vfs()->szOsFile;
    record_vfs.xOpen = v_open;
    record_vfs.xDelete = v_delete;
    sqlite3_vfs_register(&record_vfs, 0);
}

void record_mark(struct record *r, int mark)
{
    add(r, REC_MARK, -1)->mark = mark;
}

const char *record_name(const struct record *r, int node)
{
    return node >= 0 ? r->nodes[node].name : "";
}

void record_end(struct record *r)
{
    sqlite3_vfs_unregister(&record_vfs);
    for (size_t i = 0; i < r->count; i++) {
        free(r->recs[i].name);
        free(r->recs[i].to_name);
        free(r->recs[i].data);
    }
    for (size_t i = 0; i < r->node_count; i++)
        free(r->nodes[i].name);
    free(r->recs);
    free(r->nodes);
    free(r->root);
    memset(r, 0, sizeof *r);
}
