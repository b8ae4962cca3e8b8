/*
 * memcached servers: addresses, and what a server must be like
 *
 * memcached is made for caches, which may lose things.  A server that does so
 * by its configuration is refused; one that wastes memory is told how not to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/un.h>
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "memcached-lane.h"
#include "memcached-server.h"

#define UNIX_PREFIX "unix:"
#define ADDRESS_HINT "Use host:port or unix:path, for example " \
                     "192.168.0.7:11211 or unix:/run/mc.sock.\n"

/* memcached's own unit of allocation, of which it cuts chunks for items. */
#define SLAB_PAGE_SIZE MiB

/* An item: header, check-and-set number, key and NUL, page and line end. */
#define ITEM_HEADER_SIZE 48
#define ITEM_CAS_SIZE 8
#define ITEM_PAYLOAD_SIZE (MC_KEY_LEN + 1 + REMOTE_STORE_PAGE_SIZE + 2)

/* What to start memcached with, so that its smallest chunk is one of ours. */
#define BEST_CHUNK_OPTION (ITEM_CAS_SIZE + ITEM_PAYLOAD_SIZE)
#define BEST_CHUNK_SIZE ROUND_UP(ITEM_HEADER_SIZE + BEST_CHUNK_OPTION, 8)

/* Below this, in percent, more memory is wasted than must be. */
#define GOOD_EFFICIENCY 95

static bool parse_unix(McServer *server, const char *path, Error **errp)
{
    struct sockaddr_un un;

    if (!*path) {
        error_setg(errp, "the path of the socket is missing");
        return false;
    }
    if (strlen(path) >= sizeof(un.sun_path)) {
        error_setg(errp, "the path of a socket has at most %zu characters",
                   sizeof(un.sun_path) - 1);
        return false;
    }
    server->path = g_strdup(path);
    return true;
}

static bool parse_inet(McServer *server, const char *text, Error **errp)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? colon - text : 0;
    unsigned long port;

    if (!colon) {
        error_setg(errp, "the port is missing");
        return false;
    }
    if (qemu_strtoul(colon + 1, NULL, 10, &port) || !port || port > 65535) {
        error_setg(errp, "the port is not a number from 1 to 65535");
        return false;
    }
    if (text[0] == '[' && len > 2 && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len)) {
        error_setg(errp, "an IPv6 address needs brackets");
        return false;
    }
    if (!len) {
        error_setg(errp, "the host is missing");
        return false;
    }
    server->host = g_strndup(text, len);
    server->port = port;
    return true;
}

bool mc_server_parse(McServer *server, const char *text, Error **errp)
{
    ERRP_GUARD();
    McServer parsed = { .name = NULL };
    const char *path;
    bool ok;

    if (strstart(text, UNIX_PREFIX, &path)) {
        ok = parse_unix(&parsed, path, errp);
    } else {
        ok = parse_inet(&parsed, text, errp);
    }
    if (!ok) {
        error_append_hint(errp, ADDRESS_HINT);
        return false;
    }
    parsed.name = g_strdup(text);
    *server = parsed;
    return true;
}

void mc_server_clear(McServer *server)
{
    g_free(server->name);
    g_free(server->host);
    g_free(server->path);
}

/* The statistics that matter, from several commands. */
typedef struct ServerFacts {
    bool evicts;
    bool has_extstore;
    bool has_cas;
    uint64_t item_size_max;
    uint64_t slab_chunk_max;
    uint64_t chunk_size;
    uint64_t chunks_per_slab;
} ServerFacts;

static uint64_t stat_number(const char *value)
{
    uint64_t n;

    return qemu_strtou64(value, NULL, 10, &n) ? 0 : n;
}

static uint64_t item_size(const ServerFacts *facts)
{
    return ITEM_HEADER_SIZE + (facts->has_cas ? ITEM_CAS_SIZE : 0) +
           ITEM_PAYLOAD_SIZE;
}

static void take_setting(const char *name, const char *value, void *opaque)
{
    ServerFacts *facts = opaque;

    if (!strcmp(name, "evictions")) {
        facts->evicts = strcmp(value, "off");
    } else if (!strcmp(name, "cas_enabled")) {
        facts->has_cas = strcmp(value, "no");
    } else if (!strcmp(name, "item_size_max")) {
        facts->item_size_max = stat_number(value);
    } else if (!strcmp(name, "slab_chunk_max")) {
        facts->slab_chunk_max = stat_number(value);
    }
}

static void take_general(const char *name, const char *value, void *opaque)
{
    ServerFacts *facts = opaque;

    if (!strcmp(name, "extstore_limit_maxbytes")) {
        facts->has_extstore = true;
    }
}

/*
 * Lines are "CLASS:NAME", the classes in ascending order of their size, and
 * only those that are in use.  Ours, which is, is the first that can hold us.
 */
