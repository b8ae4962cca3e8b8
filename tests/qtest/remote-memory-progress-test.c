/*
 * QTest: memory-backend-remote, what is shown of work that takes long
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "remote-memory-lib.h"

#define NR (32 * MiB / PAGE)
/* A store that takes so long, in us, does not come to an end meanwhile. */
#define LONG 1000000

/* The job of the backend that query-remote-memory shows, or NULL. */
static char *shown_job(QTestState *qts)
{
    QDict *info = rm_query(qts, "ram0");
    QList *jobs = qdict_get_qlist(info, "jobs");
    QObject *first = qlist_peek(jobs);
    char *id = first ? g_strdup(qstring_get_str(qobject_to(QString, first)))
                     : NULL;

    g_assert_cmpuint(qlist_size(jobs), <=, 1);
    qobject_unref(info);
    return id;
}

/* Find "PREFIX, P % of N pages"; N. */
static uint64_t shown_progress(const char *text, const char *prefix)
{
    const char *at = strstr(text, prefix);
    unsigned percent;
    uint64_t pages;

    if (!at) {
        g_error("'%s' is not in '%s'", prefix, text);
    }
    g_assert_cmpint(sscanf(at + strlen(prefix), ", %u %% of %" SCNu64 " pages",
                           &percent, &pages), ==, 2);
    g_assert_cmpuint(percent, <=, 100);
    return pages;
}

/* Start a job, see it in both monitors, and cancel it. */
static void check_job(QTestState *qts, const char *command, const char *store,
                      const char *line)
{
    QDict *args = qdict_from_jsonf_nofail("{ 'id': 'ram0', "
                                          "'job-id': 'job0' }");
    g_autofree char *id = NULL, *text = NULL, *later = NULL, *error = NULL;

    if (store) {
        qdict_put_str(args, "store", store);
    }
    rm_set_fault(qts, "delay-us", LONG);
    qtest_qmp_assert_success(qts, "{ 'execute': %s, 'arguments': %p }",
                             command, args);
    id = shown_job(qts);
    g_assert_cmpstr(id, ==, "job0");
    text = qtest_hmp(qts, "info remote-memory");
    g_assert_cmpuint(shown_progress(text, line), <=, 64 * MiB / PAGE);
    rm_job_cancel(qts, "job0");
    rm_set_fault(qts, "delay-us", 0);

    /* It is over, but not dismissed. */
    while ((later = shown_job(qts))) {
        g_free(later);
        g_usleep(10000);
    }
    g_free(text);
    text = qtest_hmp(qts, "info remote-memory");
    g_assert_null(strstr(text, "job0"));
    error = rm_job_end(qts, "job0");
}

/* If this fails, nobody sees how far a job is, or sees one that is over. */
static void test_jobs(void)
{
    QTestState *qts = rm_start(FAULTY "-object remote-store-ram,id=s1 "
                               "-object iothread,id=io0 "
                               RAM0 ",prefetch=off,store=f0,iothreads=io0,"
                               "cache-size=8M");
    g_autofree char *none = NULL;

    rm_write_pages(qts, 0, NR, 1);
    none = shown_job(qts);
    g_assert_null(none);
    check_job(qts, "remote-memory-evacuate", NULL, "  job0: evacuating");
    rm_set_cache_size(qts, 16 * MiB);
    check_job(qts, "remote-memory-warm", NULL, "  job0: warming up");
    check_job(qts, "remote-memory-set-store", "s1",
              "  job0: moving to another store");
    rm_check_pages(qts, 0, NR, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

static void wait_shown(QTestState *qts, const char *part, bool there)
{
    for (;;) {
        g_autofree char *text = qtest_hmp(qts, "info remote-memory");

        if (!!strstr(text, part) == there) {
            return;
        }
        g_usleep(10000);
    }
}

/* If this fails, nobody sees that a mirror lacks copies, or how many. */
static void test_rebuild(void)
{
    QTestState *qts = rm_start(FAULTY "-object remote-store-ram,id=s1 "
                               "-object remote-store-mirror,id=m0,stores=s1,"
                               "stores=f0 " RAM0 ",store=m0,cache-size=2M");
    g_autofree char *text = NULL;

    rm_set_fault(qts, "error-rate", 1);
    rm_write_pages(qts, 0, NR, 1);
    wait_shown(qts, "errors, rebuilding, ", true);
    text = qtest_hmp(qts, "info remote-memory");
    g_assert_cmpuint(shown_progress(text, "rebuilding"), >=, NR);
    rm_set_fault(qts, "error-rate", 0);
    wait_shown(qts, "rebuilding", false);
    g_assert_cmpuint(rm_store_pages(qts, "f0"), ==, rm_store_pages(qts, "s1"));
    rm_check_pages(qts, 0, NR, 1);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "progress/jobs", test_jobs },
        { "progress/rebuild", test_rebuild },
        { }
    };

    return rm_run(argc, argv, tests);
}
