/* The catalogue: who refers to what.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "catalog/catalog.h"
#include "t.h"

#define NOW 1700000000000

static struct catalog *open_catalog(struct t *t)
{
    static char path[4096];
    struct catalog_config cfg = { .path = path, .create = true };
    struct catalog *c = NULL;

    CHECK(str_format(path, sizeof path, "%s/catalog.db", t_dir(t)) == ERR_OK);
    CHECK(catalog_open(&c, &cfg, NULL) == ERR_OK);
    return c;
}

static struct digest digest_n(unsigned n)
{
    struct digest d;

    digest_of(DIGEST_SHA256, &n, sizeof n, &d);
    return d;
}

static struct reference by_tag(const char *tag)
{
    struct reference r = { .is_digest = false };

    (void)str_copy(r.tag, sizeof r.tag, tag);
    return r;
}

static struct reference by_digest(struct digest d)
{
    return (struct reference){ .is_digest = true, .digest = d };
}

/* An image manifest of these children, as a parser would give it. */
static struct manifest image(struct child *children, size_t n)
{
    struct manifest m = { .media_type = MT_OCI_MANIFEST, .children = children, .child_count = n };

    for (size_t i = 0; i < n; i++)
        m.content_size += children[i].size;
    return m;
}

/* One change in a transaction of its own. */
#define IN_TX(c, tx, call) \
    do { \
        struct catalog_tx *tx = NULL; \
        CHECK_INT(catalog_begin(&tx, (c)), ERR_OK); \
        CHECK_INT(call, ERR_OK); \
        CHECK_INT(catalog_commit(tx), ERR_OK); \
    } while (0)

/* A repository with a config and a layer blob and one tagged manifest of them. */
static void fill(struct t *t, struct catalog *c, const char *repo, const char *tag)
{
    struct child children[] = {
        { .kind = CHILD_CONFIG, .digest = digest_n(1), .size = 10 },
        { .kind = CHILD_LAYER, .digest = digest_n(2), .size = 100 },
    };
    struct digest m = digest_n(3), missing;
    struct manifest parsed = image(children, 2);

    IN_TX(c, tx, catalog_blob_link(tx, repo, &children[0].digest, 10, NOW));
    IN_TX(c, tx, catalog_blob_link(tx, repo, &children[1].digest, 100, NOW));
    IN_TX(c, tx, catalog_manifest_put(tx, repo, &m, 1000, &parsed, "linux/arm64", NOW, &missing));
    IN_TX(c, tx, catalog_tag_set(tx, repo, tag, &m, "somebody", NOW));
}

static void what_was_committed_is_found_by_tag_and_digest(struct t *t)
{
    struct catalog *c = open_catalog(t);
    struct catalog_manifest m;
    struct reference tag = by_tag("v1"), digest = by_digest(digest_n(3)), none = by_tag("v2");
    struct digest blob = digest_n(2);
    uint64_t size;

    fill(t, c, "team/app", "v1");
    catalog_close(c);
    c = open_catalog(t);
    CHECK(catalog_manifest_get(c, "team/app", &tag, &m) == ERR_OK && digest_eq(&m.digest, &digest.digest));
    CHECK(catalog_manifest_get(c, "team/app", &digest, &m) == ERR_OK);
    CHECK(m.size == 1000 && m.content_size == 110 && m.pushed_at == NOW && !m.has_subject);
    CHECK_STR(m.media_type, MT_OCI_MANIFEST);
    CHECK_STR(m.platform, "linux/arm64");
    CHECK(catalog_manifest_get(c, "team/app", &none, &m) == ERR_MANIFEST_UNKNOWN);
    CHECK(catalog_manifest_get(c, "team/other", &tag, &m) == ERR_MANIFEST_UNKNOWN);
    CHECK(catalog_blob_get(c, "team/app", &blob, &size) == ERR_OK && size == 100);
    CHECK(catalog_blob_get(c, "team/other", &blob, &size) == ERR_BLOB_UNKNOWN);
    CHECK(catalog_repo_has(c, "team/app") == ERR_OK && catalog_repo_has(c, "team") == ERR_NAME_UNKNOWN);
    CHECK(catalog_check(c) == ERR_OK);
    catalog_close(c);
}

