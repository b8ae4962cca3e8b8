/*
 * Incoming postcopy: between the pagers and QEMU's postcopy code
 *
 * Requests, the channel for urgent pages, recovery after a network failure and
 * the figures of blocked time stay QEMU's; what is ours is the userfaultfd.
 * QEMU's fault thread can listen to others that have one, made for vhost-user:
 * it reads struct uffd_msg from a file descriptor.  Ours is a pipe, to which
 * the shards write when somebody waits for a page that the source has.  Pages
 * that have come are handed to us instead of the kernel, by a hook.
 *
 * The order of things, as QEMU's postcopy has it:
 *
 *   ADVISE   all memory is discarded; the pipe is made, since the fault thread
 *            looks only once what it has to listen to
 *   (pages come, those that are changed at the source are discarded again)
 *   LISTEN   what has not come by now is with the source; the VM runs soon
 *   END      everything has come
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "arrival.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/ram.h"
#include "pagers.h"
#include "postcopy.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "remote-memory/remote-memory.h"

/* How long to wait for fetches that were begun before LISTEN, in us. */
#define FETCH_POLL_US 1000

/* Ends of the pipe; of the main thread until LISTEN, then constant. */
static int pipe_read = -1, pipe_write = -1;

/* Requests, in QEMU's fault thread */

/* Somebody waits for a page; QEMU asks the source, again if it has to. */
static int ask_source(struct PostCopyFD *fd, void *data)
{
    const struct uffd_msg *msg = data;
    MigrationIncomingState *mis = migration_incoming_get_current();
    uint64_t address = msg->arg.pagefault.address;
    ram_addr_t offset;
    RAMBlock *rb = qemu_ram_block_from_host((void *)(uintptr_t)address, true,
                                            &offset);

    if (!rb) {
        return -EFAULT;
    }
    mark_postcopy_blocktime_begin(address, msg->arg.pagefault.feat.ptid, rb);
    if (ramblock_page_is_discarded(rb, offset)) {
        /* Such a page is not migrated. */
        return ramblock_recv_bitmap_test_byte_offset(rb, offset) ? 0 :
               postcopy_place_page_zero(mis, (void *)(uintptr_t)address, rb);
    }
    /* If the network fails, it is asked for again after the recovery. */
    migrate_send_rp_req_pages(mis, rb, offset, address);
    return 0;
}

/* The shard wakes who waits for a page, when it places it. */
static int no_wakeup(struct PostCopyFD *fd, RAMBlock *rb, uint64_t offset)
{
    return 0;
}

static struct PostCopyFD requests = {
    .handler = ask_source,
    .waker = no_wakeup,
    .idstr = "remote memory",
};

/* Pages that come, in QEMU's threads */

bool remote_memory_serves(const RAMBlock *rb)
{
    return pagers_find(rb);
}

bool remote_memory_place(RAMBlock *rb, const void *host, const void *content,
                         int *ret)
{
    RemotePager *pager = pagers_find(rb);
    RemoteShard *s;
    uint32_t index;

    if (!pager) {
        return false;
    }
    s = pager_shard_of(pager, ((const uint8_t *)host - pager->host) /
                       REMOTE_STORE_PAGE_SIZE, &index);
    arrival_put(s, index, content);
    *ret = 0;
    return true;
}

/* Begin and end */

static void pipe_close(void)
{
    if (pipe_read >= 0) {
        postcopy_unregister_shared_ufd(&requests);
        close(pipe_read);
        close(pipe_write);
        pipe_read = pipe_write = -1;
    }
}

static int advise(Error **errp)
{
    int fds[2];

    pipe_close();
    if (!g_unix_open_pipe(fds, FD_CLOEXEC, NULL) ||
        !g_unix_set_fd_nonblocking(fds[0], true, NULL) ||
        !g_unix_set_fd_nonblocking(fds[1], true, NULL)) {
        error_setg_errno(errp, errno, "cannot make a pipe for page requests");
        return -1;
    }
    pipe_read = fds[0];
    pipe_write = fds[1];
    requests.fd = pipe_read;
    postcopy_register_shared_ufd(&requests);
    return 0;
}

/*
 * @shard: what has not come is expected by it
 * @rb: the block that it is of
 * @next: page of the shard to go on with
 * @ok: there is memory
 */
typedef struct Expect {
    RemoteShard *shard;
    RAMBlock *rb;
    uint64_t next;
    bool ok;
} Expect;

/*
 * Go on to what has not come.  The guest stands still, and there may be little.
 * Returns: whether there is more.
 */
