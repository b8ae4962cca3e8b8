/*
 * Visitors: threads that only pass through memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_VISITORS_H
#define REMOTE_MEMORY_VISITORS_H

/**
 * DOC: Visitors
 *
 * A thread that reads all of memory once, to send or save it, says by
 * remote_memory_visit_begin() that what it touches is of no further use; and so
 * does one that looks at memory from outside, such as a debugger's.  A pager
 * thread knows who faults by a thread number, which comes with the event; so
 * the numbers of those who visit are in a table that it can look into at any
 * time.  Only visitors write to the table, and take a lock for it that no
 * pager thread takes.  What they have written was written before they faulted,
 * and so before their event was read.
 *
 * What a pager thread finds there decides how long a page is local, and never
 * what is in it.  Each way to be wrong is harmless for that reason:
 *
 * A visitor leaves while its fault is answered
 *     It sleeps until the answer, so that is a fault which it has left by a
 *     signal.  The answer is that to a visitor all the same: it was decided
 *     when the event was read.
 *
 * An event of somebody who has left is read afterwards
 *     It is taken for that of a thread which stays, and its page stays for as
 *     long as one that was used once.
 *
 * A thread ends
 *     It leaves in any case: that is done when a thread of QEMU's ends, before
 *     the kernel can give its number to the next one.
 *
 * The table is full
 *     Who comes then is no visitor.
 *
 * Somebody else touches the page
 *     If that is a fault, the page stays as if nobody had visited it.  Once the
 *     page is mapped there is no fault.  It still goes as early as others that
 *     are visited; if it was written to, by way of standby.
 */

/** visitors_any: is there anybody?  Any thread */
bool visitors_any(void);

/** visitors_has: is thread @tid a visitor?  Any thread */
bool visitors_has(uint32_t tid);

#endif
