/*
 * QTest: memory-backend-remote and a device that the host's kernel serves
 *
 * A network device by vhost: a thread of the kernel, with QEMU's page tables,
 * reads and writes buffers of the guest that are remote.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "../unit/server-process.h"
#include "remote-memory-lib.h"
#include "remote-memory-tap.h"
#include "remote-memory-virtio.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_net.h"

/* Many times the cache. */
#define NR (1 * MiB / PAGE)
#define CACHE "128K"

/* At most as many as the queue takes, and the tap device. */
#define BATCH 64

/* Where a buffer begins, of a page each: all of them end in the next page. */
#define BUFFER(i) (BASE + (i) * PAGE + PAGE / 2)

/* What the device has before each frame. */
#define NET_HEADER sizeof(struct virtio_net_hdr_v1)

/* One thread, so that all of the cache is its own. */
#define ON_STORE "-object iothread,id=io0 " \
                 "-object memory-backend-remote,id=ram0,size=64M,cache-size=" \
                 CACHE ",prefetch=off,iothreads=io0,store="

typedef struct Nic {
    VirtioGuest guest;
    Tap tap;
} Nic;

enum { RX, TX };

static bool nic_available(void)
{
    if (access("/dev/vhost-net", R_OK | W_OK)) {
        g_autofree char *why = g_strdup_printf(
            "/dev/vhost-net: %s; tests/guest/test-devices makes a guest that "
            "has it", strerror(errno));

        g_test_skip(why);
        return false;
    }
    return true;
}

static bool vhost_started(QTestState *qts)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'x-query-virtio-status', "
                            "'arguments': { 'path': "
                            "'/machine/peripheral/net0/virtio-backend' } }");
    bool started = qdict_get_bool(qdict_get_qdict(resp, "return"),
                                  "vhost-started");

    qobject_unref(resp);
    return started;
}

/* Returns: %NULL if there is no vhost here, or no tap device. */
static Nic *nic_start(const char *objects)
{
    g_autofree Nic *nic = g_new0(Nic, 1);
    g_autofree char *args = NULL;

    if (!nic_available() || !tap_open(&nic->tap)) {
        return NULL;
    }
    args = g_strdup_printf("%s -netdev tap,id=n0,fd=%d,vhost=on -device "
                           "virtio-net-pci,id=net0,netdev=n0,romfile=,addr=%d",
                           objects, nic->tap.fd, VIRTIO_SLOT);
    virtio_guest_init(&nic->guest, rm_start(args), 1ull << VIRTIO_F_VERSION_1,
                      RX, 2);
    g_assert_true(vhost_started(nic->guest.qts));
    return g_steal_pointer(&nic);
}

static void nic_quit(Nic *nic)
{
    virtio_guest_quit(&nic->guest);
    tap_close(&nic->tap);
    g_free(nic);
}

/* Frames and buffers */

static void make_frame(uint8_t *frame, uint64_t i, unsigned version)
{
    uint8_t page[PAGE];

    rm_make_page(page, i, version);
    memcpy(frame, page, TAP_FRAME);
    tap_make_header(frame);
}

/* A buffer with that frame in it, and something else behind that. */
static void make_buffer(uint8_t *buffer, uint64_t i, unsigned version)
{
    memset(buffer, 0, NET_HEADER);
    make_frame(buffer + NET_HEADER, i, version);
    memset(buffer + NET_HEADER + TAP_FRAME, (uint8_t)i | 1,
           PAGE - NET_HEADER - TAP_FRAME);
}

static void write_buffers(QTestState *qts, unsigned version)
{
    uint8_t buffer[PAGE];

    for (uint64_t i = 0; i < NR; i++) {
        make_buffer(buffer, i, version);
        qtest_bufwrite(qts, BUFFER(i), buffer, PAGE);
    }
}

/* But for the header, of which the device need not write all. */
static void check_buffers(QTestState *qts, unsigned version)
{
    uint8_t want[PAGE], got[PAGE];
    size_t size = PAGE - NET_HEADER;

    for (uint64_t i = 0; i < NR; i++) {
        make_buffer(want, i, version);
        qtest_bufread(qts, BUFFER(i), got, PAGE);
        g_assert_cmpmem(got + NET_HEADER, size, want + NET_HEADER, size);
    }
}

static void receive_frame(Nic *nic, uint64_t i, unsigned version)
{
    uint8_t want[TAP_FRAME], got[TAP_FRAME];

    make_frame(want, i, version);
    tap_receive(&nic->tap, got);
    g_assert_cmpmem(got, TAP_FRAME, want, TAP_FRAME);
}

/* Hand buffer @i to the device. */
static uint32_t give_buffer(Nic *nic, int queue, uint64_t i)
{
    VirtioGuest *g = &nic->guest;
    uint32_t desc = qvirtqueue_add(g->qts, g->vq[queue], BUFFER(i),
                                   queue == TX ? NET_HEADER + TAP_FRAME : PAGE,
                                   queue == RX, false);

    qvirtqueue_kick(g->qts, g->dev, g->vq[queue], desc);
    return desc;
}

