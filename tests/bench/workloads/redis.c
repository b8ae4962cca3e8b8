/*
 * redis: a Redis server under redis-benchmark
 *
 * The data are lists and then single values, until the server says that all
 * take as much memory as they are to take: a quarter of it for the lists. A
 * run sends one kind of request for random keys, each equally likely:
 *
 *     get       read a value
 *     set       replace a value
 *     lrange    read the first half of a list
 *
 * Client and server speak over a Unix socket, so that as little as possible of
 * the guest's network is measured. "check" reads all data and verifies it;
 * values that redis-benchmark has replaced must all be the same.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <string.h>

#include "redis-process.h"
#include "workload.h"

#define VALUE_BYTES 1024
#define ELEMENT_BYTES 96
#define LIST_ELEMENTS 600
#define KEY_BYTES 32

/* So many requests are sent before their answers are read. */
#define BATCH 32
/* And the server is asked so often how much memory it uses. */
#define KEYS_PER_QUESTION 1024

enum { GET, SET, LRANGE };

static const char *const commands[] = { "get", "set", "lrange", NULL };

static uint64_t bytes = 256 << 20;
static uint64_t spoil;
static int command = GET;
static uint64_t requests = 20000;
static uint64_t clients = 50;

static const Option data_options[] = {
    { "size", OPTION_SIZE, &bytes, "bytes that the server uses" },
    { "spoil", OPTION_SIZE, &spoil,
      "1: change a value, to see that it is noticed" },
    { }
};

static const Option request_options[] = {
    { "command", OPTION_CHOICE, &command, "what is requested", commands },
    { "requests", OPTION_SIZE, &requests, "how many requests" },
    { "clients", OPTION_SIZE, &clients, "how many at a time" },
    { }
};

static Resp server;
static uint64_t keys;
static uint64_t lists;

/* Every other word is the same in all of the string, the rest look random */
static void make_string(char *buffer, size_t size, uint64_t number)
{
    uint64_t random = mix64(number), dull = random;

    for (size_t i = 0; i < size; i += sizeof(random)) {
        uint64_t word = i / sizeof(random) % 2 ? dull : random_next(&random);

        memcpy(buffer + i, &word, sizeof(word));
    }
}

static void make_value(char *buffer, uint64_t key)
{
    make_string(buffer, VALUE_BYTES, key);
}

static void make_element(char *buffer, uint64_t list, unsigned i)
{
    make_string(buffer, ELEMENT_BYTES, ~(list * LIST_ELEMENTS + i));
}

/* As redis-benchmark spells its keys */
static void send_key(const char *kind, uint64_t number)
{
    char key[KEY_BYTES];

    snprintf(key, sizeof(key), "%s:%012llu", kind, (unsigned long long)number);
    resp_text(&server, key);
}

/* --- Setup ---------------------------------------------------------------- */

static uint64_t used_memory(void)
{
    const char name[] = "used_memory:";
    char info[8192], *at;

    resp_command(&server, 2);
    resp_text(&server, "INFO");
    resp_text(&server, "memory");
    resp_flush(&server);
    resp_expect_string(&server, info, sizeof(info));
    at = strstr(info, name);
    return at ? strtoull(at + sizeof(name) - 1, NULL, 10) : UINT64_MAX;
}

static void make_list(uint64_t number)
{
    char element[ELEMENT_BYTES];

    resp_command(&server, 2 + LIST_ELEMENTS);
    resp_text(&server, "RPUSH");
    send_key("list", number);
    for (unsigned i = 0; i < LIST_ELEMENTS; i++) {
        make_element(element, number, i);
        resp_word(&server, element, sizeof(element));
    }
    resp_flush(&server);
    resp_expect_ok(&server);
}

static void make_keys(uint64_t first, unsigned nr)
{
    char value[VALUE_BYTES];

    for (uint64_t key = first; key < first + nr; key++) {
        resp_command(&server, 3);
        resp_text(&server, "SET");
        send_key("key", key);
        make_value(value, key ? key : spoil);
        resp_word(&server, value, sizeof(value));
    }
    resp_flush(&server);
    for (unsigned i = 0; i < nr; i++) {
        resp_expect_ok(&server);
    }
}

static void setup(void)
{
    redis_start(&server, NULL);
    do {
        make_list(lists++);
    } while (used_memory() < bytes / 4);
    do {
        for (unsigned i = 0; i < KEYS_PER_QUESTION; i += BATCH) {
            make_keys(keys, BATCH);
            keys += BATCH;
        }
    } while (used_memory() < bytes);
    json_count("bytes", used_memory());
    json_count("keys", keys);
    json_count("lists", lists);
}

