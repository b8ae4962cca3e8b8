/*
 * Unit tests: the cache moves to the shards that need it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "balance.h"

#define SHARDS 4
#define PAGES 100000
#define CACHE 40000
#define LEAST 32

/* Shards of which each uses a part of its pages, at random. */
typedef struct Sim {
    BalanceShard shards[SHARDS];
    uint32_t used[SHARDS];
} Sim;

static void sim_init(Sim *sim, const uint32_t *used)
{
    for (int i = 0; i < SHARDS; i++) {
        sim->used[i] = used[i];
        sim->shards[i] = (BalanceShard) {
            .share = CACHE / SHARDS, .least = LEAST, .most = PAGES,
        };
    }
}

/* A period with so many touches in each shard, and a transfer. */
static uint32_t sim_period(Sim *sim, uint32_t touches)
{
    BalanceTransfer transfer;
    uint32_t sum = 0;

    for (int i = 0; i < SHARDS; i++) {
        BalanceShard *shard = &sim->shards[i];

        shard->fetched = shard->share >= sim->used[i]
                         ? 0 : (uint64_t)touches *
                               (sim->used[i] - shard->share) / sim->used[i];
    }
    transfer = balance_choose(sim->shards, SHARDS);
    if (transfer.pages) {
        g_assert_cmpuint(transfer.from, !=, transfer.to);
        sim->shards[transfer.from].share -= transfer.pages;
        sim->shards[transfer.to].share += transfer.pages;
    }
    for (int i = 0; i < SHARDS; i++) {
        g_assert_cmpuint(sim->shards[i].share, >=, LEAST);
        g_assert_cmpuint(sim->shards[i].share, <=, PAGES);
        sum += sim->shards[i].share;
    }
    g_assert_cmpuint(sum, ==, CACHE);
    return transfer.pages;
}

/* If this fails, room stays where nobody needs it. */
static void test_moves(void)
{
    const uint32_t used[SHARDS] = { 1000, 30000, 2000, 1000 };
    uint64_t fetched = 0;
    Sim sim;

    sim_init(&sim, used);
    for (int i = 0; i < 200; i++) {
        sim_period(&sim, 10000);
    }
    for (int i = 0; i < SHARDS; i++) {
        fetched += sim.shards[i].fetched;
    }
    g_test_message("shares %u %u %u %u", sim.shards[0].share,
                   sim.shards[1].share, sim.shards[2].share,
                   sim.shards[3].share);
    g_assert_cmpuint(fetched, <=, 200);
}

/* If this fails, room moves to and fro between shards that are alike. */
static void test_rests(void)
{
    const uint32_t used[SHARDS] = { 20000, 20000, 20000, 20000 };
    Sim sim;

    sim_init(&sim, used);
    for (int i = 0; i < 100; i++) {
        g_assert_cmpuint(sim_period(&sim, 10000 + i), ==, 0);
    }
}

/* If this fails, room goes on moving when it has found its place. */
static void test_settles(void)
{
    const uint32_t used[SHARDS] = { 60000, 5000, 60000, 5000 };
    uint32_t moved = 0;
    Sim sim;

    sim_init(&sim, used);
    for (int i = 0; i < 300; i++) {
        sim_period(&sim, 10000);
    }
    for (int i = 0; i < 100; i++) {
        moved += sim_period(&sim, 10000);
    }
    g_test_message("%u pages moved in the end", moved);
    g_assert_cmpuint(moved, <=, 2 * CACHE / SHARDS);
    g_assert_cmpuint(sim.shards[0].share, >, sim.shards[1].share);
}

/* If this fails, a shard gives what it needs to live, or takes in vain. */
static void test_bounds(void)
{
    BalanceShard shards[2] = {
        { .share = LEAST, .least = LEAST, .most = PAGES, .fetched = 0 },
        { .share = 1000, .least = LEAST, .most = PAGES, .fetched = 100000 },
    };

    g_assert_cmpuint(balance_choose(shards, 2).pages, ==, 0);
    shards[0].share = LEAST + 1;
    g_assert_cmpuint(balance_choose(shards, 2).pages, ==, 1);
    shards[1].most = shards[1].share;
    g_assert_cmpuint(balance_choose(shards, 2).pages, ==, 0);
    g_assert_cmpuint(balance_choose(shards, 1).pages, ==, 0);
}

/*
 * If this fails, the bound is broken while a cache is resized, or some of it is
 * lost; or a cache as large as the RAM does not hold all of it.
 */
static void test_resize(void)
{
    for (int round = 0; round < 1000; round++) {
        BalanceShard shards[SHARDS];
        uint64_t least = 0, most = 0, cache = 0, before;

        for (int i = 0; i < SHARDS; i++) {
            uint32_t pages = g_test_rand_int_range(1, PAGES);

            /* The RAM may be larger than 32 bits of pages. */
            pages *= round % 2 ? 1 : 20000;
            shards[i] = (BalanceShard) {
                .least = MIN(LEAST, pages), .share = MIN(LEAST, pages),
                .most = pages,
            };
            least += shards[i].least;
            most += pages;
        }
        before = least;
        for (int i = 0; i < 20; i++) {
            uint64_t sum = 0;
            BalanceShard old[SHARDS];

            memcpy(old, shards, sizeof(old));
            cache = i % 5 == 4 ? most
                  : least + (most - least) * g_test_rand_double();
            balance_resize(shards, SHARDS, cache);
            for (int k = 0; k < SHARDS; k++) {
                g_assert_cmpuint(shards[k].share, >=, shards[k].least);
                g_assert_cmpuint(shards[k].share, <=, shards[k].most);
                g_assert_true(cache >= before
                              ? shards[k].share >= old[k].share
                              : shards[k].share <= old[k].share);
                sum += shards[k].share;
            }
            g_assert_cmpuint(sum, ==, cache);
            before = cache;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/balance/moves", test_moves);
    g_test_add_func("/remote-memory/balance/rests", test_rests);
    g_test_add_func("/remote-memory/balance/settles", test_settles);
    g_test_add_func("/remote-memory/balance/bounds", test_bounds);
    g_test_add_func("/remote-memory/balance/resize", test_resize);
    return g_test_run();
}