/* Wait until @nr of them are the guest's again. */
static void take_buffers(Nic *nic, int queue, unsigned nr)
{
    VirtioGuest *g = &nic->guest;

    while (nr) {
        uint32_t desc;

        if (qvirtqueue_get_buf(g->qts, g->vq[queue], &desc, NULL)) {
            nr--;
        } else {
            g_usleep(1000);
        }
    }
    /* The library does not use descriptors again by itself. */
    qvirtqueue_reset_pool(g->vq[queue]);
}

/* Tests */

/* If this fails, the kernel sends what the guest has not written. */
static void test_transmit(void)
{
    Nic *nic = nic_start("-object remote-store-ram,id=s0 " ON_STORE "s0");
    uint64_t before;

    if (!nic) {
        return;
    }
    write_buffers(nic->guest.qts, 1);
    before = rm_query_member(nic->guest.qts, "fetched-pages");
    for (uint64_t i = 0; i < NR; i++) {
        uint32_t desc = give_buffer(nic, TX, i);

        receive_frame(nic, i, 1);
        qvirtio_wait_used_elem(nic->guest.qts, nic->guest.dev,
                               nic->guest.vq[TX], desc, NULL, NO_TIMEOUT);
        qvirtqueue_reset_pool(nic->guest.vq[TX]);
    }
    g_assert_cmpuint(rm_query_member(nic->guest.qts, "fetched-pages") - before,
                     >=, NR / 2);
    check_buffers(nic->guest.qts, 1);
    nic_quit(nic);
}

/* If this fails, what the kernel receives does not arrive, or elsewhere. */
static void test_receive(void)
{
    Nic *nic = nic_start("-object remote-store-ram,id=s0 " ON_STORE "s0");
    uint8_t frame[TAP_FRAME];
    uint64_t before;

    if (!nic) {
        return;
    }
    write_buffers(nic->guest.qts, 1);
    before = rm_query_member(nic->guest.qts, "fetched-pages");
    for (uint64_t i = 0; i < NR; i += BATCH) {
        for (uint64_t j = i; j < i + BATCH; j++) {
            give_buffer(nic, RX, j);
        }
        for (uint64_t j = i; j < i + BATCH; j++) {
            make_frame(frame, j, 2);
            tap_send(&nic->tap, frame);
        }
        take_buffers(nic, RX, BATCH);
    }
    g_assert_cmpuint(rm_query_member(nic->guest.qts, "fetched-pages") - before,
                     >=, NR / 2);
    check_buffers(nic->guest.qts, 2);
    nic_quit(nic);
}

/* If this fails, a VM that stops loses frames, or sends them twice. */
static void test_stop(void)
{
    Nic *nic = nic_start(FAULTY ON_STORE "f0");
    QTestState *qts;

    if (!nic) {
        return;
    }
    qts = nic->guest.qts;
    write_buffers(qts, 1);
    rm_set_fault(qts, "delay-us", 5000);
    for (uint64_t i = 0; i < BATCH; i++) {
        give_buffer(nic, TX, i);
    }
    for (uint64_t i = 0; i < BATCH; i++) {
        if (i % 8 == 0) {
            qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
            g_assert_false(vhost_started(qts));
            qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
            g_assert_true(vhost_started(qts));
        }
        receive_frame(nic, i, 1);
    }
    take_buffers(nic, TX, BATCH);
    g_assert_true(tap_idle(&nic->tap));
    rm_set_fault(qts, "delay-us", 0);
    nic_quit(nic);
}

/*
 * If this fails, a store that does not answer, while the kernel waits for a
 * page, ends in more than a wait.
 */
static void test_lost_store(void)
{
    ServerProcess *server;
    g_autofree char *objects = NULL;
    QTestState *qts;
    Nic *nic;

    if (!nic_available() || !server_process_available(MEMCACHED_GOOD)) {
        return;
    }
    server = server_process_new(MEMCACHED_GOOD);
    objects = g_strdup_printf("-object remote-store-memcached,id=s0,servers=%s,"
                              "request-timeout-ms=5000 " ON_STORE "s0",
                              server_process_address(server));
    nic = nic_start(objects);
    if (nic) {
        qts = nic->guest.qts;
        write_buffers(qts, 1);
        /* So the queue is local. */
        give_buffer(nic, TX, 0);
        receive_frame(nic, 0, 1);
        take_buffers(nic, TX, 1);
        server_process_pause(server);
        give_buffer(nic, TX, 8);
        qtest_qmp_eventwait(qts, "REMOTE_MEMORY_ERROR");
        g_assert_true(tap_idle(&nic->tap));
        server_process_resume(server);
        rm_wait_status(qts, "io-error");
        qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
        receive_frame(nic, 8, 1);
        take_buffers(nic, TX, 1);
        check_buffers(qts, 1);
        nic_quit(nic);
    }
    server_process_free(server);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "vhost/transmit", test_transmit },
        { "vhost/receive", test_receive },
        { "vhost/stop", test_stop },
        { "vhost/lost-store", test_lost_store },
        { }
    };

    return rm_run(argc, argv, tests);
}
