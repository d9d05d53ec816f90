/* cmd_version.c - berth version: what this program is made of. */
#include <string.h>

#include "base/str.h"
#include "berth_version.h"
#include "cli/cli.h"
#include "cli/out.h"

/* BERTH_DEPS_TEXT comes from the build: lines of "name version", none after the last. */
static void add_deps_json(struct buf *b)
{
    const char *p = BERTH_DEPS_TEXT;
    bool first = true;

    buf_str(b, ",\"dependencies\":[");
    while (*p) {
        size_t len = strcspn(p, "\n"), name = strcspn(p, " \n");
        char text[128];

        if (len > 0 && name < len && !str_copy_n(text, sizeof text, p, name)) {
            buf_fmt(b, "%s{\"name\":", first ? "" : ",");
            buf_json(b, text);
            buf_str(b, ",\"version\":");
            buf_json(b, str_copy_n(text, sizeof text, p + name + 1, len - name - 1) ? NULL : text);
            buf_str(b, "}");
            first = false;
        }
        p += len + (p[len] == '\n');
    }
    buf_str(b, "]");
}

int cmd_version(struct cli *cli)
{
    struct buf b = { 0 };
    enum err e;

    if (cli->json) {
        buf_str(&b, "{\"version\":");
        buf_json(&b, BERTH_VERSION);
        if (cli->deps)
            add_deps_json(&b);
        buf_str(&b, "}\n");
    } else {
        buf_fmt(&b, "berth %s\n", BERTH_VERSION);
        if (cli->deps)
            buf_fmt(&b, "%s\n", BERTH_DEPS_TEXT);
    }
    e = out_flush(&b);
    buf_free(&b);
    return cli_exit(e);
}
