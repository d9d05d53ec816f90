/* cli.c - from the command line to the command: options, help, settings. */
#include "cli/cli.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/suggest.h"

extern char **environ;

/* One option: a flag, or a text when value says what stands after it. */
struct option_row {
    const char *name;
    char letter;        /* 0: only the long form */
    const char *value;
    unsigned bit;       /* 0: every command takes it */
    size_t offset;      /* in struct cli: bool or const char * */
    const char *help;
};

static const struct option_row option_rows[] = {
    { "listen", 'l', "ADDR[,ADDR...]", OPT_LISTEN, offsetof(struct cli, listen),
      "listen there: 127.0.0.1:5000, [::1]:5000, or :5000 for all" },
    { "deep", 0, NULL, OPT_DEEP, offsetof(struct cli, deep), "read and check all content, too" },
    { "all", 'a', NULL, OPT_ALL, offsetof(struct cli, all), "the whole repository" },
    { "yes", 'y', NULL, OPT_YES, offsetof(struct cli, yes), "do not ask" },
    { "force", 'f', NULL, OPT_FORCE, offsetof(struct cli, force), "move a catalogue that is there aside" },
    { "verify", 0, NULL, OPT_VERIFY, offsetof(struct cli, verify),
      "compare every blob with its digest, and set damaged ones aside" },
    { "deps", 0, NULL, OPT_DEPS, offsetof(struct cli, deps), "the libraries inside, too" },
    { "json", 0, NULL, OPT_JSON, offsetof(struct cli, json), "write JSON, for programs" },
    { "data", 'd', "DIR", 0, offsetof(struct cli, data), "the data directory" },
    { "config", 'c', "FILE", 0, offsetof(struct cli, config), "the settings file" },
    { "help", 'h', NULL, 0, 0, "show this help" },
};
#define OPTIONS (sizeof option_rows / sizeof option_rows[0])

void cli_say(const char *fmt, ...)
{
    va_list ap;

    fputs("berth: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    const struct command *c = cli->command;
    va_list ap;

    fprintf(stderr, "berth%s%s: ", c ? " " : "", c ? c->name : "");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nTry \"berth %s%s\".\n", c ? c->name : "help", c ? " --help" : "");
    return EXIT_USAGE;
}

int cli_exit(enum err e)
{
    if (e == ERR_OK)
        return EXIT_DONE;
    return e < ERR_FAULT_FIRST ? EXIT_FAILED : EXIT_FAULT;
}

/* ---- help ---- */

static void print_help(FILE *to, const struct command *c)
{
    fprintf(to, "Usage: berth %s [options]%s%s\n\n%s\nOptions:\n", c->name, *c->arguments ? " " : "",
            c->arguments, c->about);
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option_row *o = &option_rows[i];
        char left[64];

        if (o->bit && !(c->takes & o->bit))
            continue;
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                 o->letter ? "," : " ", o->name, o->value ? " " : "", o->value ? o->value : "");
        fprintf(to, "  %-28s  %s\n", left, o->help);
    }
}

static void print_commands(FILE *to)
{
    fputs("Usage: berth COMMAND [options] [arguments]\n\n"
          "A container registry in one small program and one data directory.\n\nCommands:\n", to);
    for (const struct command *c = commands; c->name; c++)
        fprintf(to, "  %-12s  %s\n", c->name, c->summary);
    fputs("\n\"berth COMMAND --help\" tells more about each. To begin:\n\n"
          "  berth serve --data ./data --listen 127.0.0.1:5000\n", to);
}

static const struct command *find_command(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (str_eq(c->name, name))
            return c;
    return NULL;
}

static int no_such_command(const char *name)
{
    const char *names[32], *near;
    size_t n = 0;

    for (const struct command *c = commands; c->name && n < 32; c++)
        names[n++] = c->name;
    near = suggest(name, names, n);
    if (name[0] == '-')
        cli_say("options stand after the command: \"berth serve --data DIR\"");
    else if (near)
        cli_say("there is no command \"%s\"; is it \"berth %s\"?", name, near);
    else
        cli_say("there is no command \"%s\"; \"berth help\" lists them", name);
    return EXIT_USAGE;
}

int cmd_help(struct cli *cli)
{
    const struct command *c;

    if (cli->argc == 0) {
        print_commands(stdout);
        return EXIT_DONE;
    }
    c = find_command(cli->argv[0]);
    if (!c)
        return no_such_command(cli->argv[0]);
    if (c->run == cmd_help)
        print_commands(stdout);
    else
        print_help(stdout, c);
    return EXIT_DONE;
}

/* ---- options ---- */

/* Say what getopt_long found wrong; it left the option's letter or number in optopt, 0 for an unknown
 * long one, which is the word it read last. */