static void what_was_rolled_back_never_was(struct t *t)
{
    struct catalog *c = open_catalog(t);
    struct digest d = digest_n(1);
    struct catalog_tx *tx;
    uint64_t size;

    REQUIRE(catalog_begin(&tx, c) == ERR_OK);
    CHECK(catalog_blob_link(tx, "a", &d, 5, NOW) == ERR_OK && catalog_blob_linked(tx, "a", &d) == ERR_OK);
    CHECK(catalog_blob_get(c, "a", &d, &size) == ERR_BLOB_UNKNOWN); /* readers see the last commit */
    catalog_rollback(tx);
    CHECK(catalog_blob_get(c, "a", &d, &size) == ERR_BLOB_UNKNOWN &&
          catalog_repo_has(c, "a") == ERR_NAME_UNKNOWN);
    catalog_close(c);
}

static void a_manifest_is_refused_while_something_it_names_is_missing(struct t *t)
{
    struct child children[] = {
        { .kind = CHILD_LAYER, .digest = digest_n(2), .size = 100 },
        { .kind = CHILD_LAYER, .digest = digest_n(9), .size = 1 },
    };
    struct catalog *c = open_catalog(t);
    struct manifest parsed = image(children, 2);
    struct digest m = digest_n(4), missing;
    struct catalog_tx *tx;

    fill(t, c, "team/app", "v1");
    REQUIRE(catalog_begin(&tx, c) == ERR_OK);
    CHECK(catalog_manifest_put(tx, "team/app", &m, 1, &parsed, "", NOW, &missing) ==
          ERR_MANIFEST_BLOB_UNKNOWN);
    CHECK(digest_eq(&missing, &children[1].digest));
    /* Linked in another repository does not count. */
    CHECK(catalog_blob_link(tx, "other", &children[1].digest, 1, NOW) == ERR_OK);
    CHECK(catalog_manifest_put(tx, "team/app", &m, 1, &parsed, "", NOW, &missing) ==
          ERR_MANIFEST_BLOB_UNKNOWN);
    children[1].optional = true;
    CHECK(catalog_manifest_put(tx, "team/app", &m, 1, &parsed, "", NOW, &missing) == ERR_OK);
    CHECK(catalog_commit(tx) == ERR_OK);
    catalog_close(c);
}

static void an_index_may_name_manifests_and_blobs_of_its_repository(struct t *t)
{
    struct child children[] = {
        { .kind = CHILD_MANIFEST, .digest = digest_n(3), .size = 1000 },
        { .kind = CHILD_MANIFEST, .digest = digest_n(2), .size = 100 },
        { .kind = CHILD_MANIFEST, .digest = digest_n(8), .size = 1 },
    };
    struct catalog *c = open_catalog(t);
    struct manifest parsed = image(children, 3);
    struct digest m = digest_n(5), missing;
    struct catalog_tx *tx;

    fill(t, c, "team/app", "v1");
    REQUIRE(catalog_begin(&tx, c) == ERR_OK);
    CHECK(catalog_manifest_put(tx, "team/app", &m, 1, &parsed, "", NOW, &missing) ==
          ERR_MANIFEST_BLOB_UNKNOWN);
    parsed.child_count = 2;
    CHECK(catalog_manifest_put(tx, "team/app", &m, 1, &parsed, "", NOW, &missing) == ERR_OK);
    /* What an index names cannot be deleted from under it. */
    CHECK(catalog_manifest_delete(tx, "team/app", &children[0].digest, "x", NOW) == ERR_IN_USE);
    CHECK(catalog_manifest_delete(tx, "team/app", &m, "x", NOW) == ERR_OK);
    CHECK(catalog_manifest_delete(tx, "team/app", &children[0].digest, "x", NOW) == ERR_OK);
    CHECK(catalog_manifest_delete(tx, "team/app", &children[0].digest, "x", NOW) == ERR_MANIFEST_UNKNOWN);
    CHECK(catalog_commit(tx) == ERR_OK && catalog_check(c) == ERR_OK);
    catalog_close(c);
}

