/*
 * Unit tests: a memcached that lies
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "qemu/cutils.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "memcached-liar.h"

#define LINE_MAX_LEN 2048

/* Longer than memcached's limit of 250, shorter than a line of the client. */
#define LONG_KEY_LEN 330

/* @lie, @once and what follows are protected by @lock. */
struct MemcachedLiar {
    char *dir;
    char *address;
    int listen_fd;
    GThread *thread;
    QemuMutex lock;
    Lie lie;
    bool once;
    GHashTable *values;
    GPtrArray *connections;
};

/*
 * One connection, served by a thread.
 * @lie: how the get that is being answered is answered
 */
typedef struct Connection {
    MemcachedLiar *liar;
    FILE *in;
    FILE *out;
    int fd;
    Lie lie;
    GThread *thread;
} Connection;

static Lie current_lie(MemcachedLiar *liar)
{
    QEMU_LOCK_GUARD(&liar->lock);
    return liar->lie;
}

static void take_lie(Connection *c)
{
    QEMU_LOCK_GUARD(&c->liar->lock);
    c->lie = c->liar->lie;
    if (c->liar->once) {
        c->liar->once = false;
        c->liar->lie = LIE_NONE;
    }
}

/* Returns: whether the connection goes on. */
static bool reply_version(Connection *c)
{
    if (current_lie(c->liar) != LIE_NO_VERSION) {
        fputs("VERSION 1.6.0\r\n", c->out);
    }
    return true;
}

static void reply_stats(Connection *c, const char *what)
{
    if (!strcmp(what, "settings")) {
        fputs("STAT evictions off\r\nSTAT cas_enabled yes\r\n"
              "STAT item_size_max 1048576\r\nSTAT slab_chunk_max 524288\r\n",
              c->out);
    }
    fputs("END\r\n", c->out);
}

static void reply_set(Connection *c, const char *key, const char *len)
{
    size_t size = g_ascii_strtoull(len, NULL, 10);
    g_autofree char *data = g_malloc(size + 2);

    if (fread(data, 1, size + 2, c->in) == size + 2) {
        QEMU_LOCK_GUARD(&c->liar->lock);
        g_hash_table_replace(c->liar->values, g_strdup(key),
                             g_bytes_new(data, size));
        fputs("STORED\r\n", c->out);
    }
}

static void put_bytes(Connection *c, const void *data, size_t size)
{
    const char *bytes = data;

    if (c->lie != LIE_BYTES && c->lie != LIE_TRICKLE) {
        fwrite(data, 1, size, c->out);
        return;
    }
    for (size_t i = 0; i < size && !ferror(c->out); i++) {
        fputc(bytes[i], c->out);
        fflush(c->out);
        if (c->lie == LIE_TRICKLE) {
            g_usleep(1000);
        }
    }
}

static void put_head(Connection *c, const char *key, size_t size)
{
    g_autofree char *head = g_strdup_printf("VALUE %s 0 %zu\r\n", key, size);

    put_bytes(c, head, strlen(head));
}

static void put_value(Connection *c, const char *key, const void *data,
                      size_t size)
{
    put_head(c, key, size);
    put_bytes(c, data, size);
    put_bytes(c, "\r\n", 2);
}

static void put_half(Connection *c, const char *key, const void *data,
                     size_t size)
{
    put_head(c, key, size);
    put_bytes(c, data, size / 2);
    fflush(c->out);
}

static void put_halves(Connection *c, const char *key, const void *data,
                       size_t size)
{
    put_half(c, key, data, size);
    while (current_lie(c->liar) == LIE_HALF) {
        g_usleep(1000);
    }
    put_bytes(c, data + size / 2, size - size / 2);
    put_bytes(c, "\r\n", 2);
}

