/* layout.h - the data directory as an OCI image layout: index.json.
 *
 * index.json lists every tag of every repository as "REPOSITORY:TAG", and every manifest that is
 * neither tagged nor a child of an index as "REPOSITORY@DIGEST", in the annotation
 * org.opencontainers.image.ref.name, so that other tools can read the store and a lost
 * catalogue can be made again. It is written whole or not at all, and lazily: a push never waits for it.
 */
#ifndef BERTH_REGISTRY_LAYOUT_H
#define BERTH_REGISTRY_LAYOUT_H

#include "registry/registry.h"

/* Write index.json from the catalogue. */
enum err layout_sync(struct registry *r);

/* Write it unless nothing has changed since the last time this process did. */
enum err layout_sync_if_changed(struct registry *r);

struct rebuild_config {
    const char *data;
    bool force;  /* a catalogue that is there is moved aside (catalog.db.old) */
    bool verify; /* hash every blob, not manifests alone */
    void (*progress)(void *arg, uint64_t done, uint64_t total, const char *what); /* may be NULL */
    void *arg;
    const char *vfs;     /* SQLite VFS, NULL: default (tests) */
    const struct io *io; /* NULL: io_posix */
};
struct rebuild_report {
    uint64_t repos, tags, manifests, blobs;
    uint64_t missing;      /* descriptors whose content is not on the disk */
    uint64_t rotten;       /* files moved to quarantine/ */
    uint64_t unreadable;   /* times a file could not be read; what is in it is left out, the file stays */
    uint64_t unreferenced; /* files that nothing in index.json leads to; they stay where they are */
};
/* Make a new catalogue from the blobs and index.json. It becomes catalog.db in one rename at the end;
 * cut off at any point, it can simply be run again. After a failure the old one is in its place, where the
 * disk allows it. Run by root, it gives the new one to the owner of the data directory.
 * ERR_EXISTS: there is one and force is not set. ERR_BUSY: a server has the data directory open. */
enum err registry_rebuild(const struct rebuild_config *cfg, struct rebuild_report *out, struct log *log);

#endif
