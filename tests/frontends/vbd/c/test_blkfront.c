/* The block frontend against a backend in the same process that behaves. */
#include "frontends/vbd/c/fake_peer.h"

struct setup {
    enum pv_abi abi;
    bool persistent, trusted;
    uint32_t indirect, buffer_pages, pool_pages, ring_pages;
};

static const struct pv_blkfront_features all_features = {
    .flush = true, .barrier = true, .discard = true, .secure_discard = true, .sector_size = 512};

static struct pv_blkfront_queue *connect_queue(struct fake_peer *peer, const struct setup *setup,
                                               const struct pv_blkfront_features *features)
{
    struct pv_blkfront_config config = {
        .hypervisor = &peer->guest.hypervisor,
        .evtchn = (struct pv_evtchn *)peer,
        .ring_pages = setup->ring_pages ? setup->ring_pages : 1,
        .max_indirect_segments = setup->indirect,
        .persistent = setup->persistent,
        .trusted = setup->trusted,
        .buffer_pages = setup->buffer_pages,
        .pool_pages = setup->pool_pages,
    };
    struct pv_blkfront_queue *queue = pv_blkfront_create(&config);
    assert(queue && pv_blkfront_port(queue) == 7);
    struct pv_blkfront_io early = {.operation = BLKIF_OP_FLUSH_DISKCACHE}, *io = &early;
    assert(pv_blkfront_submit(queue, &io, 1) == -ENOTCONN);
    fake_back_attach(peer, queue);
    assert(pv_blkfront_connect(queue, features) == 0);
    return queue;
}

static int run(struct fake_peer *peer, struct pv_blkfront_queue *queue, struct pv_blkfront_io *io,
               int16_t status)
{
    struct pv_blkfront_io *done[64];
    io->status = 99;
    assert(pv_blkfront_submit(queue, &io, 1) == 0);
    for (int rounds = 0; rounds < 1000; rounds++) {
        int count = pv_blkfront_poll(queue, done, 64);
        assert(count >= 0);
        if (count) {
            assert(count == 1 && done[0] == io && pv_blkfront_outstanding(queue) == 0);
            return io->status;
        }
        fake_serve(peer, status);
    }
    abort();
}

static struct pv_blkfront_io make_io(uint8_t operation, uint64_t sector, uint64_t sectors,
                                     void *data)
{
    return (struct pv_blkfront_io){
        .operation = operation, .sector = sector, .nr_sectors = sectors, .data = data};
}

/* Every size from a sector to beyond several requests, written and read back. */
static void check_sizes(const struct setup *setup)
{
    static uint8_t written[1200 * 512], read[1200 * 512];
    struct fake_peer *peer = fake_peer_create(setup->abi);
    struct pv_blkfront_queue *queue = connect_queue(peer, setup, &all_features);
    for (uint64_t sectors = 1; sectors <= 1200; sectors += sectors < 40 ? 1 : 116) {
        uint64_t sector = sectors * 7 % 1000;
        for (size_t i = 0; i < sectors * 512; i++)
            written[i] = (uint8_t)(i * 7 + i / 512 * 13 + sectors);
        struct pv_blkfront_io io = make_io(BLKIF_OP_WRITE, sector, sectors, written);
        assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
        assert(memcmp(peer->disk + sector * 512, written, sectors * 512) == 0);
        memset(read, 0, sizeof(read));
        io = make_io(BLKIF_OP_READ, sector, sectors, read);
        assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
        assert(memcmp(read, written, sectors * 512) == 0);
        assert(setup->persistent ||
               peer->guest.granted == pv_blkfront_ring_refs(queue, &(const grant_ref_t *){NULL}));
    }
    struct pv_blkfront_stats stats;
    pv_blkfront_get_stats(queue, &stats);
    assert(stats.rd_sect == stats.wr_sect && stats.errors == 0 && stats.violations == 0);
    assert(stats.responses == stats.rd_req + stats.wr_req);
    assert((stats.indirect_req > 0) == (setup->indirect > BLKIF_MAX_SEGMENTS_PER_REQUEST));
    char line[256];
    assert(pv_blkfront_describe(queue, line, sizeof(line)) < (int)sizeof(line));
    pv_blkfront_disconnect(queue);
    pv_blkfront_disconnect(queue);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

static void test_every_combination(void)
{
    for (enum pv_abi abi = 0; abi < PV_ABI_COUNT; abi++)
        for (int bits = 0; bits < 4; bits++)
            for (uint32_t indirect = 0; indirect <= 256; indirect = indirect ? indirect * 16 : 16)
                check_sizes(&(struct setup){
                    .abi = abi, .persistent = bits & 1, .trusted = bits & 2, .indirect = indirect});
    check_sizes(&(struct setup){.persistent = true, .trusted = true, .ring_pages = 4});
    check_sizes(&(struct setup){.indirect = 1000, .trusted = true, .ring_pages = 2});
}

static void test_persistent_grants_are_reused(void)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.persistent = true, .trusted = true};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    uint8_t data[3 * 4096];
    for (int i = 0; i < 50; i++) {
        struct pv_blkfront_io io = make_io(i & 1 ? BLKIF_OP_WRITE : BLKIF_OP_READ, 8, 24, data);
        assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    }
    struct pv_blkfront_stats stats;
    pv_blkfront_get_stats(queue, &stats);
    assert(stats.grants_made == 3 && stats.grants_ended == 0);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

