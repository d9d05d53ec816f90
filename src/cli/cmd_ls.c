/* cmd_ls.c - berth ls: repositories, or the tags of one. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/describe.h"
#include "cli/out.h"

#define PAGE 200          /* rows read at a time: no statement stays open while each row is looked into */
#define DIGEST_SHORT 19   /* "sha256:" and 12 digits */
#define PLATFORMS_SHOWN 2 /* more are counted */

struct listing {
    struct cli *cli;
    struct registry *registry;
    struct buf out;      /* JSON, line by line */
    struct table table;
    uint64_t shown;
    int64_t now;
    bool damaged;
};

/* ---- repositories ---- */

struct repo_page {
    char names[PAGE][NAME_MAX_BYTES + 1];
    size_t count;
};

static enum err take_repo(void *arg, const char *repo)
{
    struct repo_page *page = arg;

    return str_copy(page->names[page->count++], NAME_MAX_BYTES + 1, repo);
}

static enum err show_repo(struct listing *l, const char *repo)
{
    struct catalog_usage u;
    char text[24], size[OUT_SIZE_MAX + 1];
    enum err e = catalog_repo_usage(registry_catalog(l->registry), repo, &u);

    if (e == ERR_NAME_UNKNOWN)
        return ERR_OK; /* removed meanwhile */
    if (e)
        return e;
    if (l->cli->json) {
        buf_fmt(&l->out, "%s\n{\"name\":", l->shown++ ? "," : "");
        buf_json(&l->out, repo);
        buf_fmt(&l->out, ",\"tags\":%llu,\"manifests\":%llu,\"blobs\":%llu,\"size\":%llu}",
                (unsigned long long)u.tags, (unsigned long long)u.manifests, (unsigned long long)u.blobs,
                (unsigned long long)u.bytes);
        return out_flush(&l->out);
    }
    if (l->shown++ == 0 &&
        ((e = table_add(&l->table, "REPOSITORY")) || (e = table_add(&l->table, "TAGS")) ||
         (e = table_add(&l->table, "SIZE"))))
        return e;
    snprintf(text, sizeof text, "%llu", (unsigned long long)u.tags);
    out_size(u.bytes, size);
    if ((e = table_add(&l->table, repo)) || (e = table_add(&l->table, text)))
        return e;
    return table_add(&l->table, size);
}

static enum err list_repos(struct listing *l)
{
    struct repo_page *page = calloc(1, sizeof *page);
    char last[NAME_MAX_BYTES + 1] = "";
    enum err e = page ? ERR_OK : ERR_NO_MEMORY;

    while (!e) {
        page->count = 0;
        e = catalog_repo_foreach(registry_catalog(l->registry), *last ? last : NULL, PAGE, take_repo, page);
        if (e || page->count == 0)
            break;
        for (size_t i = 0; i < page->count && !e; i++)
            e = show_repo(l, page->names[i]);
        memcpy(last, page->names[page->count - 1], sizeof last);
    }
    free(page);
    return e;
}

/* ---- tags ---- */

struct tag_page {
    struct catalog_tag tags[PAGE];
    size_t count;
};

static enum err take_tag(void *arg, const struct catalog_tag *t)
{
    struct tag_page *page = arg;

    page->tags[page->count++] = *t;
    return ERR_OK;
}

static enum err json_tag(struct listing *l, const struct catalog_tag *t, const struct description *d)
{
    const struct catalog_manifest *m = &t->manifest;
    char digest[DIGEST_TEXT_MAX + 1];

    digest_format(&m->digest, digest);
    buf_fmt(&l->out, "%s\n{\"tag\":\"%s\",\"digest\":\"%s\",\"media_type\":", l->shown++ ? "," : "", t->name,
            digest);
    buf_json(&l->out, m->media_type);
    buf_str(&l->out, ",\"artifact_type\":");
    buf_json(&l->out, m->artifact_type[0] ? m->artifact_type : NULL);
    buf_fmt(&l->out, ",\"kind\":\"%s\",\"size\":%llu,\"manifest_size\":%llu,\"platforms\":[", d->kind,
            (unsigned long long)d->size, (unsigned long long)m->size);
    for (size_t i = 0; i < d->platform_count; i++) {
        buf_str(&l->out, i ? "," : "");
        buf_json(&l->out, d->platforms[i]);
    }
    buf_str(&l->out, "]");
    out_json_time(&l->out, "pushed_at", m->pushed_at);
    out_json_time(&l->out, "updated_at", t->updated_at);
    buf_str(&l->out, "}");
    return out_flush(&l->out);
}

