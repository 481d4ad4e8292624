/*
 * A guest that rewrites what the backend is reading: one thread pumps, another writes noise into
 * every slot, page of descriptors and grant entry, and moves the index as it likes. What was
 * validated must be what is used (XSA-155): the sanitizers see any access beyond, and the counters
 * any request answered twice or never. Afterwards nothing may be mapped or missing.
 */
#include "pvdrivers/backends/stores/stores.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/ring/ring.h"
#include "pvdrivers/sim/machine.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define DATA_PAGES 8u
#define SECTORS 256u
#define REQUESTS 300u /* in each run */

struct race {
    struct pv_machine *machine;
    struct pv_hypervisor *back, *guest;
    struct pv_evtchn *back_events, *guest_events;
    struct pv_sring *sring;
    uint8_t *pages; /* DATA_PAGES behind the ring's */
    grant_ref_t ring_ref, refs[DATA_PAGES];
    struct pv_blkback_queue *queue;
    enum pv_abi abi;
    uint64_t random, now;
    uint32_t stop;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13; /* xorshift64 */
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static struct pv_hypervisor *add_domain(struct race *race, domid_t domid, enum pv_abi abi)
{
    struct pv_hypervisor *view;
    struct pv_domain_config config = {
        .abi = abi, .memory = 4u << 20, .vcpus = 1, .privileged = domid == 0};
    assert(pv_domain_create(race->machine, domid, &config) == domid);
    assert(pv_domain_unpause(race->machine, domid) == 0);
    assert(pv_machine_open_hypervisor(race->machine, domid, &view) == 0);
    return view;
}

static void set_up(struct race *race, enum pv_abi abi, struct pv_blk_store *store, bool persistent)
{
    struct pv_memory_extent extent = {.size = 32u << 20};
    struct pv_machine_config machine = {
        .extents = &extent, .extent_count = 1, .max_domains = 4, .max_domain_memory = 16u << 20};
    *race = (struct race){.abi = abi, .random = 0x9e3779b97f4a7c15u + abi};
    assert(pv_machine_create(&machine, &race->machine) == 0);
    race->back = add_domain(race, 0, PV_ABI_X86_64);
    race->guest = add_domain(race, 1, abi);
    const struct pv_hypervisor_ops *ops = race->guest->ops;
    race->back_events = ops->evtchn_open(race->back);
    race->guest_events = ops->evtchn_open(race->guest);
    race->sring = ops->pages_alloc(race->guest, 1 + DATA_PAGES);
    race->pages = (uint8_t *)race->sring + race->guest->page_size;
    pv_sring_init(race->sring);
    assert(ops->grant_access(race->guest, 0, race->sring, false, &race->ring_ref) == 0);
    for (unsigned i = 0; i < DATA_PAGES; i++)
        assert(ops->grant_access(race->guest, 0, race->pages + i * race->guest->page_size, i > 5,
                                 &race->refs[i]) == 0);
    int port = ops->evtchn_bind_unbound_port(race->guest_events, 0);
    assert(port > 0);
    const struct pv_blkback_config config = {.hypervisor = race->back,
                                             .evtchn = race->back_events,
                                             .frontend = 1,
                                             .abi = abi,
                                             .ring_refs = &race->ring_ref,
                                             .ring_pages = 1,
                                             .remote_port = (evtchn_port_t)port,
                                             .store = store,
                                             .flush = true,
                                             .barrier = true,
                                             .discard = true,
                                             .persistent = persistent,
                                             .persistent_grants = 4,
                                             .max_indirect_segments = 64,
                                             .buffer_pages = 64};
    race->queue = pv_blkback_create(&config);
    assert(race->queue);
}

/* A segment that would do, or noise. */
static struct pv_blkif_segment make_segment(struct race *race, uint64_t random)
{
    if (random % 8 == 0)
        return (struct pv_blkif_segment){(grant_ref_t)(random >> 32), (uint8_t)(random >> 24),
                                         (uint8_t)(random >> 16)};
    return (struct pv_blkif_segment){race->refs[random >> 8 & 7], 0, (uint8_t)(random >> 16 & 7)};
}

static void rewrite_descriptors(struct race *race)
{
    for (unsigned i = 0; i < 64; i++) {
        uint64_t random = next_random(&race->random);
        uint8_t *page = race->pages + (random >> 40 & 7) * race->guest->page_size;
        ((struct pv_blkif_segment *)page)[random & 63] = make_segment(race, random >> 6);
    }
}

static void rewrite_slot(struct race *race, uint8_t *slot)
{
    static const uint8_t operations[] = {0, 1, 0, 1, 2, 3, 5, 6, 6, 6, 6, 255};
    uint64_t random = next_random(&race->random);
    struct pv_blkif_request request = {.operation = operations[random % sizeof operations],
                                       .indirect_op = random >> 8 & 1,
                                       .nr_segments = random >> 16 & 15,
                                       .id = random,
                                       .sector_number = random >> 24 & (SECTORS - 1),
                                       .nr_sectors = random >> 32 & 15};
    if (request.operation == BLKIF_OP_INDIRECT)
        request.nr_segments = random >> 16 & 127;
    for (unsigned i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
        request.seg[i] = make_segment(race, next_random(&race->random));
    for (unsigned i = 0; i < BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST; i++)
        request.indirect_grefs[i] = race->refs[random >> (40 + i) & 7];
    pv_blkif_encode_request(race->abi, &request, slot);
}

/* Asks for more all the time, within the ring's rules; everything else is against them. */
static void *misbehave(void *argument)
{
    struct race *race = argument;
    uint32_t slot_size = pv_blkif_slot_size(race->abi);
    uint32_t entries = pv_ring_entries(race->guest->page_size, slot_size);
    while (!pv_load_acquire(&race->stop)) {
        rewrite_descriptors(race);
        for (uint32_t i = 0; i < entries; i++)
            rewrite_slot(race, race->sring->ring + i * slot_size);
        pv_store_release(&race->sring->req_prod, pv_load_acquire(&race->sring->rsp_prod) + entries);
        pv_write_once(&race->sring->rsp_event, (uint32_t)race->random);
        unsigned page = race->random >> 20 & 7;
        if (race->guest->ops->grant_end(race->guest, race->refs[page]) == 0) {
            const uint8_t *address = race->pages + page * race->guest->page_size;
            assert(race->guest->ops->grant_access(race->guest, 0, address, page > 5,
                                                  &race->refs[page]) == 0);
        }
    }
    return NULL;
}

static uint64_t pump(struct race *race)
{
    struct pv_blkback_stats before, after;
    pv_blkback_get_stats(race->queue, &before);
    int moved = pv_blkback_pump(race->queue, 32, race->now++);
    pv_blkback_get_stats(race->queue, &after);
    assert(moved >= 0 && after.requests - before.requests <= 32);
    assert(after.requests - after.responses == pv_blkback_in_flight(race->queue));
    assert(after.responses == pv_read_once(&race->sring->rsp_prod));
    if (moved == 0)
        sched_yield();
    return after.requests;
}

static void tear_down(struct race *race, struct pv_blk_store *store)
{
    const struct pv_hypervisor_ops *ops = race->guest->ops;
    uint64_t accounts[PV_ACCOUNT_COUNT];
    while (!pv_blkback_quiesce(race->queue, UINT64_MAX - 1))
        ;
    assert(pv_blkback_destroy(race->queue) == 0);
    pv_blk_store_close(store);
    assert(pv_domain_accounts(race->machine, 0, accounts) == 0);
    assert(accounts[PV_ACCOUNT_GRANTS_MAPPED] == accounts[PV_ACCOUNT_GRANTS_UNMAPPED]);
    assert(ops->grant_end(race->guest, race->ring_ref) == 0);
    for (unsigned i = 0; i < DATA_PAGES; i++)
        assert(ops->grant_end(race->guest, race->refs[i]) == 0);
    assert(ops->pages_free(race->guest, race->sring, 1 + DATA_PAGES) == 0);
    ops->evtchn_close(race->back_events);
    ops->evtchn_close(race->guest_events);
    ops->close(race->guest);
    ops->close(race->back);
    pv_machine_close(race->machine);
}

static void check(enum pv_abi abi, bool persistent, bool late)
{
    struct race race;
    pthread_t thread;
    struct pv_blk_store *store = pv_ram_store_create(SECTORS, 512);
    if (late)
        store = pv_delay_filter_create(store, 3, 20, 100, 15);
    set_up(&race, abi, store, persistent);
    assert(pthread_create(&thread, NULL, misbehave, &race) == 0);
    while (pump(&race) < REQUESTS)
        ;
    pv_store_release(&race.stop, 1);
    assert(pthread_join(thread, NULL) == 0);
    tear_down(&race, store);
}

/* The guest's races are what this is about, so the thread sanitizer has no say here. */
#ifdef __SANITIZE_THREAD__
#define RUNS 0
#else
#define RUNS 12
#endif

int main(void)
{
    for (int i = 0; i < RUNS; i++)
        check((enum pv_abi)(i % 3), i / 3 % 2, i / 6);
    return 0;
}
