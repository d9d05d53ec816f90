/* settings_value.h - the table of settings; for settings.c alone. */
#ifndef BERTH_CLI_SETTINGS_VALUE_H
#define BERTH_CLI_SETTINGS_VALUE_H

#include "cli/settings.h"

/* Write a reason. One that is too long is cut: it is for reading, and nothing else is made from it. */
void settings_say(char why[SETTINGS_WHY_MAX + 1], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Read text as row's value into s. ERR_INVALID: why has the reason. */
enum err settings_set(struct settings *s, const struct setting *row, const char *text,
                      char why[SETTINGS_WHY_MAX + 1]);

#endif
