/*
 * Options written as words NAME=VALUE, on a command line or in a request
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static bool parse_size(const char *text, uint64_t *value)
{
    static const char suffixes[] = "KMGT";
    const char *suffix;
    char *end;

    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    *value = strtoull(text, &end, 10);
    if (*end) {
        suffix = strchr(suffixes, toupper((unsigned char)*end));
        if (!suffix || end[1]) {
            return false;
        }
        *value <<= 10 * (suffix - suffixes + 1);
    }
    return true;
}

static bool parse_real(const char *text, double *value)
{
    char *end;

    *value = strtod(text, &end);
    return end != text && !*end && *value >= 0;
}

static bool parse_choice(const char *const *choices, const char *text,
                         int *value)
{
    for (int i = 0; choices[i]; i++) {
        if (!strcmp(choices[i], text)) {
            *value = i;
            return true;
        }
    }
    return false;
}

static bool parse_value(const Option *option, const char *text)
{
    switch (option->kind) {
    case OPTION_SIZE:
        return parse_size(text, option->value);
    case OPTION_REAL:
        return parse_real(text, option->value);
    case OPTION_CHOICE:
        return parse_choice(option->choices, text, option->value);
    case OPTION_TEXT:
        *(const char **)option->value = text;
        return true;
    }
    return false;
}

static const Option *find(const Option *table, const char *word, size_t len)
{
    for (; table->name; table++) {
        if (strlen(table->name) == len && !memcmp(table->name, word, len)) {
            return table;
        }
    }
    return NULL;
}

bool options_parse(const Option *table, char **words, int nr,
                   char *error, size_t error_size)
{
    for (int i = 0; i < nr; i++) {
        const char *equals = strchr(words[i], '=');
        const Option *option = equals ? find(table, words[i],
                                             equals - words[i]) : NULL;

        if (!option) {
            snprintf(error, error_size, "unknown option: %s", words[i]);
            return false;
        }
        if (!parse_value(option, equals + 1)) {
            snprintf(error, error_size, "bad value: %s", words[i]);
            return false;
        }
    }
    return true;
}

static void print_help(const Option *table, const char *usage)
{
    puts(usage);
    for (; table->name; table++) {
        printf("  %-10s  %s", table->name, table->help);
        if (table->kind == OPTION_CHOICE) {
            for (int i = 0; table->choices[i]; i++) {
                printf("%s%s%s", i ? ", " : ": ", table->choices[i],
                       i == *(int *)table->value ? " (default)" : "");
            }
        } else if (table->kind == OPTION_SIZE && *(uint64_t *)table->value) {
            printf(" (default: %llu)",
                   (unsigned long long)*(uint64_t *)table->value);
        }
        putchar('\n');
    }
}

static bool is_choice(const char *const *choices, const char *word)
{
    int index;

    return parse_choice(choices, word, &index);
}

const char *options_main(const Option *table, const char *usage,
                         const char *const *commands, int argc, char **argv)
{
    char error[256];

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            print_help(table, usage);
            exit(0);
        }
    }
    if (argc < 2 || !is_choice(commands, argv[1])) {
        fputs(usage, stderr);
        exit(2);
    }
    if (!options_parse(table, argv + 2, argc - 2, error, sizeof(error))) {
        fprintf(stderr, "%s: %s; see --help\n", argv[0], error);
        exit(2);
    }
    return argv[1];
}