static void a_blob_goes_when_its_last_link_goes_and_not_before(struct t *t)
{
    struct catalog *c = open_catalog(t);
    struct digest layer = digest_n(2), m = digest_n(3);
    struct catalog_tx *tx;
    bool gone;

    fill(t, c, "a", "v1");
    IN_TX(c, link, catalog_blob_link(link, "b", &layer, 100, NOW));
    REQUIRE(catalog_begin(&tx, c) == ERR_OK);
    CHECK(catalog_blob_unlink(tx, "a", &layer) == ERR_IN_USE);
    CHECK(catalog_manifest_delete(tx, "a", &m, "x", NOW) == ERR_OK);
    CHECK(catalog_blob_drop_if_unused(tx, &m, &gone) == ERR_OK && gone);
    CHECK(catalog_blob_unlink(tx, "a", &layer) == ERR_OK);
    CHECK(catalog_blob_drop_if_unused(tx, &layer, &gone) == ERR_OK && !gone);
    CHECK(catalog_blob_unlink(tx, "b", &layer) == ERR_OK &&
          catalog_blob_unlink(tx, "b", &layer) == ERR_BLOB_UNKNOWN);
    CHECK(catalog_blob_drop_if_unused(tx, &layer, &gone) == ERR_OK && gone);
    CHECK(catalog_blob_drop_if_unused(tx, &layer, &gone) == ERR_OK && !gone);
    CHECK(catalog_blob_exists(tx, &layer, NULL) == ERR_BLOB_UNKNOWN);
    CHECK(catalog_commit(tx) == ERR_OK);
    catalog_close(c);
}

static void a_blob_is_found_in_a_repository_that_has_it(struct t *t)
{
    struct catalog *c = open_catalog(t);
    struct digest d = digest_n(7), none = digest_n(8);
    char repo[NAME_MAX_BYTES + 1];

    IN_TX(c, tx, catalog_blob_link(tx, "b", &d, 1, NOW));
    IN_TX(c, tx, catalog_blob_link(tx, "a", &d, 1, NOW));
    CHECK(catalog_blob_find(c, &d, repo) == ERR_OK && (str_eq(repo, "a") || str_eq(repo, "b")));
    CHECK(catalog_blob_find(c, &none, repo) == ERR_BLOB_UNKNOWN);
    catalog_close(c);
}

struct text {
    char p[512];
};

static void add(struct text *text, const char *word)
{
    size_t len = strlen(text->p);

    (void)str_format(text->p + len, sizeof text->p - len, "%s ", word);
}

static enum err add_repo(void *arg, const char *repo)
{
    add(arg, repo);
    return ERR_OK;
}

static enum err add_tag(void *arg, const struct catalog_tag *tag)
{
    add(arg, tag->name);
    return ERR_OK;
}

