/* Making a catalogue again when the disk or the memory fails, and from what others left on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "catalog/catalog.h"
#include "fault.h"
#include "registry/layout.h"
#include "t.h"
#include "workload.h"

/* ---- memory that runs out ---- */

static struct {
    bool armed;
    unsigned long nth, calls;
} memory;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool memory_is_out(void)
{
    return memory.armed && ++memory.calls == memory.nth;
}

void *__wrap_malloc(size_t n)
{
    return memory_is_out() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return memory_is_out() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return memory_is_out() ? NULL : __real_realloc(p, n);
}

/* ---- a registry's data, made again from copies of it ---- */

struct sweep {
    struct t *t;
    struct fault f;
    struct log log;
    char dir[MEMORY_FOLDER_MAX];
    char base[128], run[128];
    struct world before, after; /* what is served before and after a rebuild without a fault */
    unsigned long cases;
};

static struct bench bench_of(struct sweep *s, const char *data)
{
    return (struct bench){ .data = data, .vfs = s->f.vfs, .io = &s->f.io, .log = &s->log };
}

static enum err rebuild(struct sweep *s, struct rebuild_report *report)
{
    struct rebuild_config cfg = {
        .data = s->run, .force = true, .verify = true, .vfs = s->f.vfs, .io = &s->f.io
    };

    return registry_rebuild(&cfg, report, &s->log);
}

/* What is served from run/, proven byte by byte. */
static bool serves(struct sweep *s, const char *when, struct world *out)
{
    struct bench b = bench_of(s, s->run);
    struct t *t = s->t;
    enum err e = bench_open(&b, false);
    bool ok = e == ERR_OK && observe(&b, out);

    if (!ok)
        t_fail(t, __FILE__, __LINE__, "%s: %s", when, e ? err_text(e) : b.why);
    bench_close(&b);
    return ok;
}

static void check_whole(struct sweep *s, const char *when)
{
    struct t *t = s->t;
    struct world got;
    char diff[300];

    if (!serves(s, when, &got))
        return;
    world_diff(&s->after, &got, diff, sizeof diff);
    if (*diff)
        t_fail(t, __FILE__, __LINE__, "%s: %s", when, diff);
}

static void sweep_begin(struct sweep *s, struct t *t)
{
    struct rebuild_report report;
    struct bench b;
    enum err e;

    memset(s, 0, sizeof *s);
    s->t = t;
    CHECK(memory_folder(s->dir));
    snprintf(s->base, sizeof s->base, "%s/base", s->dir);
    snprintf(s->run, sizeof s->run, "%s/run", s->dir);
    log_init(&s->log, 2, getenv("BERTH_TEST_LOG") ? LOG_DEBUG : LOG_OFF);
    items_make();
    fault_init(&s->f);
    b = bench_of(s, s->base);
    e = bench_open(&b, true);
    for (size_t k = 0; !e && workload[k].kind != OP_LAYOUT_SYNC; k++)
        if ((e = op_run(&b, &workload[k])) == workload[k].refused)
            e = ERR_OK;
    CHECK_INT(e, ERR_OK);
    CHECK(layout_sync(b.r) == ERR_OK && observe(&b, &s->before));
    bench_close(&b);
    copy_data(s->base, s->run);
    CHECK_INT(rebuild(s, &report), ERR_OK);
    CHECK(report.missing == 0 && report.rotten == 0 && report.unreadable == 0 && report.tags > 0);
    (void)serves(s, "after a rebuild", &s->after);
}

static void sweep_end(struct sweep *s)
{
    printf("# %lu failures tried\n", s->cases);
    fault_end(&s->f);
    items_free();
    remove_data(s->dir);
}

/* After a rebuild that failed or did not: what is served now, and what another rebuild makes of it. put_back:
 * the disk worked again, so that one of the two catalogues must be in its place. */
