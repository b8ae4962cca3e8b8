/*
 * diskcheck: copy a disk with O_DIRECT through memory that is under pressure
 *
 * Chunks of the source disk are read into a pool of buffers in random order
 * by several threads, lie there while other buffers are used, and are written
 * to the target disk, moved on by one place for each round. Half of the chunks
 * are moved with large requests, half with small ones into buffers that are
 * not page-aligned; half of each are compared with their checksums when they
 * were read, the others not touched by the CPU before they are written: a
 * page that only a device has changed must count as changed. In the end the
 * target is read back and compared.
 *
 * Usage: diskcheck SOURCE SUMS TARGET THREADS ROUNDS
 *
 * SUMS holds a little-endian CRC-32 for each chunk of the source. The last
 * line on stdout is "diskcheck: OK ..." or "diskcheck: MISMATCH ..." (exit 1)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pattern.h"

/* Large requests move a chunk at once, small ones a page. */
#define CHUNK_BYTES (1 << 20)
#define SMALL_BYTES 4096

/* Small requests start at a sector within a page and so always touch two. */
#define SECTOR_BYTES 512

/* Buffers of a thread: a chunk waits for as many others before it goes out. */
#define SLOTS 12

typedef struct Disks {
    /* constant */
    int source;
    int target;
    uint32_t *sums;
    unsigned chunks;
    unsigned order_bits;    /* chunks <= 2^order_bits */
    unsigned threads;
    unsigned rounds;
    uint32_t crc_table[8][256];
    pthread_barrier_t barrier;

    atomic_uint next;       /* position in this round's order */
    atomic_uint checked;    /* chunks compared */
} Disks;

typedef struct Slot {
    uint8_t *memory;        /* CHUNK_BYTES and a page */
    bool used;
    unsigned chunk;
} Slot;

static void fail(const char *fmt, ...)
{
    va_list ap;

    flockfile(stdout); /* the first one wins, and the process ends with it */
    va_start(ap, fmt);
    fputs("diskcheck: ", stdout);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
    fflush(stdout);
    _exit(1);
}

/* CRC-32 as zlib computes it, eight bytes at a step */
static void crc_init(uint32_t table[8][256])
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
        table[0][i] = crc;
    }
    for (unsigned i = 0; i < 256; i++) {
        for (unsigned step = 1; step < 8; step++) {
            uint32_t crc = table[step - 1][i];

            table[step][i] = crc >> 8 ^ table[0][crc & 0xff];
        }
    }
}

static uint32_t crc32(uint32_t table[8][256], const uint8_t *data, size_t bytes)
{
    uint64_t crc = 0xffffffff;

    for (; bytes; data += 8, bytes -= 8) {
        uint64_t word;
        uint32_t next = 0;

        memcpy(&word, data, 8);
        word = le64toh(word) ^ crc;
        for (unsigned i = 0; i < 8; i++) {
            next ^= table[7 - i][word >> 8 * i & 0xff];
        }
        crc = next;
    }
    return ~crc;
}

static bool is_large(unsigned chunk)
{
    return chunk % 2;
}

static bool is_checked_at_once(unsigned chunk)
{
    return chunk / 2 % 2;
}

static uint8_t *slot_data(Slot *slot)
{
    return slot->memory + (is_large(slot->chunk) ? 0 : SECTOR_BYTES);
}

static void move(bool write, int fd, uint8_t *data, unsigned place, bool large)
{
    size_t step = large ? CHUNK_BYTES : SMALL_BYTES;

    for (size_t done = 0; done < CHUNK_BYTES; done += step) {
        off_t offset = (off_t)place * CHUNK_BYTES + done;
        ssize_t n = write ? pwrite(fd, data + done, step, offset)
                          : pread(fd, data + done, step, offset);

        if (n != (ssize_t)step) {
            fail("%s of %zu at %lld: %s", write ? "write" : "read", step,
                 (long long)offset, n < 0 ? strerror(errno) : "short");
        }
    }
}

static void check(Disks *d, Slot *slot, const char *when)
{
    uint32_t got = crc32(d->crc_table, slot_data(slot), CHUNK_BYTES);
    uint32_t want = d->sums[slot->chunk];

    if (got != want) {
        fail("MISMATCH chunk=%u %s requests=%s want=%08x got=%08x",
             slot->chunk, when, is_large(slot->chunk) ? "large" : "small",
             want, got);
    }
    d->checked++;
}

static void read_chunk(Disks *d, Slot *slot, unsigned chunk)
{
    slot->used = true;
    slot->chunk = chunk;
    move(false, d->source, slot_data(slot), chunk, is_large(chunk));
    if (is_checked_at_once(chunk)) {
        check(d, slot, "after reading");
    }
}

