/* test_settings.c - settings from defaults, file, environment and command line, and what is refused. */
#include "cli/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cli/suggest.h"
#include "t.h"

/* A settings file of the test's own; the path lives until the next call. */
static const char *file_of_bytes(struct t *t, const char *text, size_t len)
{
    static char path[4200];
    FILE *f;

    snprintf(path, sizeof path, "%s/berth.conf", t_dir(t));
    f = fopen(path, "w");
    if (!f || fwrite(text, 1, len, f) != len || fclose(f)) {
        t_fail(t, __FILE__, __LINE__, "cannot write %s", path);
        exit(1);
    }
    return path;
}

static const char *file_of(struct t *t, const char *text)
{
    return file_of_bytes(t, text, strlen(text));
}

static enum err load(struct settings *s, const char *file, const char *const *environment, char *why)
{
    struct settings_input in = { .file = file, .environment = environment };

    return settings_load(s, &in, why);
}

/* Load a file that must be taken. */
static void taken(struct t *t, struct settings *s, const char *text)
{
    char why[SETTINGS_WHY_MAX + 1];
    enum err e = load(s, file_of(t, text), NULL, why);

    CHECK_INT(e, ERR_OK);
    CHECK_STR(why, "");
}

/* Load a file that must be refused, with this reason after the file's name. */
static void refused(struct t *t, const char *text, const char *reason)
{
    struct settings s;
    char why[SETTINGS_WHY_MAX + 1];
    const char *path = file_of(t, text);

    t_note(t, "%s", text);
    CHECK_INT(load(&s, path, NULL, why), ERR_INVALID);
    CHECK(strncmp(why, path, strlen(path)) == 0);
    CHECK_STR(why + strlen(path), reason);
    t_note(t, "%s", "");
}

static size_t row_of(const char *section, const char *name)
{
    size_t n = 0;

    while (strcmp(settings_row(n)->section, section) != 0 || strcmp(settings_row(n)->name, name) != 0)
        n++;
    return n;
}

static void every_default_is_within_its_own_range(struct t *t)
{
    char why[SETTINGS_WHY_MAX + 1], value[SETTING_TEXT_MAX + 1], origin[100];
    struct settings s;
    size_t n;

    REQUIRE(load(&s, file_of(t, ""), NULL, why) == ERR_OK);
    for (n = 0; settings_row(n); n++) {
        t_note(t, "%s", settings_row(n)->name);
        settings_format(&s, n, value);
        CHECK_STR(value, settings_row(n)->def); /* so the table is written as it is shown */
        settings_origin(&s, n, origin, sizeof origin);
        CHECK_STR(origin, "default");
        CHECK(strlen(settings_row(n)->help) > 10);
    }
    CHECK(n > 5);
}

static void a_file_sets_what_it_names_and_nothing_else(struct t *t)
{
    struct settings s;
    char origin[5000], want[5000];

    taken(t, &s,
          "# a comment\n"
          "\n"
          "[storage]\n"
          "data = /srv/berth   ; where the disk is\n"
          "[limits]\n"
          "  workers=8\n"
          "io_timeout = 1500ms\n"
          "manifest_memory = 32m\n"
          "[log]\n"
          "level = debug\n"
          "[storage]\n"
          "layout_idle = 0\n");
    CHECK_STR(s.data, "/srv/berth");
    CHECK_INT(s.workers, 8);
    CHECK_INT(s.io_timeout_ms, 1500);
    CHECK_INT(s.manifest_memory, 32 << 20);
    CHECK_INT(s.log_level, LOG_DEBUG);
    CHECK_INT(s.layout_idle_ms, 0);
    CHECK_STR(s.listen, ":5000");
    settings_origin(&s, row_of("limits", "workers"), origin, sizeof origin);
    snprintf(want, sizeof want, "%s/berth.conf:6", t_dir(t));
    CHECK_STR(origin, want);
}