/* --- Run ------------------------------------------------------------------ */

static void run(void)
{
    const double ns_per_ms = 1e6;
    char arguments[256], what[64];
    RedisTimes times;

    if (command == LRANGE) {
        snprintf(what, sizeof(what), "LRANGE list:__rand_int__ 0 %u",
                 LIST_ELEMENTS / 2 - 1);
    } else {
        snprintf(what, sizeof(what), "-t %s", commands[command]);
    }
    snprintf(arguments, sizeof(arguments), "-n %llu -c %llu -r %llu -d %u %s",
             (unsigned long long)requests, (unsigned long long)clients,
             (unsigned long long)(command == LRANGE ? lists : keys),
             VALUE_BYTES, what);
    redis_measure(arguments, &times);
    json_text("command", commands[command]);
    json_rate(requests, requests / times.per_second);
    json_count("clients", clients);
    json_real("mean_ns", times.mean_ms * ns_per_ms);
    json_real("p50_ns", times.p50_ms * ns_per_ms);
    json_real("p95_ns", times.p95_ms * ns_per_ms);
    json_real("p99_ns", times.p99_ms * ns_per_ms);
    json_real("max_ns", times.max_ms * ns_per_ms);
}

/* --- Check ---------------------------------------------------------------- */

/* redis-benchmark writes printable values, which ours are not */
static bool is_printable(const char *value)
{
    unsigned i = 0;

    while (i < VALUE_BYTES && value[i] >= '0' && value[i] < '0' + 64) {
        i++;
    }
    return i == VALUE_BYTES;
}

/* A value is as it was made, or what redis-benchmark writes everywhere */
static void check_value(uint64_t key, const char *value, size_t size,
                        char *replacement)
{
    char want[VALUE_BYTES + 3];

    make_value(want, key);
    if (size == VALUE_BYTES && memcmp(value, want, VALUE_BYTES)) {
        /* The first such value shows what they all are. */
        if (!replacement[0] && is_printable(value)) {
            memcpy(replacement, value, VALUE_BYTES);
        }
        memcpy(want, replacement, VALUE_BYTES);
    }
    if (size != VALUE_BYTES || memcmp(value, want, VALUE_BYTES)) {
        mismatch("value %llu is wrong", (unsigned long long)key);
    }
}

static void check_keys(uint64_t first, char *replacement)
{
    char value[VALUE_BYTES + 3];

    for (unsigned i = 0; i < BATCH; i++) {
        resp_command(&server, 2);
        resp_text(&server, "GET");
        send_key("key", first + i);
    }
    resp_flush(&server);
    for (unsigned i = 0; i < BATCH; i++) {
        size_t size = resp_expect_string(&server, value, sizeof(value));

        check_value(first + i, value, size, replacement);
    }
}

static void check_list(uint64_t list)
{
    char got[ELEMENT_BYTES + 3], want[ELEMENT_BYTES];

    resp_command(&server, 4);
    resp_text(&server, "LRANGE");
    send_key("list", list);
    resp_text(&server, "0");
    resp_text(&server, "-1");
    resp_flush(&server);
    if (resp_expect_list(&server) != LIST_ELEMENTS) {
        mismatch("list %llu has another length", (unsigned long long)list);
    }
    for (unsigned i = 0; i < LIST_ELEMENTS; i++) {
        make_element(want, list, i);
        if (resp_expect_string(&server, got, sizeof(got)) != ELEMENT_BYTES ||
            memcmp(got, want, ELEMENT_BYTES)) {
            mismatch("element %u of list %llu is wrong", i,
                     (unsigned long long)list);
        }
    }
}

static void check(void)
{
    char replacement[VALUE_BYTES] = { 0 };

    for (uint64_t list = 0; list < lists; list++) {
        check_list(list);
    }
    for (uint64_t key = 0; key < keys; key += BATCH) {
        check_keys(key, replacement);
    }
    json_count("keys", keys);
    json_count("lists", lists);
}

int main(int argc, char **argv)
{
    static const Workload workload = {
        .name = "redis",
        .usage = "redis [NAME=VALUE]...: a Redis server and its benchmark",
        .setup_options = { data_options },
        .run_options = { request_options },
        .setup = setup,
        .run = run,
        .check = check,
    };

    return workload_main(&workload, argc, argv);
}
