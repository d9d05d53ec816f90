/* The verbs on a real data directory, the image layout they leave, and making a catalogue again.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "registry/layout.h"
#include "registry/registry.h"
#include "t.h"

static struct registry *open_registry(struct t *t)
{
    struct registry_config cfg = { .data = t_dir(t), .create = true };
    struct registry *r = NULL;

    CHECK(registry_open(&r, &cfg, NULL) == ERR_OK);
    return r;
}

static struct digest sha256_of(const char *text)
{
    struct digest d;

    digest_of(DIGEST_SHA256, text, strlen(text), &d);
    return d;
}

static enum err push_blob(struct registry *r, const char *repo, const char *text)
{
    struct digest d = sha256_of(text);
    struct upload *up = NULL;
    enum err e;

    if ((e = registry_upload_begin(&up, r, repo, DIGEST_SHA256)) == ERR_OK &&
        (e = upload_append(up, text, strlen(text))) == ERR_OK)
        e = registry_upload_commit(r, repo, up, &d);
    upload_close(up);
    return e;
}

/* The text of an image manifest with this config and layer. */
static void manifest_text(char *out, size_t cap, const char *config, const char *layer)
{
    char c[DIGEST_TEXT_MAX + 1], l[DIGEST_TEXT_MAX + 1];
    struct digest cd = sha256_of(config), ld = sha256_of(layer);

    digest_format(&cd, c);
    digest_format(&ld, l);
    (void)str_format(
        out, cap,
        "{\"schemaVersion\":2,\"mediaType\":\"" MT_OCI_MANIFEST "\","
        "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
        "\"digest\":\"%s\",\"size\":%zu},"
        "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
        "\"digest\":\"%s\",\"size\":%zu}]}",
        c, strlen(config), l, strlen(layer));
}

static enum err put(struct registry *r, const char *repo, const char *text, const char *tag,
                    struct digest *out)
{
    struct manifest_push push = { .repo = repo,
                                  .bytes = text,
                                  .len = strlen(text),
                                  .tags = &tag,
                                  .tag_count = tag ? 1 : 0,
                                  .who = "test" };
    enum err e = registry_manifest_put(r, &push);

    *out = push.digest;
    return e;
}

#define CONFIG "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v7\"}"

/* One image: config, layer, manifest, tag. */
static struct digest push_image(struct t *t, struct registry *r, const char *repo, const char *tag,
                                const char *layer)
{
    struct digest d;
    char text[1024];

    CHECK(push_blob(r, repo, CONFIG) == ERR_OK && push_blob(r, repo, layer) == ERR_OK);
    manifest_text(text, sizeof text, CONFIG, layer);
    CHECK_INT(put(r, repo, text, tag, &d), ERR_OK);
    return d;
}

static bool tag_is(struct registry *r, const char *repo, const char *tag, const struct digest *want)
{
    struct reference ref = { .is_digest = false };
    struct catalog_manifest m;
    int fd;

    (void)str_copy(ref.tag, sizeof ref.tag, tag);
    if (registry_manifest_open(r, repo, &ref, &m, &fd))
        return false;
    close(fd);
    return digest_eq(&m.digest, want);
}

static bool on_disk(struct t *t, const struct digest *d)
{
    char hex[DIGEST_HEX_MAX + 1], path[4096];

    digest_hex(d, hex);
    (void)str_format(path, sizeof path, "%s/blobs/sha256/%s", t_dir(t), hex);
    return access(path, F_OK) == 0;
}

static void an_image_is_pushed_and_pulled_and_its_platform_known(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest d = push_image(t, r, "team/app", "v1", "layer"), layer = sha256_of("layer");
    struct reference ref = { .is_digest = true, .digest = d };
    struct catalog_manifest m;
    char text[6] = "";
    uint64_t size;
    int fd;

    CHECK(tag_is(r, "team/app", "v1", &d));
    CHECK(registry_manifest_open(r, "team/app", &ref, &m, NULL) == ERR_OK);
    CHECK_STR(m.platform, "linux/arm/v7");
    REQUIRE(registry_blob_open(r, "team/app", &layer, &fd, &size) == ERR_OK);
    CHECK(size == 5 && read(fd, text, 5) == 5 && strcmp(text, "layer") == 0);
    close(fd);
    CHECK(registry_blob_open(r, "other", &layer, &fd, &size) == ERR_BLOB_UNKNOWN);
    registry_close(r);
}