static void write_chunk(Disks *d, Slot *slot, unsigned round)
{
    unsigned place = (slot->chunk + round) % d->chunks;

    if (!slot->used) {
        return;
    }
    move(true, d->target, slot_data(slot), place, is_large(slot->chunk));
    if (!is_checked_at_once(slot->chunk)) {
        check(d, slot, "after writing");
    }
    slot->used = false;
}

/* The next chunk of this round's order, or -1 when they have all been taken */
static int take_chunk(Disks *d, unsigned round)
{
    unsigned i;

    while ((i = d->next++) < 1u << d->order_bits) {
        uint64_t chunk = shuffle(i, d->order_bits, round);

        if (chunk < d->chunks) {
            return chunk;
        }
    }
    return -1;
}

static void copy_round(Disks *d, Slot *slots, unsigned round)
{
    unsigned turn = 0;
    int chunk;

    while ((chunk = take_chunk(d, round)) >= 0) {
        Slot *slot = &slots[turn++ % SLOTS];

        write_chunk(d, slot, round);
        read_chunk(d, slot, chunk);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        write_chunk(d, &slots[turn++ % SLOTS], round);
    }
}

static void read_back(Disks *d, Slot *slot)
{
    int chunk;

    while ((chunk = take_chunk(d, ~0u)) >= 0) {
        unsigned place = (chunk + d->rounds) % d->chunks;

        slot->chunk = chunk;
        move(false, d->target, slot_data(slot), place, is_large(chunk));
        check(d, slot, "read back");
    }
}

/* All threads are through with the order; one of them rewinds it */
static void finish_round(Disks *d)
{
    if (pthread_barrier_wait(&d->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
        d->next = 0;
    }
    pthread_barrier_wait(&d->barrier);
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        fail("cannot map %zu bytes", bytes);
    }
    return p;
}

static void *work(void *opaque)
{
    Disks *d = opaque;
    Slot slots[SLOTS] = { };

    for (unsigned i = 0; i < SLOTS; i++) {
        slots[i].memory = map(CHUNK_BYTES + PAGE_BYTES);
    }
    for (unsigned round = 1; round <= d->rounds; round++) {
        copy_round(d, slots, round);
        finish_round(d);
    }
    read_back(d, slots);
    return NULL;
}

static int open_disk(const char *path, int flags)
{
    int fd = open(path, flags);

    if (fd < 0) {
        fail("%s: %s", path, strerror(errno));
    }
    return fd;
}

static void load_sums(Disks *d, const char *path)
{
    size_t bytes = d->chunks * sizeof(*d->sums);
    int fd = open_disk(path, O_RDONLY);

    d->sums = map(bytes);
    if (read(fd, d->sums, bytes) != (ssize_t)bytes) {
        fail("%s: too short", path);
    }
    for (unsigned i = 0; i < d->chunks; i++) {
        d->sums[i] = le32toh(d->sums[i]);
    }
    close(fd);
}

static void open_disks(Disks *d, char **paths)
{
    d->source = open_disk(paths[0], O_RDONLY | O_DIRECT);
    d->chunks = lseek(d->source, 0, SEEK_END) / CHUNK_BYTES;
    if (d->chunks < 2) {
        fail("%s: too small", paths[0]);
    }
    while (1u << d->order_bits < d->chunks) {
        d->order_bits++;
    }
    load_sums(d, paths[1]);
    d->target = open_disk(paths[2], O_RDWR | O_DIRECT);
}

static void run(Disks *d)
{
    pthread_t threads[d->threads];

    pthread_barrier_init(&d->barrier, NULL, d->threads);
    for (unsigned i = 0; i < d->threads; i++) {
        if (pthread_create(&threads[i], NULL, work, d)) {
            fail("cannot start a thread");
        }
    }
    for (unsigned i = 0; i < d->threads; i++) {
        pthread_join(threads[i], NULL);
    }
    if (fsync(d->target)) {
        fail("fsync: %s", strerror(errno));
    }
    printf("diskcheck: OK chunks=%u rounds=%u checked=%u\n", d->chunks,
           d->rounds, d->checked);
}

int main(int argc, char **argv)
{
    static Disks disks;

    if (argc != 6 || atoi(argv[4]) < 1 || atoi(argv[5]) < 1) {
        fail("usage: diskcheck SOURCE SUMS TARGET THREADS ROUNDS");
    }
    disks.threads = atoi(argv[4]);
    disks.rounds = atoi(argv[5]);
    crc_init(disks.crc_table);
    open_disks(&disks, argv + 1);
    run(&disks);
    return 0;
}
