/* settings.c - where values come from: file, environment, command line.
 *
 * inih cuts the file into sections, names and values; the table gives them meaning. Whatever is not
 * understood is refused: a setting with a typing error that is silently a default shows its effect
 * months later, on a machine where nobody is.
 */
#include "cli/settings.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "cli/settings_value.h"
#include "cli/suggest.h"

static void variable_name(const struct setting *row, char *out, size_t cap)
{
    snprintf(out, cap, "BERTH_%s_%s", row->section, row->name);
    for (; *out; out++)
        *out = (char)toupper((unsigned char)*out);
}

void settings_origin(const struct settings *s, size_t n, char *out, size_t cap)
{
    switch (s->origin[n].from) {
    case FROM_DEFAULT:
        snprintf(out, cap, "default");
        return;
    case FROM_FILE:
        snprintf(out, cap, "%s:%u", s->file, s->origin[n].line);
        return;
    case FROM_ENVIRONMENT:
        variable_name(settings_row(n), out, cap);
        return;
    case FROM_OPTION:
        snprintf(out, cap, "%s", s->origin[n].option);
        return;
    }
}

static bool section_known(const char *section)
{
    const struct setting *row;

    for (size_t i = 0; (row = settings_row(i)); i++)
        if (str_eq(row->section, section))
            return true;
    return false;
}

/* The number of the row called name in section; SETTINGS_MAX: there is none. */
static size_t find(const char *section, const char *name)
{
    const struct setting *row;

    for (size_t i = 0; (row = settings_row(i)); i++)
        if (str_eq(row->section, section) && str_eq(row->name, name))
            return i;
    return SETTINGS_MAX;
}

static void say_no_section(const char *section, char why[SETTINGS_WHY_MAX + 1])
{
    const char *names[SETTINGS_MAX], *near;
    const struct setting *row;
    size_t n = 0;

    while ((row = settings_row(n)))
        names[n++] = row->section;
    near = suggest(section, names, n);
    settings_say(why, "there is no section [%s]%s%s%s", section, near ? "; is it [" : "", near ? near : "",
                 near ? "]?" : "");
}

static void say_no_name(const char *section, const char *name, char why[SETTINGS_WHY_MAX + 1])
{
    const char *names[SETTINGS_MAX], *near;
    const struct setting *row;
    size_t n = 0;

    for (size_t i = 0; (row = settings_row(i)); i++) {
        if (str_eq(row->name, name)) {
            settings_say(why, "[%s] has no setting \"%s\"; it stands in [%s]", section, name, row->section);
            return;
        }
        if (str_eq(row->section, section))
            names[n++] = row->name;
    }
    near = suggest(name, names, n);
    settings_say(why, "[%s] has no setting \"%s\"%s%s%s", section, name, near ? "; is it \"" : "",
                 near ? near : "", near ? "\"?" : "");
}

struct reading {
    struct settings *s;
    FILE *file;
    unsigned line;          /* the one inih has last */
    unsigned bad_line;      /* 0: none */
    char *why;              /* of bad_line */
};

/* Remember the first thing that is wrong. */
static int refuse(struct reading *r)
{
    r->bad_line = r->line;
    return 0;
}

static int take_pair(struct reading *r, const char *section, const char *name, const char *value)
{
    size_t n;

    if (r->bad_line)
        return 0;
    if (!section_known(section)) {
        if (*section)
            say_no_section(section, r->why);
        else
            settings_say(r->why, "\"%s\" stands before any [section]", name);
        return refuse(r);
    }
    if (!name)
        return 1; /* an inih that reports the beginning of sections too */
    n = find(section, name);
    if (n == SETTINGS_MAX) {
        say_no_name(section, name, r->why);
        return refuse(r);
    }
    if (r->s->origin[n].from == FROM_FILE) {
        settings_say(r->why, "%s is set twice: it stands in line %u already", name, r->s->origin[n].line);
        return refuse(r);
    }
    if (settings_set(r->s, settings_row(n), value ? value : "", r->why))
        return refuse(r);
    r->s->origin[n].from = FROM_FILE;
    r->s->origin[n].line = r->line;
    return 1;
}

/* inih's callback has a line number or not, as it was built; next_line counts in any case. */
#if INI_HANDLER_LINENO
static int on_pair(void *arg, const char *section, const char *name, const char *value, int line)
{
    (void)line;
    return take_pair(arg, section, name, value);
}
#else
static int on_pair(void *arg, const char *section, const char *name, const char *value)
{
    return take_pair(arg, section, name, value);
}
#endif

/* inih's way to get a line, as fgets. It would skip the rest of a line that is too long,
 * and go astray over a NUL: both end here. */
