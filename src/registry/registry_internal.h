/* registry_internal.h - what the files of this room share. */
#ifndef BERTH_REGISTRY_REGISTRY_INTERNAL_H
#define BERTH_REGISTRY_REGISTRY_INTERNAL_H

#include "registry/layout.h"
#include "registry/registry.h"
#include "store/store.h"

#define CATALOG_FILE "catalog.db"

struct registry {
    struct store *store;
    struct catalog *catalog;
    struct log *log;
    _Atomic uint64_t synced; /* generation + 1 that index.json shows; 0: not known */
};

/* "os/architecture[/variant]" from the image configuration that m names, "" when there
 * is none to be read. */
void platform_of(struct store *s, const struct manifest *m, char out[PLATFORM_MAX + 1]);

#endif
