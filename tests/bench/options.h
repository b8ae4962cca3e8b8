/*
 * Options written as words NAME=VALUE, on a command line or in a request
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum OptionKind {
    OPTION_SIZE,
    OPTION_REAL,
    OPTION_CHOICE,
    OPTION_TEXT,
} OptionKind;

typedef struct Option {
    const char *name;
    OptionKind kind;
    void *value;                    /* where it goes, with its default */
    const char *help;
    const char *const *choices;     /* NULL at the end */
} Option;

/* A number, perhaps with a suffix K, M, G or T. */
static inline Option option_size(const char *name, uint64_t *value,
                                 const char *help)
{
    return (Option) { name, OPTION_SIZE, value, help, NULL };
}

static inline Option option_real(const char *name, double *value,
                                 const char *help)
{
    return (Option) { name, OPTION_REAL, value, help, NULL };
}

/* The value is the index of one of the choices. */
static inline Option option_choice(const char *name, int *value,
                                   const char *help,
                                   const char *const *choices)
{
    return (Option) { name, OPTION_CHOICE, value, help, choices };
}

/* The value is part of the word. */
static inline Option option_text(const char *name, const char **value,
                                 const char *help)
{
    return (Option) { name, OPTION_TEXT, value, help, NULL };
}

/*
 * Read words into the values of a table, whose last entry has no name.
 * Returns false with a message in @error.
 */
bool options_parse(const Option *table, char **words, int nr,
                   char *error, size_t error_size);

/*
 * The same for a program, whose first argument is a command: returns that.
 * Ends the program on --help or an error.
 */
const char *options_main(const Option *table, const char *usage,
                         const char *const *commands, int argc, char **argv);

#endif
