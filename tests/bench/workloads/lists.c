/*
 * lists: a Redis server with large lists that are scattered over its memory
 *
 * The data are lists of 64 blocks of 8 KiB, which is what Redis makes of 512
 * elements of 1000 bytes. They grow side by side: which one gets its next
 * elements is drawn by lot, so that what follows a block in memory is most
 * likely another list's, as after a long life. An operation reads all of one
 * list (LRANGE KEY 0 -1), each equally likely, one after the other over a Unix
 * socket. Of each element, both ends are verified; "check" verifies all.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <string.h>

#include "redis-process.h"
#include "workload.h"

#define ELEMENT_WORDS 125
#define ELEMENT_BYTES (ELEMENT_WORDS * 8)
#define LIST_ELEMENTS 512
/* Elements of one request when lists are made */
#define PUSHED 4
#define PUSHES (LIST_ELEMENTS / PUSHED)
/* What the server takes for a list, with all that belongs to it */
#define LIST_BYTES (LIST_ELEMENTS / 8 * 8192 + 4096)
#define KEY_BYTES 32
#define STREAM_BYTES (64 << 10)

static uint64_t bytes = 256 << 20;
static uint64_t spoil;
static const char *preload;
static uint64_t requests = 500;

static const Option data_options[] = {
    { "size", OPTION_SIZE, &bytes, "bytes of all lists" },
    { "spoil", OPTION_SIZE, &spoil,
      "1: change an element, to see that it is noticed" },
    { "preload", OPTION_TEXT, &preload, "a library for the server" },
    { }
};

static const Option request_options[] = {
    { "requests", OPTION_SIZE, &requests, "how many lists are read" },
    { }
};

static Resp server;
static uint64_t lists;
static uint64_t lot = 1;

static void make_element(uint64_t *words, uint64_t list, uint64_t i)
{
    uint64_t number = mix64(list * LIST_ELEMENTS + i + 1);

    for (unsigned k = 0; k < ELEMENT_WORDS; k++) {
        words[k] = number + k;
    }
}

/* Of all words, or of the first and the last */
static bool is_right(const char *element, uint64_t list, uint64_t i, bool all)
{
    uint64_t number = mix64(list * LIST_ELEMENTS + i + 1), word;

    for (unsigned k = 0; k < ELEMENT_WORDS; k += all ? 1 : ELEMENT_WORDS - 1) {
        memcpy(&word, element + k * sizeof(word), sizeof(word));
        if (word != number + k) {
            return false;
        }
    }
    return true;
}

static void send_key(uint64_t list)
{
    char key[KEY_BYTES];

    snprintf(key, sizeof(key), "list:%llu", (unsigned long long)list);
    resp_text(&server, key);
}

/* --- Setup ---------------------------------------------------------------- */

static void push(uint64_t list, unsigned first)
{
    uint64_t element[ELEMENT_WORDS];

    resp_command(&server, 2 + PUSHED);
    resp_text(&server, "RPUSH");
    send_key(list);
    for (unsigned i = first; i < first + PUSHED; i++) {
        make_element(element, list, list || i ? i : spoil);
        resp_word(&server, element, sizeof(element));
    }
    resp_flush(&server);
    resp_expect_ok(&server);
}

/* What has to be pushed, each list as often as the others, is shuffled. */
static void make_lists(void)
{
    uint64_t nr = lists * PUSHES;
    uint32_t *order = malloc(nr * sizeof(*order));
    uint16_t *pushed = calloc(lists, sizeof(*pushed));

    if (!order || !pushed) {
        die("not enough memory");
    }
    for (uint64_t i = 0; i < nr; i++) {
        uint64_t k = scale_to(random_next(&lot), i + 1);

        order[i] = order[k];
        order[k] = i % lists;
    }
    for (uint64_t i = 0; i < nr; i++) {
        push(order[i], pushed[order[i]]++ * PUSHED);
    }
    free(order);
    free(pushed);
}

static void setup(void)
{
    lists = bytes / LIST_BYTES;
    if (!lists) {
        die("the size is less than that of a list");
    }
    redis_start(&server, preload);
    setvbuf(server.in, NULL, _IOFBF, STREAM_BYTES);
    make_lists();
    json_count("bytes", lists * LIST_BYTES);
    json_count("lists", lists);
}

/* --- Run and check -------------------------------------------------------- */

static void read_list(uint64_t list, bool all)
{
    char element[ELEMENT_BYTES + 3];

    resp_command(&server, 4);
    resp_text(&server, "LRANGE");
    send_key(list);
    resp_text(&server, "0");
    resp_text(&server, "-1");
    resp_flush(&server);
    if (resp_expect_list(&server) != LIST_ELEMENTS) {
        mismatch("list %llu has another length", (unsigned long long)list);
    }
    for (unsigned i = 0; i < LIST_ELEMENTS; i++) {
        if (resp_expect_string(&server, element, sizeof(element)) !=
            ELEMENT_BYTES || !is_right(element, list, i, all)) {
            mismatch("element %u of list %llu is wrong", i,
                     (unsigned long long)list);
        }
    }
}

static void run(void)
{
    static Histogram times;
    double start = now();

    memset(&times, 0, sizeof(times));
    for (uint64_t i = 0; i < requests; i++) {
        uint64_t before = ticks();

        read_list(scale_to(random_next(&lot), lists), false);
        histogram_add(&times, ticks_to_ns(ticks() - before));
    }
    json_rate(requests, now() - start);
    json_latency(&times, false);
}

static void check(void)
{
    for (uint64_t list = 0; list < lists; list++) {
        read_list(list, true);
    }
    json_count("lists", lists);
}

int main(int argc, char **argv)
{
    static const Workload workload = {
        .name = "lists",
        .usage = "lists [NAME=VALUE]...: a Redis server with large lists",
        .setup_options = { data_options },
        .run_options = { request_options },
        .setup = setup,
        .run = run,
        .check = check,
    };

    return workload_main(&workload, argc, argv);
}
