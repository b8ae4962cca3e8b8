/*
 * Remote memory and migration: what has to be refused, and who passes through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_MIGRATION_H
#define REMOTE_MEMORY_MIGRATION_H

/**
 * migration_limits_init: refuse what cannot work from now on
 *
 * Once there is remote memory.  An incoming postcopy wants a userfaultfd of
 * its own on memory that has ours.  From then on, too, a thread that sends or
 * saves all of memory is a visitor (see visitors.h).  Main thread.
 */
void migration_limits_init(void);

/**
 * migration_hold: no migration until the VM runs
 *
 * A vCPU in the middle of an instruction has no state that could be sent or
 * saved.  One that is under way is given up.  With the BQL.  Returns: false if
 * the VM is being stopped to save its state.
 */
bool migration_hold(void);

/** migration_is_held: was migration_hold() called since the VM ran? */
bool migration_is_held(void);

#endif