static void a_mount_links_and_copies_nothing(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest d = sha256_of("layer"), none = sha256_of("none");
    struct catalog_usage u;
    uint64_t size;

    CHECK(push_blob(r, "a", "layer") == ERR_OK);
    CHECK(registry_blob_mount(r, "b", &d, "a") == ERR_OK && registry_blob_stat(r, "b", &d, &size) == ERR_OK);
    CHECK(registry_blob_mount(r, "c", &d, NULL) == ERR_OK && registry_blob_stat(r, "c", &d, &size) == ERR_OK);
    CHECK(registry_blob_mount(r, "d", &d, "nobody") == ERR_BLOB_UNKNOWN);
    CHECK(registry_blob_mount(r, "d", &none, NULL) == ERR_BLOB_UNKNOWN);
    CHECK(catalog_usage_get(registry_catalog(r), &u) == ERR_OK && u.blobs == 1 && u.repos == 3);
    registry_close(r);
}

static void a_blob_leaves_the_disk_with_its_last_repository(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest d = sha256_of("layer");

    CHECK(push_blob(r, "a", "layer") == ERR_OK && registry_blob_mount(r, "b", &d, "a") == ERR_OK);
    CHECK(registry_blob_delete(r, "a", &d) == ERR_OK && on_disk(t, &d));
    CHECK(registry_blob_delete(r, "a", &d) == ERR_BLOB_UNKNOWN);
    CHECK(registry_blob_delete(r, "b", &d) == ERR_OK && !on_disk(t, &d));
    registry_close(r);
}

static void what_a_manifest_names_cannot_be_deleted_before_it(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest d = push_image(t, r, "a", "v1", "layer"), layer = sha256_of("layer");

    CHECK(registry_blob_delete(r, "a", &layer) == ERR_IN_USE);
    CHECK(registry_tag_delete(r, "a", "v1", "x") == ERR_OK && on_disk(t, &d));
    CHECK(registry_blob_delete(r, "a", &layer) == ERR_IN_USE);
    CHECK(registry_manifest_delete(r, "a", &d, "x") == ERR_OK && !on_disk(t, &d));
    CHECK(registry_manifest_delete(r, "a", &d, "x") == ERR_MANIFEST_UNKNOWN);
    CHECK(registry_blob_delete(r, "a", &layer) == ERR_OK && !on_disk(t, &layer));
    registry_close(r);
}

static void a_refused_manifest_leaves_nothing_behind(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest d;
    char text[1024];

    CHECK(push_blob(r, "a", CONFIG) == ERR_OK);
    manifest_text(text, sizeof text, CONFIG, "never pushed");
    CHECK(put(r, "a", text, "v1", &d) == ERR_MANIFEST_BLOB_UNKNOWN && !on_disk(t, &d));
    CHECK(put(r, "a", "[]", "v1", &d) == ERR_MANIFEST_INVALID);
    CHECK(!tag_is(r, "a", "v1", &d));
    registry_close(r);
}

static void a_repository_is_deleted_without_touching_its_neighbours(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest a = push_image(t, r, "a", "v1", "shared"), b = push_image(t, r, "b", "v1", "shared");
    struct digest own = sha256_of("own"), shared = sha256_of("shared");

    CHECK(digest_eq(&a, &b) && push_blob(r, "a", "own") == ERR_OK);
    CHECK(registry_repo_delete(r, "a", "x") == ERR_OK);
    CHECK(catalog_repo_has(registry_catalog(r), "a") == ERR_NAME_UNKNOWN && !on_disk(t, &own));
    CHECK(tag_is(r, "b", "v1", &b) && on_disk(t, &shared));
    CHECK(registry_repo_delete(r, "a", "x") == ERR_NAME_UNKNOWN);
    registry_close(r);
}