static bool pass_what_has_come(Expect *expect)
{
    /* Of the guest's pages in one of ours. */
    unsigned nr = REMOTE_STORE_PAGE_SIZE / qemu_target_page_size();
    RemoteShard *s = expect->shard;

    while (expect->next < s->map.nr) {
        uint64_t page = shard_store_page(s, expect->next);
        uint64_t end = page + pager_stripe_left(s->pager, page);
        uint64_t missing = find_next_zero_bit(expect->rb->receivedmap,
                                              end * nr, page * nr) / nr;

        expect->next += missing - page;
        if (missing < end) {
            return true;
        }
    }
    return false;
}

static void expect_shard(void *opaque)
{
    Expect *expect = opaque;
    RemoteShard *s = expect->shard;

    expect->ok = s->arrivals || arrivals_begin(s, pipe_write);
    while (expect->ok && pass_what_has_come(expect)) {
        if (!arrival_expect(s, expect->next)) {
            break;
        }
        expect->next++;
    }
}

static void listen_pager(RemotePager *pager, void *opaque)
{
    RAMBlock *rb = pagers_block(pager);
    Error **errp = opaque;

    if (!rb || migrate_ram_is_ignored(rb) || *errp) {
        return;
    }
    qemu_ram_set_uf_zeroable(rb);
    for (unsigned i = 0; i < pager->nr_shards && !*errp; i++) {
        Expect expect = { .shard = &pager->shards[i], .rb = rb };

        for (;;) {
            shard_call(expect.shard, expect_shard, &expect);
            if (!expect.ok || expect.next == expect.shard->map.nr) {
                break;
            }
            g_usleep(FETCH_POLL_US);
        }
        if (!expect.ok) {
            error_setg(errp, "memory backend '%s': no memory for incoming "
                       "pages", pager->id);
        }
    }
}

/*
 * @shard: it gets no more pages
 * @rb: the block that it is of
 * @missing: pages that should have come, and did not
 */
typedef struct Settle {
    RemoteShard *shard;
    RAMBlock *rb;
    uint64_t missing;
} Settle;

/* Pages that are not migrated have no content. */
static void settle_shard(void *opaque)
{
    Settle *settle = opaque;
    RemoteShard *s = settle->shard;

    for (uint32_t i = 0; s->map.count[PAGE_SOURCE] > settle->missing &&
         i < s->map.nr; i++) {
        uint64_t page = shard_store_page(s, i);

        if (page_map_get(&s->map, i)->state != PAGE_SOURCE) {
            continue;
        }
        if (ramblock_page_is_discarded(settle->rb,
                                       page * REMOTE_STORE_PAGE_SIZE)) {
            shard_move(s, i, PAGE_ZERO);
        } else {
            settle->missing++;
        }
    }
}

static void end_pager(RemotePager *pager, void *opaque)
{
    RAMBlock *rb = pagers_block(pager);
    Error **errp = opaque;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        Settle settle = { .shard = &pager->shards[i], .rb = rb };

        if (!settle.shard->arrivals) {
            continue;
        }
        arrivals_drain(settle.shard);
        shard_call(settle.shard, settle_shard, &settle);
        arrivals_end(settle.shard);
        if (settle.missing && !*errp) {
            error_setg(errp, "memory backend '%s': the source of the "
                       "migration did not send %" PRIu64 " pages", pager->id,
                       settle.missing);
        }
    }
}

/*
 * After a failure the process ends, and everything is left as it is: pages
 * that did not come must not read as zeros.
 */
static bool has_failed(void)
{
    return migration_incoming_get_current()->state == MIGRATION_STATUS_FAILED;
}

static int postcopy_event(NotifierWithReturn *n, void *data, Error **errp)
{
    struct PostcopyNotifyData *event = data;
    Error *err = NULL;

    switch (event->reason) {
    case POSTCOPY_NOTIFY_PROBE:
        break;
    case POSTCOPY_NOTIFY_INBOUND_ADVISE:
        return advise(errp);
    case POSTCOPY_NOTIFY_INBOUND_LISTEN:
        pagers_foreach(listen_pager, &err);
        break;
    case POSTCOPY_NOTIFY_INBOUND_END:
        if (!has_failed()) {
            pagers_foreach(end_pager, &err);
            pipe_close();
        }
        break;
    }
    if (err) {
        error_propagate(errp, err);
        return -1;
    }
    return 0;
}

void postcopy_init(void)
{
    static NotifierWithReturn notifier = { .notify = postcopy_event };

    postcopy_add_notifier(&notifier);
}
