/*
 * QTest: what the tests of memory-backend-remote share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qlist.h"
#include "remote-memory-lib.h"

/* Machine */

QTestState *rm_start(const char *objects)
{
    return qtest_initf("-nodefaults -machine q35,memory-backend=ram0 -m 64M "
                       "%s", objects);
}

void rm_assert_no_start(const char *args, const char *message)
{
    g_autofree char *command = g_strdup_printf(
        "%s -nodefaults -display none -accel qtest %s",
        getenv("QTEST_QEMU_BINARY"), args);
    g_autofree char *said = NULL;
    GError *error = NULL;
    int status;

    g_test_message("%s", command);
    g_spawn_command_line_sync(command, NULL, &said, &status, &error);
    g_assert_no_error(error);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    if (!strstr(said, message)) {
        g_error("'%s' is not in '%s'", message, said);
    }
}

/* What is called @id of what a command returns; the caller's. */
static QDict *query_one(QTestState *qts, const char *command, const char *id)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': %s }", command);
    QListEntry *entry;
    QDict *found = NULL;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(resp, "return"), entry) {
        QDict *info = qobject_to(QDict, qlist_entry_obj(entry));

        if (!strcmp(qdict_get_str(info, "id"), id)) {
            found = qobject_ref(info);
        }
    }
    qobject_unref(resp);
    g_assert_nonnull(found);
    return found;
}

QDict *rm_query(QTestState *qts, const char *id)
{
    return query_one(qts, "query-remote-memory", id);
}

uint64_t rm_query_member(QTestState *qts, const char *member)
{
    QDict *info = rm_query(qts, "ram0");
    uint64_t value = qdict_get_int(info, member);

    qobject_unref(info);
    return value;
}

uint64_t rm_store_pages(QTestState *qts, const char *id)
{
    QDict *info = query_one(qts, "query-remote-stores", id);
    uint64_t pages = qdict_get_int(info, "pages");

    qobject_unref(info);
    return pages;
}

void rm_set_cache_size(QTestState *qts, uint64_t size)
{
    qtest_qmp_assert_success(qts, "{ 'execute': "
                             "'remote-memory-set-cache-size', 'arguments': "
                             "{ 'id': 'ram0', 'cache-size': %" PRIu64 " } }",
                             size);
}

void rm_resize(QTestState *qts, uint64_t size)
{
    QDict *event, *data;

    rm_set_cache_size(qts, size);
    event = qtest_qmp_eventwait_ref(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    data = qdict_get_qdict(event, "data");
    g_assert_cmpstr(qdict_get_str(data, "id"), ==, "ram0");
    g_assert_cmpuint(qdict_get_int(data, "cache-size"), ==, size);
    g_assert_cmpuint(qdict_get_int(data, "local-size"), <=, size);
    qobject_unref(event);
    rm_check_sane(qts);
}

void rm_set_fault(QTestState *qts, const char *property, double value)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': { "
                             "'path': '/objects/f0', 'property': %s, "
                             "'value': %f } }", property, value);
}

void rm_check_sane(QTestState *qts)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'qom-get', 'arguments': { "
                            "'path': '/objects/ram0', "
                            "'property': 'x-consistent' } }");
    QDict *info = rm_query(qts, "ram0");
    uint64_t resident = qdict_get_int(info, "resident-size");
    uint64_t standby = qdict_get_int(info, "standby-size");

    g_assert_true(qdict_get_bool(resp, "return"));
    g_assert_cmpuint(resident + standby + qdict_get_int(info, "remote-size") +
                     qdict_get_int(info, "zero-size") +
                     qdict_get_int(info, "source-size"), ==,
                     qdict_get_int(info, "size"));
    g_assert_cmpuint(resident + standby +
                     qdict_get_int(info, "in-flight-size"), <=,
                     qdict_get_int(info, "cache-size"));
    qobject_unref(info);
    qobject_unref(resp);
}

