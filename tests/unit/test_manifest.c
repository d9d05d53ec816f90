/* Manifests: what is read from good ones, and why bad ones are refused. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "oci/manifest.h"
#include "t.h"

#define HEX_A "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEX_B "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HEX_C "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"

#define DESC(type, hex, size) "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" hex "\",\"size\":" size "}"
#define CONFIG DESC("application/vnd.oci.image.config.v1+json", HEX_A, "7")
#define LAYER  DESC("application/vnd.oci.image.layer.v1.tar+gzip", HEX_B, "100")
#define CHILD  DESC(MT_OCI_MANIFEST, HEX_C, "500")
#define TEXT   DESC("text/plain; charset=utf-8", HEX_B, "1")
#define EMPTY  DESC(MT_OCI_EMPTY, HEX_A, "2")
#define SMALL  DESC("a/b", HEX_C, "1")
#define FOREIGN_D DESC("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", HEX_B, "100")
#define FOREIGN_O DESC("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", HEX_C, "2")

/* A manifest of a media type with these members behind "mediaType". */
#define BODY(type, members) "{\"schemaVersion\":2,\"mediaType\":\"" type "\"," members "}"
#define IMAGE(members) BODY(MT_OCI_MANIFEST, members)
#define INDEX(members) BODY(MT_OCI_INDEX, members)
#define PLAIN IMAGE("\"config\":" CONFIG ",\"layers\":[" LAYER "]")

#define MT_ARTIFACT "application/vnd.oci.artifact.manifest.v1+json"
#define MT_OTHER    "application/vnd.example.thing+json"

static enum err parse(struct manifest *m, const char *text, const char *content_type)
{
    return manifest_parse(m, text, strlen(text), content_type, NULL);
}

/* ERR_MANIFEST_INVALID with this reason, or part of it, and nothing left behind. */
static bool refused(const char *text, const char *content_type, const char *reason)
{
    const char *why = NULL;
    struct manifest m;
    bool ok = manifest_parse(&m, text, strlen(text), content_type, &why) == ERR_MANIFEST_INVALID && why &&
              strstr(why, reason) && !m.children && !m.annotations && m.child_count == 0 && !m.media_type[0];

    manifest_clear(&m);
    return ok;
}

static bool accepted(const char *text, const char *content_type)
{
    struct manifest m;
    enum err e = parse(&m, text, content_type);

    manifest_clear(&m);
    return e == ERR_OK;
}

static bool child_is(const struct manifest *m, size_t i, enum child_kind kind, const char *hex, uint64_t size,
                     bool optional)
{
    char got[DIGEST_HEX_MAX + 1];

    if (i >= m->child_count)
        return false;
    digest_hex(&m->children[i].digest, got);
    return m->children[i].kind == kind && str_eq(got, hex) && m->children[i].size == size &&
           m->children[i].optional == optional;
}

static void an_image_manifest_names_a_config_and_layers(struct t *t)
{
    struct manifest m;

    CHECK(parse(&m, PLAIN, MT_OCI_MANIFEST) == ERR_OK);
    CHECK_STR(m.media_type, MT_OCI_MANIFEST);
    CHECK_STR(m.artifact_type, "application/vnd.oci.image.config.v1+json");
    CHECK(!m.is_index && !m.has_subject && !m.annotations);
    CHECK_INT(m.child_count, 2);
    CHECK(child_is(&m, 0, CHILD_CONFIG, HEX_A, 7, false) && child_is(&m, 1, CHILD_LAYER, HEX_B, 100, false));
    CHECK_INT(m.content_size, 107);
    manifest_clear(&m);
    CHECK(!m.children && m.child_count == 0);
}

