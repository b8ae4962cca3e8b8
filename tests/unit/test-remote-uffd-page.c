/*
 * Unit tests: pages are placed and moved by the kernel
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/userfaultfd.h"
#include "remote-memory/store.h"
#include "sparse.h"
#include "uffd-page.h"
#include <linux/userfaultfd.h>

#define PAGE REMOTE_STORE_PAGE_SIZE
#define NR 256
#define MOST 16
#define SECONDS 3

/*
 * Two places for pages, as the guest's RAM and standby are.
 * @fd: both are registered with it
 */
typedef struct Places {
    int fd;
    uint8_t *at[2];
} Places;

static bool places_open(Places *p)
{
    if (!uffd_page_supported(NULL)) {
        g_test_skip("pages cannot be moved here");
        return false;
    }
    p->fd = uffd_page_open(&error_abort);
    for (int i = 0; i < 2; i++) {
        p->at[i] = sparse_new(NR * PAGE);
        g_assert_nonnull(p->at[i]);
        g_assert_cmpint(uffd_register_memory(p->fd, p->at[i], NR * PAGE,
                                             UFFDIO_REGISTER_MODE_MISSING,
                                             NULL), ==, 0);
    }
    return true;
}

static void places_close(Places *p)
{
    for (int i = 0; i < 2; i++) {
        sparse_free(p->at[i], NR * PAGE);
    }
    uffd_close_fd(p->fd);
}

static void fill(const Places *p)
{
    g_autofree uint8_t *all = g_malloc(NR * PAGE);
    uint32_t copied;

    for (int i = 0; i < NR; i++) {
        memset(all + i * PAGE, i + 1, PAGE);
    }
    g_assert_cmpint(uffd_page_copy_run(p->fd, p->at[0], all, NR, &copied), ==,
                    0);
    g_assert_cmpuint(copied, ==, NR);
}

static void check(const Places *p, int where)
{
    for (int i = 0; i < NR; i++) {
        const uint8_t *page = p->at[where] + i * PAGE;

        g_assert_true(uffd_page_present(page));
        g_assert_false(uffd_page_present(p->at[!where] + i * PAGE));
        g_assert_cmphex(page[0], ==, (uint8_t)(i + 1));
        g_assert_cmphex(page[PAGE - 1], ==, (uint8_t)(i + 1));
    }
}

/*
 * Move all pages, in runs of any length.  Returns: how many moves said that
 * they had to be tried again.
 */
static unsigned move_all(const Places *p, int from)
{
    unsigned again = 0;

    for (uint32_t i = 0; i < NR; ) {
        uint32_t nr = MIN(g_test_rand_int_range(1, MOST + 1), NR - i), moved;
        int ret = uffd_page_move(p->fd, p->at[!from] + i * PAGE,
                                 p->at[from] + i * PAGE, nr, &moved);

        g_assert_cmpuint(moved, <=, nr);
        if (ret) {
            g_assert_true(ret == -EAGAIN || ret == -EBUSY);
            again++;
        } else {
            g_assert_cmpuint(moved, ==, nr);
        }
        i += moved;
    }
    return again;
}

/* If this fails, pages are lost on the way, or said to be. */
static void test_move(void)
{
    Places p;

    if (!places_open(&p)) {
        return;
    }
    fill(&p);
    for (int i = 0; i < 100; i++) {
        move_all(&p, i % 2);
        check(&p, !(i % 2));
    }
    places_close(&p);
}

static bool compact(void)
{
    int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);
    bool done = fd >= 0 && write(fd, "1", 1) == 1;

    if (fd >= 0) {
        close(fd);
    }
    return done;
}

static void *compact_run(void *opaque)
{
    int *stop = opaque;

    while (!qatomic_read(stop)) {
        compact();
    }
    return NULL;
}

/*
 * If this fails, the kernel's moving pages about for its own reasons (Linux
 * 6.18 then says EEXIST of a page that it has just moved) confuses the pager.
 */
static void test_compaction(void)
{
    int64_t end = g_get_monotonic_time() + SECONDS * G_USEC_PER_SEC;
    unsigned rounds = 0, again = 0;
    int stop = 0;
    GThread *thread;
    Places p;

    if (!compact()) {
        g_test_skip("memory cannot be compacted on demand here");
        return;
    }
    if (!places_open(&p)) {
        return;
    }
    fill(&p);
    thread = g_thread_new("compact", compact_run, &stop);
    while (g_get_monotonic_time() < end) {
        again += move_all(&p, rounds % 2);
        rounds++;
        check(&p, rounds % 2);
    }
    qatomic_set(&stop, 1);
    g_thread_join(thread);
    g_test_message("%u rounds, %u moves had to be tried again", rounds, again);
    places_close(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/uffd-page/move", test_move);
    g_test_add_func("/remote-memory/uffd-page/compaction", test_compaction);
    return g_test_run();
}
