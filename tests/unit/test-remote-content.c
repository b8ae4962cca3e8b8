/*
 * Unit tests: hash of a page, zero pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-memory/store.h"
#include "content.h"

#define KNOWN_ZERO_HASH 0x93d76fe148c689baull

static uint8_t page[REMOTE_STORE_PAGE_SIZE] QEMU_ALIGNED(64);

/*
 * Two sides of a migration have to mean the same by it: the figure must never
 * change between versions.  This one is what xxhsum -H3 says of a zero page.
 */
static void test_known(void)
{
    memset(page, 0, sizeof(page));
    g_assert_cmphex(content_hash(page), ==, KNOWN_ZERO_HASH);
}

/* A single bit that changes without being seen is a wrong byte. */
static void test_each_bit(void)
{
    uint64_t zero;

    memset(page, 0, sizeof(page));
    zero = content_hash(page);
    for (size_t bit = 0; bit < sizeof(page) * 8; bit++) {
        page[bit / 8] = 1 << bit % 8;
        g_assert_cmphex(content_hash(page), !=, zero);
        g_assert_false(content_is_zero(page));
        page[bit / 8] = 0;
    }
    g_assert_true(content_is_zero(page));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/content/known", test_known);
    g_test_add_func("/remote-memory/content/each-bit", test_each_bit);
    return g_test_run();
}