static void sizes_and_times_take_their_units(struct t *t)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } times[] = {
        { "1000ms", 1000 }, { "1s", 1000 }, { "2m", 120000 }, { "1h", 3600000 }, { "0060s", 60000 },
    };
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {
        { "65536", 65536 }, { "64K", 65536 }, { "64k", 65536 }, { "64KiB", 65536 }, { "1M", 1 << 20 },
        { "1G", 1 << 30 },
    };
    struct settings s;
    char text[100];

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        snprintf(text, sizeof text, "[limits]\nidle_timeout = %s\n", times[i].text);
        taken(t, &s, text);
        CHECK_INT(s.idle_timeout_ms, times[i].ms);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        snprintf(text, sizeof text, "[storage]\nsqlite_cache = %s\n", sizes[i].text);
        taken(t, &s, text);
        CHECK_INT(s.sqlite_cache, sizes[i].bytes);
    }
}

static void values_are_shown_in_their_largest_whole_unit(struct t *t)
{
    static const struct {
        const char *section, *name, *text, *shown;
    } rows[] = {
        { "limits", "io_timeout", "90s", "90s" },          { "limits", "io_timeout", "120s", "2m" },
        { "limits", "io_timeout", "1001ms", "1001ms" },    { "limits", "drain_timeout", "0", "0" },
        { "storage", "sqlite_cache", "1048576", "1M" },    { "storage", "sqlite_cache", "65537", "65537" },
        { "limits", "chunk_min_length", "0K", "0" },       { "log", "level", "off", "off" },
        { "server", "listen", "[::1]:0", "[::1]:0" },
    };
    struct settings s;
    char text[100], shown[SETTING_TEXT_MAX + 1];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, "[%s]\n%s = %s\n", rows[i].section, rows[i].name, rows[i].text);
        taken(t, &s, text);
        settings_format(&s, row_of(rows[i].section, rows[i].name), shown);
        CHECK_STR(shown, rows[i].shown);
    }
}

static void a_mistake_in_the_file_is_told_with_its_line(struct t *t)
{
    refused(t, "\n[server]\nlisen = :1\n", ":3: [server] has no setting \"lisen\"; is it \"listen\"?");
    refused(t, "[server]\nworkers = 8\n", ":2: [server] has no setting \"workers\"; it stands in [limits]");
    refused(t, "[server]\nzzz = 8\n", ":2: [server] has no setting \"zzz\"");
    refused(t, "[sever]\nlisten = :1\n", ":2: there is no section [sever]; is it [server]?");
    refused(t, "[elsewhere]\nlisten = :1\n", ":2: there is no section [elsewhere]");
    refused(t, "listen = :1\n", ":1: \"listen\" stands before any [section]");
    refused(t, "[server]\nlisten = :1\n\nlisten = :2\n",
            ":4: listen is set twice: it stands in line 2 already");
    refused(t, "[server]\nlisten\n", ":2: this is neither \"name = value\" nor \"[section]\"");
    refused(t, "[server\n", ":1: this is neither \"name = value\" nor \"[section]\"");
    refused(t, "[server]\nlisten =\n", ":2: listen is empty");
    refused(t, "[log]\nlevel = loud\n",
            ":2: level cannot be \"loud\": it is one of debug, info, warn, error, off");
    refused(t, "[log]\nlevel = info # as always\n",
            ":2: level cannot be \"info # as always\": it is one of debug, info, warn, error, off");
    refused(t, "[limits]\nworkers = many\n", ":2: workers: \"many\" is no whole number");
    refused(t, "[limits]\nworkers = 8K\n", ":2: workers: \"8K\" is no whole number");
    refused(t, "[limits]\nworkers = -1\n", ":2: workers: \"-1\" is no whole number");
    refused(t, "[limits]\nworkers = 3\n", ":2: workers: 3 is out of range: from 4 to 4096");
    refused(t, "[limits]\nworkers = 4097\n", ":2: workers: 4097 is out of range: from 4 to 4096");
    refused(t, "[limits]\nio_timeout = 60\n",
            ":2: io_timeout: \"60\" is no time: write a whole number and its unit: ms, s, m, h or d");
    refused(t, "[limits]\nio_timeout = 1.5s\n",
            ":2: io_timeout: \"1.5s\" is no time: write a whole number and its unit: ms, s, m, h or d");
    refused(t, "[limits]\nio_timeout = 999ms\n", ":2: io_timeout: 999ms is out of range: from 1s to 1h");
    refused(t, "[limits]\nio_timeout = 18446744073709551615d\n",
            ":2: io_timeout: \"18446744073709551615d\" is no time: "
            "write a whole number and its unit: ms, s, m, h or d");
    refused(t, "[limits]\nstack = 1X\n",
            ":2: stack: \"1X\" is no size: write a whole number, if you like with K, M, G or T");
    refused(t, "[limits]\nstack = K\n",
            ":2: stack: \"K\" is no size: write a whole number, if you like with K, M, G or T");
    refused(t, "[limits]\nmanifest_memory = 4194303\n",
            ":2: manifest_memory: 4194303 is out of range: from 4M to 1G");
    /* The first mistake is the one that is told. */
    refused(t, "[limits]\nworkers = 0\nnonsense\n", ":2: workers: 0 is out of range: from 4 to 4096");
    refused(t, "[limits]\nnonsense\nworkers = 0\n", ":2: this is neither \"name = value\" nor \"[section]\"");
}

