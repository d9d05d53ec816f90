/* commands.c - the table of commands. */
#include "cli/cli.h"

const struct command commands[] = {
    { "serve", "", "serve the registry",
      "Serves the registry until SIGTERM or SIGINT, then lets running requests end. The data directory\n"
      "is made when it is missing. SIGHUP reads the settings again. Logs to stderr.\n",
      OPT_LISTEN, 0, 0, true, cmd_serve },
    { "check", "", "check the settings and the data directory",
      "Reads the settings, shows them, and checks the catalogue. With --deep every blob is read and\n"
      "compared with its digest, and every manifest's content is looked for. Nothing is changed.\n",
      OPT_JSON | OPT_DEEP, 0, 0, true, cmd_check },
    { "ls", "[REPO]", "list repositories, or the tags of one",
      "Lists all repositories, or the tags of REPO with what they point at.\n",
      OPT_JSON, 0, 1, true, cmd_ls },
    { "tag", "REPO:TAG|REPO@DIGEST NEWTAG...", "give an image further tags",
      "Makes each NEWTAG of the same repository point at the image. A tag that exists is moved.\n",
      OPT_JSON, 2, -1, true, cmd_tag },
    { "rm", "REPO:TAG|REPO@DIGEST... | --all REPO...", "remove tags, manifests or whole repositories",
      "REPO:TAG removes the tag; the image stays and can still be pulled by its digest.\n"
      "REPO@DIGEST removes the manifest with all its tags. --all removes everything of a repository.\n",
      OPT_JSON | OPT_ALL | OPT_YES, 1, -1, true, cmd_rm },
    { "rebuild", "", "make a new catalogue from the blobs and index.json",
      "For the day catalog.db is lost or damaged. The server must be stopped. Tags come from index.json,\n"
      "which is as fresh as the last clean stop, idle minute or \"berth sync-layout\".\n",
      OPT_JSON | OPT_FORCE | OPT_VERIFY, 0, 0, true, cmd_rebuild },
    { "sync-layout", "", "bring index.json up to date now",
      "Writes all tags into index.json, so that other tools can read the data directory as an OCI image\n"
      "layout. The server does so by itself when it is idle and when it stops.\n",
      0, 0, 0, true, cmd_sync_layout },
    { "version", "", "show the version",
      "Shows the version; with --deps also the versions of the libraries inside.\n",
      OPT_JSON | OPT_DEPS, 0, 0, false, cmd_version },
    { "help", "[COMMAND]", "show the commands, or the help of one", "", 0, 0, 1, false, cmd_help },
    { NULL, NULL, NULL, NULL, 0, 0, 0, false, NULL },
};
