/*
 * Streams: where is a thread that goes through memory in even steps?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "streams.h"

/* The first window: little is lost if the stream was none. */
#define FIRST_WINDOW 8

/* In the long run, one window in so many has a witness. */
#define WITNESS_PERIOD 8

/*
 * The next page begins a stream if one of so many faults before it was that of
 * its neighbour.  Where a thread goes to and fro in little memory, neighbours
 * are met by chance; those that are further back have to be three.
 */
#define NEIGHBOUR_FAULTS 4

/*
 * How far behind its end a stream is still recognised, in steps: pages that
 * are local already, or were never touched, are passed without a fault.
 */
#define SLACK 8

/*
 * Objects of a few pages each look like streams that end at once, and fetch in
 * vain.  A thread needs a fault more in a row to begin one for each so many of
 * those, up to four more.
 */
#define DOUBT 4
#define MOST_DOUBT (4 * DOUBT)

/* A stream that ends with no more windows than that was not worth it. */
#define FEW_WINDOWS 2

/* A thread's entry, in place of the one that was not used for longest. */
static StreamThread *find_thread(Streams *s, uint32_t tid)
{
    StreamThread *oldest = &s->threads[0];

    for (int i = 0; i < STREAM_THREADS; i++) {
        StreamThread *t = &s->threads[i];

        if (t->tid == tid) {
            return t;
        }
        if (s->count - t->used > s->count - oldest->used) {
            oldest = t;
        }
    }
    *oldest = (StreamThread) { .tid = tid };
    return oldest;
}

/* Steps from @from to @page along @stride, or -1 if it is not on the way. */
static int64_t steps(int64_t from, int64_t page, int32_t stride)
{
    int64_t distance = page - from;

    return distance % stride || distance / stride < 0 ? -1
                                                      : distance / stride;
}

/*
 * An odd number of steps into the window, and not always the same: larger
 * steps do not keep meeting it.
 */
static int64_t stream_witness(Stream *stream, uint32_t limit)
{
    uint32_t n = stream->windows++;

    if (stream->window < 4 ||
        (stream->window == limit && n % WITNESS_PERIOD)) {
        return -1;
    }
    return stream->marked + (int64_t)stream->stride *
           (stream->window / 4 + (n * 5 % (stream->window / 4) | 1));
}

/* The marker, or what counts as it, was reached: on to the next window. */
static void stream_advance(Stream *stream, int64_t page, uint32_t limit,
                           StreamWindow *window)
{
    int64_t passed = steps(stream->end, page, stream->stride);

    stream->window = MIN(stream->window * 2, limit);
    if (passed >= 0) {
        stream->end = page + stream->stride;
    }
    stream->begin = stream->marked;
    stream->witness = stream->next_witness;
    stream->marked = stream->end;
    stream->end += (int64_t)stream->window * stream->stride;
    stream->next_witness = stream_witness(stream, limit);
    *window = (StreamWindow) {
        .page = stream->marked,
        .stride = stream->stride,
        .nr = stream->window,
        .witness = stream->next_witness,
    };
}

static void stream_touched(Stream *stream, int64_t page)
{
    if (stream->witness == page) {
        stream->witness = -1;
    }
    if (stream->next_witness == page) {
        stream->next_witness = -1;
    }
}

/* Was the witness passed without being touched? */
static bool stream_skipped(const Stream *stream, int64_t page)
{
    return stream->witness >= 0 &&
           steps(stream->witness, page, stream->stride) > 0;
}

static void stream_end(StreamThread *t, Stream *stream)
{
    if (stream->windows <= FEW_WINDOWS) {
        t->doubt = MIN(t->doubt + 1, MOST_DOUBT);
    }
    *stream = (Stream) { 0 };
}

/* Is the page in one of the streams?  If so, that one goes on. */
static bool stream_continue(StreamThread *t, int64_t page, uint32_t limit,
                            StreamWindow *window)
{
    for (int i = 0; i < STREAMS_PER_THREAD; i++) {
        Stream *stream = &t->streams[i];
        int64_t in_window, ahead;

        if (!stream->stride || steps(stream->begin, page,
                                     stream->stride) < 0) {
            continue;
        }
        in_window = steps(stream->marked, page, stream->stride);
        ahead = steps(stream->end, page, stream->stride);
        if (ahead > SLACK) {
            continue;
        }
        stream_touched(stream, page);
        if (in_window >= 0 && stream_skipped(stream, page)) {
            stream_end(t, stream);
            continue;
        }
        stream->used = t->faults;
        if (in_window >= 0) {
            stream_advance(stream, page, limit, window);
            if (stream->windows == FEW_WINDOWS + 1) {
                t->doubt /= 2;
            }
        }
        return true;
    }
    return false;
}