static void an_index_names_manifests(struct t *t)
{
    struct manifest m;

    CHECK(parse(&m, INDEX("\"manifests\":[" CHILD "," LAYER "]"), MT_OCI_INDEX) == ERR_OK);
    CHECK_STR(m.media_type, MT_OCI_INDEX);
    CHECK_STR(m.artifact_type, "");
    CHECK(m.is_index && m.child_count == 2 && m.content_size == 600);
    CHECK(child_is(&m, 0, CHILD_MANIFEST, HEX_C, 500, false) &&
          child_is(&m, 1, CHILD_MANIFEST, HEX_B, 100, false));
    manifest_clear(&m);
    CHECK(parse(&m, INDEX("\"manifests\":[],\"artifactType\":\"a/b\""), NULL) == ERR_OK);
    CHECK(m.is_index && m.child_count == 0 && m.content_size == 0);
    CHECK_STR(m.artifact_type, "a/b");
    manifest_clear(&m);
}

static void an_index_says_the_media_type_of_each_child(struct t *t)
{
    struct manifest m;

    CHECK(parse(&m, INDEX("\"manifests\":[" CHILD "," CHILD "," LAYER "],\"subject\":" EMPTY), NULL) ==
          ERR_OK);
    REQUIRE(m.is_known && m.child_count == 3);
    CHECK_STR(manifest_child_type(&m, &m.children[0]), MT_OCI_MANIFEST);
    CHECK_STR(manifest_child_type(&m, &m.children[1]), "application/vnd.oci.image.layer.v1.tar+gzip");
    CHECK(manifest_child_type(&m, &m.children[2]) == NULL);
    manifest_clear(&m);
    CHECK(parse(&m, BODY(MT_OTHER, "\"manifests\":[" SMALL "," CHILD "]"), NULL) == ERR_OK);
    CHECK(!m.is_known);
    CHECK_STR(manifest_child_type(&m, &m.children[0]), "a/b"); /* the first of two for one digest */
    manifest_clear(&m);
}

static void docker_manifests_and_lists_are_read_alike(struct t *t)
{
    struct manifest m;

    CHECK(parse(&m, BODY(MT_DOCKER_MANIFEST, "\"config\":" CONFIG ",\"layers\":[" LAYER "]"),
                MT_DOCKER_MANIFEST) == ERR_OK);
    CHECK_STR(m.media_type, MT_DOCKER_MANIFEST);
    CHECK(!m.is_index && m.child_count == 2);
    manifest_clear(&m);
    CHECK(parse(&m, BODY(MT_DOCKER_LIST, "\"manifests\":[" CHILD "]"), MT_DOCKER_LIST) == ERR_OK);
    CHECK_STR(m.media_type, MT_DOCKER_LIST);
    CHECK(m.is_index && m.child_count == 1);
    manifest_clear(&m);
}

static void an_artifact_manifest_has_blobs_for_layers(struct t *t)
{
    static const char body[] = "{\"mediaType\":\"" MT_ARTIFACT "\",\"artifactType\":\"a/b\","
                               "\"blobs\":[" LAYER "],\"subject\":" CHILD "}";
    struct manifest m;

    CHECK(parse(&m, body, MT_ARTIFACT) == ERR_OK);
    CHECK_STR(m.artifact_type, "a/b");
    CHECK(!m.is_index && m.has_subject && m.child_count == 2 && m.content_size == 100);
    CHECK(child_is(&m, 0, CHILD_LAYER, HEX_B, 100, false) &&
          child_is(&m, 1, CHILD_SUBJECT, HEX_C, 500, true));
    manifest_clear(&m);
    CHECK(refused(BODY(MT_ARTIFACT, "\"manifests\":[]"), NULL, "another media type"));
    CHECK(refused(BODY(MT_ARTIFACT, "\"blobs\":{}"), NULL, "not an array"));
}

