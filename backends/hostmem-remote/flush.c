/*
 * Flush: see that the store has what was taken out of the guest
 *
 * Write-back does that by itself.  Here it is only noticed: what is in standby
 * at one moment has been written when no slot up to there is DIRTY or BUSY any
 * more.  Since slots are examined in order, that comes to an end however many
 * pages a guest that runs sends after them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "flush.h"
#include "shard.h"

void flush_run(RemoteShard *s)
{
    if (s->flush_left) {
        standby_written(&s->standby, &s->flush_from, s->flush_to);
        qatomic_set(&s->flush_left, s->flush_to - s->flush_from);
    }
}

static void flush_bh(void *opaque)
{
    RemoteShard *s = opaque;

    s->flush_from = s->standby.tail;
    s->flush_to = s->standby.head;
    qatomic_set(&s->flush_left, s->flush_to - s->flush_from);
    shard_kick(s);
}

void flush_begin(RemoteShard *s)
{
    shard_call(s, flush_bh, s);
}