static void test_buffers_are_not_copied(void)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.persistent = true, .trusted = true, .buffer_pages = 8, .indirect = 32};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    uint8_t *buffers = pv_blkfront_buffers(queue);
    for (size_t i = 0; i < 64 * 512; i++)
        peer->disk[80 * 512 + i] = (uint8_t)(i * 31 + i / 512);
    struct pv_blkfront_io io = make_io(BLKIF_OP_READ, 80, 64, buffers);
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    assert(memcmp(buffers, peer->disk + 80 * 512, 64 * 512) == 0);
    io = make_io(BLKIF_OP_WRITE, 300, 9, buffers + 4096);
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    assert(memcmp(buffers + 4096, peer->disk + 300 * 512, 9 * 512) == 0);
    struct pv_blkfront_stats stats;
    pv_blkfront_get_stats(queue, &stats);
    assert(stats.bytes_copied == 0);
    io = make_io(BLKIF_OP_WRITE, 400, 1, buffers + 512); /* not the start of a page */
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    assert(memcmp(buffers + 512, peer->disk + 400 * 512, 512) == 0);
    pv_blkfront_get_stats(queue, &stats);
    assert(stats.bytes_copied == 512);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

/* An untrusted backend sees the data of the request at hand, and zeros (XSA-403). */
static void test_untrusted_backend_sees_only_zeros(void)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.persistent = true, .buffer_pages = 2};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    uint8_t *data = pv_blkfront_buffers(queue);
    memset(data, 0xaa, 8192);
    struct pv_blkfront_io io = make_io(BLKIF_OP_WRITE, 0, 16, data), *list = &io, *done[2];
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    for (int write = 0; write <= 1; write++) {
        io = make_io(write ? BLKIF_OP_WRITE : BLKIF_OP_READ, 0, 11, data);
        assert(pv_blkfront_submit(queue, &list, 1) == 0);
        struct pv_blkif_request request;
        fake_take(peer, &request);
        for (unsigned segment = 0; segment < 2; segment++) {
            const uint8_t *page = peer->guest.grants[request.seg[segment].gref].page;
            size_t shown = write ? (segment ? 3 * 512 : 4096) : 0;
            for (size_t i = 0; i < 4096; i++)
                assert(page[i] == (i < shown ? 0xaa : 0));
        }
        fake_answer(peer, request.id, request.operation, BLKIF_RSP_ERROR);
        assert(pv_blkfront_poll(queue, done, 2) == 1 && io.status == -EIO);
        assert(data[0] == 0xaa);
    }
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