static void a_manifest_of_an_unknown_type_has_the_descriptors_it_shows(struct t *t)
{
    static const char body[] = "{\"schemaVersion\":\"x\",\"config\":" CONFIG ","
                               "\"layers\":[" LAYER ",5,{\"size\":1}],"
                               "\"blobs\":[" CHILD "],\"annotations\":[],\"subject\":7}";
    struct manifest m;

    CHECK(parse(&m, body, MT_OTHER) == ERR_OK);
    CHECK_STR(m.media_type, MT_OTHER);
    CHECK_STR(m.artifact_type, "application/vnd.oci.image.config.v1+json");
    CHECK(!m.is_index && !m.has_subject && !m.annotations && m.child_count == 3);
    CHECK(child_is(&m, 0, CHILD_CONFIG, HEX_A, 7, false) && child_is(&m, 1, CHILD_LAYER, HEX_B, 100, false) &&
          child_is(&m, 2, CHILD_LAYER, HEX_C, 500, false));
    manifest_clear(&m);
    CHECK(parse(&m, "{\"manifests\":[" CHILD "],\"subject\":" LAYER "}", MT_OTHER) == ERR_OK);
    CHECK(m.is_index && m.has_subject && m.child_count == 2);
    manifest_clear(&m);
    CHECK(parse(&m, "{\"config\":\"a string\",\"layers\":{\"x\":1}}", MT_OTHER) == ERR_OK);
    CHECK(m.child_count == 0);
    CHECK_STR(m.artifact_type, "");
    manifest_clear(&m);
    CHECK(accepted("{}", "text/plain"));
    CHECK(refused("[]", MT_OTHER, "not a JSON object") && refused("5", MT_OTHER, "not a JSON object"));
}

static void header_and_body_name_the_same_type(struct t *t)
{
    static const char body[] = "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}";
    struct manifest m;

    CHECK(parse(&m, body, "  " MT_DOCKER_MANIFEST " ; charset=utf-8") == ERR_OK);
    CHECK_STR(m.media_type, MT_DOCKER_MANIFEST);
    manifest_clear(&m);
    CHECK(parse(&m, PLAIN, NULL) == ERR_OK);
    CHECK_STR(m.media_type, MT_OCI_MANIFEST);
    manifest_clear(&m);
    CHECK(parse(&m, PLAIN, "") == ERR_OK);
    CHECK_STR(m.media_type, MT_OCI_MANIFEST);
    manifest_clear(&m);
    CHECK(parse(&m, PLAIN, "Application/VND.oci.image.manifest.v1+JSON") == ERR_OK);
    CHECK_STR(m.media_type, MT_OCI_MANIFEST); /* spelt as the specification does */
    manifest_clear(&m);
    CHECK(refused(PLAIN, MT_DOCKER_MANIFEST, "not the same") &&
          refused(PLAIN, "application/json", "not the same"));
    CHECK(refused(PLAIN, MT_OCI_INDEX, "not the same"));
    CHECK(refused(body, "json", "Content-Type is malformed") &&
          refused(body, "a/b c/d", "Content-Type is malformed"));
    CHECK(refused("{\"mediaType\":5}", MT_OTHER, "mediaType is not") &&
          refused("{\"mediaType\":\"x\"}", MT_OTHER, "mediaType is not"));
    CHECK(refused("{\"mediaType\":\"a/b;c=d\"}", "a/b", "mediaType is not"));
    CHECK(refused("{\"mediaType\":\"a/b\\u0000\"}", "a/b", "mediaType is not"));
}

static void without_a_type_the_shape_decides(struct t *t)
{
    struct manifest m;

    CHECK(parse(&m, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER "]}", NULL) == ERR_OK);
    CHECK_STR(m.media_type, MT_OCI_MANIFEST);
    manifest_clear(&m);
    CHECK(parse(&m, "{\"schemaVersion\":2,\"manifests\":[" CHILD "]}", NULL) == ERR_OK);
    CHECK_STR(m.media_type, MT_OCI_INDEX);
    manifest_clear(&m);
    CHECK(refused("{}", NULL, "says what this is") && refused("{\"layers\":null}", "", "says what this is"));
    CHECK(refused("{\"blobs\":[]}", NULL, "says what this is"));
}

