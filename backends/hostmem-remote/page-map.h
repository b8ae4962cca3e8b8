/*
 * Page map of a shard: where each of its pages is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PAGE_MAP_H
#define REMOTE_MEMORY_PAGE_MAP_H

/**
 * DOC: A page's life
 *
 * A page belongs to one shard for life, and only that shard's thread touches
 * its entry: there is no lock.  The states::
 *
 *     ZERO       nowhere; reads as zeros
 *     RESIDENT   mapped in the guest's RAM, on one of three lists
 *     STANDBY    taken out of the guest's RAM, content in a standby slot
 *     REMOTE     only in the store
 *     FETCHING   a get is under way
 *     SOURCE     the source of an incoming migration has it; see arrival.h
 *
 * and all the ways between them::
 *
 *     from       to         by                 when
 *     ZERO       RESIDENT   fault.c            touched: filled with zeros
 *     RESIDENT   STANDBY    evict.c            moved into a standby slot
 *     STANDBY    RESIDENT   fault.c            refault: moved back, or copied
 *                                              if a put reads the slot
 *     STANDBY    RESIDENT   prefetch.c         on the way of a stream
 *     STANDBY    REMOTE     evict.c            the store has it: dropped
 *     STANDBY    ZERO       evict.c            all zeros: dropped
 *     REMOTE     FETCHING   fetch.c            touched
 *     REMOTE     FETCHING   batches.c          likely to be touched soon
 *     FETCHING   RESIDENT   fetch.c            got, verified and placed
 *     FETCHING   RESIDENT   batches.c          the same, with its neighbours
 *     FETCHING   STANDBY    batches.c          got and verified: a probe
 *     FETCHING   REMOTE     fetch.c            the get failed
 *     FETCHING   ZERO       fetch.c            given back while under way
 *     RESIDENT   ZERO       discard.c          given back by the guest
 *     STANDBY    ZERO       discard.c          the same
 *     REMOTE     ZERO       discard.c          the same
 *     ZERO       SOURCE     arrival.c          not come yet when the VM runs
 *     SOURCE     RESIDENT   arrival.c          came and was placed
 *     SOURCE     ZERO       arrival.c          came, all zeros
 *     ZERO       REMOTE     shard-handover.c   taken over from the source
 *
 * Beside the state, each page has flags that are true in any state:
 *
 * PAGE_STORED
 *     The store holds a copy with the content @hash.  Cleared before a put or
 *     a discard starts, since a failed one leaves nobody knows what; set when
 *     a put is acknowledged.
 *
 * PAGE_BUSY
 *     A put or a discard of the page is in flight.  The page may be refaulted
 *     or given back meanwhile, but not evicted, fetched or discarded in the
 *     store again: there is one request for a page at a time.
 *
 * PAGE_GIVEN_BACK
 *     The guest gave the page back during the fetch: what arrives is void.
 *
 * PAGE_PROTECTED, PAGE_REFERENCED
 *     What replacement knows of the page's use: see replacement.h.
 *
 * PAGE_VISITED
 *     Local for threads that only pass through, and for nobody else: see
 *     replacement.h.  Or the guest has said that it will not use the page soon.
 *     RESIDENT, STANDBY or FETCHING, and nothing is known of the page's use.
 *
 * PAGE_PROBE, PAGE_BLOCK
 *     Fetched although nobody asked for it, and put in standby to see whether
 *     somebody will; for a block, or else as the marker of a stream.  See
 *     prefetch.c.
 *
 * A REMOTE page is STORED.  A page that is neither REMOTE nor FETCHING but
 * STORED has a copy too many in the store, which saves the next put if the
 * content did not change (see writeback.c), and is garbage if the page is
 * ZERO (see sweep.c).
 */

/** PAGE_NONE: no page: the end of a list */
#define PAGE_NONE UINT32_MAX

/** PAGE_MAP_CHUNK: pages of which is known together whether all are ZERO */
#define PAGE_MAP_CHUNK 512

typedef enum PageState {
    PAGE_ZERO,          /* all zeros in memory: a new map is a map of these */
    PAGE_RESIDENT,
    PAGE_STANDBY,
    PAGE_REMOTE,
    PAGE_FETCHING,
    PAGE_SOURCE,
    PAGE_STATES,
} PageState;

enum {
    PAGE_STORED     = 1 << 0,
    PAGE_BUSY       = 1 << 1,
    PAGE_GIVEN_BACK = 1 << 2,
    PAGE_PROTECTED  = 1 << 3,
    PAGE_REFERENCED = 1 << 4,
    PAGE_PROBE      = 1 << 5,
    PAGE_BLOCK      = 1 << 6,
    PAGE_VISITED    = 1 << 7,
    /* What is void once the page is not here any more. */
    PAGE_HISTORY    = PAGE_PROTECTED | PAGE_REFERENCED | PAGE_PROBE |
                      PAGE_BLOCK | PAGE_VISITED,
};

