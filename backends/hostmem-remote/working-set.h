/*
 * The working set of backends, as it is in a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_WORKING_SET_H
#define REMOTE_MEMORY_WORKING_SET_H

/**
 * DOC: The working set in a snapshot
 *
 * For each backend, its pages in the order of their last use, the last one
 * first::
 *
 *     u8, bytes   length and name of the backend's RAM
 *     be64        how many pages that has
 *     be32        bytes that follow: runs
 *
 * A run is neighbours that follow each other, upwards or downwards.  It is two
 * numbers of seven bits to a byte, the lowest first, all but the last byte of a
 * number with the highest bit set:
 *
 * - where it begins, from the page after (or before) the last one of the run
 *   before: twice the distance, or, if that is below 0, the complement of that
 * - how many pages it has beyond the first, twice; and 1 if they go downwards
 *
 * So 256 pages in order take about 4 bytes, and one by itself about as many:
 * less than a thousandth of what the snapshot has of it anyway.
 *
 * The section is a hint.  But it is part of a file that may be damaged, or made
 * by somebody else, so whatever is in it, reading it ends, stays within it, and
 * gives pages that exist, no more of them than there are.
 */

/**
 * struct WorkingSetWriter - one that is being written
 * @data: what has been written
 * @start: (backend) where its runs begin in that
 * @nr: (backend) pages of the run that is not written yet
 * @first: the first of them
 * @last: the last of them
 * @next: (backend) the next page, if the last run goes on
 */
typedef struct WorkingSetWriter {
    GByteArray *data;
    guint start;
    uint64_t nr;
    uint64_t first;
    uint64_t last;
    uint64_t next;
} WorkingSetWriter;

/** working_set_begin: begin with the pages of a backend whose RAM is @name */
void working_set_begin(WorkingSetWriter *w, const char *name,
                       uint64_t nr_pages);

/** working_set_add: add the page that was used last before all others */
void working_set_add(WorkingSetWriter *w, uint64_t page);

/** working_set_end: these are all pages of the backend */
void working_set_end(WorkingSetWriter *w);

/**
 * struct WorkingSetBackend - a backend that was found
 * @name: its RAM
 * @nr_pages: how many pages that has
 * @runs: what is left to be read of it
 * @size: how many bytes
 * @left: pages that it may still have
 * @next: see &struct WorkingSetWriter.next
 */
typedef struct WorkingSetBackend {
    char name[256];
    uint64_t nr_pages;
    const uint8_t *runs;
    size_t size;
    uint64_t left;
    uint64_t next;
} WorkingSetBackend;

/**
 * struct WorkingSetRun - neighbours
 * @first: the one that was used last
 * @nr: how many, at least 1
 * @down: whether the others are below it
 */
typedef struct WorkingSetRun {
    uint64_t first;
    uint64_t nr;
    bool down;
} WorkingSetRun;

/**
 * working_set_next_backend: read what there is of the next backend
 * @data: what there is to be read; moved on beyond the backend
 * @size: how much; likewise
 * @backend: set
 *
 * Returns: 1; 0 at the end; or -EINVAL if it makes no sense.
 */
int working_set_next_backend(const uint8_t **data, size_t *size,
                             WorkingSetBackend *backend);

/**
 * working_set_next_run: read the next run of a backend
 *
 * Returns: 1; 0 at the end; or -EINVAL if it makes no sense.
 */
int working_set_next_run(WorkingSetBackend *backend, WorkingSetRun *run);

/** working_set_is_sane: does all of it make sense? */
bool working_set_is_sane(const uint8_t *data, size_t size);

#endif
