/*
 * The working set of backends, as it is in a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "working-set.h"

/* A byte of a number: how many bits, and whether there are more. */
#define BITS 7
#define MORE (1u << BITS)

/* Of backends, what is in front of the runs, without the name. */
#define HEAD (1 + sizeof(uint64_t) + sizeof(uint32_t))

/* Writing */

static void put_number(GByteArray *data, uint64_t value)
{
    uint8_t bytes[64 / BITS + 1], n = 0;

    while (value >= MORE) {
        bytes[n++] = value | MORE;
        value >>= BITS;
    }
    bytes[n++] = value;
    g_byte_array_append(data, bytes, n);
}

/* Small ones take little room, on either side of 0. */
static uint64_t fold(int64_t distance)
{
    return distance < 0 ? ~((uint64_t)distance << 1) : (uint64_t)distance << 1;
}

static int64_t unfold(uint64_t value)
{
    return value & 1 ? ~(value >> 1) : value >> 1;
}

/* Down from page 0 is a page that nobody has, which is no harm. */
static uint64_t run_goes_on(uint64_t first, uint64_t nr, bool down)
{
    return down ? first - nr : first + nr;
}

static void put_run(WorkingSetWriter *w)
{
    bool down = w->last < w->first;

    if (w->nr) {
        put_number(w->data, fold(w->first - w->next));
        put_number(w->data, (w->nr - 1) << 1 | down);
        w->next = run_goes_on(w->first, w->nr, down);
        w->nr = 0;
    }
}

void working_set_begin(WorkingSetWriter *w, const char *name,
                       uint64_t nr_pages)
{
    uint8_t len = MIN(strlen(name), UINT8_MAX);
    uint64_t pages = cpu_to_be64(nr_pages);
    uint32_t size = 0;

    g_byte_array_append(w->data, &len, 1);
    g_byte_array_append(w->data, (const uint8_t *)name, len);
    g_byte_array_append(w->data, (const uint8_t *)&pages, sizeof(pages));
    g_byte_array_append(w->data, (const uint8_t *)&size, sizeof(size));
    w->start = w->data->len;
    w->nr = w->next = 0;
}

void working_set_add(WorkingSetWriter *w, uint64_t page)
{
    bool up = page == w->last + 1 && w->last + 1 == w->first + w->nr;
    bool down = page + 1 == w->last && w->last + w->nr == w->first + 1;

    if (!w->nr || (!up && !down)) {
        put_run(w);
        w->first = page;
    }
    w->last = page;
    w->nr++;
}

void working_set_end(WorkingSetWriter *w)
{
    put_run(w);
    stl_be_p(w->data->data + w->start - sizeof(uint32_t),
             w->data->len - w->start);
}

/* Reading */

static const uint8_t *skip(const uint8_t **data, size_t *size, size_t nr)
{
    const uint8_t *skipped = *data;

    *data += nr;
    *size -= nr;
    return skipped;
}

int working_set_next_backend(const uint8_t **data, size_t *size,
                             WorkingSetBackend *b)
{
    size_t len;

    if (!*size) {
        return 0;
    }
    len = **data;
    if (*size < HEAD + len) {
        return -EINVAL;
    }
    skip(data, size, 1);
    memcpy(b->name, skip(data, size, len), len);
    b->name[len] = 0;
    b->nr_pages = ldq_be_p(skip(data, size, sizeof(uint64_t)));
    b->size = ldl_be_p(skip(data, size, sizeof(uint32_t)));
    if (b->nr_pages > INT64_MAX || b->size > *size) {
        return -EINVAL;
    }
    b->runs = skip(data, size, b->size);
    b->left = b->nr_pages;
    b->next = 0;
    return 1;
}

static bool get_number(WorkingSetBackend *b, uint64_t *value)
{
    unsigned shift = 0;
    uint8_t byte;

    *value = 0;
    do {
        if (!b->size || shift > 64 - BITS) {
            return false;
        }
        byte = *skip(&b->runs, &b->size, 1);
        *value |= (uint64_t)(byte & (MORE - 1)) << shift;
        shift += BITS;
    } while (byte & MORE);
    return true;
}

int working_set_next_run(WorkingSetBackend *b, WorkingSetRun *run)
{
    uint64_t distance, length;

    if (!b->size) {
        return 0;
    }
    if (!get_number(b, &distance) || !get_number(b, &length)) {
        return -EINVAL;
    }
    run->first = b->next + unfold(distance);
    run->nr = (length >> 1) + 1;
    run->down = length & 1;
    /* All that it could have, before anything is added up. */
    if (run->first >= b->nr_pages || run->nr > b->left ||
        run->nr > (run->down ? run->first + 1 : b->nr_pages - run->first)) {
        return -EINVAL;
    }
    b->left -= run->nr;
    b->next = run_goes_on(run->first, run->nr, run->down);
    return 1;
}

bool working_set_is_sane(const uint8_t *data, size_t size)
{
    WorkingSetBackend b;
    WorkingSetRun run;
    int ret;

    while ((ret = working_set_next_backend(&data, &size, &b)) == 1) {
        do {
            ret = working_set_next_run(&b, &run);
        } while (ret == 1);
        if (ret < 0) {
            break;
        }
    }
    return ret == 0;
}
