/* Every malformed request gets its protocol answer, is counted by cause and harms nothing else. */
#include "tests/backends/vbd/c/loopback.h"

#define SECTORS 1024u

struct malformed {
    const char *what;
    struct pv_blkif_request request;
    enum pv_blkback_error error;
    int status;
};

#define ONE_PAGE .nr_segments = 1, .seg = {{.gref = 50, .last_sect = 7}}

static const struct malformed malformed[] = {
    {"reserved operation",
     {.operation = BLKIF_OP_RESERVED_1},
     PV_BLKBACK_BAD_OPERATION,
     BLKIF_RSP_EOPNOTSUPP},
    {"unknown operation", {.operation = 200}, PV_BLKBACK_BAD_OPERATION, BLKIF_RSP_EOPNOTSUPP},
    {"read of nothing",
     {.operation = BLKIF_OP_READ},
     PV_BLKBACK_BAD_SEGMENT_COUNT,
     BLKIF_RSP_ERROR},
    {"write of nothing",
     {.operation = BLKIF_OP_WRITE},
     PV_BLKBACK_BAD_SEGMENT_COUNT,
     BLKIF_RSP_ERROR},
    {"segments beyond the slot",
     {.operation = BLKIF_OP_READ, .nr_segments = 12},
     PV_BLKBACK_BAD_SEGMENT_COUNT,
     BLKIF_RSP_ERROR},
    {"most segments a byte can say",
     {.operation = BLKIF_OP_WRITE, .nr_segments = 255},
     PV_BLKBACK_BAD_SEGMENT_COUNT,
     BLKIF_RSP_ERROR},
    {"last sector outside the page",
     {.operation = BLKIF_OP_READ, .nr_segments = 1, .seg = {{.gref = 50, .last_sect = 8}}},
     PV_BLKBACK_BAD_SEGMENT,
     BLKIF_RSP_ERROR},
    {"segment that ends before it starts",
     {.operation = BLKIF_OP_READ,
      .nr_segments = 1,
      .seg = {{.gref = 50, .first_sect = 3, .last_sect = 2}}},
     PV_BLKBACK_BAD_SEGMENT,
     BLKIF_RSP_ERROR},
    {"second segment bad",
     {.operation = BLKIF_OP_WRITE,
      .nr_segments = 2,
      .seg = {{.gref = 50, .last_sect = 7}, {.gref = 51, .first_sect = 255, .last_sect = 255}}},
     PV_BLKBACK_BAD_SEGMENT,
     BLKIF_RSP_ERROR},
    {"one sector too far",
     {.operation = BLKIF_OP_READ, .sector_number = SECTORS - 7, ONE_PAGE},
     PV_BLKBACK_OUT_OF_RANGE,
     BLKIF_RSP_ERROR},
    {"end beyond 2^64",
     {.operation = BLKIF_OP_WRITE, .sector_number = UINT64_MAX - 3, ONE_PAGE},
     PV_BLKBACK_OUT_OF_RANGE,
     BLKIF_RSP_ERROR},
    {"discard beyond the end",
     {.operation = BLKIF_OP_DISCARD, .sector_number = 8, .nr_sectors = SECTORS},
     PV_BLKBACK_OUT_OF_RANGE,
     BLKIF_RSP_ERROR},
    {"discard whose end overflows",
     {.operation = BLKIF_OP_DISCARD, .sector_number = 8, .nr_sectors = UINT64_MAX - 2},
     PV_BLKBACK_OUT_OF_RANGE,
     BLKIF_RSP_ERROR},
    {"grant that is none",
     {.operation = BLKIF_OP_READ,
      .nr_segments = 2,
      .seg = {{.gref = 50, .last_sect = 7}, {.gref = 1u << 20, .last_sect = 7}}},
     PV_BLKBACK_BAD_GRANT,
     BLKIF_RSP_ERROR},
    {"write from a grant that is none",
     {.operation = BLKIF_OP_WRITE, .nr_segments = 1, .seg = {{.gref = 1u << 20, .last_sect = 7}}},
     PV_BLKBACK_BAD_GRANT,
     BLKIF_RSP_ERROR},
    {"barrier from a grant that is none",
     {.operation = BLKIF_OP_WRITE_BARRIER,
      .nr_segments = 1,
      .seg = {{.gref = 1u << 20, .last_sect = 7}}},
     PV_BLKBACK_BAD_GRANT,
     BLKIF_RSP_ERROR},
    {"indirect flush",
     {.operation = BLKIF_OP_INDIRECT, .indirect_op = BLKIF_OP_FLUSH_DISKCACHE, .nr_segments = 1},
     PV_BLKBACK_BAD_INDIRECT_OPERATION,
     BLKIF_RSP_ERROR},
    {"indirect barrier", /* blkif.h: the operation is read or write */
     {.operation = BLKIF_OP_INDIRECT, .indirect_op = BLKIF_OP_WRITE_BARRIER, .nr_segments = 1},
     PV_BLKBACK_BAD_INDIRECT_OPERATION,
     BLKIF_RSP_ERROR},
    {"indirect discard",
     {.operation = BLKIF_OP_INDIRECT, .indirect_op = BLKIF_OP_DISCARD, .nr_segments = 1},
     PV_BLKBACK_BAD_INDIRECT_OPERATION,
     BLKIF_RSP_ERROR},
    {"indirect indirect",
     {.operation = BLKIF_OP_INDIRECT, .indirect_op = BLKIF_OP_INDIRECT, .nr_segments = 1},
     PV_BLKBACK_BAD_INDIRECT_OPERATION,
     BLKIF_RSP_ERROR},
    {"indirect of nothing",
     {.operation = BLKIF_OP_INDIRECT, .indirect_op = BLKIF_OP_READ},
     PV_BLKBACK_BAD_SEGMENT_COUNT,
     BLKIF_RSP_ERROR},
    {"more indirect segments than offered",
     {.operation = BLKIF_OP_INDIRECT, .indirect_op = BLKIF_OP_READ, .nr_segments = 257},
     PV_BLKBACK_BAD_SEGMENT_COUNT,
     BLKIF_RSP_ERROR},
    {"descriptors in a grant that is none",
     {.operation = BLKIF_OP_INDIRECT,
      .indirect_op = BLKIF_OP_WRITE,
      .nr_segments = 100,
      .indirect_grefs = {1u << 20}},
     PV_BLKBACK_BAD_GRANT,
     BLKIF_RSP_ERROR},
    {"bad descriptor", /* page 60 is full of ones */
     {.operation = BLKIF_OP_INDIRECT,
      .indirect_op = BLKIF_OP_READ,
      .nr_segments = 100,
      .indirect_grefs = {60}},
     PV_BLKBACK_BAD_SEGMENT,
     BLKIF_RSP_ERROR},
};