static void one_body_has_one_meaning(struct t *t)
{
    CHECK(refused(IMAGE("\"config\":" CONFIG ",\"layers\":[],\"manifests\":[]"), NULL, "both"));
    CHECK(refused(IMAGE("\"config\":" CONFIG ",\"manifests\":[" CHILD "]"), NULL, "both"));
    CHECK(refused(INDEX("\"manifests\":[],\"layers\":[]"), NULL, "both"));
    CHECK(refused(INDEX("\"manifests\":[],\"config\":" CONFIG), NULL, "both"));
    CHECK(refused("{\"layers\":[],\"manifests\":[]}", MT_OTHER, "both"));
    CHECK(refused("{\"layers\":[],\"manifests\":[]}", NULL, "both"));
    CHECK(refused(IMAGE("\"manifests\":[" CHILD "]"), NULL, "another media type"));
    CHECK(refused(INDEX("\"layers\":[" LAYER "]"), NULL, "another media type"));
    CHECK(accepted(IMAGE("\"config\":" CONFIG ",\"layers\":[],\"manifests\":null"), NULL));
    CHECK(refused(IMAGE("\"config\":" CONFIG ",\"layers\":[],\"layers\":[]"), NULL, "key twice"));
}

static void required_members_are_required(struct t *t)
{
    CHECK(refused(IMAGE("\"layers\":[]"), NULL, "without a config"));
    CHECK(refused(IMAGE("\"config\":null,\"layers\":[]"), NULL, "without a config"));
    CHECK(refused(INDEX("\"x\":1"), NULL, "without manifests"));
    CHECK(accepted(INDEX("\"manifests\":null"), NULL)); /* a list without items, as Go programs write it */
    CHECK(accepted(IMAGE("\"config\":" CONFIG ",\"layers\":null"), NULL));
    CHECK(refused(IMAGE("\"config\":" CONFIG ",\"layers\":{}"), NULL, "not an array"));
    CHECK(refused(INDEX("\"manifests\":\"x\""), NULL, "not an array"));
    CHECK(refused(IMAGE("\"config\":[],\"layers\":[]"), NULL, "not an object"));
    CHECK(refused(IMAGE("\"config\":" CONFIG ",\"layers\":[null]"), NULL, "not an object"));
}

static void the_schema_version_is_two(struct t *t)
{
    static const char *const bad[] = { "1", "3", "0", "-2", "2.0", "\"2\"", "[2]", "true", "1e999" };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];

        t_note(t, "schemaVersion %s", bad[i]);
        CHECK(str_format(text, sizeof text, "{\"schemaVersion\":%s,\"config\":" CONFIG ",\"layers\":[]}",
                         bad[i]) == ERR_OK);
        CHECK(refused(text, MT_OCI_MANIFEST, "schemaVersion"));
    }
    t_note(t, "%s", "");
    CHECK(accepted("{\"config\":" CONFIG ",\"layers\":[]}", MT_OCI_MANIFEST));
}

