/*
 * Flush: when has all that is in standby been written?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_FLUSH_H
#define REMOTE_MEMORY_FLUSH_H

#include "shard.h"

/**
 * flush_begin: notice when what is in standby now has been written
 * @s: the shard; its @flush_left is how many slots are left
 *
 * Main thread.
 */
void flush_begin(RemoteShard *s);

/** flush_run: look how far that is */
void flush_run(RemoteShard *s);

#endif