static void addresses_to_listen_on_are_judged_one_by_one(struct t *t)
{
    static const char *const good[] = {
        ":5000", ":0", "127.0.0.1:5000", "[::1]:5000", "[::]:65535", "127.0.0.1:80,[::1]:80,:5000",
    };
    struct settings s;
    char text[400];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(text, sizeof text, "[server]\nlisten = %s\n", good[i]);
        taken(t, &s, text);
        CHECK_STR(s.listen, good[i]);
    }
    taken(t, &s, "[server]\nlisten = 127.0.0.1:80,\t [::1]:80 , :5000\n");
    CHECK_STR(s.listen, "127.0.0.1:80,[::1]:80,:5000");
    refused(t, "[server]\nlisten = 5000\n",
            ":2: \"5000\" has no port: write ADDRESS:PORT, or :PORT for all addresses");
    refused(t, "[server]\nlisten = 127.0.0.1\n",
            ":2: \"127.0.0.1\" has no port: write ADDRESS:PORT, or :PORT for all addresses");
    refused(t, "[server]\nlisten = localhost:5000\n",
            ":2: \"localhost\" is no numeric address, such as 127.0.0.1 or [::1]");
    refused(t, "[server]\nlisten = 127.0.0.1:65536\n", ":2: \"65536\" is no port from 0 to 65535");
    refused(t, "[server]\nlisten = 127.0.0.1:\n", ":2: \"\" is no port from 0 to 65535");
    refused(t, "[server]\nlisten = 127.0.0.300:1\n",
            ":2: \"127.0.0.300\" is no numeric address, such as 127.0.0.1 or [::1]");
    refused(t, "[server]\nlisten = ::1:5000\n", ":2: an IPv6 address needs brackets: [::1]:5000");
    refused(t, "[server]\nlisten = [127.0.0.1]:5000\n",
            ":2: \"[127.0.0.1]\" is no numeric address, such as 127.0.0.1 or [::1]");
    refused(t, "[server]\nlisten = :1,,:2\n", ":2: an address is missing beside a comma");
    refused(t, "[server]\nlisten = :1,\n", ":2: an address is missing beside a comma");
    refused(t, "[server]\nlisten = :1,:2,:3,:4,:5,:6,:7,:8,:9,:10,:11,:12,:13,:14,:15,:16,:17\n",
            ":2: more than 16 addresses");
}