/* Returns: whether the connection goes on. */
static bool reply_value(Connection *c, const char *key, GBytes *bytes)
{
    static const char padding[8192];
    g_autofree char *other = g_strdup(key);
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);

    switch (c->lie) {
    case LIE_SHORT:
        put_value(c, key, data, size - 1);
        break;
    case LIE_LONG:
        put_value(c, key, padding, sizeof(padding));
        break;
    case LIE_KEY:
        other[strlen(other) - 1] ^= 1;
        put_value(c, other, data, size);
        break;
    case LIE_LONG_KEY:
        g_free(other);
        other = g_strnfill(LONG_KEY_LEN, 'A');
        put_value(c, other, data, size);
        break;
    case LIE_TWICE:
        put_value(c, key, data, size);
        put_value(c, key, data, size);
        break;
    case LIE_HUGE:
        fprintf(c->out, "VALUE %s 0 18446744073709551000\r\n", key);
        break;
    case LIE_CUT:
        put_head(c, key, size);
        put_bytes(c, "abc", 3);
        break;
    case LIE_HALF:
        put_halves(c, key, data, size);
        break;
    case LIE_HANG_UP:
        put_half(c, key, data, size);
        return false;
    default:
        put_value(c, key, data, size);
        break;
    }
    return true;
}

static GBytes *find_value(Connection *c, const char *key)
{
    GBytes *bytes;

    QEMU_LOCK_GUARD(&c->liar->lock);
    bytes = g_hash_table_lookup(c->liar->values, key);
    return bytes ? g_bytes_ref(bytes) : NULL;
}

static bool reply_values(Connection *c, char **keys)
{
    bool more = true;

    for (; more && *keys; keys++) {
        g_autoptr(GBytes) bytes = find_value(c, *keys);

        if (bytes) {
            more = reply_value(c, *keys, bytes);
        }
    }
    if (more && c->lie != LIE_CUT) {
        put_bytes(c, "END\r\n", 5);
    }
    return more;
}

/* Returns: whether the connection goes on. */
static bool reply_get(Connection *c, char **keys)
{
    take_lie(c);
    switch (c->lie) {
    case LIE_SILENCE:
        return true;
    case LIE_CLOSE:
        return false;
    case LIE_EMPTY:
        fputs("END\r\n", c->out);
        return true;
    case LIE_ERROR:
        fputs("ERROR Too many open connections\r\n", c->out);
        return true;
    case LIE_GARBAGE:
        fputs("HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n", c->out);
        return true;
    case LIE_BATCHES:
        return keys[1] || reply_values(c, keys);
    default:
        return reply_values(c, keys);
    }
}

static void reply_exists(Connection *c, const char *key, const char *yes)
{
    QEMU_LOCK_GUARD(&c->liar->lock);
    if (g_hash_table_contains(c->liar->values, key)) {
        fprintf(c->out, "%s\r\n", yes);
    } else {
        fputs("NOT_FOUND\r\n", c->out);
    }
}

/* What TCP does when it is asked to forget its peer. */
static void reset(Connection *c)
{
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };

    connect(c->fd, &nobody, sizeof(nobody));
}

static bool reply(Connection *c, char **words)
{
    unsigned nr = g_strv_length(words);

    if (current_lie(c->liar) == LIE_RESET) {
        reset(c);
        return false;
    } else if (!strcmp(words[0], "version")) {
        return reply_version(c);
    } else if (!strcmp(words[0], "stats")) {
        reply_stats(c, nr > 1 ? words[1] : "");
    } else if (!strcmp(words[0], "set") && nr >= 5) {
        reply_set(c, words[1], words[4]);
    } else if (!strcmp(words[0], "get") && nr >= 2) {
        return reply_get(c, words + 1);
    } else if (!strcmp(words[0], "touch") && nr >= 3) {
        reply_exists(c, words[1], "TOUCHED");
    } else if (!strcmp(words[0], "delete") && nr >= 2) {
        reply_exists(c, words[1], "DELETED");
        QEMU_LOCK_GUARD(&c->liar->lock);
        g_hash_table_remove(c->liar->values, words[1]);
    } else {
        return false;
    }
    return true;
}

