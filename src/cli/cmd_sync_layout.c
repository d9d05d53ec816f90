/* cmd_sync_layout.c - berth sync-layout: index.json, now. */
#include "cli/cli.h"
#include "registry/layout.h"

int cmd_sync_layout(struct cli *cli)
{
    struct registry *r = NULL;
    enum err e = cli_open(cli, &r);

    if (e)
        return cli_exit(e);
    e = layout_sync(r);
    registry_close(r);
    if (e)
        cli_say("%s/index.json could not be written: %s", cli->settings.data, cli_why(cli, e));
    return cli_exit(e);
}
