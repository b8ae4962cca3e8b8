/*
 * A connection to a Redis server
 *
 * Commands are sent, and their answers read in the same order, by the blocking
 * functions of <stdio.h>. Each function ends the program if the connection
 * breaks or the answer is of another kind than expected.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_RESP_H
#define BENCH_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Resp {
    FILE *out;
    FILE *in;
} Resp;

/* Connect to a socket; returns whether somebody listens there. */
bool resp_connect(Resp *r, const char *path);

/* Send a command of so many words, each by a call of the other function. */
void resp_command(Resp *r, unsigned words);
void resp_word(Resp *r, const void *data, size_t bytes);
void resp_text(Resp *r, const char *text);

/* Send what has been written so far. */
void resp_flush(Resp *r);

/* Read an answer that is a status or a number. */
void resp_expect_ok(Resp *r);

/* Read the head of a list: returns the number of answers that follow. */
uint64_t resp_expect_list(Resp *r);

/* Read a string into a buffer; returns its length, without the 0 at its end. */
size_t resp_expect_string(Resp *r, char *buffer, size_t size);

#endif
