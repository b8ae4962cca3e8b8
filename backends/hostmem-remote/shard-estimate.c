/*
 * A shard's part in estimating what caches of other sizes would fetch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "shard-estimate.h"

/* Samples to look at in one go at the beginning: 20 us or so. */
#define BEGIN_SAMPLES 128

/* Pages are tried so often, and so many in one go if there was a pause. */
#define TRY_NS (SCALE_MS / ESTIMATE_GROUP)  /* for each page of a group */
#define TRY_BURST 64
/* When more are to be tried than may be, look again after this, in ms. */
#define TRY_RETRY_MS 10

/* What was fetched so long ago has half the weight. */
#define RECENT_NS (10 * NANOSECONDS_PER_SECOND)
/* No need to weigh it more often than that. */
#define WEIGH_NS (RECENT_NS / 16)

/*
 * @resize: the cache was last given a size by this one
 * @share: part of the cache for which the models are
 * @group: of so many pages no more than one is a sample
 * @try_since: pages may be tried for the time since then
 * @weighed: when @recent was brought up to date
 * @seen: what had been fetched by then
 * @recent: pages, the older the less they count
 * @time: in which these were fetched, likewise, in ns
 */
struct ShardEstimate {
    Estimate estimate;
    unsigned resize;
    uint32_t share;
    uint32_t group;
    int64_t try_since;
    int64_t weighed;
    uint64_t seen[ESTIMATE_SIZES];
    double recent[ESTIMATE_SIZES];
    double time;
};

static bool is_known(const ShardEstimate *se)
{
    return se->estimate.known == se->estimate.samples;
}

static void count_anew(ShardEstimate *se)
{
    estimate_reset(&se->estimate);
    memset(se->seen, 0, sizeof(se->seen));
    memset(se->recent, 0, sizeof(se->recent));
    se->time = 0;
    se->weighed = get_clock();
}

/* Begin and end */

static uint32_t share_of(const RemoteShard *s)
{
    return MIN(qatomic_read(&s->share), s->map.nr);
}

static uint32_t group_of(const RemoteShard *s)
{
    return qatomic_read(&s->pager->sample_pages);
}

static bool has_use(const RemoteShard *s)
{
    return s->stats.evicted && share_of(s) >= estimate_min_cache(group_of(s)) &&
           share_of(s) < s->map.nr;
}

void shard_estimate_destroy(RemoteShard *s)
{
    if (s->estimate) {
        estimate_destroy(&s->estimate->estimate);
        qemu_vfree(s->estimate);
        s->estimate = NULL;
    }
}

static void begin(RemoteShard *s)
{
    ShardEstimate *se = remote_store_alloc(sizeof(*se));
    uint32_t share = share_of(s);

    s->estimate = se;
    se->resize = s->resize_wanted;
    se->share = share;
    se->group = group_of(s);
    se->try_since = se->weighed = get_clock();
    if (!estimate_init(&se->estimate, s->map.nr, share, se->group)) {
        /* There are better uses for the last address space. */
        shard_estimate_destroy(s);
    }
}

/* Learn what is where; or how much room there is, if that has changed. */
static void learn(RemoteShard *s, ShardEstimate *se)
{
    if (!is_known(se)) {
        if (estimate_begin(&se->estimate, &s->map, s->replacement.drops,
                           se->share, BEGIN_SAMPLES)) {
            shard_kick(s);
            return;
        }
        count_anew(se);
    } else if (share_of(s) != se->share) {
        se->share = share_of(s);
        estimate_resize(&se->estimate, se->share);
    }
}

/* Returns: whether the models are of use with the cache-size of now. */
static bool follow_resize(RemoteShard *s, ShardEstimate *se)
{
    if (se->resize == s->resize_wanted) {
        return true;
    }
    if (!is_known(se) || se->group != group_of(s) ||
        !estimate_fits(&se->estimate, share_of(s), se->group)) {
        return false;
    }
    se->resize = s->resize_wanted;
    learn(s, se);
    count_anew(se);
    return true;
}

/* Rates */

