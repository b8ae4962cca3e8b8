/*
 * Lanes to a memcached server: one connection, one thread at a time
 *
 * libmemcached blocks, so that a lane is driven by a worker thread.  What had
 * to be known about the library (1.1.4) to use it here:
 *
 * - A handle has one server only.  With several, one that hangs keeps the
 *   replies of the others waiting, and its error cannot be told from theirs.
 *   Which server has a page is decided before (see memcached-queue.c).
 *
 * - An error leaves a handle in a state that nothing can be said about: a
 *   late reply may still come and be taken for the next one.  Such a handle
 *   is thrown away, and the next operation makes a new one.
 *
 * - A get of several keys that times out before the first value says NOT
 *   FOUND, and so does one that is answered by an error line.  That a page is
 *   not there is believed only if a request of its own says so, which the
 *   server answers with a line of its own: `touch`.
 *
 * - memcached_touch() ends the process, by an assertion, when its connection
 *   is reset before the reply.  So that line is sent and read without it.
 *
 * - Writes cannot be pipelined.  With BUFFER_REQUESTS several are under way
 *   at once, but their replies are read and thrown away, and some thousand of
 *   them later the library fails an assertion.  So a lane has one write under
 *   way, and parallel writes take parallel lanes.
 *
 * - A server is trusted not to attack the library, whose parser has faults.
 *   One is made harmless here, see LIBRARY_SLACK.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "memcached-connect.h"
#include "memcached-lane.h"

/*
 * The key of a value is copied without a look at its length, but for that of
 * the line, beyond the end of a memcached_result_st.  So there is more memory
 * behind each than the library knows of: longer than its longest line.
 */
#define LIBRARY_SLACK 512

/* Lengths that a server sends get here unchecked as well. */
#define LIBRARY_MAX_SIZE (64 * MiB)

static void *library_malloc(const memcached_st *handle, const size_t size,
                            void *opaque)
{
    if (size > LIBRARY_MAX_SIZE) {
        return NULL;
    }
    return g_try_malloc(size + LIBRARY_SLACK);
}

static void *library_realloc(const memcached_st *handle, void *mem,
                             const size_t size, void *opaque)
{
    if (size > LIBRARY_MAX_SIZE) {
        return NULL;
    }
    return g_try_realloc(mem, size + LIBRARY_SLACK);
}

static void *library_calloc(const memcached_st *handle, size_t nr,
                            const size_t size, void *opaque)
{
    if (nr > LIBRARY_MAX_SIZE / size) {
        return NULL;
    }
    return g_try_malloc0(nr * size + LIBRARY_SLACK);
}

static void library_free(const memcached_st *handle, void *mem, void *opaque)
{
    g_free(mem);
}

void mc_lane_init(McLane *lane, const McServer *server, const McKey *mark)
{
    *lane = (McLane) { .server = server };
    if (mark) {
        lane->mark = *mark;
    }
}

static void lane_disconnect(McLane *lane)
{
    if (lane->handle) {
        /* Do not wait for room to say good-bye in. */
        memcached_behavior_set(lane->handle, MEMCACHED_BEHAVIOR_POLL_TIMEOUT,
                               0);
        memcached_free(lane->handle);
        lane->handle = NULL;
    }
}

void mc_lane_cleanup(McLane *lane)
{
    lane_disconnect(lane);
    g_free(lane->reason);
    lane->reason = NULL;
}

/* Forget the last operation's end. */
static void lane_begin(McLane *lane)
{
    lane->broken = false;
    lane->result = REMOTE_STORE_OK;
    g_free(lane->reason);
    lane->reason = NULL;
}

/* Note how the operation ended. */
static RemoteStoreResult G_GNUC_PRINTF(3, 4)
lane_end(McLane *lane, RemoteStoreResult result, const char *fmt, ...)
{
    va_list ap;

    g_free(lane->reason);
    va_start(ap, fmt);
    lane->reason = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    lane->result = result;
    return result;
}

