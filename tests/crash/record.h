/* record.h - everything that is done to a folder, in order: a struct io and a SQLite VFS that
 * pass each call on and write down what it changes on the disk and when it was synced.
 *
 * Files and folders are numbered as they are made ("nodes"), so that a rename or an unlink does
 * not confuse who is who; node 0 is the folder that is watched. Reading leaves no trace. SQLite's
 * shared memory (-shm) is not on the disk and is left out. One thread at a time.
 */
#ifndef BERTH_TESTS_RECORD_H
#define BERTH_TESTS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/io.h"

#define RECORD_VFS "berth-record"

enum rec_kind {
    REC_CREATE,      /* a file: node, dir, name */
    REC_MKDIR,       /* a folder: the same */
    REC_RENAME,      /* node from dir/name to to_dir/to_name */
    REC_UNLINK,      /* node from dir/name */
    REC_WRITE,       /* node, off, data */
    REC_TRUNCATE,    /* node, off: the new size */
    REC_SYNC,        /* the bytes and the size of a file */
    REC_SYNC_FAILED, /* the same, but it failed: the bytes may never arrive, whatever comes later */
    REC_SYNC_DIR,    /* the entries of a folder */
    REC_MARK         /* what the outside world was told: number mark */
};

struct rec {
    enum rec_kind kind;
    int node;
    int dir, to_dir;
    char *name, *to_name;
    uint64_t off;
    size_t len;
    uint8_t *data;
    int mark;
};

/* Syncs that are promised and not kept, to see whether anybody notices. */
enum record_ignore {
    IGNORE_NOTHING,
    IGNORE_UPLOAD_SYNC,  /* the bytes of files in uploads/ */
    IGNORE_BLOB_DIR,     /* the entries of the folders under blobs/ */
    IGNORE_ROOT_DIR,     /* the entries of the data directory */
    IGNORE_CATALOG       /* all that SQLite syncs */
};

struct record {
    struct io io;
    const char *vfs;
    enum record_ignore ignore;
    unsigned fail_sync;      /* the n-th sync fails with EIO; 0: none */
    size_t failed_at;        /* where in the record it did */
    unsigned syncs;          /* so far */
    struct rec *recs;
    size_t count, cap;
    struct record_node *nodes;
    size_t node_count, node_cap;
    char *root;
    unsigned strangers;      /* changes to files whose making was not seen: the record is useless */
};

/* Watch the folder root. What is in it already counts as durable. */
void record_start(struct record *r, const char *root);
void record_mark(struct record *r, int mark);
void record_end(struct record *r);
/* The path a node was made under, for messages. */
const char *record_name(const struct record *r, int node);

#endif
