/* cmd_rebuild.c - berth rebuild: a catalogue from what is on the disk. */
#include "base/str.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "registry/layout.h"

static void on_progress(void *arg, uint64_t done, uint64_t total, const char *what)
{
    progress_step(arg, done, total, what);
}

static void print_report(const struct rebuild_report *r, bool verified)
{
    struct buf b = { 0 };

    out_count(&b, r->repos, "repository, ", "repositories, ");
    out_count(&b, r->tags, "tag, ", "tags, ");
    out_count(&b, r->manifests, "manifest, ", "manifests, ");
    out_count(&b, r->blobs, "blob", "blobs");
    printf("the new catalogue has %s\n", b.p ? b.p : "");
    if (r->missing)
        printf("%llu missing: a manifest names it, and it is not on the disk; push those images again\n",
               (unsigned long long)r->missing);
    if (r->rotten)
        printf("%llu damaged: moved to quarantine/; push those images again\n",
               (unsigned long long)r->rotten);
    if (r->unreadable)
        printf("%llu unreadable: left where they are; look after the disk, then run this again or push those "
               "images again\n",
               (unsigned long long)r->unreadable);
    if (verified && r->rotten + r->unreadable == 0)
        puts("every blob matches its digest");
    if (r->unreferenced)
        printf("%llu not reached from index.json: left where they are\n",
               (unsigned long long)r->unreferenced);
    buf_free(&b);
}

int cmd_rebuild(struct cli *cli)
{
    struct progress progress;
    struct rebuild_config cfg = {
        .data = cli->settings.data, .force = cli->force, .verify = cli->verify,
        .progress = on_progress, .arg = &progress,
    };
    struct rebuild_report r = { 0 };
    const char *data = cfg.data;
    enum err e;

    progress_begin(&progress);
    e = registry_rebuild(&cfg, &r, &cli->log);
    progress_end(&progress);
    if (e == ERR_EXISTS)
        cli_say("%s has a catalogue: --force moves it aside to catalog.db.old and makes a new one", data);
    else if (e == ERR_BUSY)
        cli_say("a server has %s open: stop it first", data);
    else if (e == ERR_NOT_FOUND)
        cli_say("no data directory at %s: name it with --data", data);
    else if (e)
        cli_say("no new catalogue was made: %s", cli_why(cli, e));
    if (e)
        return cli_exit(e);
    if (cli->json)
        printf("{\"repositories\":%llu,\"tags\":%llu,\"manifests\":%llu,\"blobs\":%llu,"
               "\"missing\":%llu,\"damaged\":%llu,\"unreadable\":%llu,\"unreferenced\":%llu}\n",
               (unsigned long long)r.repos, (unsigned long long)r.tags, (unsigned long long)r.manifests,
               (unsigned long long)r.blobs, (unsigned long long)r.missing, (unsigned long long)r.rotten,
               (unsigned long long)r.unreadable, (unsigned long long)r.unreferenced);
    else
        print_report(&r, cli->verify);
    return r.missing || r.rotten || r.unreadable ? EXIT_FAULT : EXIT_DONE;
}