void rm_make_page(uint8_t *page, uint64_t index, unsigned version)
{
    uint64_t *words = (uint64_t *)page;
    uint64_t x = index * 0x9e3779b97f4a7c15ull + version;

    for (int i = 0; i < PAGE / 8; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        words[i] = index % 5 ? x : 0;
    }
}

void rm_write_pages(QTestState *qts, uint64_t first, uint64_t nr,
                    unsigned version)
{
    uint8_t page[PAGE];

    for (uint64_t i = first; i < first + nr; i++) {
        rm_make_page(page, i, version);
        qtest_bufwrite(qts, BASE + i * PAGE, page, PAGE);
    }
}

uint64_t rm_write_until_error(QTestState *qts, uint64_t first,
                              unsigned version)
{
    uint64_t errors = rm_query_member(qts, "errors");

    do {
        rm_write_pages(qts, first++, 1, version);
    } while (rm_query_member(qts, "errors") == errors);
    return first;
}

void rm_check_pages(QTestState *qts, uint64_t first, uint64_t nr,
                    unsigned version)
{
    uint8_t want[PAGE], got[PAGE];

    for (uint64_t i = first; i < first + nr; i++) {
        rm_make_page(want, i, version);
        qtest_bufread(qts, BASE + i * PAGE, got, PAGE);
        g_assert_cmpmem(got, PAGE, want, PAGE);
    }
}

char *rm_temp_file(void)
{
    g_autofree char *file = NULL;
    int fd = g_file_open_tmp("remote-memory-XXXXXX", &file, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    return g_steal_pointer(&file);
}

/* Commands */

void rm_assert_error(QTestState *qts, const char *class, const char *text,
                     QDict *args, const char *command)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': %s, 'arguments': %p }",
                            command, args);
    QDict *error = qdict_get_qdict(resp, "error");

    g_assert_nonnull(error);
    g_assert_cmpstr(qdict_get_str(error, "class"), ==, class);
    if (!strstr(qdict_get_str(error, "desc"), text)) {
        g_error("'%s' is not in '%s'", text, qdict_get_str(error, "desc"));
    }
    qobject_unref(resp);
}

void rm_wait_status(QTestState *qts, const char *status)
{
    for (;;) {
        QDict *resp = qtest_qmp(qts, "{ 'execute': 'query-status' }");
        bool done = !strcmp(qdict_get_str(qdict_get_qdict(resp, "return"),
                                          "status"), status);

        qobject_unref(resp);
        if (done) {
            return;
        }
        g_usleep(10000);
    }
}

/* Jobs */

static bool job_has_ended(QTestState *qts, const char *id)
{
    QDict *job = query_one(qts, "query-jobs", id);
    bool ended = !strcmp(qdict_get_str(job, "status"), "concluded");

    qobject_unref(job);
    return ended;
}

char *rm_job_end(QTestState *qts, const char *id)
{
    QDict *job;
    char *error;

    while (!job_has_ended(qts, id)) {
        g_usleep(10000);
    }
    job = query_one(qts, "query-jobs", id);
    error = g_strdup(qdict_get_try_str(job, "error"));
    if (!error) {
        g_assert_cmpint(qdict_get_int(job, "current-progress"), ==,
                        qdict_get_int(job, "total-progress"));
    }
    qobject_unref(job);
    qtest_qmp_assert_success(qts, "{ 'execute': 'job-dismiss', 'arguments': "
                             "{ 'id': %s } }", id);
    return error;
}

void rm_job_cancel(QTestState *qts, const char *id)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'job-cancel', 'arguments': "
                             "{ 'id': %s } }", id);
}

/* Program */

int rm_run(int argc, char **argv, const RmTest *tests)
{
    g_test_init(&argc, &argv, NULL);
    for (; tests->name; tests++) {
        g_autofree char *path = g_strdup_printf("/remote-memory/%s",
                                                tests->name);

        qtest_add_func(path, tests->func);
    }
    return g_test_run();
}
