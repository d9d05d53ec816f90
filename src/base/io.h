/* io.h - every disk call the program makes, as a table of functions.
 *
 * The store passes a struct io down to each place that touches the disk, so that
 * a test can fail the n-th call, record what was written when, or run a disk
 * full. Outside of tests it is io_posix. SQLite has a seam of its own (its VFS).
 *
 * Functions return as the system calls of the same name do and set errno; they
 * never return EINTR. read and write may be partial, as the calls are.
 */
#ifndef BERTH_BASE_IO_H
#define BERTH_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"

struct io {
    int (*openat)(const struct io *io, int dirfd, const char *path, int flags, mode_t mode);
    int (*close)(const struct io *io, int fd);
    ssize_t (*pread)(const struct io *io, int fd, void *p, size_t n, off_t off);
    ssize_t (*pwrite)(const struct io *io, int fd, const void *p, size_t n, off_t off);
    int (*fsync)(const struct io *io, int fd);     /* also for folders */
    int (*fdatasync)(const struct io *io, int fd);
    int (*ftruncate)(const struct io *io, int fd, off_t len);
    /* Reserve room for [0, len) without changing the file's size. ENOTSUP where
     * the file system cannot: the caller goes on without. */
    int (*reserve)(const struct io *io, int fd, off_t len);
    /* Begin writing back [off, off+n) in the background. A hint: never fails. */
    void (*start_writeback)(const struct io *io, int fd, off_t off, off_t n);
    int (*fchmod)(const struct io *io, int fd, mode_t mode);
    int (*fchown)(const struct io *io, int fd, uid_t owner, gid_t group);
    int (*renameat)(const struct io *io, int from_dir, const char *from, int to_dir, const char *to);
    int (*unlinkat)(const struct io *io, int dirfd, const char *path);
    int (*mkdirat)(const struct io *io, int dirfd, const char *path, mode_t mode);
    int (*fstatat)(const struct io *io, int dirfd, const char *path, struct stat *st); /* no symlinks */
    int (*fstat)(const struct io *io, int fd, struct stat *st);
    int (*free_bytes)(const struct io *io, int fd, uint64_t *out); /* of fd's file system */
    void *arg; /* the implementation's own */
};

extern const struct io io_posix;

/* What errno means to a caller: ENOSPC, EDQUOT, EFBIG -> ERR_NO_SPACE; ENOMEM ->
 * ERR_NO_MEMORY; ENOENT -> ERR_NOT_FOUND; EEXIST -> ERR_EXISTS; the rest ERR_IO. */
enum err io_err(int err_no);

/* Write all len bytes at off. On failure logs once with what, for the reader of
 * the log, and returns the code. */
enum err io_write_all(const struct io *io, int fd, const void *p, size_t len, off_t off,
                      struct log *log, const char *what);

/* Read exactly len bytes at off. ERR_CORRUPT: the file ends before. */
enum err io_read_all(const struct io *io, int fd, void *p, size_t len, off_t off,
                     struct log *log, const char *what);

/* Write a small file so that it is wholly there or not at all, and durable:
 * temporary name, fdatasync, rename, fsync of the folder. */
enum err io_replace_file(const struct io *io, int dirfd, const char *name, const void *p, size_t len,
                         mode_t mode, struct log *log);

/* Call fn for each entry but "." and ".."; stops at its first error, which is handed on. */
enum err io_foreach_entry(const struct io *io, int dirfd, const char *path, struct log *log,
                          enum err (*fn)(void *arg, const char *name), void *arg);

#endif