/* @rc, or a cause of it, says that this handle cannot be used any more. */
static RemoteStoreResult lane_break(McLane *lane, memcached_return_t rc)
{
    const char *name = lane->server->name;
    memcached_return_t cause = memcached_last_error(lane->handle);
    int err = memcached_last_error_errno(lane->handle);

    if (rc == MEMCACHED_TIMEOUT || cause == MEMCACHED_TIMEOUT) {
        lane_end(lane, REMOTE_STORE_TIMEOUT, MC_LATE_FORMAT, name,
                 lane->server->timeout_ms);
    } else if (err) {
        lane_end(lane, REMOTE_STORE_FAILED,
                     "no connection to server %s: %s", name, strerror(err));
    } else if (rc == MEMCACHED_CONNECTION_FAILURE ||
               rc == MEMCACHED_WRITE_FAILURE) {
        /* Some operations lose the errno on the way. */
        lane_end(lane, REMOTE_STORE_FAILED, "no connection to server %s",
                     name);
    } else {
        g_autofree char *text =
            g_ascii_strdown(memcached_strerror(lane->handle, rc), -1);

        lane_end(lane, REMOTE_STORE_FAILED, "error on server %s: %s",
                     name, text);
    }
    lane_disconnect(lane);
    lane->broken = true;
    return lane->result;
}

static RemoteStoreResult lane_create(McLane *lane)
{
    const McServer *server = lane->server;
    const uint64_t ms = server->timeout_ms;
    const struct {
        memcached_behavior_t behavior;
        uint64_t value;
    } behaviors[] = {
        { MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 0 },
        { MEMCACHED_BEHAVIOR_NOREPLY, 0 },
        { MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 0 },
        { MEMCACHED_BEHAVIOR_AUTO_EJECT_HOSTS, 0 },
        { MEMCACHED_BEHAVIOR_VERIFY_KEY, 0 },
        { MEMCACHED_BEHAVIOR_TCP_NODELAY, 1 },
        { MEMCACHED_BEHAVIOR_TCP_KEEPALIVE, 1 },
        /* Also: what was not sent at the end is dropped, not delivered. */
        { MEMCACHED_BEHAVIOR_NO_BLOCK, 1 },
        { MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, ms },
        { MEMCACHED_BEHAVIOR_POLL_TIMEOUT, ms },
        { MEMCACHED_BEHAVIOR_SND_TIMEOUT, ms * 1000 },
        { MEMCACHED_BEHAVIOR_RCV_TIMEOUT, ms * 1000 },
    };
    memcached_return_t rc;

    lane->handle = memcached_create(NULL);
    if (!lane->handle) {
        lane->broken = true;
        return lane_end(lane, REMOTE_STORE_FAILED,
                            "no memory to connect with");
    }
    memcached_set_memory_allocators(lane->handle, library_malloc,
                                    library_free, library_realloc,
                                    library_calloc, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(behaviors); i++) {
        memcached_behavior_set(lane->handle, behaviors[i].behavior,
                               behaviors[i].value);
    }
    if (server->path) {
        rc = memcached_server_add_unix_socket(lane->handle, server->path);
    } else {
        rc = memcached_server_add(lane->handle, server->host, server->port);
    }
    return rc == MEMCACHED_SUCCESS ? REMOTE_STORE_OK : lane_break(lane, rc);
}

/*
 * Look for a key, by touching it: the one question to which the server says
 * no in so many words.
 */
static RemoteStoreResult lane_probe(McLane *lane, const McKey *key,
                                    bool *found)
{
    const char *name = lane->server->name;
    int ret = mc_probe(lane->server, key, found);

    if (!ret) {
        return REMOTE_STORE_OK;
    }
    lane_disconnect(lane);
    lane->broken = true;
    if (ret == -ETIMEDOUT) {
        return lane_end(lane, REMOTE_STORE_TIMEOUT, MC_LATE_FORMAT, name,
                        lane->server->timeout_ms);
    }
    return lane_end(lane, REMOTE_STORE_FAILED,
                    "no connection to server %s: %s", name, strerror(-ret));
}

/*
 * Connect unless connected.  The exchange about the mark also shows, before
 * anything is written, that the server answers: if it does not, nothing that
 * was written is in doubt.
 */
static RemoteStoreResult lane_connect(McLane *lane)
{
    RemoteStoreResult result;
    bool found;

    if (lane->handle) {
        return REMOTE_STORE_OK;
    }
    result = lane_create(lane);
    if (result == REMOTE_STORE_OK && lane->mark.text[0]) {
        result = lane_probe(lane, &lane->mark, &found);
        if (result == REMOTE_STORE_OK) {
            lane->lost = !found;
        }
    }
    return result;
}

static void G_GNUC_PRINTF(3, 4)
item_end(McItem *item, RemoteStoreResult result, const char *fmt, ...)
{
    item->done = true;
    item->req->result = result;
    if (fmt) {
        va_list ap;

        va_start(ap, fmt);
        item->req->reason = g_strdup_vprintf(fmt, ap);
        va_end(ap);
    }
}

