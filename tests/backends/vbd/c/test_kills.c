/*
 * The backend is killed after every single instruction that changes its log or its ring: a process
 * runs a scenario under ptrace, one step at a time, and from each state it passes through another
 * backend goes on, in a copy of everything that outlives a process. There each request must get
 * exactly one answer, and have done what it says.
 *
 * The scenario loses its own backend in the middle too, so that the next one is killed while it
 * takes up what the first has left.
 */
#include "tests/backends/c/kills.h"
#include "tests/backends/vbd/c/loopback.h"

#define REQUESTS 44u /* more than the ring has room for */
#define PAGE 4096u
#define DATA 1u                       /* the first of the requests' pages, one each */
#define DESCRIPTORS (DATA + REQUESTS) /* and the first of those with an indirect one's segment */
#define PAGES (DESCRIPTORS + REQUESTS)
#define START 0xfffffff0u /* the ring's indices come round on the way */
#define LOG_SIZE 8192u
#define WATCHED (LOG_SIZE + PAGE) /* whatever a backend's other stores are, these make a state */

/* What outlives a backend. */
struct world {
    _Alignas(4096) uint8_t log[LOG_SIZE];
    uint8_t memory[PAGES * PAGE]; /* the guest's; page 0 is the ring */
    uint8_t disk[REQUESTS * PAGE];
    enum pv_abi abi;
    struct pv_front_ring front;
    uint32_t put; /* requests so far */
    uint8_t operation[REQUESTS], answers[REQUESTS];
    bool stepping;
};

/* ---- requests, and what they must have done -------------------------------------------------- */

static void fill(uint8_t *page, uint32_t id, bool written)
{
    for (uint32_t i = 0; i < PAGE; i++)
        page[i] = (uint8_t)(id * 37 + i * 11 + (written ? 128 : 1));
}

static bool writes(uint8_t operation)
{
    return operation == BLKIF_OP_WRITE || operation == BLKIF_OP_WRITE_BARRIER;
}

static void put(struct world *world, struct loopback *loop, uint64_t *random)
{
    static const uint8_t operations[] = {BLKIF_OP_READ,    BLKIF_OP_WRITE,
                                         BLKIF_OP_WRITE,   BLKIF_OP_WRITE_BARRIER,
                                         BLKIF_OP_DISCARD, BLKIF_OP_FLUSH_DISKCACHE};
    uint32_t id = world->put++;
    uint8_t operation = operations[choose(random, sizeof operations)];
    struct pv_blkif_segment segment = {.gref = DATA + id, .last_sect = PAGE / 512 - 1};
    struct pv_blkif_request request = {.operation = operation,
                                       .id = id,
                                       .sector_number = id * (PAGE / 512),
                                       .nr_sectors = PAGE / 512,
                                       .nr_segments = 1,
                                       .seg = {segment}};
    if (operation == BLKIF_OP_FLUSH_DISKCACHE)
        request.nr_segments = 0;
    if (operation <= BLKIF_OP_WRITE && choose(random, 2)) {
        request.operation = BLKIF_OP_INDIRECT;
        request.indirect_op = operation;
        request.indirect_grefs[0] = DESCRIPTORS + id;
        memcpy(loopback_page(loop, DESCRIPTORS + id), &segment, sizeof segment);
    }
    world->operation[id] = operation;
    fill(world->disk + id * PAGE, id, false);
    if (writes(operation))
        fill(loopback_page(loop, DATA + id), id, true);
    loopback_put(loop, &request);
}

static void take(struct world *world, struct loopback *loop)
{
    struct pv_blkif_response response;
    while (loopback_take(loop, &response)) {
        assert(response.id < world->put && response.status == BLKIF_RSP_OKAY);
        assert(++world->answers[response.id] == 1);
    }
}

static void check(struct world *world, struct loopback *loop)
{
    uint8_t before[PAGE], after[PAGE];
    for (uint32_t id = 0; id < world->put; id++) {
        uint8_t operation = world->operation[id];
        assert(world->answers[id] == 1);
        fill(before, id, false);
        fill(after, id, true);
        if (operation == BLKIF_OP_DISCARD)
            memset(after, 0, PAGE);
        bool changed = writes(operation) || operation == BLKIF_OP_DISCARD;
        assert(memcmp(world->disk + id * PAGE, changed ? after : before, PAGE) == 0);
        if (operation == BLKIF_OP_READ)
            assert(memcmp(loopback_page(loop, DATA + id), before, PAGE) == 0);
    }
}

/* ---- backends -------------------------------------------------------------------------------- */

static void carry_out(struct world *world, struct loopback *loop, struct pv_blk_io *io)
{
    uint8_t *disk = world->disk + io->sector * 512;
    if (io->op == PV_BLK_READ)
        memcpy(io->iov[0].iov_base, disk, PAGE);
    else if (io->op == PV_BLK_WRITE)
        memcpy(disk, io->iov[0].iov_base, PAGE);
    else if (io->op == PV_BLK_DISCARD)
        memset(disk, 0, PAGE);
    io->status = 0;
    pv_external_store_finish(loop->store, &io, 1);
}

