/* describe.c - look into indexes; of other manifests the catalogue knows all. */
#include "cli/describe.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/str.h"

#define MT_OCI_CONFIG    "application/vnd.oci.image.config.v1+json"
#define MT_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

/* The bytes of an open file of this size; *out is the caller's to free. */
static enum err read_whole(int fd, uint64_t size, char **out)
{
    enum err e;

    *out = malloc(size > 0 ? (size_t)size : 1);
    if (!*out)
        return ERR_NO_MEMORY;
    if ((e = io_read_all(&io_posix, fd, *out, (size_t)size, 0, NULL, "")) != ERR_OK) {
        free(*out);
        *out = NULL;
    }
    return e;
}

/* Add one to the list. It is text from anybody: only plain characters reach a terminal. */
static enum err add_platform(struct description *d, const char *text)
{
    char *p;

    if (d->platform_count == DESCRIBE_PLATFORMS_MAX)
        return ERR_OK;
    if (!d->platforms && !(d->platforms = malloc(DESCRIBE_PLATFORMS_MAX * sizeof *d->platforms)))
        return ERR_NO_MEMORY;
    p = d->platforms[d->platform_count];
    if (str_copy(p, PLATFORM_MAX + 1, text))
        return ERR_OK; /* longer than any real one */
    d->platform_count++;
    for (; *p; p++)
        if (*p <= ' ' || *p > '~')
            *p = '?';
    return ERR_OK;
}

/* "os/architecture/variant" of an entry of an index. */
static enum err add_entry(void *arg, const char *key, const struct json_val *item)
{
    const struct json_val *platform = json_get(item, "platform");
    char text[PLATFORM_MAX + 1];
    size_t len;
    const char *os = json_str(json_get(platform, "os"), &len);
    const char *arch = json_str(json_get(platform, "architecture"), &len);
    const char *variant = json_str(json_get(platform, "variant"), &len);

    (void)key;
    /* "unknown" is what build tools write for attestations beside the images. */
    if (!os || !arch || !*os || !*arch || str_eq(os, "unknown"))
        return ERR_OK;
    if (!variant)
        variant = "";
    if (str_format(text, sizeof text, "%s/%s%s%s", os, arch, *variant ? "/" : "", variant))
        return ERR_OK;
    return add_platform(arg, text);
}

static enum err platforms_of_index(struct description *d, const char *text, size_t len)
{
    struct json *j = NULL;
    enum err e = json_parse(&j, text, len, NULL);

    if (e == ERR_OK)
        e = json_foreach(json_get(json_root(j), "manifests"), add_entry, d);
    json_free(j);
    return e;
}

/* An index counts its manifests' own bytes; the content behind them is theirs to tell. */
static enum err add_children(struct description *d, struct registry *r, const char *repo,
                             const struct manifest *m)
{
    struct catalog_manifest record;
    struct reference ref = { .is_digest = true };
    enum err e;

    for (size_t i = 0; i < m->child_count; i++) {
        if (m->children[i].kind != CHILD_MANIFEST)
            continue;
        ref.digest = m->children[i].digest;
        e = catalog_manifest_get(registry_catalog(r), repo, &ref, &record);
        if (e == ERR_OK)
            d->size += record.content_size;
        else if (e != ERR_MANIFEST_UNKNOWN)
            return e;
    }
    return ERR_OK;
}

static enum err describe_index(struct registry *r, const char *repo, const struct catalog_manifest *record,
                               struct description *out)
{
    struct catalog_manifest ignored;
    struct reference ref = { .is_digest = true, .digest = record->digest };
    struct manifest m = { 0 };
    char *text = NULL;
    int fd = -1;
    enum err e;

    if ((e = registry_manifest_open(r, repo, &ref, &ignored, &fd)) ||
        (e = read_whole(fd, record->size, &text)) ||
        (e = manifest_parse(&m, text, (size_t)record->size, record->media_type, NULL)))
        goto out;
    if ((e = add_children(out, r, repo, &m)) == ERR_OK)
        e = platforms_of_index(out, text, (size_t)record->size);
out:
    manifest_clear(&m);
    free(text);
    if (fd >= 0)
        io_posix.close(&io_posix, fd);
    return e;
}

enum err describe(struct registry *r, const char *repo, const struct catalog_manifest *record,
                  struct description *out)
{
    const char *type = record->artifact_type;

    memset(out, 0, sizeof *out);
    out->size = record->size + record->content_size;
    if (str_eq(record->media_type, MT_OCI_INDEX) || str_eq(record->media_type, MT_DOCKER_LIST)) {
        out->kind = "index";
        return describe_index(r, repo, record, out);
    }
    if (*type && !str_eq(type, MT_OCI_CONFIG) && !str_eq(type, MT_DOCKER_CONFIG))
        out->kind = "artifact";
    else
        out->kind = "image";
    return *record->platform ? add_platform(out, record->platform) : ERR_OK;
}

void describe_clear(struct description *d)
{
    free(d->platforms);
    d->platforms = NULL;
    d->platform_count = 0;
}