static void items_begin(McItem *items, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        items[i].req->reason = NULL;
        items[i].done = false;
        items[i].ambiguous = false;
        items[i].clean = false;
    }
}

/* What is not done ends as the lane did. */
static void items_end(McLane *lane, McItem *items, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        if (!items[i].done) {
            item_end(&items[i], lane->result, "%s", lane->reason);
        }
    }
}

/* Gets */

/*
 * The item that a value belongs to, or NULL.  Values come in the order in
 * which they were asked for, with gaps: look behind the last one first.
 */
static McItem *find_item(McItem *items, size_t nr, size_t *last,
                         const char *key, size_t len)
{
    for (size_t i = 0; len == MC_KEY_LEN && i < nr; i++) {
        size_t at = (*last + i) % nr;

        if (!memcmp(items[at].key.text, key, MC_KEY_LEN)) {
            *last = at;
            return &items[at];
        }
    }
    return NULL;
}

static void take_value(McLane *lane, McItem *item, memcached_result_st *value)
{
    size_t len = memcached_result_length(value);

    if (len == REMOTE_STORE_PAGE_SIZE) {
        memcpy(item->req->buf, memcached_result_value(value), len);
        item_end(item, REMOTE_STORE_OK, NULL);
    } else {
        item_end(item, REMOTE_STORE_CORRUPT,
                 "server %s returned %zu bytes for a page of %d",
                 lane->server->name, len, REMOTE_STORE_PAGE_SIZE);
    }
}

/* Read the values that come.  Returns: how that ended. */
static memcached_return_t read_values(McLane *lane, McItem *items, size_t nr)
{
    memcached_result_st *value = memcached_result_create(lane->handle, NULL);
    memcached_return_t rc;
    size_t last = 0;

    if (!value) {
        return MEMCACHED_MEMORY_ALLOCATION_FAILURE;
    }
    /* Frees @value when there are no more. */
    while (memcached_fetch_result(lane->handle, value, &rc)) {
        McItem *item = find_item(items, nr, &last,
                                 memcached_result_key_value(value),
                                 memcached_result_key_length(value));
        if (!item || item->done) {
            /* Out of step: probably the server's bug. */
            value->options.is_allocated = true;
            memcached_result_free(value);
            return MEMCACHED_PROTOCOL_ERROR;
        }
        take_value(lane, item, value);
    }
    return rc;
}

/* Ask for all items at once.  Those that got no value are not done. */
static RemoteStoreResult lane_fetch(McLane *lane, McItem *items, size_t nr)
{
    const char *keys[MC_BATCH];
    size_t lens[MC_BATCH];
    memcached_return_t rc, cause;

    for (size_t i = 0; i < nr; i++) {
        keys[i] = items[i].key.text;
        lens[i] = MC_KEY_LEN;
    }
    rc = memcached_mget(lane->handle, keys, lens, nr);
    if (rc == MEMCACHED_SUCCESS) {
        rc = read_values(lane, items, nr);
    }
    /* The end may be that of a reply, or of waiting for one. */
    cause = memcached_last_error(lane->handle);
    if ((rc == MEMCACHED_END || rc == MEMCACHED_NOTFOUND) &&
        cause == MEMCACHED_SUCCESS) {
        return REMOTE_STORE_OK;
    }
    return lane_break(lane, cause != MEMCACHED_SUCCESS ? cause : rc);
}

/* No value came for @item.  Find out what that means. */
static RemoteStoreResult lane_confirm_missing(McLane *lane, McItem *item)
{
    const char *name = lane->server->name;
    RemoteStoreResult result;
    bool found;

    result = lane_probe(lane, &item->key, &found);
    if (result != REMOTE_STORE_OK) {
        return result;
    }
    if (found) {
        item_end(item, REMOTE_STORE_FAILED,
                 "server %s has the page but did not return it", name);
    } else if (lane->lost) {
        item_end(item, REMOTE_STORE_MISSING,
                 "server %s was restarted and lost its contents", name);
    } else {
        item_end(item, REMOTE_STORE_MISSING, "server %s no longer has the "
                 "page (evicted or deleted by someone)", name);
    }
    return REMOTE_STORE_OK;
}

