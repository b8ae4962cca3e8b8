/*
 * Unit tests: the order in which programs use their pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_REMOTE_USES_H
#define TEST_REMOTE_USES_H

/**
 * struct Uses - who uses pages, and who is told
 * @use: called for each use of a page
 * @opaque: for @use
 * @rand: where chance comes from; the same uses for the same seed
 * @cache: pages that a program is made for: it uses several times as many
 */
typedef struct Uses {
    void (*use)(void *opaque, uint32_t page);
    void *opaque;
    GRand *rand;
    uint32_t cache;
} Uses;

/**
 * struct Program - what uses pages
 * @name: for messages
 * @pages: how many it needs, for each page of the cache
 * @warm: how often it is run before anything is measured
 * @runs: and then
 * @run: run it once
 */
typedef struct Program {
    const char *name;
    unsigned pages;
    unsigned warm;
    unsigned runs;
    void (*run)(const Uses *uses);
} Program;

/** uses_programs: all there are, and then one without a name */
extern const Program uses_programs[];

#endif