static void lists_are_in_byte_order_and_go_on_after_the_last(struct t *t)
{
    static const char *const tags[] = { "b", "B", "a10", "a9", "_x", "1" };
    struct catalog *c = open_catalog(t);
    struct digest m = digest_n(3);
    struct text out = { "" };

    fill(t, c, "z/z", "b");
    fill(t, c, "z-z", "b");
    fill(t, c, "a", "b");
    for (size_t i = 1; i < sizeof tags / sizeof *tags; i++)
        IN_TX(c, tx, catalog_tag_set(tx, "a", tags[i], &m, "x", NOW));
    CHECK(catalog_tag_foreach(c, "a", NULL, 100, add_tag, &out) == ERR_OK);
    CHECK_STR(out.p, "1 B _x a10 a9 b ");
    out.p[0] = '\0';
    CHECK(catalog_tag_foreach(c, "a", "B", 2, add_tag, &out) == ERR_OK);
    CHECK_STR(out.p, "_x a10 ");
    out.p[0] = '\0';
    CHECK(catalog_tag_foreach(c, "a", "zzz", 2, add_tag, &out) == ERR_OK);
    CHECK_STR(out.p, "");
    CHECK(catalog_tag_foreach(c, "none", NULL, 2, add_tag, &out) == ERR_NAME_UNKNOWN);
    CHECK(catalog_repo_foreach(c, NULL, UINT64_MAX, add_repo, &out) == ERR_OK);
    CHECK_STR(out.p, "a z-z z/z ");
    out.p[0] = '\0';
    CHECK(catalog_repo_foreach(c, "a", 1, add_repo, &out) == ERR_OK);
    CHECK_STR(out.p, "z-z ");
    catalog_close(c);
}

