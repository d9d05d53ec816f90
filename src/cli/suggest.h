/* suggest.h - the word that was probably meant. */
#ifndef BERTH_CLI_SUGGEST_H
#define BERTH_CLI_SUGGEST_H

#include <stddef.h>

/* The first of the words nearest to typed, when it is near enough to be a typing error; else NULL. */
const char *suggest(const char *typed, const char *const *words, size_t count);

#endif