/* A crash between the rename to trash/ and the commit, as the next start finds it. */
static void a_start_finishes_what_a_crash_left_in_the_trash(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest kept = sha256_of("kept"), dropped = sha256_of("dropped");
    char from[4096], to[4096], hex[DIGEST_HEX_MAX + 1];
    uint64_t size;

    CHECK(push_blob(r, "a", "kept") == ERR_OK);
    registry_close(r);
    digest_hex(&kept, hex);
    (void)str_format(from, sizeof from, "%s/blobs/sha256/%s", t_dir(t), hex);
    (void)str_format(to, sizeof to, "%s/trash/sha256-%s", t_dir(t), hex);
    CHECK(rename(from, to) == 0);
    digest_hex(&dropped, hex);
    (void)str_format(to, sizeof to, "%s/trash/sha256-%s", t_dir(t), hex);
    close(open(to, O_CREAT | O_WRONLY, 0444));
    r = open_registry(t);
    CHECK(registry_blob_stat(r, "a", &kept, &size) == ERR_OK && on_disk(t, &kept));
    CHECK(access(to, F_OK) != 0 && errno == ENOENT);
    registry_close(r);
}

/* The same without a restart: another process was killed in the middle. */
static void a_file_left_in_the_trash_is_found_when_it_is_asked_for(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest d = sha256_of("kept");
    char from[4096], to[4096], hex[DIGEST_HEX_MAX + 1];
    uint64_t size;

    CHECK(push_blob(r, "a", "kept") == ERR_OK);
    digest_hex(&d, hex);
    (void)str_format(from, sizeof from, "%s/blobs/sha256/%s", t_dir(t), hex);
    (void)str_format(to, sizeof to, "%s/trash/sha256-%s", t_dir(t), hex);
    CHECK(rename(from, to) == 0);
    CHECK(registry_blob_stat(r, "a", &d, &size) == ERR_OK && size == 4 && on_disk(t, &d));
    registry_close(r);
}

static void a_lost_or_cut_file_is_not_served_and_the_next_push_mends_it(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest d = sha256_of("layer");
    char path[4096], hex[DIGEST_HEX_MAX + 1];
    uint64_t size;
    int fd;

    digest_hex(&d, hex);
    (void)str_format(path, sizeof path, "%s/blobs/sha256/%s", t_dir(t), hex);
    for (int cut = 0; cut < 2; cut++) {
        CHECK(push_blob(r, "a", "layer") == ERR_OK);
        if (cut)
            CHECK(chmod(path, 0644) == 0 && truncate(path, 3) == 0);
        else
            CHECK(unlink(path) == 0);
        CHECK(registry_blob_stat(r, "a", &d, &size) == ERR_BLOB_UNKNOWN);
        CHECK(registry_blob_open(r, "a", &d, &fd, &size) == ERR_BLOB_UNKNOWN);
        CHECK(registry_blob_mount(r, "b", &d, "a") == ERR_BLOB_UNKNOWN);
        CHECK(push_blob(r, "a", "layer") == ERR_OK && registry_blob_stat(r, "a", &d, &size) == ERR_OK &&
              size == 5);
    }
    registry_close(r);
}

/* index.json as text. */
static char *index_text(struct t *t)
{
    static char text[65536];
    char path[4096];
    ssize_t n;
    int fd;

    (void)str_format(path, sizeof path, "%s/index.json", t_dir(t));
    fd = open(path, O_RDONLY);
    n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    close(fd);
    return text;
}

static void the_index_names_every_tag_and_every_manifest_without_one(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest tagged = push_image(t, r, "team/app", "v1", "one"),
                  plain = push_image(t, r, "team/app", NULL, "two");
    char name[512], digest[DIGEST_TEXT_MAX + 1];
    struct json *j = NULL;

    CHECK(layout_sync(r) == ERR_OK);
    CHECK(json_parse(&j, index_text(t), strlen(index_text(t)), NULL) == ERR_OK);
    CHECK(json_count(json_get(json_root(j), "manifests")) == 2);
    json_free(j);
    CHECK(strstr(index_text(t), "\"org.opencontainers.image.ref.name\":\"team/app:v1\"") != NULL);
    digest_format(&plain, digest);
    (void)str_format(name, sizeof name, "\"team/app@%s\"", digest);
    CHECK(strstr(index_text(t), name) != NULL);
    digest_format(&tagged, digest);
    (void)str_format(name, sizeof name, "\"team/app@%s\"", digest);
    CHECK(strstr(index_text(t), name) == NULL);
    registry_close(r);
}

