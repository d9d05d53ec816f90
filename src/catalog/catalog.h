/* catalog.h - who refers to what: repositories, tags, links, in SQLite.
 *
 * Readers are a few connections (READERS_MAX), opened on first use and handed from thread to
 * thread, in WAL mode: they never wait for a writer. Not one per thread: each costs some 300 KiB, and
 * memory has a ceiling. A callback must not call the catalogue again; its first error (any but
 * ERR_NOT_FOUND) ends the walk and is handed on.
 * Writers take turns: catalog_begin waits for other threads and processes (BEGIN IMMEDIATE), and everything
 * up to catalog_commit is one transaction, durable when catalog_commit has returned.
 * Functions that change take the transaction and see its own changes; functions that read take
 * the catalogue and see the last commit.
 *
 * Digests are stored as text, sizes are bytes, times are Unix milliseconds.
 * Faults: ERR_NO_SPACE (the disk is full), ERR_IO, ERR_CORRUPT, ERR_NO_MEMORY are logged here.
 * ERR_BUSY: the turn to write did not come within busy_ms, mostly because another process has it.
 */
#ifndef BERTH_CATALOG_CATALOG_H
#define BERTH_CATALOG_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "oci/name.h"

#define PLATFORM_MAX 127

struct catalog;
struct catalog_tx;

#define CATALOG_CACHE_KIB 256
#define CATALOG_BUSY_MS   10000

struct catalog_config {
    const char *path;   /* of catalog.db */
    const char *vfs;    /* name of a registered SQLite VFS; NULL: the default one */
    unsigned cache_kib; /* page cache of each connection; 0: CATALOG_CACHE_KIB */
    unsigned busy_ms;   /* how long to wait for another process's write lock; 0: CATALOG_BUSY_MS */
    bool create;        /* make it when it is not there or empty (else a fault) */
};

/* Open, and bring the schema up to date. ERR_CORRUPT: not a catalogue, or of a newer program. The
 * caller closes *out, after every thread that read from it has ended or will not again. */
enum err catalog_open(struct catalog **out, const struct catalog_config *cfg, struct log *log);
void catalog_close(struct catalog *c); /* NULL is allowed */
/* Close, leaving all in the one file: no log beside it. For a catalogue that is about to be renamed. */
enum err catalog_close_sealed(struct catalog *c);

/* ---- transactions ---- */
enum err catalog_begin(struct catalog_tx **out, struct catalog *c);
enum err catalog_commit(struct catalog_tx *tx); /* ends tx whatever it returns; on failure nothing happened */
void catalog_rollback(struct catalog_tx *tx);   /* NULL is allowed */

/* ---- repositories ---- */
enum err catalog_repo_has(struct catalog *c, const char *repo); /* ERR_NAME_UNKNOWN */
/* Names after last (NULL: from the first) in order; at most limit. */
enum err catalog_repo_foreach(struct catalog *c, const char *last, uint64_t limit,
                              enum err (*fn)(void *arg, const char *repo), void *arg);
/* Taking a repository away: its tags, all at once, then what it links, some digests at a time, then itself.
 * A digest may come twice, as a manifest and as a blob. */
enum err catalog_repo_clear_tags(struct catalog_tx *tx, const char *repo, const char *who,
                                 int64_t now); /* ERR_NAME_UNKNOWN */
enum err catalog_repo_links(struct catalog_tx *tx, const char *repo, struct digest *out, size_t cap,
                            size_t *n);
enum err catalog_repo_unlink(struct catalog_tx *tx, const char *repo, const struct digest *d);
enum err catalog_repo_delete(struct catalog_tx *tx,
                             const char *repo); /* ERR_IN_USE: it still links something */

/* ---- blobs ---- */
/* May this repository serve this blob? ERR_BLOB_UNKNOWN: no. */
enum err catalog_blob_get(struct catalog *c, const char *repo, const struct digest *d, uint64_t *size);
/* A repository that may serve it, for a mount without "from". ERR_BLOB_UNKNOWN: none. */
enum err catalog_blob_find(struct catalog *c, const struct digest *d, char repo[NAME_MAX_BYTES + 1]);
/* Is there a row for it at all? *size may be NULL. ERR_BLOB_UNKNOWN: no. */
enum err catalog_blob_exists(struct catalog_tx *tx, const struct digest *d, uint64_t *size);
enum err catalog_blob_known(struct catalog *c, const struct digest *d, uint64_t *size);
/* Record the blob (if new) and let repo (made if new) serve it. */
enum err catalog_blob_link(struct catalog_tx *tx, const char *repo, const struct digest *d, uint64_t size,
                           int64_t now);
enum err catalog_blob_linked(struct catalog_tx *tx, const char *repo,
                             const struct digest *d); /* ERR_BLOB_UNKNOWN */