/**
 * struct Page - one entry, 20 bytes
 * @hash: XXH3 of the content that the store has, in two halves so that the
 *     entry needs no padding; meaningful if PAGE_STORED
 * @next: (RESIDENT) younger neighbour on its list
 * @dropped: (REMOTE) when it was dropped; see replacement.h
 * @prev: (RESIDENT) older neighbour on its list
 * @slot: (STANDBY) index of the standby slot
 * @state: a PageState
 * @flags: PAGE_* flags
 */
typedef struct Page {
    uint32_t hash[2];
    union {
        uint32_t next;
        uint32_t dropped;
    };
    union {
        uint32_t prev;
        uint32_t slot;
    };
    uint8_t state;
    uint8_t flags;
    uint16_t reserved;
} Page;

/**
 * struct PageList - resident pages in the order in which they came
 * @oldest: its head, or PAGE_NONE
 * @youngest: its tail, or PAGE_NONE
 * @nr: how many
 */
typedef struct PageList {
    uint32_t oldest;
    uint32_t youngest;
    uint32_t nr;
} PageList;

/**
 * struct PageMap - all pages of a shard, by index within the shard
 * @pages: the entries; memory is populated as it is touched
 * @used: pages of each chunk that are not ZERO; likewise
 * @nr: how many
 * @count: pages in each state
 * @probation: RESIDENT pages without either of these flags
 * @protected: RESIDENT pages with PAGE_PROTECTED
 * @visited: RESIDENT pages with PAGE_VISITED
 */
typedef struct PageMap {
    Page *pages;
    uint16_t *used;
    uint32_t nr;
    uint64_t count[PAGE_STATES];
    PageList probation;
    PageList protected;
    PageList visited;
} PageMap;

/**
 * page_map_init: make a map of ZERO pages
 * @map: the map
 * @nr: number of pages, below PAGE_NONE
 *
 * Takes no time and no memory to speak of, whatever @nr is.
 * Returns: false if there is no address space (errno is set).
 */
bool page_map_init(PageMap *map, uint32_t nr);

/** page_map_destroy: free what page_map_init() made */
void page_map_destroy(PageMap *map);

/** page_map_footprint: bytes reserved for @map, if all of it were touched */
uint64_t page_map_footprint(const PageMap *map);

static inline Page *page_map_get(PageMap *map, uint32_t index)
{
    assert(index < map->nr);
    return &map->pages[index];
}

/**
 * page_map_move: change a page's state
 * @map: the map
 * @index: the page
 * @to: new state; the way must be in the table above
 *
 * The only place where a state changes.  Keeps the counters and the lists: a
 * page that becomes RESIDENT is the youngest of the one that its flags say.
 */
void page_map_move(PageMap *map, uint32_t index, PageState to);

/**
 * page_map_zeros: how many pages need not be looked at, since all are ZERO
 * @map: the map
 * @index: the first
 * @max: count no more than these
 *
 * By whole chunks, so that the entries of pages that were never touched stay
 * unpopulated.  Returns: 0 if there is another page in the chunk of @index.
 */
uint32_t page_map_zeros(const PageMap *map, uint32_t index, uint32_t max);

/** page_map_rotate: make a RESIDENT page the youngest of its list */
void page_map_rotate(PageMap *map, uint32_t index);

/**
 * page_map_join: let a RESIDENT page grow old along with a neighbour
 * @map: the map
 * @index: the page; if the one behind or before it in memory is on the same
 *     list, it gets its place next to that one
 */
void page_map_join(PageMap *map, uint32_t index);

/** page_map_expose: make a RESIDENT page the oldest of its list */
void page_map_expose(PageMap *map, uint32_t index);

/** page_map_claim: a RESIDENT page is PAGE_VISITED no more, but on probation */
void page_map_claim(PageMap *map, uint32_t index);

/**
 * page_map_yield: a RESIDENT page will be missed no more than a visited one
 *
 * It is the youngest of these, and what was known of its use is forgotten.
 */
void page_map_yield(PageMap *map, uint32_t index);

static inline bool page_has(const Page *page, unsigned flag)
{
    return page->flags & flag;
}

static inline uint64_t page_hash(const Page *page)
{
    return page->hash[0] | (uint64_t)page->hash[1] << 32;
}

/** page_set_stored: note that the store has the page with content @hash */
static inline void page_set_stored(Page *page, uint64_t hash)
{
    page->hash[0] = hash;
    page->hash[1] = hash >> 32;
    page->flags |= PAGE_STORED;
}

/**
 * page_map_sane: check every invariant of a map
 * @map: the map
 *
 * For assertions and tests: takes time in proportion to the map's size.
 */
bool page_map_sane(const PageMap *map);

#endif
