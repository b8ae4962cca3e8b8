/*
 * Which lines of the cache does a thread write, and which does it read?
 *
 * For code that was compiled with -fsanitize=thread: the compiler then calls
 * a function for each access to memory that others could see.  Those functions
 * are here, instead of in the sanitizer's library.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_WRITE_LOG_H
#define TESTS_WRITE_LOG_H

/** WRITE_LOG_LINE: bytes that are told apart from their neighbours, or not */
#define WRITE_LOG_LINE 128

/**
 * struct WriteLogTouch - the first access of its kind to a line
 * @addr: to what
 * @pc: by which code, or %NULL if there was none
 */
typedef struct WriteLogTouch {
    uintptr_t addr;
    const void *pc;
} WriteLogTouch;

/**
 * struct WriteLogLine - what a thread did to a line
 * @line: its address, or 0: the place is free
 * @write: the first write
 * @read: the first read
 */
typedef struct WriteLogLine {
    uintptr_t line;
    WriteLogTouch write;
    WriteLogTouch read;
} WriteLogLine;

typedef struct WriteLog WriteLog;

/** write_log_new: an empty log */
WriteLog *write_log_new(void);

/** write_log_free: its thread is detached */
void write_log_free(WriteLog *log);

/**
 * write_log_attach: from now on, what the calling thread does is logged
 * @log: the thread's own, or %NULL to detach it
 *
 * Not its own stack, which nobody else should know of.
 */
void write_log_attach(WriteLog *log);

/**
 * write_log_switch: log, or do not, in all threads that are attached
 *
 * They may see it a little later.  Who was detached has seen it.
 */
void write_log_switch(bool on);

/** write_log_written: how many lines were written */
size_t write_log_written(const WriteLog *log);

/** write_log_touched: how many lines were written or read */
size_t write_log_touched(const WriteLog *log);

/**
 * write_log_shared: find lines that one writes and the other reads or writes
 * @a: one thread's log
 * @b: another one's
 * @fn: called for each such line, or %NULL
 * @opaque: handed to @fn
 *
 * Returns: how many there are.
 */
size_t write_log_shared(const WriteLog *a, const WriteLog *b,
                        void (*fn)(const WriteLogLine *a,
                                   const WriteLogLine *b, void *opaque),
                        void *opaque);

/* What __wrap_NAME() in write-log.c stands for; the linker's names. */
void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int c, size_t n);
ssize_t __real_read(int fd, void *buf, size_t n);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);

#endif