static void a_file_that_is_no_text_is_refused(struct t *t)
{
    static const char nul[] = "[log]\nlevel = in\0fo\n";
    struct settings s;
    char why[SETTINGS_WHY_MAX + 1], want[5000], line[6000];
    const char *path = file_of_bytes(t, nul, sizeof nul - 1);

    CHECK_INT(load(&s, path, NULL, why), ERR_INVALID);
    snprintf(want, sizeof want, "%s:2: there is a NUL character: this is no text file", path);
    CHECK_STR(why, want);

    /* A folder, and a file that is not there. */
    snprintf(want, sizeof want, "%s: cannot read the settings: Is a directory", t_dir(t));
    CHECK_INT(load(&s, t_dir(t), NULL, why), ERR_INVALID);
    CHECK_STR(why, want);
    CHECK_INT(load(&s, "/nowhere/berth.conf", NULL, why), ERR_INVALID);
    CHECK_STR(why, "/nowhere/berth.conf: cannot read the settings: No such file or directory");

    /* A line that is too long is neither cut nor taken for two. */
    memset(line, 'x', sizeof line);
    memcpy(line, "\n[storage]\ndata = /", 19);
    line[sizeof line - 1] = '\0';
    path = file_of(t, line);
    CHECK_INT(load(&s, path, NULL, why), ERR_INVALID);
    snprintf(want, sizeof want, "%s:3: the line is longer than ", path);
    CHECK(strncmp(why, want, strlen(want)) == 0);

    /* A value may be too long in a line that is not. */
    line[11 + 7 + SETTING_TEXT_MAX + 1] = '\0';
    path = file_of(t, line);
    CHECK_INT(load(&s, path, NULL, why), ERR_INVALID);
    snprintf(want, sizeof want, "%s:3: data is longer than %d bytes", path, SETTING_TEXT_MAX);
    CHECK_STR(why, want);
    line[11 + 7 + SETTING_TEXT_MAX] = '\0';
    CHECK_INT(load(&s, file_of(t, line), NULL, why), ERR_OK);
    CHECK_INT(strlen(s.data), SETTING_TEXT_MAX);
}

static void a_file_may_have_the_habits_of_other_systems(struct t *t)
{
    struct settings s;

    taken(t, &s, "\xEF\xBB\xBF[limits]\r\nworkers = 9\r\n\r\n[log]\r\nlevel = warn");
    CHECK_INT(s.workers, 9);
    CHECK_INT(s.log_level, LOG_WARN);
}

static void the_environment_goes_over_the_file_and_the_command_line_over_both(struct t *t)
{
    static const char *const environment[] = {
        "HOME=/root", "BERTH_LOG_LEVEL=error", "BERTH_LIMITS_IO_TIMEOUT=5s", "BERTH_STORAGE_DATA=/b",
        "BERTH=/usr/bin/berth", "BERTH_CACHE=/tmp", "BERTH_LOGO=none", NULL,
    };
    const struct setting_option options[] = {
        { "storage", "data", "--data", "/c" },
        { "server", "listen", "--listen", NULL },
    };
    struct settings_input in = {
        .file = file_of(t, "[storage]\ndata = /a\n[log]\nlevel = debug\n[server]\nlisten = :1\n"),
        .environment = environment, .options = options, .option_count = 2,
    };
    char why[SETTINGS_WHY_MAX + 1], origin[100];
    struct settings s;

    REQUIRE(settings_load(&s, &in, why) == ERR_OK);
    CHECK_STR(s.data, "/c");
    CHECK_STR(s.listen, ":1");
    CHECK_INT(s.log_level, LOG_ERROR);
    CHECK_INT(s.io_timeout_ms, 5000);
    settings_origin(&s, row_of("storage", "data"), origin, sizeof origin);
    CHECK_STR(origin, "--data");
    settings_origin(&s, row_of("limits", "io_timeout"), origin, sizeof origin);
    CHECK_STR(origin, "BERTH_LIMITS_IO_TIMEOUT");
}

