/*
 * QTest: devices that reach the guest's RAM past QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqos/pci-pc.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"

#define ADD_M0 "{ 'qom-type': 'memory-backend-remote', 'id': 'm0', " \
               "'size': 1048576 }"
#define ADD_DISK "{ 'driver': 'vhost-user-blk-pci', 'id': 'd0', " \
                 "'bus': 'rp0', 'chardev': 'c0' }"

#define SHARES "another process would have to share the guest's memory, " \
               "which is remote"
#define MOVES "the kernel would write to pages of the guest's memory that " \
              "have been moved away"
#define PINS "all of the guest's memory, which is remote, would have to stay " \
             "local"
#define HINT "\nUse a device that QEMU emulates itself, or keep all of the " \
             "guest's memory on this host.\n"

#define VM "-machine q35,memory-backend=ram0 -m 64M "

/* Where what is plugged in is, and how much of it is used. */
#define PLUGGED 0x100000000ull
#define NR (16 * MiB / PAGE)

static QDict *arguments(const char *json)
{
    return qobject_to(QDict, qobject_from_json(json, &error_abort));
}

/* If this fails, a device finds nothing where the guest has its buffers. */
static void test_refused(void)
{
    static const char *const bad[][2] = {
        { "'driver': 'vhost-user-blk-pci', 'chardev': 'c0'",
          "device 'vhost-user-blk-pci': " SHARES },
        { "'driver': 'vhost-user-fs-pci', 'chardev': 'c0'",
          "device 'vhost-user-fs-pci': " SHARES },
        { "'driver': 'vhost-user-gpu-pci'",
          "device 'vhost-user-gpu-pci': " SHARES },
        { "'driver': 'vhost-scsi-pci', 'wwpn': 'naa.5001405324af0985'",
          "device 'vhost-scsi-pci': " MOVES },
        { "'driver': 'vfio-pci', 'host': '0000:00:00.0'",
          "device 'vfio-pci': " PINS },
    };
    QTestState *qts = rm_start("-object memory-backend-remote,id=ram0,size=64M "
                               "-device pcie-root-port,id=rp0 "
                               "-chardev null,id=c0");

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autofree char *json = g_strdup_printf("{ 'bus': 'rp0', %s }",
                                                bad[i][0]);

        rm_assert_error(qts, "GenericError", bad[i][1], arguments(json),
                        "device_add");
    }
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_add', 'arguments': { "
                             "'driver': 'virtio-rng-pci', 'bus': 'rp0' } }");
    qtest_quit(qts);
}

/* The same for those of the command line, in both orders. */
static void test_no_start(void)
{
    static const char *const bad[][2] = {
        { VM RAM0 " -chardev null,id=c0 -device vhost-user-fs-pci,chardev=c0,"
          "tag=t", "device 'vhost-user-fs-pci': " SHARES HINT },
        { "-chardev null,id=c0 -device vhost-user-fs-pci,chardev=c0,tag=t "
          RAM0 " " VM, "device 'vhost-user-fs-pci': " SHARES HINT },
        { VM RAM0 " -device vhost-scsi-pci,wwpn=naa.5001405324af0985",
          "device 'vhost-scsi-pci': " MOVES HINT },
        { "-device vhost-scsi-pci,wwpn=naa.5001405324af0985 " RAM0 " " VM,
          "device 'vhost-scsi-pci': " MOVES HINT },
        { VM RAM0 " -device vfio-pci,host=0000:00:00.0",
          "device 'vfio-pci': " PINS HINT },
        { "-device vfio-pci,host=0000:00:00.0 " RAM0 " " VM,
          "device 'vfio-pci': " PINS HINT },
        /* As with any memory that is not shared, and by type. */
        { VM RAM0 " -device virtio-gpu-pci,blob=on",
          "need rutabaga or udmabuf for blob resources\n" },
        { VM RAM0 " -machine sgx-epc.0.memdev=ram0,sgx-epc.0.node=0",
          "Invalid parameter type for 'memdev', expected: "
          "memory-backend-epc\n" },
    };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        rm_assert_no_start(bad[i][0], bad[i][1]);
    }
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
    rm_assert_error(qts, "GenericError",
                    "device 'vhost-user-blk-pci': " SHARES,
                    arguments(ADD_DISK), "device_add");
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-del', "
                             "'arguments': { 'id': 'm0' } }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_add', "
                             "'arguments': " ADD_DISK " }");
    rm_assert_error(qts, "GenericError", "memory backend 'm0': there is a "
                    "device 'vhost-user-blk-pci': " SHARES,
                    arguments(ADD_M0), "object-add");
    qtest_quit(qts);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    g_spawn_close_pid(pid);
    unlink(path);
    g_assert_cmpint(rmdir(directory), ==, 0);
}