static void schema_1_manifests_are_refused_by_name(struct t *t)
{
    static const char body[] =
        "{\"schemaVersion\":1,\"name\":\"a\",\"tag\":\"b\",\"fsLayers\":[],\"history\":[],\"signatures\":[]}";

    CHECK(refused(body, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"));
    CHECK(refused(body, "application/vnd.docker.distribution.manifest.v1+json", "schema 1"));
    CHECK(refused(body, "application/json", "schema 1") && refused(body, NULL, "schema 1"));
    CHECK(refused(body, MT_DOCKER_MANIFEST, "schema 1"));
    CHECK(refused("{}", "application/vnd.docker.distribution.manifest.v1+json", "schema 1"));
}

static void a_broken_descriptor_says_what_is_wrong(struct t *t)
{
    static const struct {
        const char *descriptor, *reason;
    } bad[] = {
        { "5", "not an object" },
        { "{}", "no digest" },
        { "{\"mediaType\":\"a/b\",\"size\":1,\"digest\":5}", "no digest" },
        { "{\"mediaType\":\"a/b\",\"size\":1,\"digest\":\"\"}", "malformed digest" },
        { "{\"mediaType\":\"a/b\",\"size\":1,\"digest\":\"sha256:abc\"}", "malformed digest" },
        { "{\"mediaType\":\"a/b\",\"size\":1,\"digest\":\"sha256:" HEX_A "\\u0000\"}", "no digest" },
        { "{\"mediaType\":\"a/b\",\"size\":1,\"digest\":\"blake3:" HEX_A "\"}", "not supported" },
        { "{\"mediaType\":\"a/b\",\"digest\":\"sha256:" HEX_A "\"}", "no size" },
        { DESC("a/b", HEX_A, "-1"), "no size" },
        { DESC("a/b", HEX_A, "1.5"), "no size" },
        { DESC("a/b", HEX_A, "\"1\""), "no size" },
        { DESC("a/b", HEX_A, "9223372036854775808"), "no size" },
        { DESC("a/b", HEX_A, "1e999"), "no size" },
        { "{\"size\":1,\"digest\":\"sha256:" HEX_A "\"}", "no mediaType" },
        { "{\"size\":1,\"digest\":\"sha256:" HEX_A "\",\"mediaType\":null}", "no mediaType" },
        { DESC("", HEX_A, "1"), "malformed mediaType" },
        { DESC("a", HEX_A, "1"), "malformed mediaType" },
        { DESC("a/b c", HEX_A, "1"), "malformed mediaType" },
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[1024];

        t_note(t, "row %zu", i);
        CHECK(str_format(text, sizeof text, IMAGE("\"config\":%s,\"layers\":[]"),
                         bad[i].descriptor) == ERR_OK);
        CHECK(refused(text, NULL, bad[i].reason));
        CHECK(str_format(text, sizeof text, IMAGE("\"config\":" CONFIG ",\"layers\":[" LAYER ",%s]"),
                         bad[i].descriptor) == ERR_OK);
        CHECK(refused(text, NULL, bad[i].reason));
        CHECK(str_format(text, sizeof text, INDEX("\"manifests\":[%s]"), bad[i].descriptor) == ERR_OK);
        CHECK(refused(text, NULL, bad[i].reason));
        CHECK(str_format(text, sizeof text, INDEX("\"manifests\":[],\"subject\":%s"),
                         bad[i].descriptor) == ERR_OK);
        CHECK(refused(text, NULL, bad[i].reason));
    }
}

static void a_layer_type_may_have_parameters_a_config_type_not(struct t *t)
{
    CHECK(accepted(IMAGE("\"config\":" CONFIG ",\"layers\":[" TEXT "]"), NULL));
    CHECK(refused(IMAGE("\"config\":" TEXT ",\"layers\":[]"), NULL, "the config"));
}

static void layers_that_may_not_be_distributed_may_be_missing(struct t *t)
{
    struct manifest m;

    CHECK(parse(&m, IMAGE("\"config\":" CONFIG ",\"layers\":[" FOREIGN_D "," FOREIGN_O "]"), NULL) == ERR_OK);
    CHECK(child_is(&m, 0, CHILD_CONFIG, HEX_A, 7, false) && child_is(&m, 1, CHILD_LAYER, HEX_B, 100, true) &&
          child_is(&m, 2, CHILD_LAYER, HEX_C, 2, true));
    CHECK_INT(m.content_size, 109);
    manifest_clear(&m);
    /* The type is a layer's: it excuses no config and no manifest. */
    CHECK(parse(&m, INDEX("\"manifests\":[" FOREIGN_D "]"), NULL) == ERR_OK);
    CHECK(child_is(&m, 0, CHILD_MANIFEST, HEX_B, 100, false));
    manifest_clear(&m);
    CHECK(parse(&m, IMAGE("\"config\":" FOREIGN_D ",\"layers\":[]"), NULL) == ERR_OK);
    CHECK(child_is(&m, 0, CHILD_CONFIG, HEX_B, 100, false));
    manifest_clear(&m);
}

static void a_child_named_twice_is_kept_once(struct t *t)
{
    static const char body[] = IMAGE("\"config\":" EMPTY ",\"layers\":[" LAYER "," EMPTY "," LAYER "," SMALL
                                     "," LAYER "]");
    struct manifest m;

    CHECK(parse(&m, body, NULL) == ERR_OK);
    CHECK_INT(m.child_count, 3);
    CHECK(child_is(&m, 0, CHILD_CONFIG, HEX_A, 2, false) && child_is(&m, 1, CHILD_LAYER, HEX_B, 100, false) &&
          child_is(&m, 2, CHILD_LAYER, HEX_C, 1, false));
    CHECK_INT(m.content_size, 103);
    manifest_clear(&m);
    /* Needed in one place is needed, whatever the other place says. */
    CHECK(parse(&m, IMAGE("\"config\":" CONFIG ",\"layers\":[" FOREIGN_D "," LAYER "]"), NULL) == ERR_OK);
    CHECK(m.child_count == 2 && child_is(&m, 1, CHILD_LAYER, HEX_B, 100, false));
    manifest_clear(&m);
    CHECK(parse(&m, IMAGE("\"config\":" CONFIG ",\"layers\":[" FOREIGN_D "," FOREIGN_D "]"), NULL) == ERR_OK);
    CHECK(m.child_count == 2 && child_is(&m, 1, CHILD_LAYER, HEX_B, 100, true));
    manifest_clear(&m);
}

static void a_subject_may_be_missing_and_does_not_count(struct t *t)
{
    struct manifest m;
    char text[DIGEST_TEXT_MAX + 1];

    CHECK(parse(&m, IMAGE("\"config\":" CONFIG ",\"layers\":[],\"subject\":" CHILD), NULL) == ERR_OK);
    CHECK(m.has_subject && m.child_count == 2 && child_is(&m, 1, CHILD_SUBJECT, HEX_C, 500, true));
    digest_format(&m.subject, text);
    CHECK_STR(text, "sha256:" HEX_C);
    CHECK_INT(m.content_size, 7);
    manifest_clear(&m);
    CHECK(parse(&m, IMAGE("\"config\":" CONFIG ",\"layers\":[],\"subject\":null"), NULL) == ERR_OK &&
          !m.has_subject);
    manifest_clear(&m);
    /* A subject that is a child as well stands there as the child. */
    CHECK(parse(&m, INDEX("\"manifests\":[" CHILD "],\"subject\":" CHILD), NULL) == ERR_OK);
    CHECK(m.has_subject && m.child_count == 1 && child_is(&m, 0, CHILD_MANIFEST, HEX_C, 500, false));
    manifest_clear(&m);
}

static void an_artifact_type_stands_before_the_config_type(struct t *t)
{
    struct manifest m;

    CHECK(parse(&m, IMAGE("\"artifactType\":\"a/b\",\"config\":" EMPTY ",\"layers\":[]"), NULL) == ERR_OK);
    CHECK_STR(m.artifact_type, "a/b");
    manifest_clear(&m);
    CHECK(parse(&m, IMAGE("\"artifactType\":\"\",\"config\":" EMPTY ",\"layers\":[]"), NULL) == ERR_OK);
    CHECK_STR(m.artifact_type, MT_OCI_EMPTY);
    manifest_clear(&m);
    CHECK(refused(IMAGE("\"artifactType\":\"a\",\"config\":" EMPTY ",\"layers\":[]"), NULL, "artifactType"));
    CHECK(refused(IMAGE("\"artifactType\":{},\"config\":" EMPTY ",\"layers\":[]"), NULL, "artifactType"));
    CHECK(refused(INDEX("\"artifactType\":\"a/b;c=d\",\"manifests\":[]"), NULL, "artifactType"));
}

static void annotations_are_kept_as_json(struct t *t)
{
    struct manifest m;

    CHECK(parse(&m, INDEX("\"manifests\":[],\"annotations\": { \"b\" : \"1\\n\\u00e4\\\"\", \"a\":\"\" }"),
                NULL) == ERR_OK);
    CHECK_STR(m.annotations, "{\"b\":\"1\\n\xc3\xa4\\\"\",\"a\":\"\"}");
    manifest_clear(&m);
    CHECK(parse(&m, INDEX("\"manifests\":[],\"annotations\":{}"), NULL) == ERR_OK && !m.annotations);
    manifest_clear(&m);
    CHECK(parse(&m, INDEX("\"manifests\":[],\"annotations\":null"), NULL) == ERR_OK && !m.annotations);
    manifest_clear(&m);
    CHECK(refused(INDEX("\"manifests\":[],\"annotations\":[]"), NULL, "annotations"));
    CHECK(refused(INDEX("\"manifests\":[],\"annotations\":{\"a\":1}"), NULL, "annotations"));
    CHECK(refused(INDEX("\"manifests\":[],\"annotations\":{\"a\":\"x\",\"b\":null}"), NULL, "annotations"));
    CHECK(refused(INDEX("\"manifests\":[],\"annotations\":{\"a\":\"x\\u0000\"}"), NULL, "annotations"));
}

/* An index with this many children, all different. */
static void big_index(struct buf *b, unsigned count, const char *size)
{
    buf_clear(b);
    buf_str(b, "{\"schemaVersion\":2,\"manifests\":[");
    for (unsigned i = 0; i < count; i++)
        buf_fmt(b, "%s{\"mediaType\":\"a/b\",\"size\":%s,\"digest\":\"sha256:%064x\"}", i ? "," : "", size,
                i);
    buf_str(b, "]}");
}

static void the_number_of_children_has_a_limit(struct t *t)
{
    struct buf b = { 0 };
    struct manifest m;
    const char *why = NULL;

    big_index(&b, MANIFEST_CHILDREN_MAX, "3");
    CHECK(manifest_parse(&m, b.p, b.len, NULL, NULL) == ERR_OK);
    CHECK(m.child_count == MANIFEST_CHILDREN_MAX && m.content_size == 3 * MANIFEST_CHILDREN_MAX);
    for (size_t i = 0; i < m.child_count; i++)
        CHECK(m.children[i].digest.bytes[30] == i / 256 &&
              m.children[i].digest.bytes[31] == i % 256); /* in order */
    manifest_clear(&m);
    big_index(&b, MANIFEST_CHILDREN_MAX + 1, "3");
    CHECK(manifest_parse(&m, b.p, b.len, NULL, &why) == ERR_MANIFEST_INVALID);
    CHECK_STR(why, "too many descriptors");
    buf_free(&b);
}

static void sizes_add_up_within_their_type(struct t *t)
{
    struct buf b = { 0 };
    struct manifest m;

    big_index(&b, 1, "9223372036854775807");
    CHECK(manifest_parse(&m, b.p, b.len, NULL, NULL) == ERR_OK && m.content_size == INT64_MAX);
    manifest_clear(&m);
    big_index(&b, 2, "9223372036854775807");
    CHECK(refused(b.p, NULL, "add up"));
    buf_free(&b);
}

static void a_manifest_over_its_limit_is_too_large(struct t *t)
{
    static const char start[] = INDEX("\"manifests\":[]");
    char *text = malloc(MANIFEST_BYTES_MAX + 1);
    struct manifest m;

    REQUIRE(text);
    memset(text, ' ', MANIFEST_BYTES_MAX + 1);
    memcpy(text, start, strlen(start));
    CHECK(manifest_parse(&m, text, MANIFEST_BYTES_MAX, NULL, NULL) == ERR_OK);
    manifest_clear(&m);
    CHECK(manifest_parse(&m, text, MANIFEST_BYTES_MAX + 1, NULL, NULL) == ERR_TOO_LARGE);
    manifest_clear(&m);
    free(text);
}

static void what_is_not_json_is_an_invalid_manifest(struct t *t)
{
    CHECK(refused("", MT_OCI_MANIFEST, "") && refused("hello", MT_OCI_MANIFEST, "") &&
          refused("{", MT_OTHER, ""));
    CHECK(refused(IMAGE("\"config\":" CONFIG ",\"layers\":[]") " x", NULL, ""));
    CHECK(refused(IMAGE("\"config\":" CONFIG ",\"x\":\"\xff\""), NULL, "UTF-8"));
}

/* The tree of its JSON is by far the most of it. */
static void reading_a_manifest_takes_no_more_memory_than_is_claimed_for_it(struct t *t)
{
    static const struct {
        const char *head, *item, *tail;
    } row[] = { { "{\"x\":[0", ",0", "]}" },
                { "{\"x\":[[]", ",[]", "]}" },
                { "{\"x\":[{\"\":0}", ",{\"\":0}", "]}" },
                { "{\"x\":[\"\"", ",\"\"", "]}" } };
    static const size_t lengths[] = { 1000, 4000, 65536, 100000, 700000, 1u << 20, 1400000 };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
            struct buf b = { 0 };
            struct json *j = NULL;

            t_note(t, "row %zu, %zu bytes", i, lengths[n]);
            buf_str(&b, row[i].head);
            while (b.len < lengths[n])
                buf_str(&b, row[i].item);
            buf_str(&b, row[i].tail);
            CHECK_INT(json_parse_within(&j, b.p, b.len, (MANIFEST_MEMORY_FACTOR - 1) * b.len, NULL), ERR_OK);
            json_free(j);
            buf_free(&b);
        }
    }
}

