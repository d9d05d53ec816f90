/* disk.h - what a power cut may leave on a disk, from a record of what was done to it.
 *
 * A disk walks along a record. What was synced is certain; what was not is pending, and a
 * choice says what becomes of it:
 *   entries (create, rename, unlink): a folder's are certain once that folder was synced. Pending
 *     ones are dropped, kept, kept up to some moment (a journal), kept up to a moment of each
 *     folder's own, or each kept or dropped by itself. A rename is one step: a file never loses both
 *     names (every journalling file system keeps to that).
 *   bytes: a file's are certain once the file was synced, whatever became of its name. Pending
 *     writes are dropped, kept, kept as a size over zeros, torn (the last one cut in half on a
 *     sector), or each of their pages kept or dropped by itself.
 */
#ifndef BERTH_TESTS_DISK_H
#define BERTH_TESTS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

enum disk_entries { ENTRIES_NONE, ENTRIES_ALL, ENTRIES_UNTIL, ENTRIES_FOLDERS, ENTRIES_FREE };
enum disk_bytes { BYTES_NONE, BYTES_ALL, BYTES_ZEROS, BYTES_TORN, BYTES_FREE };

struct choice {
    enum disk_entries entries;
    size_t until;          /* ENTRIES_UNTIL: how many of the pending ones */
    enum disk_bytes bytes;
    uint64_t seed;         /* for FOLDERS and FREE */
};

struct disk;

struct disk *disk_new(const struct record *r);
void disk_free(struct disk *d);
/* Take the next entry of the record. */
void disk_step(struct disk *d);
size_t disk_at(const struct disk *d); /* entries of the record taken */
/* Pending entries of folders, in the order they were made. */
size_t disk_pending_entries(const struct disk *d);
bool disk_pending_bytes(const struct disk *d);

/* A number that is the same only for choices that leave the same files. */
uint64_t disk_key(struct disk *d, const struct choice *c);
/* Make those files in the folder path, which is empty. */
void disk_build(struct disk *d, const struct choice *c, const char *path);

uint64_t mix64(uint64_t x);

#endif
