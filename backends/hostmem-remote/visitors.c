/*
 * Visitors: threads that only pass through memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/notify.h"
#include "qemu/thread.h"
#include "remote-memory/remote-memory.h"
#include "visitors.h"

/* A migration has up to 255 channels, each with a thread, and one more. */
#define VISITORS 256

/*
 * Protects changes.  Never taken by a pager's thread, nor held by anybody who
 * touches guest memory.
 */
static QemuMutex visitors_lock;
/* Thread numbers, or 0, which is none.  Read without the lock. */
static uint32_t visitors[VISITORS];
/* There is none from here on.  Read without the lock. */
static unsigned visitors_end;

static void __attribute__((constructor)) visitors_init(void)
{
    qemu_mutex_init(&visitors_lock);
}

bool visitors_any(void)
{
    return qatomic_read(&visitors_end);
}

bool visitors_has(uint32_t tid)
{
    unsigned end = qatomic_read(&visitors_end);

    for (unsigned i = 0; i < end; i++) {
        if (qatomic_read(&visitors[i]) == tid) {
            return true;
        }
    }
    return false;
}

/* Called with visitors_lock held.  Returns: where it is, or VISITORS. */
static unsigned find(uint32_t tid)
{
    unsigned i;

    for (i = 0; i < VISITORS && visitors[i] != tid; i++) {
        /* Few look, and seldom. */
    }
    return i;
}

static void visitor_exit(Notifier *notifier, void *opaque)
{
    remote_memory_visit_end();
}

bool remote_memory_visit_begin(void)
{
    static __thread Notifier at_exit;
    uint32_t tid = qemu_get_thread_id();
    unsigned i;

    if (!at_exit.notify) {
        at_exit.notify = visitor_exit;
        qemu_thread_atexit_add(&at_exit);
    }
    QEMU_LOCK_GUARD(&visitors_lock);
    i = find(tid) < VISITORS ? VISITORS : find(0);
    if (i == VISITORS) {
        return false;
    }
    qatomic_set(&visitors[i], tid);
    qatomic_set(&visitors_end, MAX(visitors_end, i + 1));
    return true;
}

void remote_memory_visit_end(void)
{
    unsigned i, end;

    QEMU_LOCK_GUARD(&visitors_lock);
    i = find(qemu_get_thread_id());
    if (i == VISITORS) {
        return;
    }
    qatomic_set(&visitors[i], 0);
    for (end = visitors_end; end && !visitors[end - 1]; end--) {
        /* Others may have left before, below this one. */
    }
    qatomic_set(&visitors_end, end);
}
