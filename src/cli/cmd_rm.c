/* cmd_rm.c - berth rm: tags, manifests, whole repositories. */
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/out.h"

struct removal {
    struct cli *cli;
    struct registry *registry;
    struct buf removed, failed; /* JSON */
    char who[64];
    int code;
};

static void tell(struct removal *rm, const char *what, enum err e)
{
    struct buf *b = e ? &rm->failed : &rm->removed;
    const char *why = cli_why(rm->cli, e);
    int code = cli_exit(e);

    if (e == ERR_MANIFEST_UNKNOWN || e == ERR_NAME_UNKNOWN)
        why = "it is not there";
    else if (e == ERR_IN_USE)
        why = "an index of this repository names it: remove that first";
    if (code > rm->code)
        rm->code = code;
    if (!rm->cli->json) {
        if (e)
            cli_say("%s: %s", what, why);
        else
            printf("removed %s\n", what);
        return;
    }
    buf_fmt(b, "%s\n", b->len ? "," : "");
    if (!e) {
        buf_json(b, what);
        return;
    }
    buf_str(b, "{\"name\":");
    buf_json(b, what);
    buf_str(b, ",\"reason\":");
    buf_json(b, why);
    buf_str(b, "}");
}

/* Ask before a whole repository goes. False: no. */
static bool sure(struct removal *rm, const char *repo)
{
    struct catalog_usage u;
    struct buf b = { 0 };
    char size[OUT_SIZE_MAX + 1], answer[16] = "";
    bool yes = false;

    if (rm->cli->yes || catalog_repo_usage(registry_catalog(rm->registry), repo, &u))
        return true; /* one that is not there is told by the removal */
    out_size(u.bytes, size);
    out_count(&b, u.tags, "tag", "tags");
    buf_str(&b, ", ");
    out_count(&b, u.manifests, "manifest", "manifests");
    fprintf(stderr, "Remove all of %s (%s, %s)? [y/N] ", repo, b.p ? b.p : "", size);
    if (fgets(answer, sizeof answer, stdin))
        yes = str_eq_nocase(answer, "y\n") || str_eq_nocase(answer, "yes\n");
    if (!yes)
        fprintf(stderr, "%s is left as it is\n", repo);
    buf_free(&b);
    return yes;
}

static void remove_repo(struct removal *rm, const char *repo)
{
    if (sure(rm, repo))
        tell(rm, repo, registry_repo_delete(rm->registry, repo, rm->who));
    else if (rm->code < EXIT_FAILED)
        rm->code = EXIT_FAILED;
}

static void remove_image(struct removal *rm, const char *text)
{
    struct image_ref image;
    enum err e = image_ref_parse(text, &image); /* has been looked at before */

    if (e == ERR_OK && image.ref.is_digest)
        e = registry_manifest_delete(rm->registry, image.name, &image.ref.digest, rm->who);
    else if (e == ERR_OK)
        e = registry_tag_delete(rm->registry, image.name, image.ref.tag, rm->who);
    tell(rm, text, e);
}

/* All of the command line is judged before anything is removed. */
static int check_arguments(const struct cli *cli)
{
    struct image_ref image;

    for (int i = 0; i < cli->argc; i++) {
        const char *text = cli->argv[i];

        if (cli->all ? cli_repo(text) : cli_image(text, &image))
            return EXIT_USAGE;
        if (!cli->all && !image.has_ref)
            return cli_usage(cli, "what of \"%s\"? Write %s:TAG, %s@DIGEST or, for all of it, --all %s", text,
                             text, text, text);
    }
    if (cli->yes && !cli->all)
        return cli_usage(cli, "--yes goes with --all");
    if (cli->all && !cli->yes && !isatty(STDIN_FILENO))
        return cli_usage(cli, "--all needs --yes where nobody can be asked");
    return EXIT_DONE;
}

int cmd_rm(struct cli *cli)
{
    struct removal rm = { .cli = cli };
    enum err e;
    int code = check_arguments(cli);

    if (code)
        return code;
    if ((e = cli_open(cli, &rm.registry)))
        return cli_exit(e);
    cli_who(rm.who, sizeof rm.who);
    for (int i = 0; i < cli->argc; i++) {
        if (cli->all)
            remove_repo(&rm, cli->argv[i]);
        else
            remove_image(&rm, cli->argv[i]);
    }
    if (cli->json) {
        printf("{\"removed\":[%s\n],\"failed\":[%s\n]}\n", rm.removed.len ? rm.removed.p : "",
               rm.failed.len ? rm.failed.p : "");
        e = rm.removed.err ? rm.removed.err : rm.failed.err;
    }
    registry_close(rm.registry);
    buf_free(&rm.removed);
    buf_free(&rm.failed);
    return e ? cli_exit(e) : rm.code;
}
