/*
 * Requests to a server, as far as they are about lists
 *
 * A request is an array of words in Redis' protocol:
 * "*3\r\n$5\r\nRPUSH\r\n$4\r\nlist\r\n$7\r\nelement\r\n".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "request.h"

#include <string.h>
#include <strings.h>

/* Longer words are passed over all the same; this is where digits end. */
#define MAX_NUMBER (1ul << 30)

/* What was not yet parsed. */
typedef struct Rest {
    const char *at;
    size_t size;
} Rest;

typedef struct Word {
    const char *text;
    size_t length;
} Word;

static void skip(Rest *rest, size_t n)
{
    rest->at += n;
    rest->size -= n;
}

/* A line of @kind and a number. */
static bool take_number(Rest *rest, char kind, size_t *number)
{
    if (!rest->size || *rest->at != kind) {
        return false;
    }
    skip(rest, 1);
    *number = 0;
    while (rest->size && *rest->at >= '0' && *rest->at <= '9' &&
           *number < MAX_NUMBER) {
        *number = *number * 10 + (*rest->at - '0');
        skip(rest, 1);
    }
    if (rest->size < 2 || memcmp(rest->at, "\r\n", 2)) {
        return false;
    }
    skip(rest, 2);
    return true;
}

/* False if it is not there as a whole. */
static bool take_word(Rest *rest, Word *word)
{
    size_t length;

    if (!take_number(rest, '$', &length) || rest->size < length + 2) {
        return false;
    }
    *word = (Word) { rest->at, length };
    skip(rest, length + 2);
    return true;
}

static bool is(const Word *word, const char *text)
{
    return word->length == strlen(text) &&
           !strncasecmp(word->text, text, word->length);
}

bool request_begins(const char *data, size_t size)
{
    Rest rest = { data, size };
    size_t nr;

    return take_number(&rest, '*', &nr);
}

/* Whether it is "LRANGE KEY 0 -1", from where the 0 should be */
static bool is_whole(Rest *rest)
{
    Word start, stop;

    return take_word(rest, &start) && is(&start, "0") &&
           take_word(rest, &stop) && is(&stop, "-1") && !rest->size;
}

/* Whether no request follows that of @nr words. */
static bool is_last(Rest *rest, size_t nr)
{
    Word word;

    while (nr && take_word(rest, &word)) {
        nr--;
    }
    return nr || !rest->size;
}

void request_parse(Request *request, const char *data, size_t size)
{
    Rest rest = { data, size };
    Word command, key;
    size_t nr;

    *request = (Request) { REQUEST_OTHER };
    if (!take_number(&rest, '*', &nr) || nr < 3 ||
        !take_word(&rest, &command) || !take_word(&rest, &key)) {
        return;
    }
    request->key = key.text;
    request->key_length = key.length;
    if (is(&command, "LRANGE") && nr == 4 && is_whole(&rest)) {
        request->kind = REQUEST_LRANGE;
    } else if (is(&command, "RPUSH") && is_last(&rest, nr - 2)) {
        request->kind = REQUEST_RPUSH;
    }
}
