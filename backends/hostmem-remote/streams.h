/*
 * Streams: where is a thread that goes through memory in even steps?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_STREAMS_H
#define REMOTE_MEMORY_STREAMS_H

#include "qapi/qapi-types-remote-store.h"

/**
 * DOC: Streams of faults
 *
 * Each thread's last faults are kept (see workers.h for what counts as a
 * thread), and searched for steps: a page next to
 * what an earlier fault brought begins a stream at once, a larger stride needs
 * three faults that lie on it.  Anything may lie between them, so several
 * streams of one thread do not hide each other, nor does noise, as long as the
 * stream has enough of the last faults.  (Compare the majority vote of Leap:
 * Al Maruf and Chowdhury, "Effectively prefetching remote memory with Leap",
 * USENIX ATC 2020; a vote has one winner.)
 *
 * A stream is fetched ahead in windows.  What a window has brought is not
 * seen being used, except for its first page, the marker, which is left to
 * fault: then the window after it is fetched, twice as long, and is there
 * before it is needed::
 *
 *          begin            marked                  end
 *     -------|-----------------|M-----------------------|--->
 *      passed|   being used    |   fetched or on its way|  next window
 *
 * Markers alone would keep a stream going whose steps have become larger.  So
 * at first, and then from time to time, another page of a window is left to
 * fault, the witness: if the next marker is reached and it has not been, that
 * was no stream.
 *
 * Objects of a few pages begin streams that end at once.  What those have
 * fetched is in vain, so a thread with many of them has to show more faults in
 * a row before one begins, until one of its streams has lasted.
 *
 * Distances are in steps of @stride.  A fault between @marked and @end, or
 * shortly after it, is the marker's, even if another page was chosen or the
 * window comes late; between @begin and @marked it means nothing.
 *
 * Pure policy: faults go in, windows come out.
 */

/** STREAM_PAGES: most pages in a window: 512 KiB */
#define STREAM_PAGES 128
/** STREAM_MAX_STRIDE: largest step, in pages */
#define STREAM_MAX_STRIDE 64
/** STREAMS_PER_THREAD: a merge sort, or a loop over a few arrays */
#define STREAMS_PER_THREAD 8
/** STREAM_THREADS: threads that are known, those that faulted last */
#define STREAM_THREADS 32
/** STREAM_HISTORY: faults of a thread that are searched */
#define STREAM_HISTORY 16

/**
 * struct Stream - one stream of a thread
 * @begin: page at which the window that is being used begins
 * @marked: page at which the last window begins
 * @end: first page after it
 * @stride: step, in pages; 0 if this is none
 * @witness: page before @marked that has to be touched, or -1
 * @next_witness: the same between @marked and @end
 * @window: length of the last window, in steps
 * @windows: how many there were
 * @used: when it last went on, by a count of faults
 */
typedef struct Stream {
    int64_t begin;
    int64_t marked;
    int64_t end;
    int64_t witness;
    int64_t next_witness;
    int32_t stride;
    uint32_t window;
    uint32_t windows;
    uint32_t used;
} Stream;

/**
 * struct StreamFault - a fault in a thread's history
 * @page: where
 * @first: first page that is local for it
 * @end: first page after those
 */
typedef struct StreamFault {
    int64_t page;
    int64_t first;
    int64_t end;
} StreamFault;

/**
 * struct StreamThread - what is known of a thread
 * @tid: which, or 0
 * @faults: how many it has had; wraps
 * @recorded: how many of them are or were in @history: those in no stream
 * @used: when it last faulted, by a count of all threads' faults
 * @doubt: streams that ended at once, less those that lasted
 * @history: the last of these, at their number modulo STREAM_HISTORY
 * @streams: its streams
 */
typedef struct StreamThread {
    uint32_t tid;
    uint32_t faults;
    uint32_t recorded;
    uint32_t used;
    uint32_t doubt;
    StreamFault history[STREAM_HISTORY];
    Stream streams[STREAMS_PER_THREAD];
} StreamThread;

/**
 * struct Streams - all threads of a shard
 * @count: faults of all threads; wraps
 * @threads: the threads
 */
typedef struct Streams {
    uint32_t count;
    StreamThread threads[STREAM_THREADS];
} Streams;

/**
 * struct StreamWindow - what to fetch
 * @page: first page
 * @stride: step, in pages
 * @nr: how many, 0 for none
 * @witness: page beside the first that should be left to fault, or -1
 */
typedef struct StreamWindow {
    int64_t page;
    int32_t stride;
    uint32_t nr;
    int64_t witness;
} StreamWindow;

/**
 * streams_fault: a thread faults
 * @s: the streams
 * @tid: the thread
 * @page: where, in the guest's RAM
 * @mode: what to look for: not %REMOTE_MEMORY_PREFETCH_OFF
 * @limit: most pages in a window, at least 1
 * @window: set to what to fetch ahead
 *
 * Returns: whether the page is part of a stream.  If not, what is local with
 * it should be told by streams_block().
 */
bool streams_fault(Streams *s, uint32_t tid, int64_t page,
                   RemoteMemoryPrefetch mode, uint32_t limit,
                   StreamWindow *window);

/**
 * streams_block: with a thread's last fault came a block
 * @s: the streams
 * @tid: the thread
 * @first: first page of the block
 * @nr: its length
 *
 * The stream that the fault may belong to goes on where the block ends.
 */
void streams_block(Streams *s, uint32_t tid, int64_t first, uint32_t nr);

/**
 * streams_no_witness: a window's witness will not fault
 * @s: the streams
 * @tid: the thread
 * @page: the witness
 */
void streams_no_witness(Streams *s, uint32_t tid, int64_t page);

/**
 * streams_handed_over: a stream of another shard comes here
 * @s: the streams
 * @tid: the thread
 * @window: what is being fetched for it here
 */
void streams_handed_over(Streams *s, uint32_t tid,
                         const StreamWindow *window);

#endif
