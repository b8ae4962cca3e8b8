/*
 * Unit tests: which threads only pass through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/thread.h"
#include "remote-memory/remote-memory.h"
#include "visitors.h"

/* More than there is room for. */
#define THREADS 300

/*
 * A thread that visits.
 * @leaves: whether it says so when it goes
 */
typedef struct Visitor {
    QemuThread thread;
    QemuSemaphore *here;
    QemuSemaphore go;
    bool leaves;
    uint32_t tid;
    bool known;
} Visitor;

static void *visit(void *opaque)
{
    Visitor *v = opaque;

    v->tid = qemu_get_thread_id();
    remote_memory_visit_begin();
    v->known = visitors_has(v->tid);
    qemu_sem_post(v->here);
    qemu_sem_wait(&v->go);
    if (v->leaves) {
        remote_memory_visit_end();
        g_assert_false(visitors_has(v->tid));
    }
    return NULL;
}

static void start(Visitor *v, QemuSemaphore *here, bool leaves)
{
    v->here = here;
    v->leaves = leaves;
    qemu_sem_init(&v->go, 0);
    qemu_thread_create(&v->thread, "visitor", visit, v, QEMU_THREAD_JOINABLE);
}

static void finish(Visitor *v)
{
    qemu_sem_post(&v->go);
    qemu_thread_join(&v->thread);
    qemu_sem_destroy(&v->go);
    g_assert_false(visitors_has(v->tid));
}

/* If this fails, the guest's threads are taken for visitors, or not known. */
static void test_one(void)
{
    uint32_t tid = qemu_get_thread_id();

    g_assert_false(visitors_any());
    g_assert_false(visitors_has(tid));
    remote_memory_visit_end();
    g_assert_true(remote_memory_visit_begin());
    g_assert_false(remote_memory_visit_begin());
    g_assert_true(visitors_any());
    g_assert_true(visitors_has(tid));
    g_assert_false(visitors_has(tid + 1));
    remote_memory_visit_end();
    g_assert_false(visitors_any());
    g_assert_false(visitors_has(tid));
}

static void visit_inside(void)
{
    REMOTE_MEMORY_VISIT();

    g_assert_true(visitors_has(qemu_get_thread_id()));
}

/*
 * If this fails, a debugger's look is never over, or it ends the dump that it
 * is a part of.
 */
static void test_scope(void)
{
    uint32_t tid = qemu_get_thread_id();

    visit_inside();
    g_assert_false(visitors_has(tid));
    {
        REMOTE_MEMORY_VISIT();

        visit_inside();
        g_assert_true(visitors_has(tid));
    }
    g_assert_false(visitors_has(tid));
}

/*
 * If this fails, who gets the number of a thread that has ended is a visitor
 * for life; or a thread that comes after a crowd is never one.
 */
static void test_many(void)
{
    g_autofree Visitor *visitors = g_new0(Visitor, THREADS);
    QemuSemaphore here;
    unsigned known = 0;

    qemu_sem_init(&here, 0);
    for (int i = 0; i < THREADS; i++) {
        start(&visitors[i], &here, g_test_rand_bit());
    }
    for (int i = 0; i < THREADS; i++) {
        qemu_sem_wait(&here);
    }
    for (int i = 0; i < THREADS; i++) {
        known += visitors[i].known;
        g_assert_cmpint(visitors_has(visitors[i].tid), ==, visitors[i].known);
    }
    g_assert_cmpuint(known, ==, 256);
    /* Those who are left stay known, whatever gaps there are. */
    for (int i = 0; i < THREADS; i++) {
        for (int k = i; k < THREADS; k += 10) {
            g_assert_cmpint(visitors_has(visitors[k].tid), ==,
                            visitors[k].known);
        }
        finish(&visitors[i]);
    }
    g_assert_false(visitors_any());
    qemu_sem_destroy(&here);
    test_one();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/visitors/one", test_one);
    g_test_add_func("/remote-memory/visitors/scope", test_scope);
    g_test_add_func("/remote-memory/visitors/many", test_many);
    return g_test_run();
}