static void check_after(struct sweep *s, enum err e, const struct rebuild_report *report, bool put_back)
{
    struct bench b = bench_of(s, s->run);
    struct rebuild_report again;
    struct t *t = s->t;
    struct world got;

    CHECK_INT(report->rotten, 0); /* what cannot be read is not proven wrong */
    if (e == ERR_OK && report->unreadable == 0) {
        CHECK_INT(report->missing, 0);
        check_whole(s, "after a rebuild that went well");
    } else if (e != ERR_OK) {
        enum err opened = bench_open(&b, false);

        bench_close(&b);
        CHECK(opened == ERR_OK || (!put_back && opened == ERR_CORRUPT));
        if (opened == ERR_OK && serves(s, "after a rebuild that failed", &got))
            CHECK(world_eq(&got, &s->before) || world_eq(&got, &s->after));
    }
    CHECK_INT(rebuild(s, &again), ERR_OK);
    CHECK(again.missing == 0 && again.rotten == 0 && again.unreadable == 0);
    check_whole(s, "after a second rebuild");
}

static void sweep_disk(struct t *t, enum fault_kind kind, bool lasting)
{
    struct sweep s;
    bool fired = true;

    sweep_begin(&s, t);
    for (unsigned long nth = 1; fired && !t_failed(t); nth++) {
        struct rebuild_report report;
        int fds = count_fds();
        enum err e;

        remove_data(s.run);
        copy_data(s.base, s.run);
        fault_arm(&s.f, kind, nth, lasting);
        e = rebuild(&s, &report);
        fired = fault_disarm(&s.f);
        t_note(t, "call %lu%s (%s) fails, result: %s", nth, lasting ? " and all that follow" : "", s.f.what,
               err_text(e));
        CHECK(e == ERR_OK || (fired && (kind == FAULT_FULL ? e == ERR_NO_SPACE : e >= ERR_FAULT_FIRST)));
        CHECK(kind == FAULT_EIO || report.unreadable == 0);
        CHECK(!(lasting && kind == FAULT_EIO && fired && e == ERR_OK && strcmp(s.f.what, "close") != 0));
        CHECK_INT(count_fds(), fds);
        check_after(&s, e, &report, !lasting);
        s.cases++;
    }
    CHECK(t_failed(t) || s.cases > (kind == FAULT_FULL ? 20 : 200));
    sweep_end(&s);
}

static void a_rebuild_in_which_one_call_fails_can_be_repeated(struct t *t)
{
    sweep_disk(t, FAULT_EIO, false);
}

static void a_rebuild_in_which_the_disk_dies_can_be_repeated(struct t *t)
{
    sweep_disk(t, FAULT_EIO, true);
}

static void a_rebuild_without_room_for_a_moment_can_be_repeated(struct t *t)
{
    sweep_disk(t, FAULT_FULL, false);
}

static void a_rebuild_without_room_can_be_repeated(struct t *t)
{
    sweep_disk(t, FAULT_FULL, true);
}

/* An image must not be left out because there was no memory to read its manifest. */
static void a_rebuild_that_runs_out_of_memory_leaves_nothing_out(struct t *t)
{
    unsigned long step = getenv("BERTH_FULL") ? 1 : 7, failed = 0;
    struct sweep s;
    bool fired = true;

    sweep_begin(&s, t);
    for (unsigned long nth = 1; fired && !t_failed(t); nth += step) {
        struct rebuild_report report;
        enum err e;

        remove_data(s.run);
        copy_data(s.base, s.run);
        memory.calls = 0;
        memory.nth = nth;
        memory.armed = true;
        e = rebuild(&s, &report);
        memory.armed = false;
        fired = memory.calls >= nth;
        t_note(t, "allocation %lu fails, result: %s", nth, err_text(e));
        CHECK(e == ERR_OK || (fired && e >= ERR_FAULT_FIRST));
        check_after(&s, e, &report, true);
        failed += e == ERR_NO_MEMORY;
        s.cases++;
    }
    CHECK(t_failed(t) || (s.cases > 100 && failed > 50));
    sweep_end(&s);
}

/* ---- single files that fail ---- */

/* io_posix, but for one file's name. */
struct broken {
    struct io io;
    char name[DIGEST_HEX_MAX + 1];
    bool open, stat;
};