static char *next_line(char *out, int cap, void *arg)
{
    struct reading *r = arg;
    int n = 0, c = 0;

    if (r->bad_line)
        return NULL;
    while (n < cap - 1 && (c = getc(r->file)) != EOF) {
        out[n++] = (char)c;
        if (c == '\n')
            break;
        if (c == '\0') {
            r->line++;
            settings_say(r->why, "there is a NUL character: this is no text file");
            refuse(r);
            return NULL;
        }
    }
    if (n == 0)
        return NULL;
    out[n] = '\0';
    r->line++;
    if (n == cap - 1 && c != '\n' && (c = getc(r->file)) != EOF) {
        settings_say(r->why, "the line is longer than %d bytes", cap - 2);
        refuse(r);
        return NULL;
    }
    return out;
}

static enum err load_file(struct settings *s, const char *path, bool required, char why[SETTINGS_WHY_MAX + 1])
{
    char reason[SETTINGS_WHY_MAX + 1] = "";
    struct reading r = { .s = s, .why = reason };
    struct stat st;
    int bad, err_no;

    r.file = fopen(path, "re");
    if (!r.file && !required && (errno == ENOENT || errno == ENOTDIR))
        return ERR_OK;
    /* A folder opens like a file, and reads like an empty one. */
    if (!r.file || fstat(fileno(r.file), &st) || (S_ISDIR(st.st_mode) && (errno = EISDIR))) {
        settings_say(why, "%s: cannot read the settings: %s", path, strerror(errno));
        if (r.file)
            fclose(r.file);
        return ERR_INVALID;
    }
    s->file = path;
    errno = 0;
    bad = ini_parse_stream(next_line, &r, on_pair, &r);
    err_no = ferror(r.file) ? errno : 0;
    fclose(r.file);
    if (err_no) {
        settings_say(why, "%s: cannot read the settings: %s", path, strerror(err_no));
        return ERR_INVALID;
    }
    /* inih found something on its own, before anything that was found here. */
    if (bad > 0 && (!r.bad_line || (unsigned)bad < r.bad_line)) {
        r.bad_line = (unsigned)bad;
        settings_say(reason, "this is neither \"name = value\" nor \"[section]\"");
    }
    if (r.bad_line) {
        settings_say(why, "%s:%u: %s", path, r.bad_line, reason);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* Is text (up to its '=') a variable of this section? Then name is its lower-case rest. */
static bool in_section(const char *variable, const char *section, char *name, size_t cap)
{
    size_t i, len = strlen(section);

    for (i = 0; i < len; i++)
        if (variable[i] != toupper((unsigned char)section[i]))
            return false;
    if (variable[len] != '_')
        return false;
    variable += len + 1;
    for (i = 0; variable[i] && variable[i] != '='; i++) {
        if (i + 1 == cap)
            return false;
        name[i] = (char)tolower((unsigned char)variable[i]);
    }
    name[i] = '\0';
    return variable[i] == '=';
}

/* Only what begins with BERTH_ and a section's name is a setting: other BERTH_ variables belong to
 * scripts around the program. */
static enum err load_environment(struct settings *s, const char *const *environment,
                                 char why[SETTINGS_WHY_MAX + 1])
{
    const struct setting *row;
    char reason[SETTINGS_WHY_MAX + 1];
    char name[64];

    for (; environment && *environment; environment++) {
        const char *variable = *environment;

        if (!str_starts(variable, "BERTH_"))
            continue;
        for (size_t i = 0; (row = settings_row(i)); i++) {
            size_t n;

            if (!in_section(variable + 6, row->section, name, sizeof name))
                continue;
            n = find(row->section, name);
            if (n == SETTINGS_MAX)
                say_no_name(row->section, name, reason);
            if (n == SETTINGS_MAX || settings_set(s, settings_row(n), strchr(variable, '=') + 1, reason)) {
                settings_say(why, "%.*s: %s", (int)strcspn(variable, "="), variable, reason);
                return ERR_INVALID;
            }
            s->origin[n].from = FROM_ENVIRONMENT;
            break;
        }
    }
    return ERR_OK;
}

enum err settings_load(struct settings *out, const struct settings_input *in, char why[SETTINGS_WHY_MAX + 1])
{
    const struct setting *row;
    char reason[SETTINGS_WHY_MAX + 1];
    enum err e;

    memset(out, 0, sizeof *out);
    why[0] = '\0';
    for (size_t i = 0; (row = settings_row(i)); i++)
        if ((e = settings_set(out, row, row->def, reason))) { /* a mistake in the table: tests find it */
            settings_say(why, "default: %s", reason);
            return e;
        }
    if ((e = load_file(out, in->file ? in->file : SETTINGS_FILE, in->file != NULL, why)) ||
        (e = load_environment(out, in->environment, why)))
        return e;
    for (size_t i = 0; i < in->option_count; i++) {
        const struct setting_option *o = &in->options[i];
        size_t n = find(o->section, o->name);

        if (!o->value)
            continue;
        if ((e = settings_set(out, settings_row(n), o->value, reason))) {
            settings_say(why, "%s: %s", o->option, reason);
            return e;
        }
        out->origin[n].from = FROM_OPTION;
        out->origin[n].option = o->option;
    }
    return ERR_OK;
}
