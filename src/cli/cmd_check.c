/* cmd_check.c - berth check: are the settings and what is stored as they should be?
 *
 * Nothing is changed here, so that it can be run at any time beside a working server. What goes
 * away while it looks (a removed blob) is not a finding.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "store/store.h"

#define PAGE 200           /* rows read at a time */
#define FINDINGS_SHOWN 100 /* more are only counted */

struct checking {
    struct cli *cli;
    struct registry *registry;
    struct store *store;
    struct progress progress;
    struct catalog_usage usage;
    uint64_t blobs, bytes;  /* read so far */
    uint64_t damaged;       /* files that cannot be read, or whose bytes are not their digest */
    uint64_t missing;       /* content that a manifest names, and that is not there */
    struct buf findings;    /* JSON */
    const char *repo;
};

/* ---- settings ---- */

static void settings_json(const struct settings *s, struct buf *b)
{
    char value[SETTING_TEXT_MAX + 1], origin[2 * SETTING_TEXT_MAX];
    const struct setting *row;

    buf_str(b, "{\"settings\":[");
    for (size_t i = 0; (row = settings_row(i)); i++) {
        settings_format(s, i, value);
        settings_origin(s, i, origin, sizeof origin);
        buf_fmt(b, "%s\n{\"name\":\"%s.%s\",\"value\":", i ? "," : "", row->section, row->name);
        buf_json(b, value);
        buf_fmt(b, ",\"default\":\"%s\",\"from\":", row->def);
        buf_json(b, origin);
        buf_fmt(b, ",\"reload\":%s}", row->reload ? "true" : "false");
    }
    buf_str(b, "\n]");
}

static enum err settings_print(const struct settings *s)
{
    struct table t = { .columns = 3 };
    char value[SETTING_TEXT_MAX + 1], origin[2 * SETTING_TEXT_MAX], name[64];
    const struct setting *row;
    enum err e = ERR_OK;

    for (size_t i = 0; !e && (row = settings_row(i)); i++) {
        settings_format(s, i, value);
        settings_origin(s, i, origin, sizeof origin);
        snprintf(name, sizeof name, "%s.%s", row->section, row->name);
        if (!(e = table_add(&t, name)) && !(e = table_add(&t, value)))
            e = table_add(&t, origin);
    }
    if (!e)
        table_print(&t, stdout);
    table_free(&t);
    return e;
}

/* ---- what is stored ---- */

static void finding(struct checking *c, const struct digest *d, const char *repo, const char *what)
{
    char digest[DIGEST_TEXT_MAX + 1];
    struct buf *b = &c->findings;

    if (c->damaged + c->missing > FINDINGS_SHOWN)
        return;
    digest_format(d, digest);
    if (!c->cli->json) {
        progress_end(&c->progress);
        fprintf(stderr, "%s: %s%s%s\n", digest, what, repo ? " in " : "", repo ? repo : "");
        return;
    }
    buf_fmt(b, "%s\n{\"digest\":\"%s\",\"repository\":", b->len ? "," : "", digest);
    buf_json(b, repo);
    buf_str(b, ",\"problem\":");
    buf_json(b, what);
    buf_str(b, "}");
}

static enum err check_blob(void *arg, const struct digest *d, uint64_t size)
{
    struct checking *c = arg;
    enum err e = store_blob_verify(c->store, d);

    if (e == ERR_BLOB_UNKNOWN)
        return ERR_OK;
    c->blobs++;
    c->bytes += size;
    progress_step(&c->progress, c->bytes, c->usage.bytes, "reading blobs");
    if (e == ERR_CORRUPT) {
        c->damaged++;
        finding(c, d, NULL, "damaged: the bytes do not match the digest");
        return ERR_OK;
    }
    if (e == ERR_IO) {
        c->damaged++;
        finding(c, d, NULL, "damaged: it cannot be read");
        return ERR_OK;
    }
    return e;
}

/* Is a child's file there? That it is what its digest says, check_blob has seen; a manifest that says another
 * size is its maker's mistake, and no push brings anything better. */
static enum err check_child(struct checking *c, const struct digest *parent, const struct child *child)
{
    struct reference ref = { .is_digest = true, .digest = *parent };
    struct catalog_manifest m;
    uint64_t size;
    enum err e = store_blob_stat(c->store, &child->digest, &size);

