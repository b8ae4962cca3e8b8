/*
 * Which lines of the cache does a thread write, and which does it read?
 *
 * What code does that was not compiled for it is seen only where the linker
 * was told to wrap the function (-Wl,--wrap): locks, copies, and read(2),
 * where the kernel writes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "write-log.h"

/* Places for lines: a power of two, and far more than are needed. */
#define PLACES (1u << 17)

struct WriteLog {
    uintptr_t stack;
    size_t stack_size;
    size_t nr;
    WriteLogLine lines[PLACES];
};

static __thread WriteLog *mine;
static bool switched_on;

WriteLog *write_log_new(void)
{
    return g_new0(WriteLog, 1);
}

void write_log_free(WriteLog *log)
{
    g_free(log);
}

static void note_stack(WriteLog *log)
{
    pthread_attr_t attr;
    void *stack;

    g_assert_cmpint(pthread_getattr_np(pthread_self(), &attr), ==, 0);
    pthread_attr_getstack(&attr, &stack, &log->stack_size);
    pthread_attr_destroy(&attr);
    log->stack = (uintptr_t)stack;
}

void write_log_attach(WriteLog *log)
{
    if (log) {
        note_stack(log);
    }
    mine = log;
}

void write_log_switch(bool on)
{
    qatomic_set(&switched_on, on);
}

/* Where a line is, or would be. */
static WriteLogLine *place_of(const WriteLog *log, uintptr_t line)
{
    uint64_t hash = line / WRITE_LOG_LINE * 0x9e3779b97f4a7c15ull;
    const WriteLogLine *place;

    for (unsigned i = hash >> 40;; i++) {
        place = &log->lines[i % PLACES];
        if (place->line == line || !place->line) {
            return (WriteLogLine *)place;
        }
    }
}

static void touch_line(uintptr_t line, uintptr_t addr, bool write,
                       const void *pc)
{
    WriteLogLine *place = place_of(mine, line);
    WriteLogTouch *touch = write ? &place->write : &place->read;

    if (!place->line) {
        /* One place stays free, where each search ends. */
        g_assert_cmpint(++mine->nr, <, PLACES);
        place->line = line;
    }
    if (!touch->pc) {
        *touch = (WriteLogTouch) { .addr = addr, .pc = pc };
    }
}

static void touch(const void *mem, size_t size, bool write,
                  const void *pc)
{
    uintptr_t addr = (uintptr_t)mem, line;

    if (!mine || !qatomic_read(&switched_on) || !size ||
        addr - mine->stack < mine->stack_size) {
        return;
    }
    line = addr & ~(uintptr_t)(WRITE_LOG_LINE - 1);
    for (; line < addr + size; line += WRITE_LOG_LINE) {
        touch_line(line, MAX(line, addr), write, pc);
    }
}

size_t write_log_written(const WriteLog *log)
{
    size_t nr = 0;

    for (unsigned i = 0; i < PLACES; i++) {
        nr += log->lines[i].write.pc != NULL;
    }
    return nr;
}

size_t write_log_touched(const WriteLog *log)
{
    return log->nr;
}

size_t write_log_shared(const WriteLog *a, const WriteLog *b,
                        void (*fn)(const WriteLogLine *a,
                                   const WriteLogLine *b, void *opaque),
                        void *opaque)
{
    size_t nr = 0;

    for (unsigned i = 0; i < PLACES; i++) {
        const WriteLogLine *one = &a->lines[i], *other;

        if (!one->line) {
            continue;
        }
        other = place_of(b, one->line);
        if (other->line && (one->write.pc || other->write.pc)) {
            nr++;
            if (fn) {
                fn(one, other, opaque);
            }
        }
    }
    return nr;
}

/* What the compiler calls; the names and types are its own. */

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define CALLER __builtin_return_address(0)

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
}

void __tsan_func_exit(void)
{
}

#define TSAN_ACCESS(name, size, write)                      \
    void __tsan_##name##size(void *addr)                    \
    {                                                       \
        touch(addr, size, write, CALLER);                   \
    }

#define TSAN_ACCESSES(size)                     \
    TSAN_ACCESS(read, size, false)              \
    TSAN_ACCESS(write, size, true)              \
    TSAN_ACCESS(unaligned_read, size, false)    \
    TSAN_ACCESS(unaligned_write, size, true)    \
    TSAN_ACCESS(volatile_read, size, false)     \
    TSAN_ACCESS(volatile_write, size, true)     \
    TSAN_ACCESS(read_write, size, true)         \
    TSAN_ACCESS(unaligned_read_write, size, true)

TSAN_ACCESSES(1)
TSAN_ACCESSES(2)
TSAN_ACCESSES(4)
TSAN_ACCESSES(8)
TSAN_ACCESSES(16)