/* A page of descriptors shows nothing of what it was used for before (XSA-403). */
static void test_descriptors_end_in_zeros(bool trusted)
{
    static uint8_t data[40 * 4096];
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.persistent = true, .trusted = trusted, .indirect = 32};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    memset(data, 0xaa, sizeof data);
    struct pv_blkfront_io io = make_io(BLKIF_OP_WRITE, 0, 320, data), *list = &io, *done;
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    io = make_io(BLKIF_OP_READ, 0, 160, data); /* the pages come back last used first */
    assert(pv_blkfront_submit(queue, &list, 1) == 0);
    struct pv_blkif_request request;
    fake_take(peer, &request);
    assert(request.operation == BLKIF_OP_INDIRECT && request.nr_segments == 20);
    const uint8_t *page = peer->guest.grants[request.indirect_grefs[0]].page;
    for (size_t i = 20 * sizeof(struct pv_blkif_segment); i < 4096; i++)
        assert(page[i] == 0);
    fake_answer(peer, request.id, request.indirect_op, BLKIF_RSP_ERROR);
    assert(pv_blkfront_poll(queue, &done, 1) == 1);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

/* The backend may write to a page only when it is read into, and is told what a discard wants. */
static void test_no_more_than_is_needed(void)
{
    static uint8_t data[4096];
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.trusted = true};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    for (uint8_t operation = BLKIF_OP_READ; operation <= BLKIF_OP_WRITE_BARRIER; operation++) {
        struct pv_blkfront_io io = make_io(operation, 0, 8, data), *list = &io, *done;
        struct pv_blkif_request request;
        assert(pv_blkfront_submit(queue, &list, 1) == 0);
        fake_take(peer, &request);
        assert(peer->guest.grants[request.seg[0].gref].readonly == (operation != BLKIF_OP_READ));
        fake_answer(peer, request.id, request.operation, BLKIF_RSP_OKAY);
        assert(pv_blkfront_poll(queue, &done, 1) == 1);
    }
    for (int secure = 0; secure < 2; secure++) {
        struct pv_blkfront_io io = make_io(BLKIF_OP_DISCARD, 0, 8, NULL), *list = &io, *done;
        struct pv_blkif_request request;
        io.secure = secure;
        assert(pv_blkfront_submit(queue, &list, 1) == 0);
        fake_take(peer, &request);
        assert(request.discard_flags == (secure ? BLKIF_DISCARD_SECURE : 0));
        fake_answer(peer, request.id, request.operation, BLKIF_RSP_OKAY);
        assert(pv_blkfront_poll(queue, &done, 1) == 1);
    }
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

/* Of a split operation one part that fails is enough, whichever it is. */
static void test_any_part_that_fails_fails_all(void)
{
    static uint8_t data[33 * 4096];
    for (unsigned failing = 0; failing < 3; failing++) {
        struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
        struct setup setup = {.trusted = true};
        struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
        struct pv_blkfront_io io = make_io(BLKIF_OP_WRITE, 0, 33 * 8, data), *list = &io, *done[8];
        assert(pv_blkfront_submit(queue, &list, 1) == 0);
        for (unsigned part = 0; part < 3; part++) {
            struct pv_blkif_request request;
            fake_take(peer, &request);
            fake_answer(peer, request.id, request.operation,
                        part == failing ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY);
        }
        assert(pv_blkfront_poll(queue, done, 8) == 1 && io.status == -EIO);
        pv_blkfront_destroy(queue);
        fake_peer_destroy(peer, 0);
    }
}

static void check_feature_loss(uint8_t operation, uint64_t sectors, int16_t status, int result)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_32);
    struct setup setup = {.trusted = true};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    uint8_t data[4096] = {0};
    struct pv_blkfront_io io = make_io(operation, 8, sectors, data);
    assert(run(peer, queue, &io, status) == result);
    struct pv_blkfront_features features;
    pv_blkfront_get_features(queue, &features);
    bool discard = operation == BLKIF_OP_DISCARD;
    assert(features.discard == !discard && features.flush == discard);
    /* From now on the ring is not asked again. */
    unsigned seen = peer->seen;
    int expected = operation == BLKIF_OP_FLUSH_DISKCACHE ? 0 : -EOPNOTSUPP;
    assert(run(peer, queue, &io, status) == expected && peer->seen == seen);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

