/*
 * redis-lists.so: hints for a Redis server that is not changed
 *
 *   LD_PRELOAD=redis-lists.so redis-server ...
 *
 * A list of Redis is a chain of blocks that can be anywhere in memory, and to
 * find the next one, this one must have been fetched.  Here they are known
 * beforehand: the blocks that are allocated while RPUSH is served are those of
 * the list that it names.  When LRANGE asks for all of a list, its blocks are
 * said to be needed, in order and some way ahead of what is copied to the
 * reply; how far that is shows in the memory that is allocated for the reply.
 *
 * Nothing of the server's own is looked at, but for requests as it reads them
 * and what it calls of the C library, and nothing is changed.  What is guessed
 * wrong costs time.  Passed over are requests that come several at a time
 * (pipelines), or in parts between which others begin, or encrypted; with
 * io-threads, which read for the thread that serves, all.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include "list-blocks.h"
#include "request.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "remote-memory-hints.h"

/* Smaller blocks are not of lists that are large. */
#define MIN_BLOCK 2048
/* Nor are larger ones: they are the requests. */
#define MAX_BLOCK (64 << 10)
/* A reply grows by blocks of no less. */
#define REPLY_BLOCK (16 << 10)
/* How much is said to be needed before it is, and how much of it at a time. */
#define AHEAD (256 << 10)
#define STEP (64 << 10)
#define MAX_RANGES (AHEAD / MIN_BLOCK)
#define MAX_KEY 256

/* What the thread that reads requests is doing. */
typedef struct Serving {
    RequestKind now;
    /* The last request that began: the rest of it may come after others. */
    RequestKind kind;
    int fd;
    char key[MAX_KEY];
    size_t key_length;
    size_t place;               /* LRANGE: up to where it was said, */
    size_t due;                 /* and how much is to be said beyond that */
} Serving;

static struct {
    void *(*malloc)(size_t size);
    void *(*realloc)(void *addr, size_t size);
    void (*free)(void *addr);
    ssize_t (*read)(int fd, void *buffer, size_t size);
} real;

/* For what is known of lists. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* In a model of TLS that allocates nothing when it is used first. */
static __thread Serving serving
    __attribute__((tls_model("initial-exec")));

static struct rmh *device;

/* What is interposed calls what it stands for. */

static void *find_real(const char *name)
{
    static __thread bool busy __attribute__((tls_model("initial-exec")));
    void *found = NULL;

    /* If it wants memory for that, it has to do without. */
    if (!busy) {
        busy = true;
        found = dlsym(RTLD_NEXT, name);
        busy = false;
    }
    return found;
}

#define REAL(name) \
    (real.name || (real.name = (__typeof__(real.name))find_real(#name)))

void *list_blocks_realloc(void *addr, size_t size)
{
    if (size) {
        return REAL(realloc) ? real.realloc(addr, size) : NULL;
    }
    if (REAL(free)) {
        real.free(addr);
    }
    return NULL;
}

/* Hints */

/* With the lock */
static void say_more(size_t bytes)
{
    struct iovec blocks[MAX_RANGES];
    int number = errno;
    unsigned nr;

    serving.due += bytes;
    if (!device || serving.due < STEP) {
        return;
    }
    nr = list_blocks_walk(serving.key, serving.key_length, &serving.place,
                          serving.due, blocks, MAX_RANGES);
    for (unsigned i = 0; i < nr; i++) {
        size_t length = blocks[i].iov_len;

        serving.due -= length < serving.due ? length : serving.due;
    }
    if (nr) {
        rmh_willneed(device, blocks, nr);
    }
    errno = number;
}

/* Not before it is needed: a server that goes into the background forks. */
static void open_device(void)
{
    static bool tried;

    if (!tried) {
        tried = true;
        device = rmh_open(NULL);
        if (!device) {
            fprintf(stderr, "redis-lists: no hints: %s\n", rmh_error());
        }
    }
}

static void serve(int fd, const char *data, size_t size)
{
    Request request;

    if (!request_begins(data, size)) {
        serving.now = REQUEST_OTHER;
        if (fd == serving.fd) {
            serving.now = serving.kind;
        }
        return;
    }
    serving = (Serving) { .fd = fd };
    request_parse(&request, data, size);
    if (request.kind == REQUEST_OTHER || request.key_length > MAX_KEY) {
        return;
    }
    open_device();
    memcpy(serving.key, request.key, request.key_length);
    serving.key_length = request.key_length;
    serving.now = serving.kind = request.kind;
    if (serving.now == REQUEST_LRANGE) {
        pthread_mutex_lock(&lock);
        say_more(AHEAD);
        pthread_mutex_unlock(&lock);
    }
}

/* With the lock */
static void note_block(void *addr, size_t size)
{
    if (serving.now == REQUEST_RPUSH && size >= MIN_BLOCK &&
        size <= MAX_BLOCK) {
        list_blocks_add(serving.key, serving.key_length, addr, size);
    } else if (serving.now == REQUEST_LRANGE && size >= REPLY_BLOCK) {
        say_more(size);
    }
}

/* What the server calls */

#pragma GCC visibility push(default)

ssize_t read(int fd, void *buffer, size_t size)
{
    ssize_t ret;

    if (!REAL(read)) {
        errno = ENOSYS;
        return -1;
    }
    ret = real.read(fd, buffer, size);
    if (ret > 0) {
        int number = errno;

        serve(fd, buffer, ret);
        errno = number;
    }
    return ret;
}

void *malloc(size_t size)
{
    void *addr = REAL(malloc) ? real.malloc(size) : NULL;

    if (addr && size >= MIN_BLOCK && serving.now != REQUEST_OTHER) {
        pthread_mutex_lock(&lock);
        note_block(addr, size);
        pthread_mutex_unlock(&lock);
    }
    return addr;
}

void *realloc(void *old, size_t size)
{
    void *addr;

    if (!REAL(realloc)) {
        return NULL;
    }
    /* Until it is known here that @old is free, nobody else may have it. */
    pthread_mutex_lock(&lock);
    addr = real.realloc(old, size);
    if (!size) {
        list_blocks_remove(old);
    } else if (addr && !list_blocks_move(old, addr, size)) {
        note_block(addr, size);
    }
    pthread_mutex_unlock(&lock);
    return addr;
}

void free(void *addr)
{
    pthread_mutex_lock(&lock);
    list_blocks_remove(addr);
    pthread_mutex_unlock(&lock);
    if (REAL(free)) {
        real.free(addr);
    }
}

#pragma GCC visibility pop

/* A child must not find the lock held by a thread that it does not have. */

static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void release_lock(void)
{
    pthread_mutex_unlock(&lock);
}

static void __attribute__((constructor)) init(void)
{
    pthread_atfork(take_lock, release_lock, release_lock);
}
