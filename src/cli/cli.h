/* cli.h - what the commands share: the command line, exit codes, messages, the opened registry.
 *
 * A command is a row in commands.c and a function cmd_NAME in cmd_NAME.c that returns an exit code.
 */
#ifndef BERTH_CLI_CLI_H
#define BERTH_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "cli/settings.h"
#include "registry/registry.h"

/* Exit codes: part of the interface, described in the man page. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* what was asked for is not there or cannot be done */
    EXIT_USAGE = 2,  /* the command line or the settings are wrong; nothing was done */
    EXIT_FAULT = 3,  /* the machine: disk, memory, damage */
};

#define CLI_BUSY_MS 30000u /* how long a command waits for another process's write lock */

/* Which options a command takes, beside --data, --config and --help. */
enum option_bit {
    OPT_LISTEN = 1 << 0,
    OPT_JSON = 1 << 1,
    OPT_ALL = 1 << 2,
    OPT_YES = 1 << 3,
    OPT_FORCE = 1 << 4,
    OPT_VERIFY = 1 << 5,
    OPT_DEEP = 1 << 6,
    OPT_DEPS = 1 << 7,
};

struct cli;

struct command {
    const char *name;
    const char *arguments;  /* "REPO:TAG...", as in the usage line */
    const char *summary;    /* for the list of commands */
    const char *about;      /* for its own help */
    unsigned takes;         /* enum option_bit */
    int min, max;           /* arguments; max -1: any number */
    bool settings;          /* read the settings before it runs */
    int (*run)(struct cli *cli);
};

/* All commands; a row without a name ends them. */
extern const struct command commands[];

struct cli {
    const struct command *command;
    const char *data, *config, *listen; /* as given, NULL: not */
    bool json, all, yes, force, verify, deep, deps;
    int argc;                           /* the arguments without options */
    char **argv;
    int64_t started_ms;                 /* clock_mono_ms at the program's start */
    struct settings settings;
    struct log log;
};

/* The whole program but main(). */
int cli_main(int argc, char **argv);

/* Read the settings again, as at the start. */
enum err cli_settings(const struct cli *cli, struct settings *out, char why[SETTINGS_WHY_MAX + 1]);

/* "berth: ..." on stderr. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Say that the command line is wrong, and how to learn more; EXIT_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The exit code that tells e. */
int cli_exit(enum err e);

/* Open the data directory for a command. On failure has said what is wrong and what to do. */
enum err cli_open(struct cli *cli, struct registry **out);
/* Say why the data directory could not be opened; nothing for ERR_OK. */
void cli_say_open(const struct cli *cli, enum err e);

/* Why a change of the data directory failed, for people. */
const char *cli_why(const struct cli *cli, enum err e);

/* REPO:TAG, REPO@DIGEST or REPO, as people type it. On failure has said what is wrong. */
enum err cli_image(const char *text, struct image_ref *out);
/* The same for a repository's name alone. */
enum err cli_repo(const char *text);
/* Who did it, for the history: "cli:" and the user's name. */
void cli_who(char *out, size_t cap);

int cmd_serve(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_ls(struct cli *cli);
int cmd_tag(struct cli *cli);
int cmd_rm(struct cli *cli);
int cmd_rebuild(struct cli *cli);
int cmd_sync_layout(struct cli *cli);
int cmd_help(struct cli *cli);

#endif