static void test_unsupported_operations(void)
{
    check_feature_loss(BLKIF_OP_FLUSH_DISKCACHE, 0, BLKIF_RSP_EOPNOTSUPP, 0);
    check_feature_loss(BLKIF_OP_FLUSH_DISKCACHE, 0, BLKIF_RSP_ERROR, 0);
    check_feature_loss(BLKIF_OP_WRITE_BARRIER, 0, BLKIF_RSP_EOPNOTSUPP, 0);
    check_feature_loss(BLKIF_OP_WRITE_BARRIER, 8, BLKIF_RSP_EOPNOTSUPP, -EOPNOTSUPP);
    check_feature_loss(BLKIF_OP_DISCARD, 64, BLKIF_RSP_EOPNOTSUPP, -EOPNOTSUPP);
}

/* A backend that has flushed before knows how to: its error is the disk's, and hiding it would lose
 * what the caller takes for stable. */
static void check_flush_error(const struct pv_blkfront_features *offered)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.trusted = true};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, offered);
    struct pv_blkfront_io io = make_io(BLKIF_OP_FLUSH_DISKCACHE, 0, 0, NULL);
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    assert(run(peer, queue, &io, BLKIF_RSP_ERROR) == -EIO);
    assert(run(peer, queue, &io, BLKIF_RSP_ERROR) == -EIO && peer->seen == 3);
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0 && peer->seen == 4);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

static void test_a_flush_that_fails_is_no_missing_feature(void)
{
    check_flush_error(&all_features);
    check_flush_error(&(struct pv_blkfront_features){.barrier = true, .sector_size = 4096});
}

static void test_barrier_replaces_a_missing_flush(void)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct pv_blkfront_features features = {.barrier = true, .sector_size = 4096};
    struct setup setup = {.trusted = true};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &features);
    struct pv_blkfront_io io = make_io(BLKIF_OP_FLUSH_DISKCACHE, 0, 0, NULL);
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    assert(peer->operations[0] == BLKIF_OP_WRITE_BARRIER && peer->seen == 1);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

static void test_the_caller_is_told_of_mistakes(void)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct pv_blkfront_features features = {.flush = true, .sector_size = 4096};
    struct setup setup = {.trusted = true};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &features);
    static uint8_t data[65536];
    const struct pv_blkfront_io mistakes[] = {
        make_io(BLKIF_OP_READ, 1, 8, data),           make_io(BLKIF_OP_READ, 8, 1, data),
        make_io(BLKIF_OP_READ, 0, 0, data),           make_io(BLKIF_OP_READ, 0, 8, NULL),
        make_io(BLKIF_OP_INDIRECT, 0, 8, data),       make_io(255, 0, 8, data),
        make_io(BLKIF_OP_DISCARD, 0, 0, NULL),        make_io(BLKIF_OP_FLUSH_DISKCACHE, 0, 8, data),
        make_io(BLKIF_OP_READ, -8ull, 16, data),      make_io(BLKIF_OP_READ, 0, 1ull << 40, data),
        make_io(BLKIF_OP_WRITE_BARRIER, 0, 96, data),
    };
    struct pv_blkfront_io good = make_io(BLKIF_OP_READ, 0, 8, data);
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
        struct pv_blkfront_io mistake = mistakes[i], *both[] = {&good, &mistake};
        assert(pv_blkfront_submit(queue, both, 2) == -EINVAL);
        assert(pv_blkfront_outstanding(queue) == 0);
    }
    struct pv_blkfront_config config = {
        .hypervisor = &peer->guest.hypervisor, .evtchn = (struct pv_evtchn *)peer, .ring_pages = 3};
    assert(!pv_blkfront_create(&config) && errno == EINVAL);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

