/*
 * Requests to a server, as far as they are about lists
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REDIS_REQUEST_H
#define REDIS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/**
 * enum RequestKind - what is to be done
 * @REQUEST_OTHER: nothing that is of interest here, or not understood
 * @REQUEST_RPUSH: RPUSH KEY ELEMENT..., perhaps with a part that is to come
 * @REQUEST_LRANGE: LRANGE KEY 0 -1
 */
typedef enum RequestKind {
    REQUEST_OTHER,
    REQUEST_RPUSH,
    REQUEST_LRANGE,
} RequestKind;

/**
 * struct Request - one request
 * @kind: what is to be done
 * @key: of the list, in what was parsed
 * @key_length: of that
 */
typedef struct Request {
    RequestKind kind;
    const char *key;
    size_t key_length;
} Request;

/** request_begins: is it the begin of a request, and not of what follows? */
bool request_begins(const char *data, size_t size);

/**
 * request_parse: what a client wants
 * @request: is filled in
 * @data: what was read, from the begin of a request
 * @size: how much; if there is another request in it, it is not understood
 */
void request_parse(Request *request, const char *data, size_t size);

#endif