static void platforms_text(const struct description *d, struct buf *b)
{
    if (d->platform_count > PLATFORMS_SHOWN)
        out_count(b, d->platform_count, "platform", "platforms");
    else if (d->platform_count == 0)
        buf_str(b, "-");
    else
        for (size_t i = 0; i < d->platform_count; i++)
            buf_fmt(b, "%s%s", i ? "," : "", d->platforms[i]);
}

static enum err table_tag(struct listing *l, const struct catalog_tag *t, const struct description *d)
{
    static const char *const heads[] = { "TAG", "DIGEST", "SIZE", "KIND", "PLATFORMS", "UPDATED" };
    char digest[DIGEST_TEXT_MAX + 1], size[OUT_SIZE_MAX + 1], age[OUT_AGE_MAX + 1];
    struct buf platforms = { 0 };
    enum err e = ERR_OK;

    for (size_t i = 0; l->shown == 0 && i < 6 && !e; i++)
        e = table_add(&l->table, heads[i]);
    l->shown++;
    digest_format(&t->manifest.digest, digest);
    digest[DIGEST_SHORT] = '\0';
    out_size(d->size, size);
    out_age(t->updated_at, l->now, age);
    platforms_text(d, &platforms);
    if (!e && !(e = platforms.err)) {
        const char *const cells[] = { t->name, digest, size, d->kind, platforms.p, age };

        for (size_t i = 0; i < 6 && !e; i++)
            e = table_add(&l->table, cells[i]);
    }
    buf_free(&platforms);
    return e;
}

/* One damaged image must not hide the others: it is shown as what it is. */
static enum err show_tag(struct listing *l, const char *repo, const struct catalog_tag *t)
{
    struct description d;
    enum err e = describe(l->registry, repo, &t->manifest, &d);

    if (e == ERR_MANIFEST_UNKNOWN) {
        e = ERR_OK; /* removed meanwhile */
        goto out;
    }
    if (e && e != ERR_NO_MEMORY) {
        d.kind = "damaged";
        l->damaged = true;
    } else if (e) {
        goto out;
    }
    e = l->cli->json ? json_tag(l, t, &d) : table_tag(l, t, &d);
out:
    describe_clear(&d);
    return e;
}

static enum err list_tags(struct listing *l, const char *repo)
{
    struct tag_page *page = calloc(1, sizeof *page);
    char last[TAG_MAX_BYTES + 1] = "";
    enum err e = page ? ERR_OK : ERR_NO_MEMORY;

    while (!e) {
        page->count = 0;
        e = catalog_tag_foreach(registry_catalog(l->registry), repo, *last ? last : NULL, PAGE, take_tag,
                                page);
        if (e || page->count == 0)
            break;
        for (size_t i = 0; i < page->count && !e; i++)
            e = show_tag(l, repo, &page->tags[i]);
        memcpy(last, page->tags[page->count - 1].name, sizeof last);
    }
    free(page);
    return e;
}

int cmd_ls(struct cli *cli)
{
    const char *repo = cli->argc ? cli->argv[0] : NULL;
    struct listing l = { .cli = cli, .now = clock_unix_ms() };
    enum err e;

    l.table.columns = repo ? 6 : 3;
    l.table.right = repo ? 1u << 2 : 1u << 1 | 1u << 2;
    if (repo && cli_repo(repo))
        return EXIT_USAGE;
    if ((e = cli_open(cli, &l.registry)))
        return cli_exit(e);
    /* Before the first byte of JSON, so that a failure leaves nothing half written. */
    if (repo && (e = catalog_repo_has(registry_catalog(l.registry), repo)))
        goto out;
    if (cli->json && repo)
        printf("{\"name\":\"%s\",\"tags\":[", repo);
    else if (cli->json)
        printf("{\"repositories\":[");
    if ((e = repo ? list_tags(&l, repo) : list_repos(&l)))
        goto out;
    if (cli->json)
        puts("\n]}");
    else if (l.shown)
        table_print(&l.table, stdout);
    else
        fprintf(stderr, "%s\n", repo ? "no tags" : "no repositories yet");
out:
    if (e == ERR_NAME_UNKNOWN)
        cli_say("no repository \"%s\": \"berth ls\" lists them", repo);
    else if (e)
        cli_say("the list is not complete: %s", err_text(e));
    registry_close(l.registry);
    buf_free(&l.out);
    table_free(&l.table);
    return e ? cli_exit(e) : l.damaged ? EXIT_FAULT : EXIT_DONE;
}
