/*
 * Generations of keys: writes that may still happen must not matter
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "memcached-generation.h"
#include "memcached-key.h"

#define GENERATIONS (1u << MC_GENERATION_BITS)

/* Of one page: the generation in use, and how many before it are garbage. */
typedef struct McGeneration {
    uint16_t current;
    uint16_t garbage;
} McGeneration;

struct McGenerations {
    GHashTable *pages;
};

McGenerations *mc_generations_new(void)
{
    McGenerations *table = g_new0(McGenerations, 1);

    table->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                         g_free);
    return table;
}

void mc_generations_free(McGenerations *table)
{
    g_hash_table_unref(table->pages);
    g_free(table);
}

static McGeneration *find(McGenerations *table, uint64_t page)
{
    /* Nearly always: no failures, no cost. */
    if (!g_hash_table_size(table->pages)) {
        return NULL;
    }
    return g_hash_table_lookup(table->pages, &page);
}

static McGeneration *find_or_add(McGenerations *table, uint64_t page)
{
    McGeneration *g = find(table, page);

    if (!g) {
        g = g_new0(McGeneration, 1);
        g_hash_table_insert(table->pages, g_memdup2(&page, sizeof(page)), g);
    }
    return g;
}

void mc_generations_merge(McGenerations *to, McGenerations *from)
{
    GHashTableIter iter;
    gpointer page, g;

    g_hash_table_iter_init(&iter, from->pages);
    while (g_hash_table_iter_next(&iter, &page, &g)) {
        *find_or_add(to, *(uint64_t *)page) = *(McGeneration *)g;
    }
}

/* As bytes, the same on all hosts: page, current, garbage. */
typedef struct QEMU_PACKED SavedGeneration {
    uint64_t page;
    uint16_t current;
    uint16_t garbage;
} SavedGeneration;

void mc_generations_save(McGenerations *table, GByteArray *state)
{
    GHashTableIter iter;
    gpointer page, value;

    g_hash_table_iter_init(&iter, table->pages);
    while (g_hash_table_iter_next(&iter, &page, &value)) {
        const McGeneration *g = value;
        SavedGeneration saved = {
            .page = cpu_to_be64(*(uint64_t *)page),
            .current = cpu_to_be16(g->current),
            .garbage = cpu_to_be16(g->garbage),
        };

        g_byte_array_append(state, (const uint8_t *)&saved, sizeof(saved));
    }
}

bool mc_generations_load(McGenerations *table, const uint8_t *data,
                         size_t size)
{
    SavedGeneration saved;

    for (; size >= sizeof(saved); size -= sizeof(saved)) {
        McGeneration *g;

        memcpy(&saved, data, sizeof(saved));
        data += sizeof(saved);
        g = find_or_add(table, be64_to_cpu(saved.page));
        g->current = be16_to_cpu(saved.current);
        g->garbage = be16_to_cpu(saved.garbage);
        if (g->current >= GENERATIONS || g->garbage >= GENERATIONS) {
            return false;
        }
    }
    return size == 0;
}

unsigned mc_generation_current(McGenerations *table, uint64_t page)
{
    McGeneration *g = find(table, page);

    return g ? g->current : 0;
}

/* The oldest garbage of @g, which has some. */
static unsigned oldest(const McGeneration *g)
{
    return (g->current - g->garbage) % GENERATIONS;
}

bool mc_generation_garbage(McGenerations *table, uint64_t page,
                           unsigned *generation)
{
    McGeneration *g = find(table, page);

    if (!g || !g->garbage) {
        return false;
    }
    *generation = oldest(g);
    return true;
}

void mc_generation_cleaned(McGenerations *table, uint64_t page)
{
    McGeneration *g = find(table, page);

    assert(g && g->garbage);
    g->garbage--;
}

void mc_generation_retire(McGenerations *table, uint64_t page)
{
    McGeneration *g = find_or_add(table, page);

    g->current = (g->current + 1) % GENERATIONS;
    g->garbage = MIN(g->garbage + 1u, GENERATIONS - 1);
}

bool mc_generations_next_garbage(McGenerations *table, uint64_t *page,
                                 unsigned *generation)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, table->pages);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        McGeneration *g = value;

        if (g->garbage) {
            *page = *(uint64_t *)key;
            *generation = oldest(g);
            g->garbage--;
            return true;
        }
        g_hash_table_iter_remove(&iter);
    }
    return false;
}