static int b_openat(const struct io *io, int dirfd, const char *path, int flags, mode_t mode)
{
    const struct broken *b = io->arg;

    if (b->open && strcmp(path, b->name) == 0) {
        errno = EIO;
        return -1;
    }
    return io_posix.openat(&io_posix, dirfd, path, flags, mode);
}

static int b_fstatat(const struct io *io, int dirfd, const char *path, struct stat *st)
{
    const struct broken *b = io->arg;

    if (b->stat && strcmp(path, b->name) == 0) {
        errno = EIO;
        return -1;
    }
    return io_posix.fstatat(&io_posix, dirfd, path, st);
}

static void broken_init(struct broken *b, const char *name)
{
    memset(b, 0, sizeof *b);
    b->io = io_posix;
    b->io.openat = b_openat;
    b->io.fstatat = b_fstatat;
    b->io.arg = b;
    (void)str_copy(b->name, sizeof b->name, name);
}

static struct registry *open_registry(struct t *t)
{
    struct registry_config cfg = { .data = t_dir(t), .create = true };
    struct registry *r = NULL;

    CHECK_INT(registry_open(&r, &cfg, NULL), ERR_OK);
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

/* Push a manifest as this media type, tagged unless tag is NULL. */
static struct digest put(struct t *t, struct registry *r, const char *text, const char *type, const char *tag)
{
    struct manifest_push push = { .repo = "a", .bytes = text, .len = strlen(text), .content_type = type,
                                  .tags = &tag, .tag_count = tag ? 1 : 0, .who = "test" };

    CHECK_INT(registry_manifest_put(r, &push), ERR_OK);
    return push.digest;
}

/* One descriptor; size: of what is stored. */
static const char *descriptor(char out[400], const struct digest *d, size_t size, const char *type)
{
    char text[DIGEST_TEXT_MAX + 1];

    digest_format(d, text);
    (void)str_format(out, 400, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}", type, text, size);
    return out;
}

/* The text of an index with one child. */
static void index_of(char *out, size_t cap, const struct digest *child, size_t size, const char *type)
{
    char item[400];

    (void)str_format(out, cap, "{\"schemaVersion\":2,\"mediaType\":\"" MT_OCI_INDEX "\",\"manifests\":[%s]}",
                     descriptor(item, child, size, type));
}

/* Push an image of these two blobs; type: "mediaType" in it, "" for none. */
static struct digest push_image(struct t *t, struct registry *r, const char *tag, const char *layer,
                                const char *type, const char *pushed_as, size_t *size)
{
    struct digest config = sha256_of("{}"), d = sha256_of(layer);
    char text[1200], c[400], l[400];

    CHECK(push_blob(r, "a", "{}") == ERR_OK && push_blob(r, "a", layer) == ERR_OK);
    (void)str_format(text, sizeof text, "{\"schemaVersion\":2,%s%s%s\"config\":%s,\"layers\":[%s]}",
                     *type ? "\"mediaType\":\"" : "", type, *type ? "\"," : "",
                     descriptor(c, &config, 2, "application/vnd.oci.image.config.v1+json"),
                     descriptor(l, &d, strlen(layer), "application/vnd.oci.image.layer.v1.tar"));
    if (size)
        *size = strlen(text);
    return put(t, r, text, pushed_as, tag);
}

/* Rebuild what is in the test's folder; what is logged goes to said. */
static enum err rebuild_here(struct t *t, const struct io *io, struct rebuild_report *report, char *said,
                             size_t cap)
{
    struct rebuild_config cfg = { .data = t_dir(t), .force = true, .verify = true, .io = io };
    FILE *file = tmpfile();
    struct log log;
    ssize_t n;
    enum err e;

    if (file == NULL)
        abort();
    log_init(&log, fileno(file), LOG_WARN);
    e = registry_rebuild(&cfg, report, &log);
    n = pread(fileno(file), said, cap - 1, 0);
    said[n > 0 ? n : 0] = '\0';
    fclose(file);
    return e;
}

static enum err find(struct registry *r, const struct digest *d, struct catalog_manifest *out)
{
    struct reference ref = { .is_digest = true, .digest = *d };

