/* settings.h - what the settings file, the environment and the command line say.
 *
 * One table describes every setting: where it stands, its type, default, range, and what it is for.
 * A value comes from, later wins: the default, the file, the environment (BERTH_SECTION_NAME), the
 * command line. A struct settings is a plain value without memory of its own.
 */
#ifndef BERTH_CLI_SETTINGS_H
#define BERTH_CLI_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SETTINGS_FILE     "/etc/berth.conf" /* read when it is there and no other is named */
#define SETTING_TEXT_MAX  1023              /* bytes of a value */
#define SETTINGS_WHY_MAX  2047              /* bytes of the reason why settings are refused */
#define SETTINGS_MAX      32                /* rows the table may have */

enum setting_type {
    SETTING_TEXT,
    SETTING_LISTEN, /* a text that is a list of addresses */
    SETTING_BYTES,
    SETTING_TIME,
    SETTING_COUNT,
    SETTING_CHOICE,
};
enum setting_from { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_OPTION };

/* One row of the table. */
struct setting {
    const char *section, *name;
    enum setting_type type;
    size_t offset;              /* in struct settings: char[] for texts, else uint64_t */
    const char *def;            /* the default, as one would write it */
    uint64_t min, max;          /* bytes, milliseconds or a count */
    bool reload;                /* SIGHUP applies a change; else it waits for a restart */
    const char *const *choices; /* of SETTING_CHOICE: NULL ends them; the value is the index */
    const char *help;
};

struct settings {
    char listen[SETTING_TEXT_MAX + 1];
    char data[SETTING_TEXT_MAX + 1];
    uint64_t layout_idle_ms;
    uint64_t upload_expiry_ms;
    uint64_t sqlite_cache;      /* bytes */
    uint64_t workers;
    uint64_t stack;             /* bytes */
    uint64_t io_timeout_ms, head_timeout_ms, idle_timeout_ms, drain_timeout_ms;
    uint64_t manifest_memory;   /* bytes */
    uint64_t chunk_min_length;  /* bytes */
    uint64_t log_level;         /* enum log_level */

    const char *file;           /* the settings file that was read, the caller's string; NULL: none */
    struct {
        enum setting_from from;
        unsigned line;          /* in file */
        const char *option;     /* on the command line, with its dashes */
    } origin[SETTINGS_MAX];     /* by the row's number */
};

/* A value given on the command line. */
struct setting_option {
    const char *section, *name;
    const char *option;         /* what the person typed, "--data" */
    const char *value;          /* NULL: not given */
};

struct settings_input {
    const char *file;           /* NULL: SETTINGS_FILE, if it is there */
    const char *const *environment; /* "NAME=value", NULL ends it; NULL: none */
    const struct setting_option *options;
    size_t option_count;
};

/* The rows of the table; NULL from n on. */
const struct setting *settings_row(size_t n);

/* Collect all values. in's strings must outlive *out. On ERR_INVALID why says what is wrong and
 * where: "FILE:LINE: reason", "BERTH_SECTION_NAME: reason" or "--option: reason". */
enum err settings_load(struct settings *out, const struct settings_input *in, char why[SETTINGS_WHY_MAX + 1]);

/* The value of row n as one would write it in the file. */
void settings_format(const struct settings *s, size_t n, char out[SETTING_TEXT_MAX + 1]);
/* Where it comes from: "default", "FILE:LINE", "BERTH_SECTION_NAME" or "--option". */
void settings_origin(const struct settings *s, size_t n, char *out, size_t cap);

#endif
