/*
 * All pagers of this process, and what the rest of QEMU asks of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/core/cpu.h"
#include "migration.h"
#include "pagers.h"
#include "qemu/lockable.h"
#include "remote-memory/remote-memory.h"
#include "shard.h"

/*
 * Protects the list.  Never taken by a pager's thread, so it may be held
 * while one is waited for.
 */
static QemuMutex pagers_lock;
static QTAILQ_HEAD(, RemotePager) pagers = QTAILQ_HEAD_INITIALIZER(pagers);

static void __attribute__((constructor)) pagers_init(void)
{
    qemu_mutex_init(&pagers_lock);
}

void pagers_add(RemotePager *pager)
{
    RemotePager *next;

    migration_limits_init();
    vcpus_init();
    QEMU_LOCK_GUARD(&pagers_lock);
    QTAILQ_FOREACH(next, &pagers, next) {
        if (strcmp(pager->id, next->id) < 0) {
            QTAILQ_INSERT_BEFORE(next, pager, next);
            return;
        }
    }
    QTAILQ_INSERT_TAIL(&pagers, pager, next);
}

void pagers_remove(RemotePager *pager)
{
    QEMU_LOCK_GUARD(&pagers_lock);
    QTAILQ_REMOVE(&pagers, pager, next);
}

RemotePager *pagers_find(const RAMBlock *rb)
{
    RemotePager *pager;

    QEMU_LOCK_GUARD(&pagers_lock);
    QTAILQ_FOREACH(pager, &pagers, next) {
        if (pager->host == rb->host) {
            break;
        }
    }
    return pager;
}

RAMBlock *pagers_block(const RemotePager *pager)
{
    ram_addr_t offset;

    return qemu_ram_block_from_host(pager->host, false, &offset);
}

void pagers_foreach_locked(void (*fn)(RemotePager *pager, void *opaque),
                           void *opaque)
{
    RemotePager *pager;

    QEMU_LOCK_GUARD(&pagers_lock);
    QTAILQ_FOREACH(pager, &pagers, next) {
        fn(pager, opaque);
    }
}

/* Without the lock: @fn may wait for a store, and others need the lock. */
void pagers_foreach(void (*fn)(RemotePager *pager, void *opaque),
                    void *opaque)
{
    RemotePager *pager, *next;

    QTAILQ_FOREACH_SAFE(pager, &pagers, next, next) {
        fn(pager, opaque);
    }
}

bool remote_memory_discard(RAMBlock *rb, uint64_t start, size_t length,
                           int *ret)
{
    RemotePager *pager = pagers_find(rb);

    if (!pager) {
        return false;
    }
    if (start % REMOTE_STORE_PAGE_SIZE || length % REMOTE_STORE_PAGE_SIZE ||
        start > pager->size || length > pager->size - start) {
        *ret = -EINVAL;
    } else {
        *ret = pager_discard(pager, start / REMOTE_STORE_PAGE_SIZE,
                             length / REMOTE_STORE_PAGE_SIZE);
    }
    return true;
}

/* vCPUs that count as paused */

static bool list_has(const WaiterList *list, uint32_t tid)
{
    const Waiter *waiter;

    QTAILQ_FOREACH(waiter, list, next) {
        if (waiter->tid == tid) {
            return true;
        }
    }
    return false;
}

static bool shard_has_parked(RemoteShard *s, uint32_t tid)
{
    QEMU_LOCK_GUARD(&s->park_lock);
    return list_has(&s->parked, tid) || list_has(&s->for_source, tid);
}

/* Called with pagers_lock held. */
static bool is_parked(uint32_t tid)
{
    RemotePager *pager;

    QTAILQ_FOREACH(pager, &pagers, next) {
        for (unsigned i = 0; i < pager->nr_shards; i++) {
            if (shard_has_parked(&pager->shards[i], tid)) {
                return true;
            }
        }
    }
    return false;
}

bool pagers_have_parked(uint32_t tid)
{
    QEMU_LOCK_GUARD(&pagers_lock);
    return is_parked(tid);
}

bool remote_memory_vcpus_parked(void)
{
    CPUState *cpu;

    QEMU_LOCK_GUARD(&pagers_lock);
    if (QTAILQ_EMPTY(&pagers) || runstate_is_running() ||
        migration_is_held()) {
        return false;
    }
    CPU_FOREACH(cpu) {
        if (!cpu->stopped && !is_parked(cpu->thread_id)) {
            return false;
        }
    }
    return migration_hold();
}
