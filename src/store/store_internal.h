/* store_internal.h - what store.c and upload.c share. */
#ifndef BERTH_STORE_STORE_INTERNAL_H
#define BERTH_STORE_STORE_INTERNAL_H

#include <pthread.h>

#include "store/store.h"
#include "store/upload.h"

/* The running hash of a session that is not open: so that the PUT after a PATCH need
 * not read the file again. */
struct kept_hash {
    char id[UPLOAD_ID_LEN + 1]; /* "" for a free place */
    uint64_t size;              /* bytes that went into the hash */
    uint64_t used;              /* greater is more recent */
    struct hasher hasher;
};

struct store {
    const struct io *io;
    struct log *log;
    int root;
    int blobs[DIGEST_ALG_COUNT]; /* blobs/<algorithm> */
    int uploads, trash, quarantine;

    pthread_mutex_t lock; /* over what follows */
    uint64_t uses;
    struct kept_hash *kept; /* UPLOAD_HASHES_MAX places */
};

/* Flush a folder. what names it in the log. */
enum err store_sync_dir(struct store *s, int dirfd, const char *what);

/* Rename the file name of the folder dirfd into blobs/ under d, durably. *moved: the
 * rename happened, even if making it durable failed. */
enum err store_adopt(struct store *s, int dirfd, const char *name, const struct digest *d, bool *moved);

#endif