static int wrong_option(const struct cli *cli, int found, const char *word, const struct option *longs,
                        size_t n)
{
    const char *names[OPTIONS], *near;

    if (optopt >= 256)
        return cli_usage(cli, found == ':' ? "--%s needs a value" : "--%s takes no value",
                         option_rows[optopt - 256].name);
    if (optopt > 0)
        return cli_usage(cli, found == ':' ? "-%c needs a value" : "there is no option -%c", optopt);
    for (size_t i = 0; i < n; i++)
        names[i] = longs[i].name;
    near = suggest(word + strspn(word, "-"), names, n);
    return cli_usage(cli, "there is no option %s%s%s%s", word, near ? "; is it --" : "", near ? near : "",
                     near ? "?" : "");
}

/* Read the options of cli->command. *help: the help is asked for. Returns an exit code. */
static int parse_options(struct cli *cli, int argc, char **argv, bool *help)
{
    struct option longs[OPTIONS + 1];
    int rows[OPTIONS], n = 0, at, index;
    char shorts[2 * OPTIONS + 2], *p = shorts;

    *p++ = ':'; /* getopt tells a missing value apart, and prints nothing itself */
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option_row *o = &option_rows[i];

        if (o->bit && !(cli->command->takes & o->bit))
            continue;
        longs[n] = (struct option){ o->name, o->value ? required_argument : no_argument, NULL, 256 + (int)i };
        rows[n++] = (int)i;
        if (o->letter) {
            *p++ = o->letter;
            if (o->value)
                *p++ = ':';
        }
    }
    *p = '\0';
    memset(&longs[n], 0, sizeof longs[n]);
    opterr = 0;
    for (;;) {
        const struct option_row *o = NULL;

        at = getopt_long(argc, argv, shorts, longs, &index);
        if (at == -1)
            break;
        if (at == ':' || at == '?')
            return wrong_option(cli, at, argv[optind - 1], longs, (size_t)n);
        for (int i = 0; i < n && !o; i++)
            if (at == 256 + rows[i] || (at < 256 && at == option_rows[rows[i]].letter))
                o = &option_rows[rows[i]];
        assert(o); /* getopt_long gives only what it was given */
        if (str_eq(o->name, "help")) {
            *help = true;
        } else if (o->value) {
            const char *value = optarg;

            memcpy((char *)cli + o->offset, &value, sizeof value);
        } else {
            *(bool *)((char *)cli + o->offset) = true;
        }
    }
    cli->argc = argc - optind;
    cli->argv = argv + optind;
    return EXIT_DONE;
}

enum err cli_settings(const struct cli *cli, struct settings *out, char why[SETTINGS_WHY_MAX + 1])
{
    const struct setting_option options[] = {
        { "storage", "data", "--data", cli->data },
        { "server", "listen", "--listen", cli->listen },
    };
    struct settings_input in = {
        .file = cli->config,
        .environment = (const char *const *)environ,
        .options = options,
        .option_count = 2,
    };

    return settings_load(out, &in, why);
}

static int run(struct cli *cli, int argc, char **argv)
{
    const struct command *c = cli->command;
    char why[SETTINGS_WHY_MAX + 1];
    bool help = false;
    int code = parse_options(cli, argc, argv, &help);

    if (code)
        return code;
    if (help) {
        if (c->run == cmd_help)
            print_commands(stdout);
        else
            print_help(stdout, c);
        return EXIT_DONE;
    }
    if (cli->argc < c->min)
        return cli_usage(cli, "arguments are missing: berth %s %s", c->name, c->arguments);
    if (c->max >= 0 && cli->argc > c->max)
        return cli_usage(cli, "\"%s\" is too much", cli->argv[c->max]);
    if (c->settings) {
        if (cli_settings(cli, &cli->settings, why)) {
            fprintf(stderr, "%s\n", why);
            return EXIT_USAGE;
        }
        /* Commands answer people: the log is for what went wrong, unless more is asked for. */
        log_init(&cli->log, STDERR_FILENO, (enum log_level)cli->settings.log_level);
        if (c->run != cmd_serve && cli->settings.log_level == LOG_INFO)
            cli->log.level = LOG_WARN;
    }
    return c->run(cli);
}

int cli_main(int argc, char **argv)
{
    struct cli cli = { .started_ms = clock_mono_ms() };
    int code;

    if (argc < 2) {
        print_commands(stderr);
        return EXIT_USAGE;
    }
    if (str_eq(argv[1], "--help") || str_eq(argv[1], "-h"))
        cli.command = find_command("help");
    else if (str_eq(argv[1], "--version") || str_eq(argv[1], "-V"))
        cli.command = find_command("version");
    else if (!(cli.command = find_command(argv[1])))
        return no_such_command(argv[1]);

    code = run(&cli, argc - 1, argv + 1);
    /* A full disk under "berth ls --json > file" must not look like success. */
    if (fflush(stdout) || ferror(stdout)) {
        cli_say("the output could not be written");
        return code ? code : EXIT_FAULT;
    }
    return code;
}