    return registry_manifest_open(r, "a", &ref, out, NULL);
}

static void a_manifest_that_cannot_be_read_is_left_out_alone(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest one = push_image(t, r, "one", "layer 1", MT_OCI_MANIFEST, NULL, NULL),
                  two = push_image(t, r, "two", "layer 2", MT_OCI_MANIFEST, NULL, NULL);
    char hex[DIGEST_HEX_MAX + 1], said[4096];
    struct rebuild_report report;
    struct catalog_manifest m;
    struct broken io;

    CHECK_INT(layout_sync(r), ERR_OK);
    registry_close(r);
    digest_hex(&one, hex);
    broken_init(&io, hex);
    io.open = true;
    CHECK_INT(rebuild_here(t, &io.io, &report, said, sizeof said), ERR_OK);
    CHECK(report.unreadable == 1 && report.tags == 1 && report.missing == 0 && report.rotten == 0);
    CHECK(strstr(said, "a:one: left out: its manifest cannot be read from the disk") != NULL);
    r = open_registry(t);
    CHECK(find(r, &one, &m) == ERR_MANIFEST_UNKNOWN && find(r, &two, &m) == ERR_OK);
    registry_close(r);
}

/* From an image that is there, or through the walk over all files. */
static void a_blob_that_cannot_be_read_is_left_out_until_it_is_pushed_again(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest image = push_image(t, r, "v1", "layer", MT_OCI_MANIFEST, NULL, NULL),
                  layer = sha256_of("layer");
    char hex[DIGEST_HEX_MAX + 1], said[4096];
    struct rebuild_report report;
    struct catalog_manifest m;
    struct broken io;
    uint64_t size;

    CHECK_INT(layout_sync(r), ERR_OK);
    registry_close(r);
    digest_hex(&layer, hex);
    for (int how = 0; how < 2; how++) {
        t_note(t, "%s fails", how ? "stat" : "open");
        broken_init(&io, hex);
        io.open = how == 0;
        io.stat = how == 1;
        CHECK_INT(rebuild_here(t, &io.io, &report, said, sizeof said), ERR_OK);
        CHECK(report.unreadable > 0 && report.tags == 1 && report.missing == 0 && report.rotten == 0);
        r = open_registry(t);
        CHECK(find(r, &image, &m) == ERR_OK);
        CHECK_INT(registry_blob_stat(r, "a", &layer, &size), ERR_BLOB_UNKNOWN);
        CHECK(push_blob(r, "a", "layer") == ERR_OK && registry_blob_stat(r, "a", &layer, &size) == ERR_OK);
        registry_close(r);
    }
}

/* Without --force a catalogue that nobody can see for a moment must not be replaced. */
static void a_disk_that_cannot_tell_whether_there_is_a_catalogue_is_not_taken_for_none(struct t *t)
{
    struct rebuild_config cfg = { .data = t_dir(t) };
    struct rebuild_report report;
    struct broken io;
    char old[4096];

    registry_close(open_registry(t));
    broken_init(&io, "catalog.db");
    io.stat = true;
    cfg.io = &io.io;
    CHECK_INT(registry_rebuild(&cfg, &report, NULL), ERR_IO);
    (void)str_format(old, sizeof old, "%s/catalog.db.old", t_dir(t));
    CHECK(access(old, F_OK) != 0);
}

/* ---- what the files say ---- */

static void a_child_gets_the_media_type_that_its_index_gives_it(struct t *t)
{
    static const char thing_type[] = "application/vnd.example.thing+json", thing[] = "{\"a\":1}";
    struct registry *r = open_registry(t);
    size_t plain_size, other_size;
    struct digest plain = push_image(t, r, NULL, "1", "", MT_DOCKER_MANIFEST, &plain_size),
                  other = push_image(t, r, NULL, "2", MT_OCI_MANIFEST, NULL, &other_size),
                  known = put(t, r, thing, thing_type, NULL), blob = sha256_of("no JSON");
    struct rebuild_report report;
    struct catalog_manifest m;
    char text[2400], item[4][400], said[4096];
    uint64_t size;

    CHECK_INT(push_blob(r, "a", "no JSON"), ERR_OK);
    (void)str_format(text, sizeof text,
                     "{\"schemaVersion\":2,\"mediaType\":\"" MT_OCI_INDEX "\",\"manifests\":[%s,%s,%s,%s]}",
                     descriptor(item[0], &plain, plain_size, MT_DOCKER_MANIFEST),
                     descriptor(item[1], &other, other_size, MT_DOCKER_MANIFEST), /* the body knows better */
                     descriptor(item[2], &known, strlen(thing), thing_type),
                     descriptor(item[3], &blob, 7, "application/vnd.oci.image.layer.v1.tar"));
    (void)put(t, r, text, NULL, "v1");
    CHECK_INT(layout_sync(r), ERR_OK);
    registry_close(r);
    CHECK_INT(rebuild_here(t, NULL, &report, said, sizeof said), ERR_OK);
    CHECK(report.manifests == 4 && report.missing == 0 && report.unreferenced == 0);
    CHECK_STR(said, "");
    r = open_registry(t);
    REQUIRE(find(r, &plain, &m) == ERR_OK);
    CHECK_STR(m.media_type, MT_DOCKER_MANIFEST);
    REQUIRE(find(r, &other, &m) == ERR_OK);
    CHECK_STR(m.media_type, MT_OCI_MANIFEST);
    REQUIRE(find(r, &known, &m) == ERR_OK);
    CHECK_STR(m.media_type, thing_type);
    CHECK(registry_blob_stat(r, "a", &known, &size) == ERR_OK); /* nobody can tell which of the two it was */
    CHECK(registry_blob_stat(r, "a", &blob, &size) == ERR_OK);
    registry_close(r);
}

static void indexes_inside_indexes_are_restored_to_a_depth_and_the_rest_is_named(struct t *t)
{
    enum { DEPTH = 40, RESTORED = 33 };
    struct registry *r = open_registry(t);
    struct digest chain[DEPTH];
    char text[1024], said[4096], digest[DIGEST_TEXT_MAX + 1];
    struct rebuild_report report;
    size_t size;

    chain[0] = push_image(t, r, NULL, "layer", MT_OCI_MANIFEST, NULL, &size);
    for (int i = 1; i < DEPTH; i++) {
        index_of(text, sizeof text, &chain[i - 1], size, i == 1 ? MT_OCI_MANIFEST : MT_OCI_INDEX);
        size = strlen(text);
        chain[i] = put(t, r, text, NULL, i == RESTORED - 1 ? "short" : NULL);
    }
    CHECK_INT(layout_sync(r), ERR_OK);
    registry_close(r);
    CHECK_INT(rebuild_here(t, NULL, &report, said, sizeof said), ERR_OK);
    /* The short chain is whole; it had been reached from its end, so the long one is too. */
    CHECK(report.missing == 0 && report.manifests == DEPTH);
    r = open_registry(t);
    CHECK_INT(registry_tag_delete(r, "a", "short", "test"), ERR_OK);
    CHECK_INT(layout_sync(r), ERR_OK);
    registry_close(r);
    CHECK_INT(rebuild_here(t, NULL, &report, said, sizeof said), ERR_OK);
    CHECK(report.missing == 1 && report.manifests == RESTORED);
    digest_format(&chain[DEPTH - 1 - RESTORED], digest);
    CHECK(strstr(said, digest) != NULL && strstr(said, "is inside of too many indexes") != NULL);
}

static void what_is_left_out_is_told_with_its_reason(struct t *t)
{
    struct registry *r = open_registry(t);
    struct digest image = push_image(t, r, "v1", "layer", MT_OCI_MANIFEST, NULL, NULL),
                  blob = sha256_of("layer"), lost = sha256_of("lost");
    char text[2400], item[3][DIGEST_TEXT_MAX + 1], path[4096], said[4096];
    struct rebuild_report report;
    int fd;

    (void)image;
    registry_close(r);
    digest_format(&blob, item[0]);
    digest_format(&lost, item[1]);
    (void)str_format(text, sizeof text,
                     "{\"schemaVersion\":2,\"manifests\":["
                     "{\"mediaType\":\"" MT_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":5,\"annotations\":"
                     "{\"org.opencontainers.image.ref.name\":\"a:blob\"}},"
                     "{\"mediaType\":\"" MT_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":4,\"annotations\":"
                     "{\"org.opencontainers.image.ref.name\":\"a:lost\"}}]}",
                     item[0], item[1]);
    (void)str_format(path, sizeof path, "%s/index.json", t_dir(t));
    fd = open(path, O_WRONLY | O_TRUNC);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    CHECK_INT(rebuild_here(t, NULL, &report, said, sizeof said), ERR_OK);
    CHECK(report.missing == 2 && report.tags == 0);
    CHECK(strstr(said, "a:blob: left out: it cannot be read as a manifest: ") != NULL);
    CHECK(strstr(said, "a:lost: left out: its manifest is not on the disk") != NULL);
}

/* ---- the catalogue's files ---- */

static void a_log_of_an_older_catalogue_is_not_left_beside_the_one_set_aside(struct t *t)
{
    struct rebuild_report report;
    char path[4096], said[4096];

    registry_close(open_registry(t));
    (void)str_format(path, sizeof path, "%s/catalog.db-wal", t_dir(t));
    (void)unlink(path);
    (void)str_format(path, sizeof path, "%s/catalog.db.old-wal", t_dir(t));
    close(open(path, O_CREAT | O_WRONLY, 0644));
    CHECK_INT(rebuild_here(t, NULL, &report, said, sizeof said), ERR_OK);
    CHECK(access(path, F_OK) != 0);
    (void)str_format(path, sizeof path, "%s/catalog.db.old", t_dir(t));
    CHECK(access(path, F_OK) == 0);
}

static void a_catalogue_made_by_root_belongs_to_the_owner_of_the_data_directory(struct t *t)
{
    enum { NOBODY = 65534 };
    struct rebuild_report report;
    char path[4096], said[4096];
    struct stat st;

    if (geteuid() != 0) {
        puts("# nothing to try: only root can give files away");
        return;
    }
    registry_close(open_registry(t));
    REQUIRE(chown(t_dir(t), NOBODY, NOBODY) == 0);
    CHECK_INT(rebuild_here(t, NULL, &report, said, sizeof said), ERR_OK);
    (void)str_format(path, sizeof path, "%s/catalog.db", t_dir(t));
    CHECK(stat(path, &st) == 0 && st.st_uid == NOBODY && st.st_gid == NOBODY);
    /* SQLite does the same for its log, whoever opens it first. */
    registry_close(open_registry(t));
    (void)str_format(path, sizeof path, "%s/catalog.db-wal", t_dir(t));
    CHECK(stat(path, &st) == 0 && st.st_uid == NOBODY && st.st_gid == NOBODY);
}

T_MAIN(T(a_rebuild_in_which_one_call_fails_can_be_repeated),
       T(a_rebuild_in_which_the_disk_dies_can_be_repeated),
       T(a_rebuild_without_room_for_a_moment_can_be_repeated),
       T(a_rebuild_without_room_can_be_repeated),
       T(a_rebuild_that_runs_out_of_memory_leaves_nothing_out),
       T(a_manifest_that_cannot_be_read_is_left_out_alone),
       T(a_blob_that_cannot_be_read_is_left_out_until_it_is_pushed_again),
       T(a_disk_that_cannot_tell_whether_there_is_a_catalogue_is_not_taken_for_none),
       T(a_child_gets_the_media_type_that_its_index_gives_it),
       T(indexes_inside_indexes_are_restored_to_a_depth_and_the_rest_is_named),
       T(what_is_left_out_is_told_with_its_reason),
       T(a_log_of_an_older_catalogue_is_not_left_beside_the_one_set_aside),
       T(a_catalogue_made_by_root_belongs_to_the_owner_of_the_data_directory))