    if (e != ERR_BLOB_UNKNOWN || child->optional)
        return e == ERR_BLOB_UNKNOWN ? ERR_OK : e;
    /* Perhaps the manifest was removed, and this content with it, since the page was read. */
    if (catalog_manifest_get(registry_catalog(c->registry), c->repo, &ref, &m) == ERR_MANIFEST_UNKNOWN)
        return ERR_OK;
    c->missing++;
    finding(c, &child->digest, c->repo, "missing: a manifest names it");
    return ERR_OK;
}

/* ERR_CORRUPT: it is no manifest. The caller frees with manifest_clear. */
static enum err load_manifest(struct checking *c, const struct catalog_manifest *record, struct manifest *m)
{
    uint64_t size;
    char *text;
    enum err e;
    int fd;

    if ((e = store_blob_open(c->store, &record->digest, &fd, &size)))
        return e;
    text = size > MANIFEST_BYTES_MAX ? NULL : malloc((size_t)size + 1);
    if (!text)
        e = size > MANIFEST_BYTES_MAX ? ERR_CORRUPT : ERR_NO_MEMORY;
    else if (!(e = io_read_all(&io_posix, fd, text, (size_t)size, 0, &c->cli->log, "manifest")) &&
             (e = manifest_parse(m, text, (size_t)size, record->media_type, NULL)) && e != ERR_NO_MEMORY)
        e = ERR_CORRUPT;
    free(text);
    io_posix.close(&io_posix, fd);
    return e;
}

static enum err check_manifest(struct checking *c, const struct catalog_manifest *record)
{
    struct child self = { .kind = CHILD_MANIFEST, .digest = record->digest };
    struct manifest m = { 0 };
    enum err e = load_manifest(c, record, &m);

    if (e == ERR_BLOB_UNKNOWN)
        return check_child(c, &record->digest, &self);
    /* This has been told as damaged by then: its children are unknown. */
    if (e == ERR_IO || e == ERR_CORRUPT)
        return ERR_OK;
    for (size_t i = 0; i < m.child_count && !e; i++)
        if (m.children[i].kind != CHILD_SUBJECT)
            e = check_child(c, &record->digest, &m.children[i]);
    manifest_clear(&m);
    return e;
}

struct manifest_page {
    struct catalog_manifest items[PAGE];
    size_t count;
};

static enum err take_manifest(void *arg, const struct catalog_manifest *m, bool tagged, bool child)
{
    struct manifest_page *page = arg;

    (void)tagged;
    (void)child;
    page->items[page->count++] = *m;
    return ERR_OK;
}

static enum err check_repo(struct checking *c, struct manifest_page *page)
{
    struct digest last;
    bool first = true;
    enum err e = ERR_OK;

    while (!e) {
        page->count = 0;
        e = catalog_manifest_foreach(registry_catalog(c->registry), c->repo, first ? NULL : &last, PAGE,
                                     take_manifest, page);
        if (e || page->count == 0)
            break;
        for (size_t i = 0; i < page->count && !e; i++)
            e = check_manifest(c, &page->items[i]);
        last = page->items[page->count - 1].digest;
        first = false;
    }
    return e == ERR_NAME_UNKNOWN ? ERR_OK : e;
}

static enum err next_repo(void *arg, const char *repo)
{
    return str_copy(arg, NAME_MAX_BYTES + 1, repo);
}

static enum err check_repos(struct checking *c)
{
    struct manifest_page *page = calloc(1, sizeof *page);
    char last[NAME_MAX_BYTES + 1] = "", repo[NAME_MAX_BYTES + 1];
    enum err e = page ? ERR_OK : ERR_NO_MEMORY;

    while (!e) {
        repo[0] = '\0';
        e = catalog_repo_foreach(registry_catalog(c->registry), *last ? last : NULL, 1, next_repo, repo);
        if (e || !*repo)
            break;
        c->repo = repo;
        e = check_repo(c, page);
        memcpy(last, repo, sizeof last);
    }
    free(page);
    return e;
}