void __tsan_read_range(void *addr, unsigned long size)
{
    touch(addr, size, false, CALLER);
}

void __tsan_write_range(void *addr, unsigned long size)
{
    touch(addr, size, true, CALLER);
}

/*
 * Atomic accesses are done here.  The order that was asked for is not known
 * when this is compiled, so it is the strictest.
 */

#define TSAN_ATOMIC_LOAD(type, bits)                                        \
    type __tsan_atomic##bits##_load(const type addr[], int order)           \
    {                                                                       \
        touch(addr, sizeof(type), false, CALLER);                           \
        return __atomic_load_n(addr, __ATOMIC_SEQ_CST);                     \
    }

#define TSAN_ATOMIC_STORE(type, bits)                                       \
    void __tsan_atomic##bits##_store(type addr[], type v, int order)        \
    {                                                                       \
        touch(addr, sizeof(type), true, CALLER);                            \
        __atomic_store_n(addr, v, __ATOMIC_SEQ_CST);                        \
    }

#define TSAN_ATOMIC_RMW(type, bits, name, function)                         \
    type __tsan_atomic##bits##_##name(type addr[], type v, int order)       \
    {                                                                       \
        touch(addr, sizeof(type), true, CALLER);                            \
        return __atomic_##function(addr, v, __ATOMIC_SEQ_CST);              \
    }

#define TSAN_ATOMIC_CMPXCHG(type, bits, name, weak)                         \
    int __tsan_atomic##bits##_compare_exchange_##name(                      \
        type addr[], type old[], type v, int order, int order_failed)       \
    {                                                                       \
        touch(addr, sizeof(type), true, CALLER);                            \
        return __atomic_compare_exchange_n(addr, old, v, weak,              \
                                           __ATOMIC_SEQ_CST,                \
                                           __ATOMIC_SEQ_CST);               \
    }

#define TSAN_ATOMICS(type, bits)                            \
    TSAN_ATOMIC_LOAD(type, bits)                            \
    TSAN_ATOMIC_STORE(type, bits)                           \
    TSAN_ATOMIC_CMPXCHG(type, bits, strong, false)          \
    TSAN_ATOMIC_CMPXCHG(type, bits, weak, true)             \
    TSAN_ATOMIC_RMW(type, bits, exchange, exchange_n)       \
    TSAN_ATOMIC_RMW(type, bits, fetch_add, fetch_add)       \
    TSAN_ATOMIC_RMW(type, bits, fetch_sub, fetch_sub)       \
    TSAN_ATOMIC_RMW(type, bits, fetch_and, fetch_and)       \
    TSAN_ATOMIC_RMW(type, bits, fetch_or, fetch_or)         \
    TSAN_ATOMIC_RMW(type, bits, fetch_xor, fetch_xor)       \
    TSAN_ATOMIC_RMW(type, bits, fetch_nand, fetch_nand)

TSAN_ATOMICS(uint8_t, 8)
TSAN_ATOMICS(uint16_t, 16)
TSAN_ATOMICS(uint32_t, 32)
TSAN_ATOMICS(uint64_t, 64)

void __tsan_atomic_thread_fence(int order)
{
    /* Whichever was meant: the strictest. */
    smp_mb();
}

void __tsan_atomic_signal_fence(int order)
{
    barrier();
}

/* What clang calls instead of the functions that are wrapped below. */

void *__tsan_memcpy(void *to, const void *from, size_t n)
{
    touch(from, n, false, CALLER);
    touch(to, n, true, CALLER);
    return memcpy(to, from, n);
}

void *__tsan_memmove(void *to, const void *from, size_t n)
{
    touch(from, n, false, CALLER);
    touch(to, n, true, CALLER);
    return memmove(to, from, n);
}

void *__tsan_memset(void *to, int c, size_t n)
{
    touch(to, n, true, CALLER);
    return memset(to, c, n);
}

/* What the linker puts in the place of functions of the C library. */

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
    touch(from, n, false, CALLER);
    touch(to, n, true, CALLER);
    return __real_memcpy(to, from, n);
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
    touch(from, n, false, CALLER);
    touch(to, n, true, CALLER);
    return __real_memmove(to, from, n);
}

void *__wrap_memset(void *to, int c, size_t n)
{
    touch(to, n, true, CALLER);
    return __real_memset(to, c, n);
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
    ssize_t ret = __real_read(fd, buf, n);

    touch(buf, MAX(ret, 0), true, CALLER);
    return ret;
}

/* A lock that both take is written by both, whatever it protects. */

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    touch(mutex, sizeof(*mutex), true, CALLER);
    return __real_pthread_mutex_lock(mutex);
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    touch(mutex, sizeof(*mutex), true, CALLER);
    return __real_pthread_mutex_trylock(mutex);
}