void mc_lane_get(McLane *lane, McItem *items, size_t nr)
{
    bool reconnected = false;

    assert(nr > 0 && nr <= MC_BATCH);
    items_begin(items, nr);
    lane_begin(lane);
    if (lane_connect(lane) == REMOTE_STORE_OK) {
        lane_fetch(lane, items, nr);
    }
    for (size_t i = 0; i < nr && !lane->broken; i++) {
        if (items[i].done) {
            continue;
        }
        /* Not on this connection, where a reply may still be coming. */
        if (!reconnected) {
            reconnected = true;
            lane_disconnect(lane);
            if (lane_connect(lane) != REMOTE_STORE_OK) {
                break;
            }
        }
        lane_confirm_missing(lane, &items[i]);
    }
    items_end(lane, items, nr);
    lane_disconnect(lane);
}

/* Writes */

static RemoteStoreResult lane_set(McLane *lane, const McKey *key,
                                  const void *data, size_t len)
{
    memcached_return_t rc = memcached_set(lane->handle, key->text, MC_KEY_LEN,
                                          data, len, 0, 0);

    switch (rc) {
    case MEMCACHED_SUCCESS:
        return REMOTE_STORE_OK;
    case MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE:
        /* Which also deleted the old value, in order not to keep it. */
        return lane_end(lane, REMOTE_STORE_NOSPACE, "server %s is full; "
                            "it needs more memory (memcached -m)",
                            lane->server->name);
    default:
        return lane_break(lane, rc);
    }
}

static RemoteStoreResult lane_delete(McLane *lane, const McKey *key)
{
    memcached_return_t rc = memcached_delete(lane->handle, key->text,
                                             MC_KEY_LEN, 0);

    if (rc == MEMCACHED_SUCCESS || rc == MEMCACHED_NOTFOUND) {
        return REMOTE_STORE_OK;
    }
    return lane_break(lane, rc);
}

static void lane_write_item(McLane *lane, McItem *item)
{
    RemoteStoreRequest *req = item->req;
    RemoteStoreResult result;

    if (req->op == REMOTE_STORE_PUT) {
        result = lane_set(lane, &item->key, req->buf, REMOTE_STORE_PAGE_SIZE);
    } else {
        result = lane_delete(lane, &item->key);
    }
    if (result != REMOTE_STORE_OK) {
        item->ambiguous = lane->broken;
        item_end(item, result, "%s", lane->reason);
        return;
    }
    item_end(item, REMOTE_STORE_OK, NULL);
    if (item->has_garbage) {
        item->clean = lane_delete(lane, &item->garbage) == REMOTE_STORE_OK;
    }
}

void mc_lane_write(McLane *lane, McItem *items, size_t nr)
{
    assert(nr > 0 && nr <= MC_BATCH);
    items_begin(items, nr);
    lane_begin(lane);
    lane_connect(lane);
    for (size_t i = 0; i < nr && !lane->broken; i++) {
        lane_write_item(lane, &items[i]);
    }
    items_end(lane, items, nr);
}

/* Single operations */

RemoteStoreResult mc_lane_set(McLane *lane, const McKey *key, const void *data,
                              size_t len)
{
    RemoteStoreResult result;

    lane_begin(lane);
    result = lane_connect(lane);
    return result ?: lane_set(lane, key, data, len);
}

RemoteStoreResult mc_lane_delete(McLane *lane, const McKey *key)
{
    RemoteStoreResult result;

    lane_begin(lane);
    result = lane_connect(lane);
    return result ?: lane_delete(lane, key);
}

typedef struct StatContext {
    McStatFunc *fn;
    void *opaque;
} StatContext;

static memcached_return_t stat_line(const memcached_instance_st *instance,
                                    const char *key, size_t key_length,
                                    const char *value, size_t value_length,
                                    void *opaque)
{
    StatContext *context = opaque;
    g_autofree char *k = g_strndup(key, key_length);
    g_autofree char *v = g_strndup(value, value_length);

    context->fn(k, v, context->opaque);
    return MEMCACHED_SUCCESS;
}

RemoteStoreResult mc_lane_stats(McLane *lane, const char *what, McStatFunc *fn,
                                void *opaque)
{
    StatContext context = { .fn = fn, .opaque = opaque };
    RemoteStoreResult result;
    memcached_return_t rc;

    lane_begin(lane);
    result = lane_connect(lane);
    if (result != REMOTE_STORE_OK) {
        return result;
    }
    rc = memcached_stat_execute(lane->handle, what, stat_line, &context);
    return rc == MEMCACHED_SUCCESS ? REMOTE_STORE_OK : lane_break(lane, rc);
}
