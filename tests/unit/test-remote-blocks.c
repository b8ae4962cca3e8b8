/*
 * Unit tests: how many neighbours are fetched with a page
 *
 * By what a guest would notice: how soon it gets what it uses, and how much is
 * fetched in vain.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "blocks.h"

#define REGION (1u << BLOCK_REGION_SHIFT)
#define REGIONS 64
#define PAGES (REGIONS * REGION)

/* Chances of a neighbour to be used, in percent. */
#define ALWAYS 100
#define NEVER 0

/*
 * One fault.  @chance: of the probe to be used.
 * Returns: how many neighbours were fetched.
 */
static uint32_t fault(Blocks *b, uint32_t page, unsigned chance)
{
    unsigned order = blocks_order(b, page, BLOCK_MAX_ORDER);

    g_assert_cmpuint(order, <=, BLOCK_MAX_ORDER);
    if (order) {
        uint32_t probe = blocks_probe(page, order);

        g_assert_cmpuint(probe, !=, page);
        g_assert_cmpuint(probe >> order, ==, page >> order);
        blocks_outcome(b, probe,
                       g_test_rand_int_range(0, 100) < (int)chance);
    }
    return (1u << order) - 1;
}

/* @faults of them at random places of @nr regions from @first on. */
static uint32_t faults(Blocks *b, uint32_t first, uint32_t nr,
                       unsigned chance, uint32_t faults)
{
    uint32_t neighbours = 0;

    while (faults--) {
        neighbours += fault(b, g_test_rand_int_range(first * REGION,
                                                     (first + nr) * REGION),
                            chance);
    }
    return neighbours;
}

/* Pages in the region's blocks, as far as it is not a try. */
static uint32_t block_pages(Blocks *b, uint32_t region)
{
    return 1u << b->regions[region].order;
}

static void init(Blocks *b)
{
    g_assert_true(blocks_init(b, PAGES));
}

/* If this fails, a guest that works in large pieces waits for each page. */
static void test_grow(void)
{
    Blocks b;

    init(&b);
    faults(&b, 3, 1, ALWAYS, 500);
    g_assert_cmpuint(block_pages(&b, 3) * 4, ==, 256);
    g_assert_cmpuint(faults(&b, 3, 1, ALWAYS, 100), ==, 100 * 63);
    blocks_destroy(&b);
}

/* The same for all of its memory. */
static void test_grow_everywhere(void)
{
    Blocks b;

    init(&b);
    faults(&b, 0, REGIONS, ALWAYS, 100 * REGIONS);
    for (int i = 0; i < REGIONS; i++) {
        g_assert_cmpuint(block_pages(&b, i) * 4, ==, 256);
    }
    blocks_destroy(&b);
}

/* If this fails, a guest goes on to pay for neighbours that it used once. */
static void test_shrink(void)
{
    uint32_t in_vain;
    Blocks b;

    init(&b);
    faults(&b, 3, 1, ALWAYS, 500);
    in_vain = faults(&b, 3, 1, NEVER, 500);
    g_assert_cmpuint(block_pages(&b, 3), ==, 1);
    /* What 13 faults of the largest blocks would cost. */
    g_assert_cmpuint(in_vain, <=, 13 * 63);
    blocks_destroy(&b);
}

/* If this fails, exploring costs where it is useless. */
static void test_useless(void)
{
    Blocks b;

    init(&b);
    faults(&b, 0, REGIONS, NEVER, 1000);
    g_assert_cmpuint(faults(&b, 0, REGIONS, NEVER, 64000), <=, 1000);
    blocks_destroy(&b);
}

/* The same where a neighbour is used now and then, by chance. */
static void test_by_chance(void)
{
    static const struct {
        unsigned chance;
        unsigned most;
    } cases[] = { { 1, 2 }, { 5, 3 }, { 10, 6 }, { 20, 20 } };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t neighbours;
        Blocks b;

        init(&b);
        faults(&b, 0, REGIONS, cases[i].chance, 20000);
        neighbours = faults(&b, 0, REGIONS, cases[i].chance, 100000);
        g_test_message("%u%% used: %u neighbours in 100000 faults",
                       cases[i].chance, neighbours);
        g_assert_cmpuint(neighbours, <=, 1000 * cases[i].most);
        blocks_destroy(&b);
    }
}

/* If this fails, what is useless in one place spoils another. */
static void test_independent(void)
{
    Blocks b;

    init(&b);
    for (int i = 0; i < 100000; i++) {
        faults(&b, 0, REGIONS / 2, NEVER, 1);
        faults(&b, REGIONS / 2, REGIONS / 2, ALWAYS, 1);
    }
    for (int i = 0; i < REGIONS; i++) {
        g_assert_cmpuint(block_pages(&b, i) * 4, ==,
                         i < REGIONS / 2 ? 4 : 256);
    }
    blocks_destroy(&b);
}

/* If this fails, a guest that begins to work differently is not noticed. */
static void test_change(void)
{
    Blocks b;

    init(&b);
    faults(&b, 0, REGIONS, NEVER, 100000);
    for (int i = 0; i < 4; i++) {
        faults(&b, 5, 1, ALWAYS, 1000);
        g_assert_cmpuint(block_pages(&b, 5) * 4, ==, 256);
        faults(&b, 5, 1, NEVER, 1000);
        g_assert_cmpuint(block_pages(&b, 5), ==, 1);
    }
    blocks_destroy(&b);
}

/* If this fails, a block takes more than there is room for. */
static void test_limit(void)
{
    Blocks b;

    init(&b);
    faults(&b, 3, 1, ALWAYS, 500);
    for (unsigned limit = 0; limit <= BLOCK_MAX_ORDER; limit++) {
        for (int i = 0; i < 200; i++) {
            g_assert_cmpuint(blocks_order(&b, i, limit), <=, limit);
            g_assert_cmpuint(blocks_order(&b, 3 * REGION + i, limit), ==,
                             limit);
        }
    }
    blocks_destroy(&b);
}

/* If this fails, the last pages of a memory of odd size have no region. */
static void test_last_page(void)
{
    Blocks b;

    g_assert_true(blocks_init(&b, REGION + 1));
    g_assert_cmpuint(blocks_order(&b, REGION, 0), ==, 0);
    blocks_outcome(&b, REGION, true);
    blocks_destroy(&b);
}

/* If this fails, a terabyte costs memory before it is used. */
static void test_footprint(void)
{
    Blocks b;

    g_assert_true(blocks_init(&b, UINT32_MAX));
    g_assert_cmpuint(blocks_footprint(&b), <=, UINT32_MAX / 128);
    fault(&b, UINT32_MAX - 1, ALWAYS);
    blocks_destroy(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/blocks/grow", test_grow);
    g_test_add_func("/remote-memory/blocks/grow-everywhere",
                    test_grow_everywhere);
    g_test_add_func("/remote-memory/blocks/shrink", test_shrink);
    g_test_add_func("/remote-memory/blocks/useless", test_useless);
    g_test_add_func("/remote-memory/blocks/by-chance", test_by_chance);
    g_test_add_func("/remote-memory/blocks/independent", test_independent);
    g_test_add_func("/remote-memory/blocks/change", test_change);
    g_test_add_func("/remote-memory/blocks/limit", test_limit);
    g_test_add_func("/remote-memory/blocks/last-page", test_last_page);
    g_test_add_func("/remote-memory/blocks/footprint", test_footprint);
    return g_test_run();
}