/* One publication and one notification for a batch; what finds no room follows in order. */
static void test_a_batch_is_published_once(void)
{
    static uint8_t data[100][512];
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.trusted = true, .persistent = true};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    struct pv_blkfront_io ios[100], *list[100], *done[100];
    for (unsigned i = 0; i < 100; i++) {
        ios[i] = make_io(BLKIF_OP_WRITE, i, 1, data[i]);
        list[i] = &ios[i];
    }
    assert(pv_blkfront_submit(queue, list, 100) == 0 && peer->guest.notifications == 1);
    unsigned finished = 0;
    while (finished < 100) {
        fake_serve(peer, BLKIF_RSP_OKAY);
        int count = pv_blkfront_poll(queue, done, 7);
        assert(count > 0);
        for (int i = 0; i < count; i++)
            assert(done[i] == &ios[finished + (unsigned)i]);
        finished += (unsigned)count;
    }
    for (unsigned i = 0; i < 100; i++)
        assert(peer->sectors[i] == i);
    struct pv_blkfront_stats stats;
    pv_blkfront_get_stats(queue, &stats);
    assert(stats.oo_req == 1 && stats.notifications_sent == peer->guest.notifications);
    assert(stats.notifications_suppressed > 0);
    assert(!pv_blkfront_arm(queue));
    assert(pv_blkfront_submit(queue, list, 1) == 0 && !pv_blkfront_arm(queue));
    fake_serve(peer, BLKIF_RSP_OKAY);
    assert(pv_blkfront_arm(queue));
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

/* The first error of a split operation is its result, and the rest of it is not sent. */
static void test_error_in_the_middle_of_a_split(void)
{
    static uint8_t data[1024 * 512];
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.trusted = true, .pool_pages = 19};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    struct pv_blkfront_io io = make_io(BLKIF_OP_WRITE, 0, 1024, data);
    assert(run(peer, queue, &io, BLKIF_RSP_ERROR) == -EIO);
    assert(peer->seen == 1);
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

/* A page the backend holds on to is never used again; when all are gone, I/O fails. */
static void test_busy_pages_are_leaked(void)
{
    static uint8_t data[19 * 4096];
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct setup setup = {.trusted = true, .pool_pages = 19};
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    struct pv_blkfront_io io, *list = &io, *done[4];
    for (unsigned leaked = 0; leaked < 19; leaked++) {
        io = make_io(BLKIF_OP_WRITE, 0, 19 * 8, data);
        assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0); /* with the pages that are left */
        io = make_io(BLKIF_OP_WRITE, 0, 8, data);
        assert(pv_blkfront_submit(queue, &list, 1) == 0);
        struct pv_blkif_request request;
        fake_take(peer, &request);
        assert(!peer->guest.grants[request.seg[0].gref].busy);
        peer->guest.grants[request.seg[0].gref].busy = true;
        fake_answer(peer, request.id, request.operation, BLKIF_RSP_OKAY);
        assert(pv_blkfront_poll(queue, done, 4) == 1 && io.status == 0);
    }
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == -ENOMEM);
    struct pv_blkfront_stats stats;
    pv_blkfront_get_stats(queue, &stats);
    assert(stats.grants_leaked == 19);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 19);
}

/* With few grants, requests are smaller; without one they fail, and others pass when there are. */
static void test_few_grants(bool persistent)
{
    static uint8_t data[64 * 4096];
    struct setup setup = {.trusted = true, .persistent = persistent, .indirect = 64};
    for (unsigned few = 0; few < 70; few++) {
        struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
        struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
        struct pv_blkfront_io io = make_io(BLKIF_OP_WRITE, 0, 64 * 8, data);
        memset(data, (int)few + 1, sizeof data);
        peer->guest.most_grants = peer->guest.granted + few;
        assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == (few == 0 ? -ENOSPC : 0));
        assert((memcmp(peer->disk, data, sizeof data) == 0) == (few > 0));
        peer->guest.most_grants = UINT32_MAX;
        assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == 0);
        pv_blkfront_destroy(queue);
        fake_peer_destroy(peer, 0);
    }
}

/* A barrier is one request, or none. */
static void test_few_grants_for_a_barrier(void)
{
    static uint8_t data[11 * 4096];
    struct setup setup = {.trusted = true};
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    struct pv_blkfront_io io = make_io(BLKIF_OP_WRITE_BARRIER, 0, 11 * 8, data);
    peer->guest.most_grants = peer->guest.granted + 10;
    assert(run(peer, queue, &io, BLKIF_RSP_OKAY) == -ENOSPC && peer->seen == 0);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(peer, 0);
}