static void test_malformed(bool persistent)
{
    struct loopback loop;
    struct pv_blkback_config config =
        loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
    config.persistent = persistent;
    loopback_connect(&loop, &config);
    memset(loopback_page(&loop, 60), 0xff, 4096);
    uint64_t counted[PV_BLKBACK_ERROR_COUNT] = {0};
    const struct pv_blkif_request valid = {.operation = BLKIF_OP_READ, ONE_PAGE};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        const struct malformed *entry = &malformed[i];
        if (loopback_one(&loop, entry->request) != entry->status ||
            loopback_errors(&loop, entry->error) != ++counted[entry->error]) {
            fprintf(stderr, "%s\n", entry->what);
            abort();
        }
        assert(loopback_one(&loop, valid) == BLKIF_RSP_OKAY);
    }
    loopback_close(&loop);
}

static int answer(struct pv_blkback_config *config, struct loopback *loop,
                  struct pv_blkif_request request, enum pv_blkback_error error)
{
    loopback_connect(loop, config);
    int status = loopback_one(loop, request);
    if (status != BLKIF_RSP_OKAY)
        assert(loopback_errors(loop, error) == 1);
    loopback_close(loop);
    return status;
}

static void test_what_is_not_offered(void)
{
    static const uint8_t operations[] = {BLKIF_OP_WRITE_BARRIER, BLKIF_OP_FLUSH_DISKCACHE,
                                         BLKIF_OP_DISCARD, BLKIF_OP_INDIRECT};
    for (int i = 0; i < 4; i++) {
        struct loopback loop;
        struct pv_blkback_config config =
            loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
        config.barrier = config.flush = config.discard = false;
        config.max_indirect_segments = 0;
        struct pv_blkif_request request = {.operation = operations[i]};
        assert(answer(&config, &loop, request, PV_BLKBACK_BAD_OPERATION) == BLKIF_RSP_EOPNOTSUPP);
    }
}

static void test_read_only(void)
{
    static const uint8_t operations[] = {BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER,
                                         BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_DISCARD};
    for (int i = 0; i < 4; i++) {
        struct loopback loop;
        struct pv_blkback_config config =
            loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
        config.read_only = true;
        struct pv_blkif_request request = {.operation = operations[i], .nr_sectors = 8, ONE_PAGE};
        assert(answer(&config, &loop, request, PV_BLKBACK_READ_ONLY) == BLKIF_RSP_ERROR);
    }
}

static void test_alignment(void)
{
    const struct {
        uint64_t sector;
        uint8_t first, last;
        int status;
    } cases[] = {{8, 0, 7, BLKIF_RSP_OKAY}, {4, 0, 7, BLKIF_RSP_ERROR}, {8, 0, 3, BLKIF_RSP_ERROR}};
    for (int i = 0; i < 3; i++) {
        struct loopback loop;
        struct pv_blkback_config config =
            loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 4096));
        struct pv_blkif_request request = {
            .operation = BLKIF_OP_READ,
            .sector_number = cases[i].sector,
            .nr_segments = 1,
            .seg = {{.gref = 50, .first_sect = cases[i].first, .last_sect = cases[i].last}}};
        assert(answer(&config, &loop, request, PV_BLKBACK_UNALIGNED) == cases[i].status);
    }
}

/* The disk's sectors are discarded whole, as Linux' blkdev_issue_discard wants it: both the start
 * and the length count. */