/* The history, read with SQLite: no verb shows it yet, but nothing of it may be lost. */
static int event_count(struct t *t, const char *where)
{
    char path[4096], sql[256];
    sqlite3_stmt *st = NULL;
    sqlite3 *db = NULL;
    int n = -1;

    CHECK(str_format(path, sizeof path, "%s/catalog.db", t_dir(t)) == ERR_OK);
    CHECK(str_format(sql, sizeof sql, "SELECT count(*) FROM tag_event WHERE %s", where) == ERR_OK);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK && sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK);
    if (sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void every_change_of_a_tag_is_one_event(struct t *t)
{
    struct digest m = digest_n(3), second = digest_n(6), missing;
    struct manifest parsed = image(NULL, 0);
    struct catalog *c = open_catalog(t);
    struct catalog_tx *tx;

    fill(t, c, "a", "v1");
    CHECK_INT(
        event_count(t, "repo = 'a' AND tag = 'v1' AND old IS NULL AND new IS NOT NULL AND who = 'somebody'"),
        1);
    IN_TX(c, same, catalog_tag_set(same, "a", "v1", &m, "x", NOW));
    CHECK_INT(event_count(t, "1"), 1); /* it was so already */
    IN_TX(c, put, catalog_manifest_put(put, "a", &second, 1, &parsed, "", NOW, &missing));
    IN_TX(c, move, catalog_tag_set(move, "a", "v1", &second, "x", NOW));
    CHECK_INT(event_count(t, "old IS NOT NULL AND new IS NOT NULL AND old <> new"), 1);
    IN_TX(c, other, catalog_tag_set(other, "a", "v2", &second, "x", NOW));
    IN_TX(c, del, catalog_manifest_delete(del, "a", &second, "deleter", NOW)); /* takes both tags */
    CHECK_INT(event_count(t, "new IS NULL AND who = 'deleter'"), 2);
    REQUIRE(catalog_begin(&tx, c) == ERR_OK);
    CHECK(catalog_tag_set(tx, "a", "v3", &second, "x", NOW) == ERR_MANIFEST_UNKNOWN);
    CHECK(catalog_tag_delete(tx, "a", "v1", "x", NOW) == ERR_MANIFEST_UNKNOWN);
    catalog_rollback(tx);
    CHECK_INT(event_count(t, "1"), 5);
    catalog_close(c);
}

static enum err add_referrer(void *arg, const struct catalog_manifest *m, const char *annotations)
{
    struct text *out = arg;

    add(out, m->artifact_type);
    add(out, annotations ? annotations : "-");
    return ERR_OK;
}

static void referrers_are_listed_by_subject_and_type(struct t *t)
{
    struct catalog *c = open_catalog(t);
    struct digest subject = digest_n(3), missing;
    struct text out = { "" };

    fill(t, c, "a", "v1");
    for (unsigned i = 0; i < 3; i++) {
        struct child child = { .kind = CHILD_SUBJECT, .digest = subject, .optional = true };
        struct manifest m = image(&child, 1);
        struct digest d = digest_n(20 + i);

        m.has_subject = true;
        m.subject = subject;
        m.annotations = i == 1 ? (char *)"{\"k\":\"v\"}" : NULL;
        (void)str_copy(m.artifact_type, sizeof m.artifact_type, i == 1 ? "a/sbom" : "a/sig");
        IN_TX(c, tx, catalog_manifest_put(tx, "a", &d, 1, &m, "", NOW, &missing));
    }
    CHECK(catalog_referrer_foreach(c, "a", &subject, "a/sbom", NULL, 10, add_referrer, &out) == ERR_OK);
    CHECK_STR(out.p, "a/sbom {\"k\":\"v\"} ");
    out.p[0] = '\0';
    CHECK(catalog_referrer_foreach(c, "a", &subject, "a/sig", NULL, 10, add_referrer, &out) == ERR_OK);
    CHECK_STR(out.p, "a/sig - a/sig - ");
    out.p[0] = '\0';
    CHECK(catalog_referrer_foreach(c, "b", &subject, NULL, NULL, 10, add_referrer, &out) == ERR_OK);
    CHECK_STR(out.p, "");
    catalog_close(c);
}

static void totals_follow_every_change(struct t *t)
{
    struct catalog *c = open_catalog(t);
    struct digest layer = digest_n(2), m = digest_n(3);
    struct catalog_usage u;
    uint64_t before, after;
    bool gone;

    fill(t, c, "a", "v1");
    CHECK(catalog_usage_get(c, &u) == ERR_OK);
    CHECK(u.repos == 1 && u.tags == 1 && u.manifests == 1 && u.blobs == 3 && u.bytes == 1110);
    CHECK(catalog_generation(c, &before) == ERR_OK);
    IN_TX(c, tx, catalog_blob_link(tx, "b", &layer, 100, NOW));
    CHECK(catalog_generation(c, &after) == ERR_OK && after != before);
    CHECK(catalog_usage_get(c, &u) == ERR_OK && u.repos == 2 && u.blobs == 3 && u.bytes == 1110);
    CHECK(catalog_repo_usage(c, "b", &u) == ERR_OK && u.bytes == 100 && u.blobs == 1 && u.manifests == 0);
    CHECK(catalog_repo_usage(c, "a", &u) == ERR_OK && u.bytes == 1110 && u.tags == 1 && u.manifests == 1);
    IN_TX(c, tx, catalog_manifest_delete(tx, "a", &m, "x", NOW));
    IN_TX(c, tx, catalog_blob_drop_if_unused(tx, &m, &gone));
    CHECK(catalog_repo_usage(c, "a", &u) == ERR_OK && u.bytes == 110 && u.tags == 0 && u.manifests == 0);
    CHECK(catalog_usage_get(c, &u) == ERR_OK && u.bytes == 110 && u.blobs == 2 && u.manifests == 0 &&
          u.tags == 0);
    CHECK(catalog_repo_usage(c, "none", &u) == ERR_NAME_UNKNOWN);
    catalog_close(c);
}

static void a_repository_goes_step_by_step(struct t *t)
{
    struct catalog *c = open_catalog(t);
    struct digest links[8];
    struct catalog_tx *tx;
    size_t n = 0;

    fill(t, c, "a", "v1");
    REQUIRE(catalog_begin(&tx, c) == ERR_OK);
    CHECK(catalog_repo_delete(tx, "a") == ERR_IN_USE);
    CHECK(catalog_repo_clear_tags(tx, "a", "x", NOW) == ERR_OK);
    CHECK(catalog_repo_clear_tags(tx, "none", "x", NOW) == ERR_NAME_UNKNOWN);
    CHECK(catalog_repo_links(tx, "a", links, 2, &n) == ERR_OK && n == 2);
    CHECK(catalog_repo_links(tx, "a", links, 8, &n) == ERR_OK && n == 3);
    for (size_t i = 0; i < n; i++)
        CHECK(catalog_repo_unlink(tx, "a", &links[i]) == ERR_OK);
    CHECK(catalog_repo_delete(tx, "a") == ERR_OK && catalog_repo_delete(tx, "a") == ERR_NAME_UNKNOWN);
    CHECK(catalog_commit(tx) == ERR_OK && catalog_check(c) == ERR_OK);
    catalog_close(c);
}

static void another_process_waits_for_the_write_lock_and_gives_up(struct t *t)
{
    char path[4096];
    struct catalog_config cfg = { .path = path, .busy_ms = 50 };
    struct catalog *mine = open_catalog(t), *other = NULL;
    struct catalog_tx *tx, *second;

    CHECK(str_format(path, sizeof path, "%s/catalog.db", t_dir(t)) == ERR_OK);
    REQUIRE(catalog_open(&other, &cfg, NULL) == ERR_OK && catalog_begin(&tx, mine) == ERR_OK);
    CHECK(catalog_begin(&second, other) == ERR_BUSY && second == NULL);
    catalog_rollback(tx);
    CHECK(catalog_begin(&second, other) == ERR_OK);
    catalog_rollback(second);
    catalog_close(other);
    catalog_close(mine);
}

static void what_is_no_catalogue_is_refused(struct t *t)
{
    static const char junk[8192] = "this is a letter, not a database";
    char path[4096];
    struct catalog_config cfg = { .path = path, .create = true };
    struct catalog *c = NULL;
    sqlite3 *db;
    int fd;

    CHECK(str_format(path, sizeof path, "%s/catalog.db", t_dir(t)) == ERR_OK);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(write(fd, junk, sizeof junk) == (ssize_t)sizeof junk);
    close(fd);
    CHECK(catalog_open(&c, &cfg, NULL) == ERR_CORRUPT && c == NULL);
    CHECK(unlink(path) == 0);
    c = open_catalog(t);
    catalog_close(c);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
    CHECK(catalog_open(&c, &cfg, NULL) == ERR_CORRUPT); /* a newer program's */
}

struct waiter {
    struct catalog *c;
    enum err e;
    int64_t waited_ms;
};

static void *wait_to_write(void *arg)
{
    struct waiter *w = arg;
    int64_t start = clock_mono_ms();
    struct catalog_tx *tx;

    w->e = catalog_begin(&tx, w->c);
    w->waited_ms = clock_mono_ms() - start;
    if (w->e == ERR_OK)
        catalog_rollback(tx);
    return NULL;
}

/* However many wait here while another process writes, none waits longer than it was told to. */
static void waits_for_the_write_lock_do_not_add_up(struct t *t)
{
    enum { WAITERS = 6, BUSY_MS = 400 };
    char path[4096];
    struct catalog_config cfg = { .path = path, .busy_ms = BUSY_MS };
    struct catalog *other = open_catalog(t), *mine = NULL;
    struct waiter w[WAITERS];
    pthread_t thread[WAITERS];
    struct catalog_tx *tx;

    CHECK(str_format(path, sizeof path, "%s/catalog.db", t_dir(t)) == ERR_OK);
    REQUIRE(catalog_open(&mine, &cfg, NULL) == ERR_OK && catalog_begin(&tx, other) == ERR_OK);
    for (int i = 0; i < WAITERS; i++) {
        w[i] = (struct waiter){ .c = mine };
        CHECK(pthread_create(&thread[i], NULL, wait_to_write, &w[i]) == 0);
    }
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(thread[i], NULL);
        CHECK_INT(w[i].e, ERR_BUSY);
        CHECK(w[i].waited_ms < WAITERS * BUSY_MS - BUSY_MS);
    }
    catalog_rollback(tx);
    CHECK(catalog_begin(&tx, mine) == ERR_OK);
    catalog_rollback(tx);
    catalog_close(mine);
    catalog_close(other);
}

