/* describe.h - what a manifest is, for people: its kind, platforms and whole size. */
#ifndef BERTH_CLI_DESCRIBE_H
#define BERTH_CLI_DESCRIBE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "registry/registry.h"

#define DESCRIBE_PLATFORMS_MAX 64 /* further ones are left out */

struct description {
    const char *kind;           /* "image", "index" or "artifact" */
    uint64_t size;              /* bytes: the manifest and everything below it */
    char (*platforms)[PLATFORM_MAX + 1]; /* "linux/arm64/v8"; unknown ones are left out */
    size_t platform_count;
};

/* Describe the manifest m of repo. The caller frees with describe_clear, whatever is returned. */
enum err describe(struct registry *r, const char *repo, const struct catalog_manifest *m,
                  struct description *out);
void describe_clear(struct description *d);

#endif
