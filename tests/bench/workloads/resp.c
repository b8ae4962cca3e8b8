/*
 * A connection to a Redis server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "resp.h"
#include "workload.h"

bool resp_connect(Resp *r, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        close(fd);
        return false;
    }
    r->out = fdopen(fd, "w");
    r->in = fdopen(dup(fd), "r");
    if (!r->out || !r->in) {
        die("cannot open a connection");
    }
    return true;
}

void resp_command(Resp *r, unsigned words)
{
    fprintf(r->out, "*%u\r\n", words);
}

void resp_word(Resp *r, const void *data, size_t bytes)
{
    fprintf(r->out, "$%zu\r\n", bytes);
    fwrite(data, 1, bytes, r->out);
    fputs("\r\n", r->out);
}

void resp_text(Resp *r, const char *text)
{
    resp_word(r, text, strlen(text));
}

void resp_flush(Resp *r)
{
    if (fflush(r->out)) {
        die("the connection to the server is broken");
    }
}

/* The first line of an answer, which must be of one of these kinds */
static void read_head(Resp *r, const char *kinds, char *line, size_t size)
{
    if (!fgets(line, size, r->in)) {
        die("the connection to the server is broken");
    }
    if (!strchr(kinds, line[0])) {
        line[strcspn(line, "\r\n")] = 0;
        die("the server says: %s", line);
    }
}

void resp_expect_ok(Resp *r)
{
    char line[256];

    read_head(r, "+:", line, sizeof(line));
}

uint64_t resp_expect_list(Resp *r)
{
    char line[256];

    read_head(r, "*", line, sizeof(line));
    return strtoull(line + 1, NULL, 10);
}

size_t resp_expect_string(Resp *r, char *buffer, size_t size)
{
    char line[256];
    long bytes;

    read_head(r, "$", line, sizeof(line));
    bytes = strtol(line + 1, NULL, 10);
    if (bytes < 0 || bytes + 2 >= (long)size) {
        mismatch("the server has a string of %ld bytes", bytes);
    }
    if (fread(buffer, 1, bytes + 2, r->in) != (size_t)bytes + 2) {
        die("the connection to the server is broken");
    }
    buffer[bytes] = 0;
    return bytes;
}