static void a_manifest_pushed_again_as_another_type_is_read_anew(struct t *t)
{
    struct child layer = { .kind = CHILD_LAYER, .digest = digest_n(2), .size = 100 };
    struct catalog *c = open_catalog(t);
    struct reference ref = by_digest(digest_n(5));
    struct manifest parsed = image(&layer, 1);
    struct catalog_manifest m;
    struct digest missing;
    struct catalog_tx *tx;

    fill(t, c, "a", "v1");
    IN_TX(c, put, catalog_manifest_put(put, "a", &ref.digest, 1, &parsed, "", NOW, &missing));
    parsed.child_count = 0;
    (void)str_copy(parsed.media_type, sizeof parsed.media_type, "application/x");
    IN_TX(c, again, catalog_manifest_put(again, "a", &ref.digest, 1, &parsed, "linux/arm64", NOW, &missing));
    CHECK(catalog_manifest_get(c, "a", &ref, &m) == ERR_OK);
    CHECK_STR(m.media_type, "application/x");
    CHECK_STR(m.platform, "linux/arm64");
    /* What it no longer names is free to go, once the other manifest that names it has gone. */
    REQUIRE(catalog_begin(&tx, c) == ERR_OK);
    ref = by_digest(digest_n(3));
    CHECK(catalog_manifest_delete(tx, "a", &ref.digest, "x", NOW) == ERR_OK);
    CHECK(catalog_blob_unlink(tx, "a", &layer.digest) == ERR_OK);
    catalog_rollback(tx);
    catalog_close(c);
}