static void test_alignment_of_a_discard(void)
{
    const struct {
        uint64_t sector, sectors;
        int status;
    } cases[] = {{8, 8, BLKIF_RSP_OKAY},
                 {8, 4, BLKIF_RSP_ERROR},
                 {4, 8, BLKIF_RSP_ERROR},
                 {4, 4, BLKIF_RSP_ERROR}};
    for (int i = 0; i < 4; i++) {
        struct loopback loop;
        struct pv_blkback_config config =
            loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 4096));
        struct pv_blkif_request request = {.operation = BLKIF_OP_DISCARD,
                                           .sector_number = cases[i].sector,
                                           .nr_sectors = cases[i].sectors};
        assert(answer(&config, &loop, request, PV_BLKBACK_UNALIGNED) == cases[i].status);
    }
}

/* A page of the ia64 ABI has 32 sectors, whatever the backend's own pages are. */
static void test_page_of_the_frontend(void)
{
    for (int i = 31; i <= 32; i++) {
        struct loopback loop;
        struct pv_blkback_config config =
            loopback_config(&loop, PV_ABI_IA64, pv_ram_store_create(SECTORS, 512));
        struct pv_blkif_request request = {.operation = BLKIF_OP_READ,
                                           .nr_segments = 1,
                                           .seg = {{.gref = 50, .last_sect = (uint8_t)i}}};
        int want = i == 31 ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
        assert(answer(&config, &loop, request, PV_BLKBACK_BAD_SEGMENT) == want);
    }
}

static void test_edges_that_are_valid(void)
{
    static const struct pv_blkif_request valid[] = {
        {.operation = BLKIF_OP_FLUSH_DISKCACHE, .sector_number = UINT64_MAX},
        {.operation = BLKIF_OP_WRITE_BARRIER, .sector_number = UINT64_MAX},
        {.operation = BLKIF_OP_FLUSH_DISKCACHE, ONE_PAGE},
        {.operation = BLKIF_OP_WRITE_BARRIER, .sector_number = SECTORS - 8, ONE_PAGE},
        {.operation = BLKIF_OP_DISCARD, .sector_number = SECTORS},
        {.operation = BLKIF_OP_DISCARD, .nr_sectors = SECTORS, .discard_flags = 1},
    };
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++) {
        struct loopback loop;
        struct pv_blkback_config config =
            loopback_config(&loop, PV_ABI_X86_32, pv_ram_store_create(SECTORS, 512));
        assert(answer(&config, &loop, valid[i], 0) == BLKIF_RSP_OKAY);
    }
}

static uint32_t random_number(void)
{
    static uint32_t state = 20;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* Slots of noise, bent now and then towards sense: each gets exactly one answer (the
 * sanitizers watch the rest). */
static void test_noise(enum pv_abi abi, bool persistent)
{
    struct loopback loop;
    struct pv_blkback_config config =
        loopback_config(&loop, abi, pv_ram_store_create(SECTORS, 512));
    config.persistent = persistent;
    config.persistent_grants = 20;
    loopback_connect(&loop, &config);
    loop.bad_ref = 0; /* or reads of its own would overwrite the ring */
    for (int round = 0; round < 500; round++) {
        unsigned count = 1 + random_number() % loop.front.nr_ents;
        for (unsigned i = 0; i < count; i++) {
            uint8_t *slot = pv_front_request_slot(&loop.front, loop.front.req_prod_pvt++);
            for (uint32_t byte = 0; byte < loop.front.slot_size; byte++)
                slot[byte] = random_number() % 2 ? 0 : (uint8_t)random_number();
            slot[0] = (uint8_t)(random_number() % 8);
            slot[1] = (uint8_t)(random_number() % 13);
            memset(slot + 14, 0, 8);
            for (uint32_t byte = 25; byte + 3 < loop.front.slot_size; byte += 8)
                slot[byte] = slot[byte + 1] = slot[byte + 2] = 0;
        }
        while (loopback_pump(&loop) > 0)
            ; /* what one call carries out is bounded */
        struct pv_blkif_response response;
        for (unsigned i = 0; i < count; i++)
            assert(loopback_take(&loop, &response));
        assert(!loopback_take(&loop, &response) && pv_blkback_in_flight(loop.back) == 0);
        loop.now += 1000000000u;
    }
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(loop.back, &stats);
    assert(stats.rd_req && stats.wr_req && stats.f_req && stats.ds_req);
    assert(stats.errors[PV_BLKBACK_BAD_OPERATION] && stats.errors[PV_BLKBACK_BAD_SEGMENT] &&
           stats.errors[PV_BLKBACK_OUT_OF_RANGE] && stats.errors[PV_BLKBACK_BAD_GRANT]);
    loopback_close(&loop);
}

int main(void)
{
    test_malformed(false);
    test_malformed(true);
    test_what_is_not_offered();
    test_read_only();
    test_alignment();
    test_alignment_of_a_discard();
    test_page_of_the_frontend();
    test_edges_that_are_valid();
    for (int abi = 0; abi < PV_ABI_COUNT; abi++)
        for (int persistent = 0; persistent < 2; persistent++)
            test_noise((enum pv_abi)abi, persistent);
    return 0;
}
