/*
 * Completion: wait until another thread has done something
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "completion.h"
#include "qemu/lockable.h"

/*
 * Held for no longer than it takes to look at a flag.  One for all, since it
 * must outlive what it is about: who waits may be gone before the signaller
 * has let go of it.  Nor QemuEvent, whose wait may end early.
 */
static QemuMutex lock;
static QemuCond one_is_done;

static void __attribute__((constructor)) completion_init(void)
{
    qemu_mutex_init(&lock);
    qemu_cond_init(&one_is_done);
}

void completion_signal(Completion *c)
{
    QEMU_LOCK_GUARD(&lock);
    c->done = true;
    qemu_cond_broadcast(&one_is_done);
}

void completion_wait(Completion *c)
{
    QEMU_LOCK_GUARD(&lock);
    while (!c->done) {
        qemu_cond_wait(&one_is_done, &lock);
    }
}

typedef struct Call {
    QEMUBHFunc *fn;
    void *opaque;
    Completion completion;
} Call;

static void call_bh(void *opaque)
{
    Call *call = opaque;

    call->fn(call->opaque);
    completion_signal(&call->completion);
}

void context_call(AioContext *ctx, QEMUBHFunc *fn, void *opaque)
{
    Call call = { .fn = fn, .opaque = opaque };

    aio_bh_schedule_oneshot(ctx, call_bh, &call);
    completion_wait(&call.completion);
}
