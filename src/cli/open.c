/* open.c - what commands do before their own work: open the data directory, read names. */
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"

/* The option that "berth rebuild" needs: a catalogue that is there has to be moved aside. */
static const char *rebuild_option(const char *data)
{
    char path[4096];

    if (str_format(path, sizeof path, "%s/catalog.db", data) || access(path, F_OK))
        return "";
    return " --force";
}

void cli_say_open(const struct cli *cli, enum err e)
{
    const char *data = cli->settings.data;

    switch (e) {
    case ERR_OK:
        return;
    case ERR_NOT_FOUND:
        cli_say("no data directory at %s: start \"berth serve --data %s\" first, or name another with --data",
                data, data);
        return;
    case ERR_CORRUPT:
        cli_say("the catalogue in %s is missing or damaged: stop the server and run "
                "\"berth rebuild%s --data %s\" (see \"berth help rebuild\")", data,
                rebuild_option(data), data);
        return;
    case ERR_INVALID:
        cli_say("%s is an image layout of another version, or no berth data directory", data);
        return;
    case ERR_BUSY:
        cli_say("\"berth rebuild\" or another program is at work in %s: try again when it is done", data);
        return;
    case ERR_NO_SPACE:
        cli_say("the disk under %s is full", data);
        return;
    default:
        cli_say("cannot open %s: %s", data, err_text(e));
        return;
    }
}

enum err cli_open(struct cli *cli, struct registry **out)
{
    struct registry_config cfg = {
        .data = cli->settings.data,
        .cache_kib = (unsigned)(cli->settings.sqlite_cache >> 10),
        .busy_ms = CLI_BUSY_MS,
    };
    enum err e = registry_open(out, &cfg, &cli->log);

    cli_say_open(cli, e);
    return e;
}

const char *cli_why(const struct cli *cli, enum err e)
{
    /* Far more often than a broken disk it is the wrong user. */
    if (e == ERR_IO && access(cli->settings.data, W_OK) && errno == EACCES)
        return "this user may not write to the data directory";
    return err_text(e);
}

/* A name that begins with host and port, as docker and podman want it, is the likeliest mistake. */
static const char *without_host(const char *text)
{
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : 0;

    if (len == 0 || slash[1] == '\0')
        return NULL;
    return memchr(text, ':', len) ? slash + 1 : NULL;
}

enum err cli_image(const char *text, struct image_ref *out)
{
    const char *rest = without_host(text);
    enum err e = image_ref_parse(text, out);

    if (e == ERR_OK)
        return ERR_OK;
    if (rest)
        cli_say("leave the host away: \"%s\"", rest);
    else if (e == ERR_DIGEST_INVALID || e == ERR_UNSUPPORTED)
        cli_say("\"%s\": a digest is \"sha256:\" or \"sha512:\" and all of its hexadecimal digits", text);
    else if (e == ERR_TAG_INVALID)
        cli_say("\"%s\": a tag is up to %d letters, digits, '_', '.' and '-', the last two not first", text,
                TAG_MAX_BYTES);
    else
        cli_say("\"%s\" is no image name: \"team/app:1.0\" or \"team/app@sha256:...\", in lower case", text);
    return e;
}

enum err cli_repo(const char *text)
{
    const char *rest = without_host(text);
    struct image_ref ref;

    if (name_check(text, strlen(text)) == ERR_OK)
        return ERR_OK;
    if (rest)
        cli_say("leave the host away: \"%s\"", rest);
    else if (image_ref_parse(text, &ref) == ERR_OK)
        cli_say("\"%s\" names one image: a repository alone is \"%s\"", text, ref.name);
    else
        cli_say("\"%s\" is no repository name: \"app\" or \"team/app\", in lower case", text);
    return ERR_NAME_INVALID;
}

void cli_who(char *out, size_t cap)
{
    const struct passwd *pw = getpwuid(getuid());

    if (!pw || str_format(out, cap, "cli:%s", pw->pw_name))
        (void)str_format(out, cap, "cli:%lu", (unsigned long)getuid());
}
