/* A hypervisor that refuses a grant operation, in any of the ways there are: the request it belongs
 * to is answered with an error, the others are carried out, and exactly what was mapped is
 * unmapped. */
#include "tests/backends/vbd/c/loopback.h"
#include "tests/ring/c/grant_faults.h"

#define SECTORS 4096u
#define REQUESTS 4u

struct setting {
    bool persistent, memory; /* memory: the store's data is reached without buffers */
};

struct faulty {
    struct loopback loop;
    struct grant_faults faults;
    struct pv_blk_store_ops hidden;
};

/* What a hypervisor that fails an element may say. Xen said +1 once (XSA-316), and nothing at all
 * (XSA-318). */
static const struct grant_fault kinds[] = {
    {.kind = GRANT_FAULT_STATUS, .status = GNTST_general_error},
    {.kind = GRANT_FAULT_STATUS, .status = GNTST_eagain},
    {.kind = GRANT_FAULT_STATUS, .status = 1},
    {.kind = GRANT_FAULT_STATUS, .status = INT16_MAX},
    {.kind = GRANT_FAULT_UNTOUCHED},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static void set_up(struct faulty *faulty, struct setting setting)
{
    struct pv_blk_store *store = pv_ram_store_create(SECTORS, 512);
    faulty->hidden = *store->ops;
    if (!setting.memory) {
        faulty->hidden.memory = NULL;
        store->ops = &faulty->hidden;
    }
    struct pv_blkback_config config = loopback_config(&faulty->loop, PV_ABI_X86_64, store);
    config.persistent = setting.persistent;
    grant_faults_install(&faulty->faults, &faulty->loop.hypervisor);
    loopback_connect(&faulty->loop, &config);
}

static struct grant_fault *fault_of(struct faulty *faulty, struct setting setting)
{
    return setting.persistent ? &faulty->faults.map : &faulty->faults.copy;
}

static struct pv_blkif_request one_page(uint8_t operation, uint64_t id)
{
    return (struct pv_blkif_request){
        .id = id,
        .operation = operation,
        .sector_number = id * 8,
        .nr_segments = 1,
        .seg = {{.gref = (grant_ref_t)(50 + id), .first_sect = 0, .last_sect = 7}}};
}

/* One of a batch fails: it alone is answered with an error, and its data stays where it is. */
static void test_one_of_a_batch(struct setting setting, uint8_t operation, uint32_t which,
                                const struct grant_fault *kind)
{
    struct faulty faulty;
    struct loopback *loop = &faulty.loop;
    set_up(&faulty, setting);
    struct grant_fault *fault = fault_of(&faulty, setting);
    *fault = *kind;
    fault->skip = which;
    uint8_t *disk =
        loop->store->ops == &faulty.hidden ? NULL : loop->store->ops->memory(loop->store, 0, 8);
    for (uint32_t id = 0; id < REQUESTS; id++) {
        memset(loopback_page(loop, 50 + id), (int)(0x10 + id), 4096);
        struct pv_blkif_request request = one_page(operation, id);
        loopback_put(loop, &request);
    }
    loopback_pump(loop);
    assert(fault->hit == 1);
    struct pv_blkif_response response;
    for (uint32_t n = 0; n < REQUESTS; n++) {
        assert(loopback_take(loop, &response));
        uint32_t id = (uint32_t)response.id;
        bool failed = id == which;
        assert(response.status == (failed ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY));
        uint8_t page = loopback_page(loop, 50 + id)[100];
        if (operation == BLKIF_OP_READ)
            assert(page == (failed ? 0x10 + id : 0)); /* the disk is empty */
        else if (disk)
            assert(disk[id * 4096 + 100] == (failed ? 0 : page));
    }
    assert(!loopback_take(loop, &response) && loopback_errors(loop, PV_BLKBACK_BAD_GRANT) == 1);
    if (setting.persistent)
        assert(loop->mapped == 1 + REQUESTS - 1);
    /* The fault has passed: the same grant serves. */
    assert(loopback_one(loop, one_page(operation, which)) == BLKIF_RSP_OKAY);
    loopback_close(loop);
}

/* Of a call that fails as a whole no element counts as done, whatever its status says. */
static void test_a_call_fails(struct setting setting, uint8_t operation)
{
    struct faulty faulty;
    set_up(&faulty, setting);
    struct grant_fault *fault = fault_of(&faulty, setting);
    *fault = (struct grant_fault){.kind = GRANT_FAULT_CALL, .status = -EFAULT};
    assert(loopback_one(&faulty.loop, one_page(operation, 1)) == BLKIF_RSP_ERROR);
    assert(loopback_errors(&faulty.loop, PV_BLKBACK_BAD_GRANT) == 1 && fault->hit == 1);
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(faulty.loop.back, &stats);
    assert(stats.bytes_copied == 0 && faulty.loop.mapped == 1);
    assert(loopback_one(&faulty.loop, one_page(operation, 1)) == BLKIF_RSP_OKAY);
    loopback_close(&faulty.loop);
}

/* An indirect request of `count` segments, whose pages are 200 and on. */
static struct pv_blkif_request indirect(struct loopback *loop, uint8_t operation, uint32_t count)
{
    struct pv_blkif_segment *segments = (struct pv_blkif_segment *)loopback_page(loop, 100);
    for (uint32_t i = 0; i < count; i++)
        segments[i] = (struct pv_blkif_segment){.gref = 200 + i, .last_sect = 7};
    return (struct pv_blkif_request){.operation = BLKIF_OP_INDIRECT,
                                     .indirect_op = operation,
                                     .nr_segments = (uint16_t)count,
                                     .indirect_grefs = {100}};
}

/* Descriptors that could not be fetched are not looked at. */
static void test_descriptors(struct setting setting, const struct grant_fault *kind)
{
    struct faulty faulty;
    set_up(&faulty, setting);
    struct pv_blkif_request request = indirect(&faulty.loop, BLKIF_OP_WRITE, 20);
    struct grant_fault *fault = fault_of(&faulty, setting);
    *fault = *kind;
    assert(loopback_one(&faulty.loop, request) == BLKIF_RSP_ERROR);
    assert(loopback_errors(&faulty.loop, PV_BLKBACK_BAD_GRANT) == 1 && fault->hit == 1);
    assert(faulty.loop.mapped == 1);
    assert(loopback_one(&faulty.loop, request) == BLKIF_RSP_OKAY);
    loopback_close(&faulty.loop);
}

/* A request of many grants fails with any of them, and what was mapped for it stays in the cache
 * and is unmapped with it: that, and no more (XSA-365). Grants are mapped 64 at a time. */
static void test_a_large_request(struct setting setting, uint32_t which,
                                 const struct grant_fault *kind)
{
    struct faulty faulty;
    struct loopback *loop = &faulty.loop;
    set_up(&faulty, setting);
    struct pv_blkif_request request = indirect(loop, BLKIF_OP_READ, 150);
    struct grant_fault *fault = fault_of(&faulty, setting);
    *fault = *kind;
    fault->skip = 1 + which; /* the descriptors' page comes first */
    assert(loopback_one(loop, request) == BLKIF_RSP_ERROR);
    assert(loopback_errors(loop, PV_BLKBACK_BAD_GRANT) == 1 && fault->hit == 1);
    if (setting.persistent) {
        int tried = 64 * (1 + (int)which / 64);
        assert(loop->mapped == 1 + 1 + (tried < 150 ? tried : 150) - 1);
    }
    assert(loopback_one(loop, request) == BLKIF_RSP_OKAY);
    loopback_close(loop);
}

int main(void)
{
    static const uint8_t operations[] = {BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER};
    static const uint32_t places[] = {0, 10, 63, 64, 127, 128, 149};
    for (int bits = 0; bits < 4; bits++) {
        struct setting setting = {bits & 1, bits & 2};
        for (size_t kind = 0; kind < KINDS; kind++) {
            for (uint32_t which = 0; which < REQUESTS; which++)
                for (int i = 0; i < 2; i++) /* barriers go one by one */
                    test_one_of_a_batch(setting, operations[i], which, &kinds[kind]);
            test_descriptors(setting, &kinds[kind]);
            for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
                test_a_large_request(setting, places[i], &kinds[kind]);
        }
        for (int i = 0; i < 3; i++)
            test_a_call_fails(setting, operations[i]);
    }
    return 0;
}
