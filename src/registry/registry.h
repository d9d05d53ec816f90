/* registry.h - the verbs: push, pull, mount, tag, delete. No HTTP.
 *
 * This room alone changes store and catalogue together, so the order is written down
 * once: bytes before the row that names them; the row gone before the bytes.
 * After ERR_OK from a verb that changes something, the change survives a power cut.
 * Names, tags and digests that come in have been checked (oci/name.h). Any thread; several
 * processes may have the same data directory open at once.
 */
#ifndef BERTH_REGISTRY_REGISTRY_H
#define BERTH_REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "oci/name.h"
#include "store/upload.h"

struct registry;

struct registry_config {
    const char *data;    /* the data directory */
    bool create;         /* make it when missing */
    const char *vfs;     /* SQLite VFS, NULL: default (tests) */
    const struct io *io; /* NULL: io_posix */
    unsigned cache_kib;  /* SQLite page cache per connection */
    unsigned busy_ms;    /* wait for another process's write lock */
};

/* Open the data directory, finish what a crash left half done in trash/. The caller closes *out.
 * ERR_NOT_FOUND: no data directory. ERR_CORRUPT: there are blobs but no catalogue (say "berth rebuild"),
 * or the catalogue is damaged. */
enum err registry_open(struct registry **out, const struct registry_config *cfg, struct log *log);
void registry_close(struct registry *r);              /* NULL is allowed */
struct catalog *registry_catalog(struct registry *r); /* for lists and totals: reading only */

/* ---- pushing blobs (spec end-4 to end-6, end-13, end-14) ---- */
enum err registry_upload_begin(struct upload **out, struct registry *r, const char *repo,
                               enum digest_alg alg);
enum err registry_upload_resume(struct upload **out, struct registry *r, const char *repo, const char *id);
enum err registry_upload_stat(struct registry *r, const char *repo, const char *id, uint64_t *size);
/* Remove the sessions that nobody has touched for age_ms. Costs what is in uploads/. */
enum err registry_upload_sweep(struct registry *r, int64_t age_ms, uint64_t *removed);
/* The session's bytes become the blob d of repo, durably. The caller closes up in any case.
 * ERR_DIGEST_INVALID: they hash to something else; the session is as before. */
enum err registry_upload_commit(struct registry *r, const char *repo, struct upload *up,
                                const struct digest *d);
/* Let repo serve a blob that from has (NULL: any repository). ERR_BLOB_UNKNOWN: it has not. */
enum err registry_blob_mount(struct registry *r, const char *repo, const struct digest *d, const char *from);

/* ---- pulling (end-2, end-3) ---- */
/* ERR_BLOB_UNKNOWN: this repository has no such blob. The caller closes *fd. */
enum err registry_blob_open(struct registry *r, const char *repo, const struct digest *d, int *fd,
                            uint64_t *size);
enum err registry_blob_stat(struct registry *r, const char *repo, const struct digest *d, uint64_t *size);
/* *fd may be passed as NULL when only the record is wanted. ERR_MANIFEST_UNKNOWN. */
enum err registry_manifest_open(struct registry *r, const char *repo, const struct reference *ref,
                                struct catalog_manifest *out, int *fd);

/* ---- pushing manifests (end-7) ---- */
#define REGISTRY_TAGS_MAX 32 /* tags that one push may set */
struct manifest_push {
    const char *repo;
    const void *bytes; /* the body, exactly */
    size_t len;
    const char *content_type;  /* NULL: none given */
    const struct digest *want; /* when pushed by digest; else NULL */
    enum digest_alg alg;       /* when pushed by tag */
    const char *const *tags;   /* to set, in the same transaction */
    size_t tag_count;
    const char *who; /* for the history */
    /* out */
    struct digest digest;
    bool has_subject;
    struct digest subject;
    const char *why;       /* of ERR_MANIFEST_INVALID: a constant string, or NULL */
    struct digest missing; /* of ERR_MANIFEST_BLOB_UNKNOWN */
};
enum err registry_manifest_put(struct registry *r, struct manifest_push *push);

/* ---- tags and deleting (end-9, end-10) ---- */
enum err registry_tag_set(struct registry *r, const char *repo, const char *tag, const struct digest *d,
                          const char *who);
enum err registry_tag_delete(struct registry *r, const char *repo, const char *tag, const char *who);
enum err registry_manifest_delete(struct registry *r, const char *repo, const struct digest *d,
                                  const char *who);
enum err registry_blob_delete(struct registry *r, const char *repo, const struct digest *d);
/* Everything of a repository. ERR_NAME_UNKNOWN. */
enum err registry_repo_delete(struct registry *r, const char *repo, const char *who);

#endif
