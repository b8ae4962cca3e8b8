/*
 * Mirror: which copy has a page, and which is best asked for it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "content.h"
#include "mirror.h"
#include "qemu/atomic.h"

/* An average moves by this part of what is new. */
#define LATENCY_SHIFT 3
/* That of a copy that is not asked becomes better, until it is asked again. */
#define LATENCY_FORGET_SHIFT 8

unsigned long mirror_anywhere(const MirrorRegion *r, size_t word)
{
    unsigned long any = 0;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        any |= qatomic_read(&r->current[i][word]);
    }
    return any;
}

void mirror_lacking(MirrorQueue *q, unsigned copies)
{
    q->lacking = true;
    qatomic_set(&q->missed, q->missed | copies);
    if (!q->torn) {
        mirror_set_torn(q->region->mirror, q, true);
    }
    mirror_rebuild_wanted(q->rebuild);
}

void mirror_part_done(MirrorQueue *q, unsigned copy,
                      const RemoteStoreRequest *req)
{
    if (req->op == REMOTE_STORE_PUT) {
        set_bit_atomic(req->page, q->region->held[copy]);
        set_bit_atomic(req->page, q->region->current[copy]);
    } else if (req->op == REMOTE_STORE_DISCARD) {
        clear_bit_atomic(req->page, q->region->held[copy]);
        clear_bit_atomic(req->page, q->region->current[copy]);
    }
}

void mirror_stale(MirrorQueue *q, unsigned copy, uint64_t page)
{
    clear_bit_atomic(page, q->region->current[copy]);
    mirror_lacking(q, 1u << copy);
}

/* That a page changes meanwhile is no matter: this is the thread that does. */
void mirror_learn(MirrorQueue *q, uint64_t page)
{
    bool stored = false;
    uint64_t hash;

    if (q->uses && q->uses(q->uses_opaque, page)) {
        set_bit(page, q->mine);
    }
    if (!q->known || !q->known(q->known_opaque, page, &stored, &hash)) {
        return;
    }
    set_bit(page, q->mine);
    if (stored) {
        q->region->hash[page] = hash;
        set_bit_atomic(page, q->region->held[0]);
        set_bit_atomic(page, q->region->current[0]);
    }
}

void mirror_suspect(MirrorQueue *q, unsigned copy, uint64_t page)
{
    const MirrorRegion *r = q->region;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        if (i != copy && test_bit(page, r->current[i])) {
            mirror_stale(q, copy, page);
            return;
        }
    }
}

bool mirror_is_good(const MirrorQueue *q, const RemoteStoreRequest *req)
{
    return content_hash(req->data) == q->region->hash[req->page];
}

/* Lower is better. */
static unsigned rank(const MirrorQueue *q, unsigned copy)
{
    const MirrorCopy *c = &q->region->mirror->copies[copy];

    return 4 * qatomic_read(&c->failing) + 2 * qatomic_read(&c->doubted) +
           (q->retired >> copy & 1);
}

int mirror_best(const MirrorQueue *q, uint64_t page, unsigned without)
{
    const MirrorRegion *r = q->region;
    unsigned best_rank = UINT_MAX;
    int best = -1;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        unsigned this_rank = rank(q, i);

        if (without & (1u << i) || !test_bit(page, r->current[i])) {
            continue;
        }
        if (this_rank < best_rank ||
            (this_rank == best_rank && q->latency[i] < q->latency[best])) {
            best = i;
            best_rank = this_rank;
        }
    }
    return best;
}

void mirror_note_latency(MirrorQueue *q, unsigned copy, int64_t latency)
{
    for (unsigned i = 0; i < q->region->mirror->nr; i++) {
        if (i != copy) {
            q->latency[i] -= q->latency[i] >> LATENCY_FORGET_SHIFT;
        }
    }
    q->latency[copy] += (latency - q->latency[copy]) >> LATENCY_SHIFT;
}
