/* The platform of an image stands in its configuration (image-spec, "config.md").
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "registry/registry_internal.h"

/* Real ones have a few KiB; a larger one is stored all the same, only not looked into. */
#define CONFIG_BYTES_MAX  (256u << 10)
#define CONFIG_MEMORY_MAX (1u << 20) /* bytes the tree of one may take */

static enum err blob_read(struct store *s, const struct digest *d, uint64_t size, char *out)
{
    const struct io *io = store_io(s);
    uint64_t have;
    enum err e;
    int fd;

    if ((e = store_blob_open(s, d, &fd, &have)))
        return e;
    e = have == size ? io_read_all(io, fd, out, (size_t)size, 0, NULL, "image configuration") : ERR_CORRUPT;
    io->close(io, fd);
    return e;
}

void platform_of(struct store *s, const struct manifest *m, char out[PLATFORM_MAX + 1])
{
    const struct child *config = NULL;
    const char *os, *arch, *variant;
    struct json *j = NULL;
    char *text = NULL;

    out[0] = '\0';
    for (size_t i = 0; i < m->child_count && config == NULL; i++) {
        if (m->children[i].kind == CHILD_CONFIG)
            config = &m->children[i];
    }
    if (config == NULL || config->size > CONFIG_BYTES_MAX || (text = malloc(config->size + 1)) == NULL)
        return;
    if (blob_read(s, &config->digest, config->size, text) == ERR_OK &&
        json_parse_within(&j, text, (size_t)config->size, CONFIG_MEMORY_MAX, NULL) == ERR_OK) {
        os = json_str(json_get(json_root(j), "os"), NULL);
        arch = json_str(json_get(json_root(j), "architecture"), NULL);
        variant = json_str(json_get(json_root(j), "variant"), NULL);
        /* str_format leaves "" when it does not fit: better none than half of one. */
        if (os != NULL && *os && arch != NULL && *arch)
            (void)str_format(out, PLATFORM_MAX + 1, "%s/%s%s%s", os, arch, variant && *variant ? "/" : "",
                             variant ? variant : "");
    }
    json_free(j);
    free(text);
}