struct worker {
    struct catalog *c;
    unsigned number;
    enum err e;
};

static void *write_and_read(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < 50 && w->e == ERR_OK; i++) {
        struct digest d = digest_n(1000 * w->number + i);
        struct catalog_tx *tx;
        uint64_t size;

        if ((w->e = catalog_begin(&tx, w->c)))
            break;
        if ((w->e = catalog_blob_link(tx, "a", &d, i, NOW))) {
            catalog_rollback(tx);
            break;
        }
        if ((w->e = catalog_commit(tx)) == ERR_OK)
            w->e = catalog_blob_get(w->c, "a", &d, &size);
    }
    return NULL;
}

static void threads_write_in_turns_and_read_what_they_committed(struct t *t)
{
    enum { THREADS = 12 }; /* more than there are connections for readers */
    struct catalog *c = open_catalog(t);
    struct worker w[THREADS];
    pthread_t thread[THREADS];
    struct catalog_usage u;

    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct worker){ .c = c, .number = i + 1 };
        CHECK(pthread_create(&thread[i], NULL, write_and_read, &w[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK_INT(w[i].e, ERR_OK);
    }
    CHECK(catalog_usage_get(c, &u) == ERR_OK && u.blobs == 50 * THREADS);
    catalog_close(c);
}

T_MAIN(T(what_was_committed_is_found_by_tag_and_digest), T(what_was_rolled_back_never_was),
       T(a_manifest_is_refused_while_something_it_names_is_missing),
       T(an_index_may_name_manifests_and_blobs_of_its_repository),
       T(a_blob_goes_when_its_last_link_goes_and_not_before), T(a_blob_is_found_in_a_repository_that_has_it),
       T(lists_are_in_byte_order_and_go_on_after_the_last), T(every_change_of_a_tag_is_one_event),
       T(referrers_are_listed_by_subject_and_type), T(totals_follow_every_change),
       T(a_repository_goes_step_by_step), T(another_process_waits_for_the_write_lock_and_gives_up),
       T(what_is_no_catalogue_is_refused), T(a_manifest_pushed_again_as_another_type_is_read_anew),
       T_CONCURRENT(waits_for_the_write_lock_do_not_add_up),
       T_CONCURRENT(threads_write_in_turns_and_read_what_they_committed))
