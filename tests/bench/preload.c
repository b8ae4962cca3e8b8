/*
 * toucher.so: touchers inside of QEMU
 *
 *   LD_PRELOAD=toucher.so TOUCHER_SOCKET=PATH qemu-system-x86_64 ... \
 *       -object memory-backend-remote,id=ram0,size=1G,cache-size=256M
 *
 * QEMU is not changed, and the guest's RAM is touched by threads that are to
 * the pager just what a vCPU's thread is. Which memory that is, is seen from
 * QEMU's calls of ioctl(UFFDIO_REGISTER).
 *
 * A thread listens on the socket, serves one connection after the other, and
 * answers each line with one line of JSON:
 *
 *   fill size=1G [NAME=VALUE...]    write the working set in RAM of that size
 *   touch size=1G [NAME=VALUE...]   the same unless it is done, and touch
 *   stripes size=1G                 of what ranges that RAM is made: offset,
 *                                   length and the descriptor of each
 *
 * Names are those of toucher.h. Commands that lay the set out in the same way
 * go on with its contents, and in the cycle where the last one ended.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "ranges.h"
#include "toucher.h"

#define MAX_WORDS (TOUCH_OPTIONS + 2)
#define NOT_REGISTERED "QEMU has registered no RAM of this size"

/* Control thread only: the set that was filled, and how it is laid out. */
static TouchSet set;
static TouchOptions laid_out;
static uint64_t laid_out_size;

/* What QEMU registers */

int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    void *arg;
    int ret;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    ret = syscall(SYS_ioctl, fd, request, arg);
    if (request == UFFDIO_REGISTER && !ret) {
        ranges_note(&((struct uffdio_register *)arg)->range, fd);
    }
    return ret;
}

/* Commands */

static void answer_error(FILE *f, const char *message)
{
    fprintf(f, "{\"error\": \"%s\"}\n", message);
}

static bool same_layout(const TouchOptions *o, uint64_t size)
{
    return set.base && size == laid_out_size && o->set == laid_out.set &&
           o->chunk == laid_out.chunk && o->span == laid_out.span;
}

/* Returns a message if that cannot be. */
static const char *lay_out(const TouchOptions *o, uint64_t size)
{
    uint8_t *ram = ranges_find(size);

    if (!ram) {
        return NOT_REGISTERED;
    }
    if (o->set > size || o->span > size) {
        return "the set is larger than the RAM";
    }
    touch_set_free(&set);
    touch_set_init(&set, ram, o);
    touch_fill(&set);
    laid_out = *o;
    laid_out_size = size;
    return NULL;
}

static void command_touch(FILE *f, char **words, int nr, bool touch)
{
    static TouchResult result;
    TouchPlan plan = { .options = touch_defaults };
    uint64_t size = 0, start;
    const char *message;
    char error[256];
    Option table[TOUCH_OPTIONS + 2] = {
        option_size("size", &size, "of the RAM"),
    };

    touch_options(&plan.options, table + 1);
    if (!options_parse(table, words, nr, error, sizeof(error))) {
        answer_error(f, error);
        return;
    }
    start = now_ns();
    message = touch_check_options(&plan.options);
    if (!message && !same_layout(&plan.options, size)) {
        message = lay_out(&plan.options, size);
    }
    if (message) {
        answer_error(f, message);
        return;
    }
    fprintf(f, "{\"fill_seconds\": %.6f", (now_ns() - start) / 1e9);
    if (touch) {
        touch_run(&set, &plan, &result);
        fputs(", ", f);
        touch_print(f, &result);
    }
    fputs("}\n", f);
}

static void command_stripes(FILE *f, char **words, int nr)
{
    uint64_t size = 0;
    char error[256];
    const Option table[] = { option_size("size", &size, ""), { 0 } };

    if (!options_parse(table, words, nr, error, sizeof(error))) {
        answer_error(f, error);
    } else if (!ranges_find(size)) {
        answer_error(f, NOT_REGISTERED);
    } else {
        fputs("{\"stripes\": ", f);
        ranges_print(f, size);
        fputs("}\n", f);
    }
}

static void command(FILE *f, char *line)
{
    char *words[MAX_WORDS], *word, *state;
    int nr = 0;

    for (word = strtok_r(line, "\n ", &state); word && nr < MAX_WORDS;
         word = strtok_r(NULL, "\n ", &state)) {
        words[nr++] = word;
    }
    if (nr && !strcmp(words[0], "touch")) {
        command_touch(f, words + 1, nr - 1, true);
    } else if (nr && !strcmp(words[0], "fill")) {
        command_touch(f, words + 1, nr - 1, false);
    } else if (nr && !strcmp(words[0], "stripes")) {
        command_stripes(f, words + 1, nr - 1);
    } else {
        answer_error(f, "unknown command");
    }
}

/* The control thread */

static void serve(int fd)
{
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    char line[1024];

    while (in && out && fgets(line, sizeof(line), in)) {
        command(out, line);
        fflush(out);
    }
    fclose(in);
    fclose(out);
}

static void *control_main(void *opaque)
{
    int listener = (intptr_t)opaque;

    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0) {
            serve(fd);
        }
    }
    return NULL;
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
        listen(fd, 1)) {
        fprintf(stderr, "toucher: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    return fd;
}

static void __attribute__((constructor)) toucher_init(void)
{
    const char *path = getenv("TOUCHER_SOCKET");
    sigset_t all, old;
    pthread_t thread;

    if (!path) {
        return;
    }
    /* QEMU's signals are for QEMU's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, control_main,
                       (void *)(intptr_t)listen_at(path))) {
        perror("toucher");
        exit(1);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
