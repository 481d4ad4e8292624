/* Both halves on the simulated machine: the backend in a thread of its own, in every mode, and
 * the frontend here; then what each domain was charged. */
#include "pvdrivers/backends/stores/stores.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/frontends/vbd/blkfront.h"
#include "pvdrivers/poll/group.h"
#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/sim/machine.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS 8192u
#define IO_SECTORS 96u /* more than a direct request's 88 */
#define ROUNDS 300u
#define DEPTH 16u

struct pair {
    struct pv_machine *machine;
    struct pv_hypervisor *back_view, *front_view;
    struct pv_evtchn *back_events, *front_events;
    struct pv_blkfront_queue *front;
    struct pv_blkback_queue *back;
    struct pv_blk_store *store;
    enum pv_poll_mode mode;
    uint32_t stop;
    pthread_t thread;
};

static struct pv_hypervisor *add_domain(struct pair *pair, domid_t domid, enum pv_abi abi)
{
    struct pv_hypervisor *view;
    struct pv_domain_config config = {
        .abi = abi, .memory = 32u << 20, .vcpus = 1, .privileged = domid == 0};
    assert(pv_domain_create(pair->machine, domid, &config) == domid);
    assert(pv_domain_unpause(pair->machine, domid) == 0);
    assert(pv_machine_open_hypervisor(pair->machine, domid, &view) == 0);
    return view;
}

static void *run(void *argument)
{
    struct pair *pair = argument;
    struct pv_pollable *pollable = pv_blkback_pollable(pair->back);
    assert(pv_poll_run(&pollable, 1, pair->mode, &pair->stop) == 0);
    return NULL;
}

static void set_up(struct pair *pair, enum pv_abi abi, enum pv_poll_mode mode, bool persistent)
{
    struct pv_memory_extent extent = {.size = 128u << 20};
    struct pv_machine_config machine = {
        .extents = &extent, .extent_count = 1, .max_domains = 4, .max_domain_memory = 64u << 20};
    memset(pair, 0, sizeof *pair);
    pair->mode = mode;
    assert(pv_machine_create(&machine, &pair->machine) == 0);
    pair->back_view = add_domain(pair, 0, PV_ABI_X86_64);
    pair->front_view = add_domain(pair, 1, abi);
    pair->back_events = pair->back_view->ops->evtchn_open(pair->back_view);
    pair->front_events = pair->front_view->ops->evtchn_open(pair->front_view);
    pair->store = pv_ram_store_create(SECTORS, 512);
    struct pv_blkfront_config front = {.hypervisor = pair->front_view,
                                       .evtchn = pair->front_events,
                                       .ring_pages = 2,
                                       .max_indirect_segments = 32,
                                       .persistent = persistent,
                                       .trusted = true};
    pair->front = pv_blkfront_create(&front);
    assert(pair->front);
    struct pv_blkback_config back = {.hypervisor = pair->back_view,
                                     .evtchn = pair->back_events,
                                     .frontend = 1,
                                     .abi = abi,
                                     .ring_pages = 2,
                                     .remote_port = pv_blkfront_port(pair->front),
                                     .store = pair->store,
                                     .flush = true,
                                     .barrier = true,
                                     .discard = true,
                                     .persistent = persistent,
                                     .max_indirect_segments = 32};
    assert(pv_blkfront_ring_refs(pair->front, &back.ring_refs) == 2);
    pair->back = pv_blkback_create(&back);
    assert(pair->back);
    struct pv_blkfront_features features = {
        .flush = true, .barrier = true, .discard = true, .sector_size = 512};
    assert(pv_blkfront_connect(pair->front, &features) == 0);
    assert(pthread_create(&pair->thread, NULL, run, pair) == 0);
}

static void tear_down(struct pair *pair)
{
    pv_store_release(&pair->stop, 1);
    assert(pthread_join(pair->thread, NULL) == 0);
    assert(pv_blkback_quiesce(pair->back, 0) && pv_blkback_destroy(pair->back) == 0);
    pv_blkfront_destroy(pair->front);
    pv_blk_store_close(pair->store);
    uint64_t accounts[PV_ACCOUNT_COUNT];
    assert(pv_domain_accounts(pair->machine, 0, accounts) == 0);
    assert(accounts[PV_ACCOUNT_GRANTS_MAPPED] == accounts[PV_ACCOUNT_GRANTS_UNMAPPED]);
    pair->back_view->ops->evtchn_close(pair->back_events);
    pair->front_view->ops->evtchn_close(pair->front_events);
    pair->front_view->ops->close(pair->front_view);
    pair->back_view->ops->close(pair->back_view);
    pv_machine_close(pair->machine);
}

/* Waits as a guest does: arm, then sleep on the event channel. */
static void wait_for_event(struct pair *pair)
{
    const struct pv_hypervisor_ops *ops = pair->front_view->ops;
    struct pollfd poll_fd = {.fd = ops->evtchn_fd(pair->front_events), .events = POLLIN};
    int port;
    if (pv_blkfront_arm(pair->front))
        return;
    assert(poll(&poll_fd, 1, 20000) == 1); /* a lost wake-up would end here */
    while ((port = ops->evtchn_pending(pair->front_events)) >= 0)
        ops->evtchn_unmask(pair->front_events, (evtchn_port_t)port);
}

static void transfer_all(struct pair *pair, uint8_t operation, uint8_t *data)
{
    struct pv_blkfront_io ios[DEPTH], *free_ios[DEPTH], *done[DEPTH];
    unsigned free_count = DEPTH, submitted = 0, finished = 0;
    for (unsigned i = 0; i < DEPTH; i++)
        free_ios[i] = &ios[i];
    while (finished < ROUNDS) {
        while (free_count && submitted < ROUNDS) {
            struct pv_blkfront_io *io = free_ios[--free_count];
            uint64_t sector = (submitted * IO_SECTORS) % (SECTORS - IO_SECTORS);
            *io = (struct pv_blkfront_io){.operation = operation,
                                          .sector = sector,
                                          .nr_sectors = IO_SECTORS,
                                          .data = data + sector * 512};
            assert(pv_blkfront_submit(pair->front, &io, 1) == 0);
            submitted++;
        }
        int count = pv_blkfront_poll(pair->front, done, DEPTH);
        assert(count >= 0);
        for (int i = 0; i < count; i++) {
            assert(done[i]->status == 0);
            free_ios[free_count++] = done[i];
        }
        finished += (unsigned)count;
        if (count == 0)
            wait_for_event(pair);
    }
}

static void test_content(enum pv_abi abi, enum pv_poll_mode mode, bool persistent)
{
    struct pair pair;
    set_up(&pair, abi, mode, persistent);
    uint8_t *written = malloc(SECTORS * 512), *read = calloc(SECTORS, 512);
    uint32_t state = 7;
    for (size_t i = 0; i < SECTORS * 512; i++)
        written[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
    transfer_all(&pair, BLKIF_OP_WRITE, written);
    transfer_all(&pair, BLKIF_OP_READ, read);
    assert(memcmp(written, read, 84 * IO_SECTORS * 512) == 0);
    free(written);
    free(read);
    tear_down(&pair);
}

int main(void)
{
    for (int abi = 0; abi < PV_ABI_COUNT; abi++)
        for (int mode = PV_POLL_MODE_POLL; mode <= PV_POLL_MODE_EVENT; mode++)
            test_content((enum pv_abi)abi, (enum pv_poll_mode)mode, (abi + mode) & 1);
    return 0;
}