static void the_index_is_written_again_only_after_a_change(struct t *t)
{
    struct registry *r = open_registry(t);
    char path[4096];

    (void)push_image(t, r, "a", "v1", "one");
    CHECK(layout_sync_if_changed(r) == ERR_OK);
    (void)str_format(path, sizeof path, "%s/index.json", t_dir(t));
    CHECK(unlink(path) == 0);
    CHECK(layout_sync_if_changed(r) == ERR_OK && access(path, F_OK) != 0);
    (void)push_image(t, r, "a", "v2", "two");
    CHECK(layout_sync_if_changed(r) == ERR_OK && access(path, F_OK) == 0);
    registry_close(r);
}

static void lose_catalog(struct t *t)
{
    static const char *const files[] = { "catalog.db", "catalog.db-wal", "catalog.db-shm" };
    char path[4096];

    for (int i = 0; i < 3; i++) {
        (void)str_format(path, sizeof path, "%s/%s", t_dir(t), files[i]);
        (void)unlink(path);
    }
}

static void a_lost_catalogue_is_made_again_from_the_disk(struct t *t)
{
    struct registry_config cfg = { .data = t_dir(t), .create = true };
    struct rebuild_config rebuild = { .data = t_dir(t), .verify = true };
    struct registry *r = open_registry(t);
    struct digest one = push_image(t, r, "team/app", "v1", "one"),
                  two = push_image(t, r, "team/app", NULL, "two");
    struct digest layer = sha256_of("two");
    struct reference ref = { .is_digest = true, .digest = two };
    struct catalog_usage before, after;
    struct rebuild_report report;
    struct catalog_manifest m;
    uint64_t size;

    CHECK(registry_tag_set(r, "team/app", "latest", &one, "x") == ERR_OK);
    (void)push_image(t, r, "other", "v1", "one");
    CHECK(layout_sync(r) == ERR_OK && catalog_usage_get(registry_catalog(r), &before) == ERR_OK);
    CHECK(registry_rebuild(&rebuild, &report, NULL) == ERR_BUSY); /* it is in use */
    registry_close(r);
    CHECK(registry_rebuild(&rebuild, &report, NULL) == ERR_EXISTS);
    lose_catalog(t);
    CHECK(registry_open(&r, &cfg, NULL) == ERR_CORRUPT && r == NULL); /* an empty one would hide the blobs */
    CHECK_INT(registry_rebuild(&rebuild, &report, NULL), ERR_OK);
    CHECK(report.tags == 3 && report.repos == 2 && report.missing == 0 && report.rotten == 0 &&
          report.unreferenced == 0);
    r = open_registry(t);
    CHECK(tag_is(r, "team/app", "v1", &one) && tag_is(r, "team/app", "latest", &one) &&
          tag_is(r, "other", "v1", &one));
    CHECK(registry_manifest_open(r, "team/app", &ref, &m, NULL) == ERR_OK);
    CHECK_STR(m.platform, "linux/arm/v7");
    CHECK(registry_blob_stat(r, "team/app", &layer, &size) == ERR_OK);
    CHECK(catalog_usage_get(registry_catalog(r), &after) == ERR_OK &&
          memcmp(&before, &after, sizeof before) == 0);
    CHECK(catalog_check(registry_catalog(r)) == ERR_OK);
    registry_close(r);
}

static void a_rebuild_quarantines_what_is_rotten_and_keeps_the_rest(struct t *t)
{
    struct rebuild_config rebuild = { .data = t_dir(t), .verify = true, .force = true };
    struct registry *r = open_registry(t);
    struct digest good = push_image(t, r, "a", "good", "one"), bad = push_image(t, r, "a", "bad", "two");
    struct digest layer = sha256_of("two");
    char path[4096], hex[DIGEST_HEX_MAX + 1];
    struct rebuild_report report;
    uint64_t size;
    int fd;

    CHECK(layout_sync(r) == ERR_OK);
    registry_close(r);
    digest_hex(&layer, hex);
    (void)str_format(path, sizeof path, "%s/blobs/sha256/%s", t_dir(t), hex);
    CHECK(chmod(path, 0644) == 0);
    fd = open(path, O_WRONLY);
    CHECK(pwrite(fd, "X", 1, 1) == 1);
    close(fd);
    CHECK_INT(registry_rebuild(&rebuild, &report, NULL), ERR_OK);
    CHECK(report.rotten == 1 && report.missing == 1 && report.tags == 2);
    r = open_registry(t);
    CHECK(tag_is(r, "a", "good", &good) && tag_is(r, "a", "bad", &bad));
    CHECK(registry_blob_stat(r, "a", &layer, &size) == ERR_BLOB_UNKNOWN && !on_disk(t, &layer));
    CHECK(push_blob(r, "a", "two") == ERR_OK && registry_blob_stat(r, "a", &layer, &size) == ERR_OK);
    registry_close(r);
    (void)str_format(path, sizeof path, "%s/catalog.db.old", t_dir(t));
    CHECK(access(path, F_OK) == 0); /* moved aside, not thrown away */
}