/* Take the link away. ERR_BLOB_UNKNOWN: not linked. ERR_IN_USE: a manifest of the repository names it. */
enum err catalog_blob_unlink(struct catalog_tx *tx, const char *repo, const struct digest *d);
/* Does any repository still link it, as a blob or as a manifest? If none: the row goes, *gone = true. */
enum err catalog_blob_drop_if_unused(struct catalog_tx *tx, const struct digest *d, bool *gone);

/* ---- manifests ---- */
struct catalog_manifest {
    struct digest digest;
    char media_type[MEDIA_TYPE_MAX + 1];
    uint64_t size;
    char artifact_type[MEDIA_TYPE_MAX + 1];
    char platform[PLATFORM_MAX + 1];
    bool has_subject;
    struct digest subject;
    uint64_t content_size;
    int64_t pushed_at;
};

/* ERR_MANIFEST_UNKNOWN: no such tag or digest in the repository (or no such repository). */
enum err catalog_manifest_get(struct catalog *c, const char *repo, const struct reference *ref,
                              struct catalog_manifest *out);
/* Record a manifest with what it refers to; platform is "os/architecture[/variant]" or "". Checks, in this
 * transaction, that every child that is not optional is linked in the repository.
 * ERR_MANIFEST_BLOB_UNKNOWN: one is not; *missing says which. */
enum err catalog_manifest_put(struct catalog_tx *tx, const char *repo, const struct digest *d, uint64_t size,
                              const struct manifest *m, const char *platform, int64_t now,
                              struct digest *missing);
enum err catalog_manifest_linked(struct catalog_tx *tx, const char *repo,
                                 const struct digest *d); /* ERR_MANIFEST_UNKNOWN */
/* Take it, its tags and its references away. ERR_MANIFEST_UNKNOWN. ERR_IN_USE: an index of the
 * repository names it. who is for the history of its tags. */
enum err catalog_manifest_delete(struct catalog_tx *tx, const char *repo, const struct digest *d,
                                 const char *who, int64_t now);
/* All manifests of a repository by digest after last; at most limit. tags and untagged alike. */
enum err catalog_manifest_foreach(
    struct catalog *c, const char *repo, const struct digest *last, uint64_t limit,
    enum err (*fn)(void *arg, const struct catalog_manifest *m, bool tagged, bool child_of_index), void *arg);

/* Manifests whose subject is this digest, in digest order after last (NULL: from the first); filtered by
 * artifact type unless NULL. annotations is JSON text or NULL. */
enum err catalog_referrer_foreach(struct catalog *c, const char *repo, const struct digest *subject,
                                  const char *artifact_type, const struct digest *last, uint64_t limit,
                                  enum err (*fn)(void *arg, const struct catalog_manifest *m,
                                                 const char *annotations),
                                  void *arg);

/* ---- tags ---- */
struct catalog_tag {
    char name[TAG_MAX_BYTES + 1];
    struct catalog_manifest manifest;
    int64_t updated_at;
};
/* Point tag at a manifest of the repository; the change goes into the history (nothing when it is
 * already so). ERR_MANIFEST_UNKNOWN. who: an address or a name, for the history. */
enum err catalog_tag_set(struct catalog_tx *tx, const char *repo, const char *tag, const struct digest *d,
                         const char *who, int64_t now);
enum err catalog_tag_delete(struct catalog_tx *tx, const char *repo, const char *tag, const char *who,
                            int64_t now); /* ERR_MANIFEST_UNKNOWN */
/* Tags in byte order after last (NULL: from the first); at most limit. ERR_NAME_UNKNOWN. */
enum err catalog_tag_foreach(struct catalog *c, const char *repo, const char *last, uint64_t limit,
                             enum err (*fn)(void *arg, const struct catalog_tag *t), void *arg);

/* ---- totals, kept by triggers ---- */
struct catalog_usage {
    uint64_t repos, tags, manifests, blobs; /* blobs: files, manifests included */
    uint64_t bytes;                         /* of those files */
};
enum err catalog_usage_get(struct catalog *c, struct catalog_usage *out);
/* Per repository: its tags, manifests and blobs, and the bytes of both; what several repositories share
 * counts in each. ERR_NAME_UNKNOWN. */
enum err catalog_repo_usage(struct catalog *c, const char *repo, struct catalog_usage *out);

/* A number that changes with every committed change by anyone, for caches and lazy refreshes. */
enum err catalog_generation(struct catalog *c, uint64_t *out);
/* Is the database file sound (PRAGMA quick_check) and consistent (foreign keys)? ERR_CORRUPT: logged. */
enum err catalog_check(struct catalog *c);

#endif
