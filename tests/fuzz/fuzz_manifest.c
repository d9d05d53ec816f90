/* manifest_parse. The first line of the input is the Content-Type; an empty one is none. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "oci/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHILDREN_COMPARED 64

static void check_children(const struct manifest *m)
{
    uint64_t sum = 0;

    if (m->child_count > MANIFEST_CHILDREN_MAX)
        abort();
    for (size_t i = 0; i < m->child_count; i++) {
        const struct child *c = &m->children[i];

        if (c->size > INT64_MAX || (c->kind == CHILD_SUBJECT && (!c->optional || i + 1 != m->child_count)))
            abort();
        if ((c->kind == CHILD_CONFIG && i != 0) ||
            (c->optional && (c->kind == CHILD_CONFIG || c->kind == CHILD_MANIFEST)))
            abort();
        if (c->kind != CHILD_SUBJECT)
            sum += c->size;
        for (size_t k = 0; k < i && k < CHILDREN_COMPARED; k++)
            if (digest_eq(&m->children[k].digest, &c->digest))
                abort();
    }
    if (sum != m->content_size)
        abort();
}

static void check_annotations(const char *text)
{
    struct json *j;

    if (json_parse(&j, text, strlen(text), NULL) || !json_is_object(json_root(j)) ||
        json_count(json_root(j)) == 0)
        abort();
    json_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    char content_type[2 * MEDIA_TYPE_MAX];
    const char *why = NULL;
    struct manifest m;
    enum err e;

    if (!line || str_copy_n(content_type, sizeof content_type, (const char *)data, (size_t)(line - data)))
        return 0;
    line++;
    e = manifest_parse(&m, line, size - (size_t)(line - data), content_type[0] ? content_type : NULL, &why);
    if (e == ERR_OK) {
        if (!media_type_ok(m.media_type, strlen(m.media_type)) ||
            (m.artifact_type[0] && !media_type_ok(m.artifact_type, strlen(m.artifact_type))))
            abort();
        check_children(&m);
        if (m.annotations)
            check_annotations(m.annotations);
    } else if ((e != ERR_MANIFEST_INVALID && e != ERR_TOO_LARGE) || !why || m.children || m.annotations) {
        abort();
    }
    manifest_clear(&m);
    return 0;
}