static void test_no_grants_for_the_ring(void)
{
    struct fake_peer *peer = fake_peer_create(PV_ABI_X86_64);
    struct pv_blkfront_config config = {
        .hypervisor = &peer->guest.hypervisor, .evtchn = (struct pv_evtchn *)peer, .ring_pages = 4};
    peer->guest.most_grants = 2;
    assert(!pv_blkfront_create(&config) && errno == ENOSPC);
    fake_peer_destroy(peer, 0);
}

/* The backend goes with requests half done; a new ring takes over all of them, in order. */
static void test_requeue(void)
{
    static uint8_t data[60][4096 * 12];
    struct fake_peer *old_peer = fake_peer_create(PV_ABI_X86_64);
    struct fake_peer *peer = fake_peer_create(PV_ABI_IA64);
    struct setup setup = {.trusted = true, .persistent = true};
    struct pv_blkfront_queue *old = connect_queue(old_peer, &setup, &all_features);
    struct pv_blkfront_queue *queue = connect_queue(peer, &setup, &all_features);
    struct pv_blkfront_io ios[60], *list[60], *done[60];
    for (unsigned i = 0; i < 60; i++) {
        memset(data[i], (int)i, sizeof(data[i]));
        ios[i] = make_io(BLKIF_OP_WRITE, i * 96, 96, data[i]); /* two requests each */
        list[i] = &ios[i];
    }
    assert(pv_blkfront_submit(old, list, 60) == 0);
    struct pv_blkif_request request;
    for (int i = 0; i < 3; i++) { /* the first is done, the second half done */
        fake_take(old_peer, &request);
        fake_answer(old_peer, request.id, request.operation, BLKIF_RSP_OKAY);
    }
    assert(pv_blkfront_poll(old, done, 60) == 1 && done[0] == &ios[0]);
    assert(pv_blkfront_requeue(old, queue) == -EINVAL);
    pv_blkfront_stop(old);
    assert(pv_blkfront_poll(old, done, 60) == -ENOTCONN);
    assert(pv_blkfront_submit(old, list, 1) == -ENOTCONN);
    assert(pv_blkfront_requeue(old, queue) == 59 && pv_blkfront_outstanding(old) == 0);
    pv_blkfront_destroy(old);
    unsigned finished = 1;
    while (finished < 60) {
        fake_serve(peer, BLKIF_RSP_OKAY);
        int count = pv_blkfront_poll(queue, done, 60);
        for (int i = 0; i < count; i++)
            assert(done[i] == &ios[finished + (unsigned)i] && done[i]->status == 0);
        finished += (unsigned)count;
    }
    for (unsigned i = 1; i < 60; i++)
        assert(memcmp(peer->disk + (size_t)i * 96 * 512, data[i], 96 * 512) == 0);
    /* Without a new ring the caller answers for them. */
    assert(pv_blkfront_submit(queue, list, 60) == 0);
    pv_blkfront_stop(queue);
    assert(pv_blkfront_give_up(queue, done, 50) == 50 && done[49] == &ios[49]);
    assert(pv_blkfront_give_up(queue, done, 50) == 10 && done[9]->status == -EIO);
    assert(pv_blkfront_give_up(queue, done, 50) == 0);
    pv_blkfront_destroy(queue);
    fake_peer_destroy(old_peer, 0);
    fake_peer_destroy(peer, 0);
}

int main(void)
{
    test_every_combination();
    test_persistent_grants_are_reused();
    test_buffers_are_not_copied();
    test_untrusted_backend_sees_only_zeros();
    test_descriptors_end_in_zeros(false);
    test_descriptors_end_in_zeros(true);
    test_no_more_than_is_needed();
    test_any_part_that_fails_fails_all();
    test_unsupported_operations();
    test_a_flush_that_fails_is_no_missing_feature();
    test_barrier_replaces_a_missing_flush();
    test_the_caller_is_told_of_mistakes();
    test_a_batch_is_published_once();
    test_error_in_the_middle_of_a_split();
    test_busy_pages_are_leaked();
    test_few_grants(false);
    test_few_grants(true);
    test_few_grants_for_a_barrier();
    test_no_grants_for_the_ring();
    test_requeue();
    return 0;
}