/* Time that has passed takes weight from all that was before. */
static void weigh(ShardEstimate *se, int64_t now)
{
    double passed = now - se->weighed;
    double weight = RECENT_NS / (RECENT_NS + passed);

    se->time = se->time * weight + passed;
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        uint64_t fetched = estimate_fetched(&se->estimate, i);

        se->recent[i] = se->recent[i] * weight + (fetched - se->seen[i]);
        se->seen[i] = fetched;
    }
    se->weighed = now;
}

static double rate(const ShardEstimate *se, unsigned i)
{
    return se->time ? se->recent[i] * NANOSECONDS_PER_SECOND / se->time : 0;
}

/* Trying */

static void try_pages(RemoteShard *s, ShardEstimate *se, int64_t now)
{
    int64_t interval = TRY_NS * se->group;
    Estimate *e = &se->estimate;
    uint32_t page;

    se->try_since = MAX(se->try_since, now - TRY_BURST * interval);
    while (now - se->try_since >= interval && evict_can_try(s)) {
        if (!estimate_next(e, &page)) {
            return;
        }
        if (evict_try(s, page)) {
            estimate_hide(e, page);
            se->try_since += interval;
        }
    }
    if (e->waiting) {
        shard_look_again(s, TRY_RETRY_MS);
    }
}

void shard_estimate_run(RemoteShard *s)
{
    ShardEstimate *se = s->estimate;
    int64_t now;

    if (s->frozen || s->stopping) {
        return;
    }
    if (se && !follow_resize(s, se)) {
        shard_estimate_destroy(s);
    }
    if (!s->estimate && has_use(s)) {
        begin(s);
    }
    se = s->estimate;
    if (!se) {
        return;
    }
    learn(s, se);
    if (is_known(se) && se->estimate.waiting) {
        now = get_clock();
        if (now - se->weighed >= WEIGH_NS) {
            weigh(se, now);
        }
        try_pages(s, se, now);
    }
}

/* What happens to pages */

void shard_estimate_note(RemoteShard *s, uint32_t index, PageState to)
{
    Estimate *e = &s->estimate->estimate;

    if (!estimate_has(e, index)) {
        return;
    }
    if (to == PAGE_ZERO) {
        estimate_forget(e, index);
    } else if (!page_has(page_map_get(&s->map, index), PAGE_VISITED)) {
        estimate_used(e, index);
    }
}

bool shard_estimate_hidden(const RemoteShard *s, uint32_t index)
{
    return s->estimate && estimate_hidden(&s->estimate->estimate, index);
}

/* What is known of it */

static bool is_of_now(RemoteShard *s)
{
    ShardEstimate *se = s->estimate;

    return se && is_known(se) && follow_resize(s, se);
}

/* Sizes beyond that of the whole are one. */
static void fill_list(RemoteMemoryInfo *info)
{
    RemoteMemoryEstimateList **tail = &info->estimate;
    uint64_t last = 0;

    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        uint64_t pages = estimate_size(
            i, info->cache_size / REMOTE_STORE_PAGE_SIZE,
            info->size / REMOTE_STORE_PAGE_SIZE);
        RemoteMemoryEstimate *entry;

        if (pages != last) {
            entry = g_new0(RemoteMemoryEstimate, 1);
            entry->cache_size = pages * REMOTE_STORE_PAGE_SIZE;
            QAPI_LIST_APPEND(tail, entry);
        }
        last = pages;
    }
}

void shard_estimate_query(RemoteShard *s, RemoteMemoryInfo *info)
{
    RemoteMemoryEstimateList *item;

    if (!is_of_now(s)) {
        return;
    }
    if (!info->estimate) {
        fill_list(info);
    }
    weigh(s->estimate, get_clock());
    item = info->estimate;
    for (int i = 0; item; i++, item = item->next) {
        item->value->fetched_pages +=
            estimate_fetched(&s->estimate->estimate, i);
        item->value->fetch_rate += rate(s->estimate, i);
    }
}

uint64_t shard_estimate_footprint(const RemoteShard *s)
{
    return s->estimate ? sizeof(*s->estimate) +
                         estimate_footprint(&s->estimate->estimate) : 0;
}

bool shard_estimate_sane(const RemoteShard *s)
{
    return !s->estimate || estimate_sane(&s->estimate->estimate);
}
