/* cmd_tag.c - berth tag: further names for an image. */
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/out.h"

/* On failure has said why. */
static enum err check_new_tag(const char *repo, const char *text)
{
    struct image_ref ref;

    if (tag_check(text, strlen(text)) == ERR_OK)
        return ERR_OK;
    if (strpbrk(text, ":/") && image_ref_parse(text, &ref) == ERR_OK && !str_eq(ref.name, repo))
        cli_say("\"%s\" is in another repository: tags can be given within \"%s\" only", text, repo);
    else if (strpbrk(text, ":/"))
        cli_say("\"%s\": write the new tag alone, without the repository", text);
    else
        cli_say("\"%s\" is no tag: up to %d letters, digits, '_', '.' and '-', the last two not first", text,
                TAG_MAX_BYTES);
    return ERR_TAG_INVALID;
}

int cmd_tag(struct cli *cli)
{
    struct registry *r = NULL;
    struct catalog_manifest m;
    struct image_ref image;
    char digest[DIGEST_TEXT_MAX + 1], who[64];
    struct buf b = { 0 };
    enum err e;

    if (cli_image(cli->argv[0], &image))
        return EXIT_USAGE;
    if (!image.has_ref)
        return cli_usage(cli, "which image of \"%s\"? Write %s:TAG or %s@DIGEST", image.name, image.name,
                         image.name);
    for (int i = 1; i < cli->argc; i++)
        if (check_new_tag(image.name, cli->argv[i]))
            return EXIT_USAGE;
    if ((e = cli_open(cli, &r)))
        return cli_exit(e);
    if ((e = catalog_manifest_get(registry_catalog(r), image.name, &image.ref, &m)))
        goto out;
    digest_format(&m.digest, digest);
    cli_who(who, sizeof who);
    buf_str(&b, "{\"name\":");
    buf_json(&b, image.name);
    buf_fmt(&b, ",\"digest\":\"%s\",\"tags\":[", digest);
    for (int i = 1; i < cli->argc; i++) {
        if ((e = registry_tag_set(r, image.name, cli->argv[i], &m.digest, who)))
            goto out;
        if (cli->json)
            buf_fmt(&b, "%s\"%s\"", i > 1 ? "," : "", cli->argv[i]);
        else
            printf("%s:%s -> %s\n", image.name, cli->argv[i], digest);
    }
    buf_str(&b, "]}\n");
    if (cli->json)
        e = out_flush(&b);
out:
    if (e == ERR_MANIFEST_UNKNOWN && catalog_repo_has(registry_catalog(r), image.name) == ERR_OK)
        cli_say("there is no %s: \"berth ls %s\" shows the tags", cli->argv[0], image.name);
    else if (e == ERR_MANIFEST_UNKNOWN)
        cli_say("no repository \"%s\": \"berth ls\" lists them", image.name);
    else if (e)
        cli_say("%s could not be tagged: %s", cli->argv[0], cli_why(cli, e));
    registry_close(r);
    buf_free(&b);
    return cli_exit(e);
}
