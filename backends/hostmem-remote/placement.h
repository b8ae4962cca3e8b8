/*
 * Placement: should a pager share a CPU with the threads that it serves?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PLACEMENT_H
#define REMOTE_MEMORY_PLACEMENT_H

/**
 * DOC: Placement
 *
 * A fault is handed from the faulting thread to the pager and back.  On one
 * CPU that is two context switches.  On two CPUs each hand-off wakes a CPU
 * that has just gone idle, which takes far longer, above all where the host
 * is itself a virtual machine; and the kernel's scheduler prefers idle CPUs.
 * On the other hand, two CPUs can evict and prefetch on one and run the guest
 * on the other.
 *
 * Which is better shows in the time that is used.  Threads that wait for each
 * other in turn use, all together, less than one CPU: then they lose nothing
 * by sharing one, and win the wake-ups.  If they use more, what they would lose
 * is what they now do at the same time, beyond one CPU.  What they would win is
 * at least a wake-up for each fault, and as much for each time that a page
 * leaves the guest, because then all CPUs that run it are interrupted to forget
 * its address.  How long a wake-up takes is measured (handoff.c).  If they are
 * better off apart, the pager polls, which spares half of the wake-ups::
 *
 *                +--- many faults, little work ---> TOGETHER ---+
 *     APART -----+                                              +---> APART
 *                +--- many faults, much work -----> POLLING ----+
 *
 * Both hide how much CPU time there would be to use, so neither lasts: it ends
 * when there are few faults, or after PLACEMENT_HOLD_MIN_NS, and after twice as
 * long each time that the next window APART comes to the same decision, up to
 * PLACEMENT_HOLD_MAX_NS.  That also leaves the scheduler a chance to find a
 * better CPU.
 *
 * Pure policy: times go in, decisions come out.
 */

/** PLACEMENT_WINDOW_FAULTS: faults that are looked at together */
#define PLACEMENT_WINDOW_FAULTS 64
/** PLACEMENT_WINDOW_NS: a window lasts no longer than that, in ns */
#define PLACEMENT_WINDOW_NS (16 * 1000 * 1000)
/** PLACEMENT_HOLD_MIN_NS: how long a decision holds at first */
#define PLACEMENT_HOLD_MIN_NS (50 * 1000 * 1000)
/** PLACEMENT_HOLD_MAX_NS: and at most */
#define PLACEMENT_HOLD_MAX_NS (400 * 1000 * 1000)

typedef enum PlacementState {
    PLACEMENT_APART,        /* anywhere; nobody polls */
    PLACEMENT_TOGETHER,     /* on one CPU */
    PLACEMENT_POLLING,      /* anywhere; the pager polls */
} PlacementState;

/**
 * struct Placement - of one pager and those that it serves
 * @state: as the advice was
 * @decision: the last one that was not to be apart
 * @handoff: what it costs to wake another CPU, in ns
 * @faults: in this window
 * @flushes: pages, or runs of them, that were taken from the guest meanwhile
 * @since: when this window began, in ns
 * @until: when to look again, in ns, unless apart
 * @hold: how long the next decision holds if it is the same, in ns
 */
typedef struct Placement {
    PlacementState state;
    PlacementState decision;
    int64_t handoff;
    unsigned faults;
    unsigned flushes;
    int64_t since;
    int64_t until;
    int64_t hold;
} Placement;

/** placement_init: apart, and a window begins at @now */
void placement_init(Placement *p, int64_t now, int64_t handoff);

/** placement_restart: a window begins @now, after a time without faults */
void placement_restart(Placement *p, int64_t now);

/**
 * placement_fault: count a fault that somebody waits for
 *
 * Returns: whether the window is full, for placement_advise().
 */
static inline bool placement_fault(Placement *p)
{
    return ++p->faults >= PLACEMENT_WINDOW_FAULTS;
}

/** placement_flush: all CPUs that run the guest were interrupted */
static inline void placement_flush(Placement *p)
{
    p->flushes++;
}

/**
 * placement_advise: what to do at the end of a window
 * @p: the placement; a new window begins
 * @now: the time, in ns
 * @busy: CPU time that the pager and those that it served have used in this
 *     window, in ns; looked at only if they are apart
 *
 * To be called when a window is full, and every PLACEMENT_WINDOW_NS while
 * there are faults or the threads are not apart.
 *
 * Returns: the state to be in.
 */
PlacementState placement_advise(Placement *p, int64_t now, int64_t busy);

#endif