static void *serve(void *opaque)
{
    Connection *c = opaque;
    char line[LINE_MAX_LEN];
    bool more = true;

    while (more && fgets(line, sizeof(line), c->in)) {
        g_auto(GStrv) words = NULL;

        g_strchomp(line);
        words = g_strsplit(line, " ", -1);
        more = words[0] && reply(c, words);
        fflush(c->out);
    }
    shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *opaque)
{
    MemcachedLiar *liar = opaque;
    int fd;

    while ((fd = accept(liar->listen_fd, NULL, NULL)) >= 0) {
        Connection *c = g_new0(Connection, 1);

        c->liar = liar;
        c->fd = fd;
        c->in = fdopen(fd, "r");
        c->out = fdopen(dup(fd), "w");
        c->thread = g_thread_new("liar", serve, c);
        QEMU_LOCK_GUARD(&liar->lock);
        g_ptr_array_add(liar->connections, c);
    }
    return NULL;
}

static MemcachedLiar *liar_new(void)
{
    MemcachedLiar *liar = g_new0(MemcachedLiar, 1);

    signal(SIGPIPE, SIG_IGN);
    qemu_mutex_init(&liar->lock);
    liar->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify)g_bytes_unref);
    liar->connections = g_ptr_array_new();
    return liar;
}

static void liar_listen(MemcachedLiar *liar, const void *addr, socklen_t len)
{
    sa_family_t family = ((const struct sockaddr *)addr)->sa_family;

    liar->listen_fd = socket(family, SOCK_STREAM, 0);
    g_assert_cmpint(bind(liar->listen_fd, addr, len), ==, 0);
    g_assert_cmpint(listen(liar->listen_fd, 100), ==, 0);
    liar->thread = g_thread_new("liar", accept_all, liar);
}

MemcachedLiar *memcached_liar_new(void)
{
    MemcachedLiar *liar = liar_new();
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    liar->dir = g_dir_make_tmp("remote-store-XXXXXX", NULL);
    liar->address = g_strdup_printf("unix:%s/liar.sock", liar->dir);
    pstrcpy(addr.sun_path, sizeof(addr.sun_path),
            strchr(liar->address, ':') + 1);
    liar_listen(liar, &addr, sizeof(addr));
    return liar;
}

MemcachedLiar *memcached_liar_new_tcp(void)
{
    MemcachedLiar *liar = liar_new();
    struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof(addr);

    liar_listen(liar, &addr, len);
    g_assert_cmpint(getsockname(liar->listen_fd, (struct sockaddr *)&addr,
                                &len), ==, 0);
    liar->address = g_strdup_printf("127.0.0.1:%u", ntohs(addr.sin_port));
    return liar;
}

void memcached_liar_free(MemcachedLiar *liar)
{
    /* A reply may be waiting for that. */
    memcached_liar_lie(liar, LIE_NONE);
    shutdown(liar->listen_fd, SHUT_RDWR);
    g_thread_join(liar->thread);
    close(liar->listen_fd);
    for (unsigned i = 0; i < liar->connections->len; i++) {
        Connection *c = g_ptr_array_index(liar->connections, i);

        shutdown(c->fd, SHUT_RDWR);
        g_thread_join(c->thread);
        fclose(c->in);
        fclose(c->out);
        g_free(c);
    }
    g_ptr_array_unref(liar->connections);
    g_hash_table_unref(liar->values);
    qemu_mutex_destroy(&liar->lock);
    if (liar->dir) {
        unlink(strchr(liar->address, ':') + 1);
        rmdir(liar->dir);
        g_free(liar->dir);
    }
    g_free(liar->address);
    g_free(liar);
}

const char *memcached_liar_address(MemcachedLiar *liar)
{
    return liar->address;
}

void memcached_liar_lie(MemcachedLiar *liar, Lie lie)
{
    QEMU_LOCK_GUARD(&liar->lock);
    liar->lie = lie;
    liar->once = false;
}

void memcached_liar_lie_once(MemcachedLiar *liar, Lie lie)
{
    QEMU_LOCK_GUARD(&liar->lock);
    liar->lie = lie;
    liar->once = true;
}

unsigned memcached_liar_connections(MemcachedLiar *liar)
{
    QEMU_LOCK_GUARD(&liar->lock);
    return liar->connections->len;
}

void memcached_liar_hang_up(MemcachedLiar *liar)
{
    QEMU_LOCK_GUARD(&liar->lock);
    for (unsigned i = 0; i < liar->connections->len; i++) {
        Connection *c = g_ptr_array_index(liar->connections, i);

        shutdown(c->fd, SHUT_RDWR);
    }
}