static void print_data(const struct checking *c, const char *data)
{
    struct buf b = { 0 };
    char size[OUT_SIZE_MAX + 1];

    out_size(c->usage.bytes, size);
    out_count(&b, c->usage.repos, "repository, ", "repositories, ");
    out_count(&b, c->usage.tags, "tag, ", "tags, ");
    out_count(&b, c->usage.blobs, "blob, ", "blobs, ");
    printf("\n%s: %s%s\nthe catalogue is sound\n", data, b.p ? b.p : "", size);
    buf_clear(&b);
    out_count(&b, c->blobs, "blob", "blobs");
    if (c->cli->deep && c->damaged + c->missing == 0)
        printf("%s read: all match their digests, and nothing is missing\n", b.p ? b.p : "");
    else if (c->cli->deep)
        printf("%s read: %llu damaged, %llu missing\n", b.p ? b.p : "", (unsigned long long)c->damaged,
               (unsigned long long)c->missing);
    buf_free(&b);
}

static void data_json(const struct checking *c, const char *data, bool there, enum err e, struct buf *b)
{
    const struct catalog_usage *u = &c->usage;

    buf_str(b, ",\n\"data\":{\"path\":");
    buf_json(b, data);
    buf_fmt(b, ",\"exists\":%s", there ? "true" : "false");
    buf_str(b, ",\"error\":");
    buf_json(b, e ? err_text(e) : NULL);
    if (there && !e)
        buf_fmt(b, ",\"repositories\":%llu,\"tags\":%llu,\"manifests\":%llu,\"blobs\":%llu,\"size\":%llu",
                (unsigned long long)u->repos, (unsigned long long)u->tags, (unsigned long long)u->manifests,
                (unsigned long long)u->blobs, (unsigned long long)u->bytes);
    if (there && !e && c->cli->deep) {
        buf_fmt(b, ",\"read\":%llu,\"damaged\":%llu,\"missing\":%llu,\"problems\":[",
                (unsigned long long)c->blobs, (unsigned long long)c->damaged, (unsigned long long)c->missing);
        buf_str(b, c->findings.len ? c->findings.p : "");
        buf_str(b, "\n]");
    }
    buf_str(b, "}}\n");
}

/* The catalogue, and with --deep all content. On failure has said what is wrong. */
static enum err check_data(struct checking *c)
{
    const char *data = c->cli->settings.data;
    enum err e;

    if ((e = cli_open(c->cli, &c->registry)))
        return e;
    if ((e = catalog_check(registry_catalog(c->registry)))) {
        cli_say_open(c->cli, e);
        return e;
    }
    if ((e = catalog_usage_get(registry_catalog(c->registry), &c->usage)))
        goto failed;
    if (!c->cli->deep)
        return ERR_OK;
    progress_begin(&c->progress);
    if (!(e = store_open(&c->store, data, false, &io_posix, &c->cli->log)) &&
        !(e = store_blob_foreach(c->store, check_blob, c)))
        e = check_repos(c);
    progress_end(&c->progress);
    if (!e)
        return ERR_OK;
failed:
    cli_say("the check of %s could not be finished: %s", data, err_text(e));
    return e;
}

int cmd_check(struct cli *cli)
{
    const struct settings *s = &cli->settings;
    struct checking c = { .cli = cli };
    struct buf b = { 0 };
    struct stat st;
    bool there = true;
    enum err e = ERR_OK;

    if (cli->json)
        settings_json(s, &b);
    else if ((e = settings_print(s)))
        goto out;
    fflush(stdout); /* before what the following may say on stderr */
    if (stat(s->data, &st) && errno == ENOENT) {
        there = false;
        if (!cli->json)
            printf("\n%s: not there yet; \"berth serve\" makes it\n", s->data);
    } else if ((e = check_data(&c)) == ERR_OK && !cli->json) {
        print_data(&c, s->data);
    }
    if (cli->json) {
        enum err written;

        data_json(&c, s->data, there, e, &b);
        written = c.findings.err ? c.findings.err : out_flush(&b);
        e = e ? e : written;
    }
    if (c.damaged + c.missing)
        cli_say("stop the server, set damaged blobs aside with \"berth rebuild --force --verify\", and push "
                "what is missing again");
out:
    store_close(c.store);
    registry_close(c.registry);
    buf_free(&c.findings);
    buf_free(&b);
    return e ? cli_exit(e) : c.damaged + c.missing ? EXIT_FAULT : EXIT_DONE;
}