static struct pv_blkback_config prepare(struct world *world, struct loopback *loop)
{
    const struct pv_blk_geometry geometry = {.sectors = sizeof world->disk / 512,
                                             .sector_size = 512,
                                             .can_flush = true,
                                             .can_discard = true};
    struct pv_blkback_config config =
        loopback_config(loop, world->abi, pv_external_store_create(&geometry));
    free(loop->memory);
    loop->memory = world->memory;
    loop->front = world->front;
    loop->front.sring = (struct pv_sring *)world->memory; /* of this copy */
    config.max_indirect_segments = 1;                     /* less to allocate, step by step */
    config.inflight = world->log;
    config.inflight_size = sizeof world->log;
    return config;
}

/* The successor of the killed process; frontend and disk are as they were. */
static void go_on(struct world *world)
{
    struct loopback loop;
    struct pv_blkback_config config = prepare(world, &loop);
    struct pv_blk_io *ios[64];
    int resumable = pv_blkback_resumable(&config);
    assert(resumable == 0 || (resumable == -EBUSY && *(uint32_t *)world->log == 0));
    loop.back = pv_blkback_create(&config);
    assert(loop.back);
    for (unsigned count = 1; count > 0;) {
        assert(pv_blkback_pump(loop.back, 1024, 1) >= 0);
        count = pv_external_store_take(loop.store, ios, 64);
        for (unsigned i = 0; i < count; i++)
            carry_out(world, &loop, ios[i]);
    }
    take(world, &loop);
    check(world, &loop);
    assert(pv_blkback_destroy(loop.back) == 0 && loop.mapped == 0);
    pv_blk_store_close(loop.store);
}

/* ---- the scenario ---------------------------------------------------------------------------- */

static struct world *stepped;

static void begin_steps(const struct loopback *loop)
{
    stepped->front = loop->front;
    stepped->stepping = true;
    raise(SIGTRAP);
}

/* A new queue does this last, before it turns to the log. */
static int bind_and_begin_steps(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port)
{
    begin_steps((struct loopback *)handle);
    return fake_bind(handle, remote, port);
}

static void connect_stepped(struct world *world, struct loopback *loop)
{
    static struct pv_hypervisor_ops ops;
    struct pv_blkback_config config = prepare(world, loop);
    ops = *loop->hypervisor.ops;
    ops.evtchn_bind_interdomain = bind_and_begin_steps;
    loop->hypervisor.ops = &ops;
    stepped = world;
    loop->back = pv_blkback_create(&config);
    world->stepping = false;
    assert(loop->back);
}

static void pump_stepped(struct world *world, struct loopback *loop)
{
    pv_front_push_requests(&loop->front);
    begin_steps(loop);
    assert(pv_blkback_pump(loop->back, 1024, 1) >= 0);
    world->stepping = false;
}

/* Answers overtake each other; some are never given by this backend. */
static void run_scenario(struct world *world, uint64_t random)
{
    struct loopback loop;
    connect_stepped(world, &loop);
    struct pv_blk_io *ios[64];
    unsigned held = 0;
    while (world->put < REQUESTS) {
        uint32_t room = pv_front_free_requests(&loop.front);
        for (uint32_t n = choose(&random, 9); n > 0 && room > 0 && world->put < REQUESTS;
             n--, room--)
            put(world, &loop, &random);
        pump_stepped(world, &loop);
        held += pv_external_store_take(loop.store, ios + held, 64 - held);
        for (uint32_t n = choose(&random, held + 1); n > 0; n--) {
            uint32_t chosen = choose(&random, held);
            carry_out(world, &loop, ios[chosen]);
            ios[chosen] = ios[--held];
        }
        pump_stepped(world, &loop);
        if (choose(&random, 2))
            take(world, &loop);
        if (choose(&random, 4) == 0) { /* this one is gone, with all it has not answered */
            world->front = loop.front;
            held = 0;
            connect_stepped(world, &loop);
        }
    }
}

static void test_kills(enum pv_abi abi, uint64_t seed)
{
    static const struct kill_test test = {.size = sizeof(struct world),
                                          .watched = WATCHED,
                                          .stepping = offsetof(struct world, stepping),
                                          .run = run_scenario,
                                          .go_on = go_on};
    struct world *world = make_world(&test);
    struct pv_sring *sring = (struct pv_sring *)world->memory;
    world->abi = abi;
    pv_sring_init(sring);
    sring->req_prod = sring->rsp_prod = START;
    pv_front_ring_attach(&world->front, sring, PAGE, pv_blkif_slot_size(abi), START);
    assert(kill_everywhere(&test, world, seed) > 3 * REQUESTS);
}

int main(void)
{
    for (int seed = 0; seed < (STEPPING ? 3 : 0); seed++)
        test_kills(seed % 2 ? PV_ABI_X86_32 : PV_ABI_X86_64, (uint64_t)seed);
    return 0;
}