static void take_slab(const char *name, const char *value, void *opaque)
{
    ServerFacts *facts = opaque;
    const char *colon = strchr(name, ':');
    uint64_t n = stat_number(value);

    if (!colon) {
        return;
    }
    if (!strcmp(colon, ":chunk_size")) {
        if (facts->chunk_size < item_size(facts)) {
            facts->chunk_size = n;
            facts->chunks_per_slab = 0;
        }
    } else if (!strcmp(colon, ":chunks_per_page")) {
        if (!facts->chunks_per_slab) {
            facts->chunks_per_slab = n;
        }
    }
}

static bool check_settings(const McServer *server, const char *store,
                           const ServerFacts *facts, Error **errp)
{
    ERRP_GUARD();
    const char *why, *hint;

    if (facts->evicts) {
        why = "throws old pages away when it is full";
        hint = "Start memcached with -M.";
    } else if (facts->has_extstore) {
        why = "keeps pages in external storage, which loses them when full";
        hint = "Start memcached without -o ext_path.";
    } else if (facts->item_size_max < item_size(facts)) {
        why = "does not take values of 4096 bytes";
        hint = "Start memcached without -I.";
    } else if (facts->slab_chunk_max < item_size(facts)) {
        why = "cuts pages into chunks, which it may drop when it moves them";
        hint = "Start memcached without -o slab_chunk_max.";
    } else {
        return true;
    }
    error_setg(errp, "store '%s': server %s %s", store, server->name, why);
    error_append_hint(errp, "%s\n", hint);
    return false;
}

static void advise(const McServer *server, const char *store,
                   const ServerFacts *facts)
{
    double used = 100.0 * facts->chunks_per_slab * REMOTE_STORE_PAGE_SIZE /
                  SLAB_PAGE_SIZE;
    double best = 100.0 * (SLAB_PAGE_SIZE / BEST_CHUNK_SIZE) *
                  REMOTE_STORE_PAGE_SIZE / SLAB_PAGE_SIZE;

    if (facts->chunk_size >= item_size(facts) && used < GOOD_EFFICIENCY) {
        warn_report("store '%s': server %s uses %.1f %% of its memory for "
                    "4096-byte pages; start memcached with -n %d for %.1f %%",
                    store, server->name, used, BEST_CHUNK_OPTION, best);
    }
}

/* What went wrong with @lane, as an error about @store. */
static void lane_error(const McLane *lane, const char *store, Error **errp)
{
    ERRP_GUARD();

    error_setg(errp, "store '%s': %s", store, lane->reason);
    if (lane->broken) {
        error_append_hint(errp, "Is memcached running at %s?\n",
                          lane->server->name);
    }
}

/* Write a page, so that the server has to choose a slab class, and look. */
static RemoteStoreResult probe_slabs(McLane *lane, ServerFacts *facts)
{
    g_autofree void *page = g_malloc0(REMOTE_STORE_PAGE_SIZE);
    RemoteStoreResult result;
    QemuUUID uuid;
    McKey key;

    qemu_uuid_generate(&uuid);
    mc_key_page(&key, &uuid, 0, 0);
    result = mc_lane_set(lane, &key, page, REMOTE_STORE_PAGE_SIZE);
    if (result == REMOTE_STORE_OK) {
        result = mc_lane_stats(lane, "slabs", take_slab, facts);
    }
    if (result == REMOTE_STORE_OK) {
        result = mc_lane_delete(lane, &key);
    }
    return result;
}

bool mc_server_check(const McServer *server, const char *store, Error **errp)
{
    /* A server that does not say is taken to be as bad as the default. */
    ServerFacts facts = { .evicts = true, .has_cas = true };
    McLane lane;
    bool ok = false;

    mc_lane_init(&lane, server, NULL);
    if (mc_lane_stats(&lane, "settings", take_setting, &facts) ||
        mc_lane_stats(&lane, NULL, take_general, &facts)) {
        lane_error(&lane, store, errp);
    } else if (check_settings(server, store, &facts, errp)) {
        if (probe_slabs(&lane, &facts)) {
            lane_error(&lane, store, errp);
        } else {
            advise(server, store, &facts);
            ok = true;
        }
    }
    mc_lane_cleanup(&lane);
    return ok;
}

bool mc_server_put_mark(const McServer *server, const char *store,
                        const McKey *mark, Error **errp)
{
    static const char value[] = "QEMU memory-backend-remote";
    McLane lane;
    bool ok;

    mc_lane_init(&lane, server, NULL);
    ok = mc_lane_set(&lane, mark, value, strlen(value)) == REMOTE_STORE_OK;
    if (!ok) {
        lane_error(&lane, store, errp);
    }
    mc_lane_cleanup(&lane);
    return ok;
}