/* Devices that have remote memory themselves */

typedef void (*Access)(void *opaque, uint64_t offset, void *page);

/* If this fails, such a device has other memory than was written. */
static void check_contents(QTestState *qts, void *opaque, Access write,
                           Access read)
{
    uint8_t want[PAGE], got[PAGE];

    for (uint64_t i = 0; i < NR; i++) {
        rm_make_page(want, i, 1);
        write(opaque, i * PAGE, want);
    }
    for (uint64_t i = 0; i < NR; i++) {
        rm_make_page(want, i, 1);
        read(opaque, i * PAGE, got);
        g_assert_cmpmem(got, PAGE, want, PAGE);
    }
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), >=, NR / 2);
    rm_check_sane(qts);
}

static void write_plugged(void *qts, uint64_t offset, void *page)
{
    qtest_bufwrite(qts, PLUGGED + offset, page, PAGE);
}

static void read_plugged(void *qts, uint64_t offset, void *page)
{
    qtest_bufread(qts, PLUGGED + offset, page, PAGE);
}

static void check_plugged(const char *device)
{
    QTestState *qts = qtest_initf(
        "-nodefaults -machine q35,nvdimm=on -m 64M,slots=1,maxmem=256M "
        RAM0 ",cache-size=1M -device %s,memdev=ram0", device);

    check_contents(qts, qts, write_plugged, read_plugged);
    qtest_quit(qts);
}

static void test_nvdimm(void)
{
    check_plugged("nvdimm");
}

static void test_pmem(void)
{
    check_plugged("virtio-pmem-pci");
}

typedef struct Bar {
    QPCIDevice *dev;
    QPCIBar bar;
} Bar;

static void write_bar(void *opaque, uint64_t offset, void *page)
{
    Bar *b = opaque;

    qpci_memwrite(b->dev, b->bar, offset, page, PAGE);
}

static void read_bar(void *opaque, uint64_t offset, void *page)
{
    Bar *b = opaque;

    qpci_memread(b->dev, b->bar, offset, page, PAGE);
}

static void test_ivshmem(void)
{
    QTestState *qts = qtest_init("-nodefaults -machine q35 -m 64M " RAM0
                                 ",cache-size=1M "
                                 "-device ivshmem-plain,memdev=ram0,addr=4");
    QPCIBus *bus = qpci_new_pc(qts, NULL);
    Bar b = { .dev = qpci_device_find(bus, QPCI_DEVFN(4, 0)) };

    g_assert_nonnull(b.dev);
    qpci_device_enable(b.dev);
    b.bar = qpci_iomap(b.dev, 2, NULL);
    check_contents(qts, &b, write_bar, read_bar);
    g_free(b.dev);
    qpci_free_pc(bus);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "devices/refused", test_refused },
        { "devices/no-start", test_no_start },
        { "devices/both-orders", test_both_orders },
        { "devices/nvdimm", test_nvdimm },
        { "devices/virtio-pmem", test_pmem },
        { "devices/ivshmem", test_ivshmem },
        { }
    };

    return rm_run(argc, argv, tests);
}
