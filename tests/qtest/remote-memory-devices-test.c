/*
 * QTest: devices that reach the guest's RAM past QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"

#define ADD_M0 "{ 'qom-type': 'memory-backend-remote', 'id': 'm0', " \
               "'size': 1048576 }"
#define ADD_DISK "{ 'driver': 'vhost-user-blk-pci', 'id': 'd0', " \
                 "'bus': 'rp0', 'chardev': 'c0' }"

static QDict *arguments(const char *json)
{
    return qobject_to(QDict, qobject_from_json(json, &error_abort));
}

/* If this fails, a device finds nothing where the guest has its buffers. */
static void test_refused(void)
{
    static const char *const bad[][2] = {
        { "{ 'driver': 'vhost-user-blk-pci', 'chardev': 'c0' }",
          "device 'vhost-user-blk-pci': another process" },
        { "{ 'driver': 'vhost-user-fs-pci', 'chardev': 'c0' }",
          "device 'vhost-user-fs-pci': another process" },
        { "{ 'driver': 'vfio-pci', 'host': '0000:00:00.0' }",
          "device 'vfio-pci': all of the guest's memory" },
    };
    QTestState *qts = rm_start("-object memory-backend-remote,id=ram0,size=64M "
                               "-device pcie-root-port,id=rp0 "
                               "-chardev null,id=c0");

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        QDict *args = arguments(bad[i][0]);

        qdict_put_str(args, "bus", "rp0");
        rm_assert_error(qts, "GenericError", bad[i][1], args, "device_add");
    }
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_add', 'arguments': { "
                             "'driver': 'virtio-rng-pci', 'bus': 'rp0' } }");
    qtest_quit(qts);
}

/* A disk of another process, at @path.  Returns: its process. */
static GPid start_disk(const char *path)
{
    const char *program = getenv("QTEST_QEMU_STORAGE_DAEMON_BINARY") ?:
                          "./storage-daemon/qemu-storage-daemon";
    g_autofree char *export = g_strdup_printf(
        "vhost-user-blk,id=e0,node-name=n0,addr.type=unix,addr.path=%s", path);
    const char *argv[] = { program, "--blockdev", "null-co,node-name=n0",
                           "--export", export, NULL };
    GError *error = NULL;
    GPid pid;

    g_spawn_async(NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                  NULL, &pid, &error);
    g_assert_no_error(error);
    while (access(path, F_OK)) {
        g_assert_cmpint(waitpid(pid, NULL, WNOHANG), ==, 0);
        g_usleep(10000);
    }
    return pid;
}

/* Whichever comes first, the other one is refused, and only for so long. */
static void test_both_orders(void)
{
    g_autofree char *directory = g_dir_make_tmp("remote-memory-devices-XXXXXX",
                                                NULL);
    g_autofree char *path = g_build_filename(directory, "disk", NULL);
    GPid pid = start_disk(path);
    QTestState *qts = qtest_initf(
        "-nodefaults -machine q35,memory-backend=shared -m 64M "
        "-object memory-backend-memfd,id=shared,size=64M,share=on "
        "-device pcie-root-port,id=rp0 -chardev socket,id=c0,path=%s", path);

    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', "
                             "'arguments': " ADD_M0 " }");
    rm_assert_error(qts, "GenericError", "another process",
                    arguments(ADD_DISK), "device_add");
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-del', "
                             "'arguments': { 'id': 'm0' } }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_add', "
                             "'arguments': " ADD_DISK " }");
    rm_assert_error(qts, "GenericError", "there is a device 'vhost-user-blk",
                    arguments(ADD_M0), "object-add");
    qtest_quit(qts);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    g_spawn_close_pid(pid);
    unlink(path);
    g_assert_cmpint(rmdir(directory), ==, 0);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "devices/refused", test_refused },
        { "devices/both-orders", test_both_orders },
        { }
    };

    return rm_run(argc, argv, tests);
}