static void media_types_follow_rfc_6838(struct t *t)
{
    static const char *const good[] = { "a/b", MT_OCI_MANIFEST, "A0/9!#$&-^_.+x", "text/plain" };
    static const char *const bad[] = {
        "", "/", "a/", "/b", "a", "a/b/c", "a/b ", " a/b", "a /b", "a/b;q=1", "a/*", "*/*", "+a/b", "a/.b",
        "a/\xc3\xa4", "a/b\n",
    };
    char text[MEDIA_TYPE_MAX + 2];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(media_type_ok(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        t_note(t, "%s", bad[i]);
        CHECK(!media_type_ok(bad[i], strlen(bad[i])));
    }
    t_note(t, "%s", "");
    CHECK(!media_type_ok("a/b\0c", 5) && !media_type_ok(NULL, 0));
    memset(text, 'a', sizeof text);
    text[127] = '/';
    CHECK(media_type_ok(text, 127 + 1 + 127) && !media_type_ok(text, 127 + 1 + 128));
    text[127] = 'a';
    text[128] = '/';
    CHECK(!media_type_ok(text, 128 + 1 + 10));
}

T_MAIN(T(an_image_manifest_names_a_config_and_layers),
       T(reading_a_manifest_takes_no_more_memory_than_is_claimed_for_it),
       T(an_index_names_manifests),
       T(an_index_says_the_media_type_of_each_child),
       T(docker_manifests_and_lists_are_read_alike),
       T(an_artifact_manifest_has_blobs_for_layers),
       T(a_manifest_of_an_unknown_type_has_the_descriptors_it_shows),
       T(header_and_body_name_the_same_type),
       T(without_a_type_the_shape_decides),
       T(one_body_has_one_meaning),
       T(required_members_are_required),
       T(the_schema_version_is_two),
       T(schema_1_manifests_are_refused_by_name),
       T(a_broken_descriptor_says_what_is_wrong),
       T(a_layer_type_may_have_parameters_a_config_type_not),
       T(layers_that_may_not_be_distributed_may_be_missing),
       T(a_child_named_twice_is_kept_once),
       T(a_subject_may_be_missing_and_does_not_count),
       T(an_artifact_type_stands_before_the_config_type),
       T(annotations_are_kept_as_json),
       T(the_number_of_children_has_a_limit),
       T(sizes_add_up_within_their_type),
       T(a_manifest_over_its_limit_is_too_large),
       T(what_is_not_json_is_an_invalid_manifest),
       T(media_types_follow_rfc_6838))
