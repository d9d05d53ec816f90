/* store.h - bytes by digest, on disk.
 *
 * A data directory is an OCI image layout (image-spec, "image-layout.md") with
 * uploads/, trash/ and quarantine/ beside blobs/. The store knows no repository and
 * keeps no index: whether a blob is wanted, and by whom, the catalogue says.
 *
 * A blob's life: bytes arrive in uploads/ (upload.h), are proven and synced, and are
 * renamed into blobs/; they leave through trash/. Each step is one rename, so that a
 * crash finds a file in exactly one of the folders. Any thread, any process.
 */
#ifndef BERTH_STORE_STORE_H
#define BERTH_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "oci/digest.h"

#define STORE_INDEX_FILE "index.json" /* of the layout, in the data directory */

struct store;

/* Open the data directory at path, making it and what is missing in it when create
 * is set. Start-up work does not depend on the number of blobs. The caller closes *out.
 * io and log must outlive it.
 * ERR_NOT_FOUND: there is none (create not set). ERR_INVALID: an oci-layout file of
 * another version stands there. */
enum err store_open(struct store **out, const char *path, bool create, const struct io *io, struct log *log);
void store_close(struct store *s); /* NULL is allowed */

const struct io *store_io(const struct store *s);
int store_dirfd(const struct store *s);

/* ---- blobs ---- */

/* Open a blob for reading: *fd belongs to the caller, who closes it; *size in bytes. A blob that
 * is deleted meanwhile stays readable through fd. ERR_BLOB_UNKNOWN: no such file. */
enum err store_blob_open(struct store *s, const struct digest *d, int *fd, uint64_t *size);
enum err store_blob_stat(struct store *s, const struct digest *d, uint64_t *size);
/* Hash the file. ERR_BLOB_UNKNOWN; ERR_CORRUPT: its bytes are not d. */
enum err store_blob_verify(struct store *s, const struct digest *d);

/* Move a blob's file out of the way, durably; nothing refers to it from now on. A missing file is
 * not an error: it may already be there after a crash. */
enum err store_blob_trash(struct store *s, const struct digest *d);
/* Unlink the file that store_blob_trash moved. Missing is not an error. */
enum err store_trash_delete(struct store *s, const struct digest *d);
/* Move a trashed file back, durably. ERR_BLOB_UNKNOWN: it is not in the trash. */
enum err store_trash_restore(struct store *s, const struct digest *d);
/* Call fn for each file in trash/; stops at its first error. */
enum err store_trash_foreach(struct store *s, enum err (*fn)(void *arg, const struct digest *d), void *arg);
/* Call fn for each file under blobs/ whose name is a digest. A walk: never at start-up. */
enum err store_blob_foreach(struct store *s, enum err (*fn)(void *arg, const struct digest *d, uint64_t size),
                            void *arg);
/* Move a blob whose bytes are wrong to quarantine/, durably. */
enum err store_blob_quarantine(struct store *s, const struct digest *d);

/* Bytes that may still be written to the file system. */
enum err store_free_bytes(struct store *s, uint64_t *out);

#endif
