/*
 * Which blocks of memory a server's lists are in
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "list-blocks.h"

#include <stdint.h>
#include <string.h>

#define KEY_BUCKETS 4096
/* Slots of the table of addresses at first; a power of 2. */
#define MIN_SLOTS 1024
/* Blocks of less than 2 KiB are not expected, but work. */
#define BLOCK_SHIFT 11
/* Slots for what is close together in memory; a power of 2. */
#define GROUP 32

/* An array, and no chain, so that a walk touches little memory of our own. */
typedef struct List {
    struct List *chain;
    size_t nr;                  /* entries in use, some of which are holes */
    size_t live;                /* those that are not */
    size_t room;
    struct iovec *blocks;       /* a hole has no address */
    size_t key_length;
    char key[];
} List;

/* One of the table's, found by its address; in linear probing. */
typedef struct Slot {
    void *addr;
    List *list;
    size_t place;
} Slot;

static List *lists[KEY_BUCKETS];
static Slot *slots;
static size_t nr_slots;
static size_t used_slots;

/* The table of addresses */

/*
 * Where to begin.  What is together in memory is together here: an address
 * that is used again and again finds its slot in the processor's caches.
 */
static size_t first_slot(void *addr)
{
    uint64_t block = (uintptr_t)addr >> BLOCK_SHIFT;
    uint64_t group = block / GROUP * 0x9e3779b97f4a7c15ull >> 32;

    return (group * GROUP + block % GROUP) & (nr_slots - 1);
}

static size_t next_slot(size_t i)
{
    return (i + 1) & (nr_slots - 1);
}

/* The slot of an address, or the empty one where it would be. */
static Slot *find_slot(void *addr)
{
    size_t i = first_slot(addr);

    while (slots[i].addr && slots[i].addr != addr) {
        i = next_slot(i);
    }
    return &slots[i];
}

static Slot *known_slot(void *addr)
{
    Slot *slot = nr_slots && addr ? find_slot(addr) : NULL;

    return slot && slot->addr ? slot : NULL;
}

/* Half of the slots stay empty, so that the next one is close. */
static bool make_slots(void)
{
    size_t nr = nr_slots ? nr_slots * 2 : MIN_SLOTS, old_nr = nr_slots;
    Slot *old = slots, *new;

    if (used_slots * 2 < nr_slots) {
        return true;
    }
    new = list_blocks_realloc(NULL, nr * sizeof(*new));
    if (!new) {
        return false;
    }
    memset(new, 0, nr * sizeof(*new));
    slots = new;
    nr_slots = nr;
    for (size_t i = 0; i < old_nr; i++) {
        if (old[i].addr) {
            *find_slot(old[i].addr) = old[i];
        }
    }
    list_blocks_realloc(old, 0);
    return true;
}

/* Others that had to go past it move up. */
static void empty_slot(Slot *slot)
{
    size_t gap = slot - slots;

    for (size_t i = next_slot(gap); slots[i].addr; i = next_slot(i)) {
        size_t way = (i - first_slot(slots[i].addr)) & (nr_slots - 1);

        if (way >= ((i - gap) & (nr_slots - 1))) {
            slots[gap] = slots[i];
            gap = i;
        }
    }
    slots[gap] = (Slot) { NULL };
    used_slots--;
}

/* Lists */

static List **find_list(const char *key, size_t key_length)
{
    uint32_t hash = 2166136261u;
    List **at;

    for (size_t i = 0; i < key_length; i++) {
        hash = (hash ^ (uint8_t)key[i]) * 16777619u;
    }
    at = &lists[hash % KEY_BUCKETS];
    while (*at && ((*at)->key_length != key_length ||
                   memcmp((*at)->key, key, key_length))) {
        at = &(*at)->chain;
    }
    return at;
}

static List *make_list(const char *key, size_t key_length)
{
    List **at = find_list(key, key_length);

    if (!*at) {
        *at = list_blocks_realloc(NULL, sizeof(List) + key_length);
        if (*at) {
            memset(*at, 0, sizeof(List));
            (*at)->key_length = key_length;
            memcpy((*at)->key, key, key_length);
        }
    }
    return *at;
}

static void drop_list(List *list)
{
    List **at = find_list(list->key, list->key_length);

    *at = list->chain;
    list_blocks_realloc(list->blocks, 0);
    list_blocks_realloc(list, 0);
}

static void close_holes(List *list)
{
    size_t to = 0;

    for (size_t i = 0; i < list->nr; i++) {
        if (list->blocks[i].iov_base) {
            find_slot(list->blocks[i].iov_base)->place = to;
            list->blocks[to++] = list->blocks[i];
        }
    }
    list->nr = to;
}

static bool make_room(List *list)
{
    size_t room = list->room ? list->room * 2 : 8;
    struct iovec *blocks;

    if (list->nr == list->room && list->live <= list->nr / 2) {
        close_holes(list);
    }
    if (list->nr < list->room) {
        return true;
    }
    blocks = list_blocks_realloc(list->blocks, room * sizeof(*blocks));
    if (blocks) {
        list->blocks = blocks;
        list->room = room;
    }
    return blocks;
}

/* What others call */

void list_blocks_add(const char *key, size_t key_length, void *addr,
                     size_t size)
{
    List *list;

    list_blocks_remove(addr);
    list = make_slots() ? make_list(key, key_length) : NULL;
    if (!list) {
        return;
    }
    if (!make_room(list)) {
        if (!list->live) {
            drop_list(list);
        }
        return;
    }
    *find_slot(addr) = (Slot) { addr, list, list->nr };
    used_slots++;
    list->blocks[list->nr++] = (struct iovec) { addr, size };
    list->live++;
}

bool list_blocks_move(void *old, void *addr, size_t size)
{
    Slot *slot = known_slot(old);
    Slot moved;

    if (!slot) {
        return false;
    }
    moved = *slot;
    moved.addr = addr;
    moved.list->blocks[moved.place] = (struct iovec) { addr, size };
    if (addr != old) {
        empty_slot(slot);
        *find_slot(addr) = moved;
        used_slots++;
    }
    return true;
}

void list_blocks_remove(void *addr)
{
    Slot *slot = known_slot(addr);
    List *list = slot ? slot->list : NULL;

    if (!slot) {
        return;
    }
    list->blocks[slot->place].iov_base = NULL;
    empty_slot(slot);
    if (--list->live == 0) {
        drop_list(list);
    }
}

unsigned list_blocks_walk(const char *key, size_t key_length, size_t *place,
                          size_t bytes, struct iovec *blocks, unsigned max)
{
    const List *list = *find_list(key, key_length);
    size_t found = 0;
    unsigned nr = 0;

    while (list && *place < list->nr && nr < max && found < bytes) {
        struct iovec block = list->blocks[(*place)++];

        if (block.iov_base) {
            blocks[nr++] = block;
            found += block.iov_len;
        }
    }
    return nr;
}
