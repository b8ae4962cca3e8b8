/*
 * QTest: what the tests of memory-backend-remote share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_LIB_H
#define REMOTE_MEMORY_LIB_H

#include "libqtest.h"
#include "qobject/qdict.h"

#define PAGE 4096
/* Where the tests write: beyond what firmware and VGA use. */
#define BASE (4 * MiB)

/* The object under test, and a store that can be made to fail. */
#define RAM0 "-object memory-backend-remote,id=ram0,size=64M"
#define FAULTY "-object remote-store-ram,id=s0 " \
               "-object remote-store-fault,id=f0,store=s0 "

/**
 * struct RmTest - a test
 * @name: its path, below /remote-memory/
 * @func: the test
 */
typedef struct RmTest {
    const char *name;
    void (*func)(void);
} RmTest;

/** rm_run: main() of a test program; @tests end with one without name */
int rm_run(int argc, char **argv, const RmTest *tests);

/** rm_start: start a VM of 64 MiB whose RAM is the object "ram0" */
QTestState *rm_start(const char *objects);

/**
 * rm_assert_no_start: a VM does not start
 * @args: its command line
 * @message: part of what QEMU says; as all of a line if it ends with one
 */
void rm_assert_no_start(const char *args, const char *message);

/** rm_query: what query-remote-memory says of a backend; the caller's */
QDict *rm_query(QTestState *qts, const char *id);

/** rm_query_member: a figure of what it says of "ram0" */
uint64_t rm_query_member(QTestState *qts, const char *member);

/** rm_store_pages: how many pages a store has, as it says itself */
uint64_t rm_store_pages(QTestState *qts, const char *id);

/** rm_set_cache_size: of "ram0"; returns at once */
void rm_set_cache_size(QTestState *qts, uint64_t size);

/** rm_resize: the same, and wait until the cache has that size */
void rm_resize(QTestState *qts, uint64_t size);

/** rm_set_fault: change a property of "f0", a remote-store-fault */
void rm_set_fault(QTestState *qts, const char *property, double value);

/** rm_check_sane: all records of "ram0" agree, and the bound holds */
void rm_check_sane(QTestState *qts);

/**
 * rm_make_page: contents that depend on page and version
 *
 * Every fifth page is zero.
 */
void rm_make_page(uint8_t *page, uint64_t index, unsigned version);

/** rm_write_pages: write @nr pages from @first on */
void rm_write_pages(QTestState *qts, uint64_t first, uint64_t nr,
                    unsigned version);

/**
 * rm_write_until_error: write pages from @first on until there is an error more
 *
 * That are enough that a page has to be written back, but not so many that
 * the caller has to wait for that.
 *
 * Returns: the first page that was not written.
 */
uint64_t rm_write_until_error(QTestState *qts, uint64_t first,
                              unsigned version);

/** rm_check_pages: read them, and see that they are what was written */
void rm_check_pages(QTestState *qts, uint64_t first, uint64_t nr,
                    unsigned version);

/** rm_temp_file: make an empty file; its name is the caller's */
char *rm_temp_file(void);

/**
 * rm_assert_error: a command is refused
 * @qts: the VM
 * @class: of the error
 * @text: part of its description
 * @args: the command's arguments; taken over
 * @command: the command
 */
void rm_assert_error(QTestState *qts, const char *class, const char *text,
                     QDict *args, const char *command);

/**
 * rm_job_end: wait until a job has ended, and dismiss it
 *
 * Returns: its error, or %NULL, in which case its progress was complete; the
 * caller's.
 */
char *rm_job_end(QTestState *qts, const char *id);

/** rm_job_cancel: cancel a job; it has not ended yet */
void rm_job_cancel(QTestState *qts, const char *id);

/** rm_wait_status: until the VM's status is this */
void rm_wait_status(QTestState *qts, const char *status);

#endif