static void a_mistake_in_the_environment_is_told_with_the_variable(struct t *t)
{
    static const struct {
        const char *variable;
        const char *why;
    } rows[] = {
        { "BERTH_LOG_LEVEL=loud",
          "BERTH_LOG_LEVEL: level cannot be \"loud\": it is one of debug, info, warn, error, off" },
        { "BERTH_LOG_LEVEL=", "BERTH_LOG_LEVEL: level is empty" },
        { "BERTH_LOG_LEVLE=info", "BERTH_LOG_LEVLE: [log] has no setting \"levle\"; is it \"level\"?" },
        { "BERTH_LIMITS_DATA=/x",
          "BERTH_LIMITS_DATA: [limits] has no setting \"data\"; it stands in [storage]" },
        { "BERTH_SERVER_=1", "BERTH_SERVER_: [server] has no setting \"\"" },
        { "BERTH_LIMITS_WORKERS=1", "BERTH_LIMITS_WORKERS: workers: 1 is out of range: from 4 to 4096" },
    };
    char why[SETTINGS_WHY_MAX + 1];
    struct settings s;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const environment[] = { rows[i].variable, NULL };

        CHECK_INT(load(&s, file_of(t, ""), environment, why), ERR_INVALID);
        CHECK_STR(why, rows[i].why);
    }
}

static void a_mistake_on_the_command_line_is_told_with_the_option(struct t *t)
{
    const struct setting_option options[] = { { "server", "listen", "--listen", "here" } };
    struct settings_input in = { .file = file_of(t, ""), .options = options, .option_count = 1 };
    char why[SETTINGS_WHY_MAX + 1];
    struct settings s;

    CHECK_INT(settings_load(&s, &in, why), ERR_INVALID);
    CHECK_STR(why, "--listen: \"here\" has no port: write ADDRESS:PORT, or :PORT for all addresses");
}

static void every_setting_can_come_from_the_environment(struct t *t)
{
    char why[SETTINGS_WHY_MAX + 1], variable[200], origin[100];
    const struct setting *row;
    struct settings s;

    for (size_t n = 0; (row = settings_row(n)); n++) {
        const char *const environment[] = { variable, NULL };
        char *end;

        snprintf(variable, sizeof variable, "BERTH_%s_%s", row->section, row->name);
        for (end = variable; *end; end++)
            if (*end >= 'a' && *end <= 'z')
                *end = (char)(*end - 'a' + 'A');
        snprintf(end, 50, "=%s", row->def);
        t_note(t, "%s", variable);
        CHECK_INT(load(&s, file_of(t, ""), environment, why), ERR_OK);
        settings_origin(&s, n, origin, sizeof origin);
        CHECK(strlen(origin) == (size_t)(end - variable) && strncmp(origin, variable, strlen(origin)) == 0);
    }
}

static void a_typing_error_is_recognised_and_another_word_is_not(struct t *t)
{
    static const char *const words[] = { "serve", "check", "ls", "tag", "rm", "rebuild", "version" };
    static const struct {
        const char *typed, *meant;
    } rows[] = {
        { "sreve", "serve" }, { "server", "serve" }, { "chek", "check" }, { "reubild", "rebuild" },
        { "l", "ls" }, { "tags", "tag" }, { "", NULL }, { "push", NULL }, { "xyzzy", NULL },
        { "a-very-long-word-that-nobody-would-type-here", NULL },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = suggest(rows[i].typed, words, sizeof words / sizeof words[0]);

        t_note(t, "%s", rows[i].typed);
        CHECK_STR(got ? got : "(none)", rows[i].meant ? rows[i].meant : "(none)");
    }
}

T_MAIN(T(every_default_is_within_its_own_range),
       T(a_file_sets_what_it_names_and_nothing_else),
       T(sizes_and_times_take_their_units),
       T(values_are_shown_in_their_largest_whole_unit),
       T(a_mistake_in_the_file_is_told_with_its_line),
       T(addresses_to_listen_on_are_judged_one_by_one),
       T(a_file_that_is_no_text_is_refused),
       T(a_file_may_have_the_habits_of_other_systems),
       T(the_environment_goes_over_the_file_and_the_command_line_over_both),
       T(a_mistake_in_the_environment_is_told_with_the_variable),
       T(a_mistake_on_the_command_line_is_told_with_the_option),
       T(every_setting_can_come_from_the_environment),
       T(a_typing_error_is_recognised_and_another_word_is_not))