/* Room for a stream, in place of the one that did not go on for longest. */
static Stream *stream_new(StreamThread *t)
{
    Stream *oldest = &t->streams[0];

    for (int i = 0; i < STREAMS_PER_THREAD; i++) {
        Stream *stream = &t->streams[i];

        if (!stream->stride) {
            return stream;
        }
        if (t->faults - stream->used > t->faults - oldest->used) {
            oldest = stream;
        }
    }
    stream_end(t, oldest);
    return oldest;
}

static void stream_begin(StreamThread *t, int64_t page, int32_t stride,
                         uint32_t limit, StreamWindow *window)
{
    Stream *stream = stream_new(t);

    *stream = (Stream) {
        .begin = page,
        .marked = page,
        .end = page + stride,
        .witness = -1,
        .next_witness = -1,
        .stride = stride,
        .window = MAX(MIN(FIRST_WINDOW, limit) / 2, 1),
        .used = t->faults,
    };
    stream_advance(stream, page, limit, window);
}

static uint32_t history_length(const StreamThread *t)
{
    return MIN(t->recorded, STREAM_HISTORY);
}

/* Where a thread that comes to @page by this step would have come from. */
static bool comes_from(const StreamFault *fault, int64_t page, int32_t stride)
{
    return stride == 1 ? fault->end == page
           : stride == -1 ? fault->first == page + 1
           : fault->page == page - stride;
}

static const StreamFault *history_before(const StreamThread *t, int64_t page,
                                         int32_t stride)
{
    for (uint32_t i = 0; i < history_length(t); i++) {
        if (comes_from(&t->history[i], page, stride)) {
            return &t->history[i];
        }
    }
    return NULL;
}

/* Were there @nr faults more, one after the other, before this one? */
static bool history_goes_back(const StreamThread *t, const StreamFault *fault,
                              int32_t stride, uint32_t nr)
{
    while (nr-- && fault) {
        fault = history_before(t, stride == 1 ? fault->first
                                  : stride == -1 ? fault->end - 1
                                  : fault->page, stride);
    }
    return fault;
}

/* The stride of a stream that @page would be part of, or 0. */
static int32_t find_stride(const StreamThread *t, int64_t page,
                           RemoteMemoryPrefetch mode)
{
    uint32_t more = t->doubt / DOUBT;

    /* The latest first. */
    for (uint32_t i = 1; i <= history_length(t); i++) {
        const StreamFault *fault =
            &t->history[(t->recorded - i) % STREAM_HISTORY];
        int64_t distance = page - fault->page;

        if (page == fault->end && i <= NEIGHBOUR_FAULTS &&
            history_goes_back(t, fault, 1, more)) {
            return 1;
        }
        if (mode == REMOTE_MEMORY_PREFETCH_READAHEAD && distance != 1) {
            continue;
        }
        if (page == fault->first - 1 && i <= NEIGHBOUR_FAULTS &&
            history_goes_back(t, fault, -1, more)) {
            return -1;
        }
        if (distance && ABS(distance) <= STREAM_MAX_STRIDE &&
            history_goes_back(t, fault, distance, 1 + more)) {
            return distance;
        }
    }
    return 0;
}

bool streams_fault(Streams *s, uint32_t tid, int64_t page,
                   RemoteMemoryPrefetch mode, uint32_t limit,
                   StreamWindow *window)
{
    StreamThread *t = find_thread(s, tid);
    int32_t stride;

    *window = (StreamWindow) { 0 };
    t->used = ++s->count;
    t->faults++;
    if (stream_continue(t, page, limit, window)) {
        return true;
    }
    stride = find_stride(t, page, mode);
    t->history[t->recorded++ % STREAM_HISTORY] = (StreamFault) {
        .page = page, .first = page, .end = page + 1,
    };
    if (stride) {
        stream_begin(t, page, stride, limit, window);
    }
    return stride;
}

void streams_block(Streams *s, uint32_t tid, int64_t first, uint32_t nr)
{
    StreamThread *t = find_thread(s, tid);
    StreamFault *fault = &t->history[(t->recorded - 1) % STREAM_HISTORY];

    fault->first = first;
    fault->end = first + nr;
}

void streams_no_witness(Streams *s, uint32_t tid, int64_t page)
{
    StreamThread *t = find_thread(s, tid);

    for (int i = 0; i < STREAMS_PER_THREAD; i++) {
        stream_touched(&t->streams[i], page);
    }
}

void streams_handed_over(Streams *s, uint32_t tid,
                         const StreamWindow *window)
{
    StreamThread *t = find_thread(s, tid);
    /* A witness on the way here was left where it is. */
    bool ahead = window->witness >= 0 &&
                 steps(window->page, window->witness, window->stride) >= 0;

    t->used = ++s->count;
    *stream_new(t) = (Stream) {
        .begin = window->page,
        .marked = window->page,
        .end = window->page + (int64_t)window->nr * window->stride,
        .witness = -1,
        .next_witness = ahead ? window->witness : -1,
        .stride = window->stride,
        .window = window->nr,
        .windows = FEW_WINDOWS + 1,
        .used = ++t->faults,
    };
}