static void a_folder_that_is_no_layout_is_not_made_one(struct t *t)
{
    struct rebuild_config rebuild = { .data = t_dir(t) };
    struct registry_config cfg = { .data = t_dir(t) };
    struct rebuild_report report;
    struct registry *r = NULL;
    char path[4096];

    CHECK(registry_rebuild(&rebuild, &report, NULL) == ERR_NOT_FOUND);
    CHECK(registry_open(&r, &cfg, NULL) == ERR_NOT_FOUND && r == NULL);
    (void)str_format(path, sizeof path, "%s/blobs", t_dir(t));
    CHECK(access(path, F_OK) != 0);
}

struct worker {
    struct t *t;
    struct registry *r;
    int number;
    enum err e;
};

/* Each thread pushes the shared image under tags of its own, and deletes and pushes again a blob of
 * its own, so that commits, mounts and deletes of the same files cross. */
static void *push_and_delete(void *arg)
{
    struct worker *w = arg;

    for (int i = 0; i < 12 && w->e == ERR_OK; i++) {
        char tag[32], text[1024];
        struct digest d, shared = sha256_of("shared"), churn = sha256_of("churn");

        (void)str_format(tag, sizeof tag, "t%d-%d", w->number, i);
        manifest_text(text, sizeof text, CONFIG, "shared");
        if ((w->e = push_blob(w->r, "a", CONFIG)) || (w->e = push_blob(w->r, "a", "shared")) ||
            (w->e = put(w->r, "a", text, tag, &d)) || (w->e = registry_blob_mount(w->r, tag, &shared, "a")) ||
            (w->e = push_blob(w->r, "a", "churn")))
            break;
        w->e = registry_blob_delete(w->r, "a", &churn);
        if (w->e == ERR_BLOB_UNKNOWN)
            w->e = ERR_OK; /* another thread was first */
    }
    return NULL;
}

static void threads_push_mount_and_delete_the_same_things(struct t *t)
{
    enum { THREADS = 6 };
    struct registry *r = open_registry(t);
    struct digest churn = sha256_of("churn"), d;
    struct worker w[THREADS];
    pthread_t thread[THREADS];
    char text[1024];
    uint64_t size;

    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){ .t = t, .r = r, .number = i };
        CHECK(pthread_create(&thread[i], NULL, push_and_delete, &w[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK_INT(w[i].e, ERR_OK);
    }
    manifest_text(text, sizeof text, CONFIG, "shared");
    d = sha256_of(text);
    for (int i = 0; i < THREADS; i++) {
        char tag[32];

        (void)str_format(tag, sizeof tag, "t%d-11", i);
        CHECK(tag_is(r, "a", tag, &d));
    }
    CHECK((registry_blob_stat(r, "a", &churn, &size) == ERR_OK) == on_disk(t, &churn));
    CHECK(catalog_check(registry_catalog(r)) == ERR_OK);
    registry_close(r);
}

T_MAIN(T(an_image_is_pushed_and_pulled_and_its_platform_known), T(a_mount_links_and_copies_nothing),
       T(a_blob_leaves_the_disk_with_its_last_repository),
       T(what_a_manifest_names_cannot_be_deleted_before_it), T(a_refused_manifest_leaves_nothing_behind),
       T(a_repository_is_deleted_without_touching_its_neighbours),
       T(a_start_finishes_what_a_crash_left_in_the_trash),
       T(a_file_left_in_the_trash_is_found_when_it_is_asked_for),
       T(a_lost_or_cut_file_is_not_served_and_the_next_push_mends_it),
       T(the_index_names_every_tag_and_every_manifest_without_one),
       T(the_index_is_written_again_only_after_a_change), T(a_lost_catalogue_is_made_again_from_the_disk),
       T(a_rebuild_quarantines_what_is_rotten_and_keeps_the_rest),
       T(a_folder_that_is_no_layout_is_not_made_one),
       T_CONCURRENT(threads_push_mount_and_delete_the_same_things))
