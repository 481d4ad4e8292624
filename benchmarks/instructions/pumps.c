/*
 * Both halves of a block device on one simulated machine and in one thread, so that every run
 * executes the same instructions. `measured_back` and `measured_front` are what callgrind counts;
 * all else is preparation. Usage: pumps STORE READ|WRITE BLOCK-SIZE GRANTS DEPTH ROUNDS
 * [IDLE]; with IDLE, a poll group drives the backend's queue and IDLE idle ones. For a network
 * device see packets.h, for a SCSI host commands.h.
 */
#include "benchmarks/instructions/commands.h"
#include "benchmarks/instructions/domains.h"
#include "benchmarks/instructions/packets.h"
#include "pvdrivers/backends/stores/stores.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/frontends/vbd/blkfront.h"
#include "pvdrivers/poll/group.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512u
#define DEVICE_SECTORS (32u << 11)
#define WARM_ROUNDS 8u /* every page touched, every grant mapped, all who idle asleep */
#define MAX_DEPTH 32u
#define INDIRECT_SEGMENTS 32u
#define POOL_PAGES 1056u /* a full ring of 128 KiB and its descriptors */
#define INDEPENDENT __attribute__((noinline, noclone))

struct device {
    struct domains domains;
    struct pv_blk_store *store;
    struct pv_external_batch *external; /* what is taken of an external store; else NULL */
    uint8_t *external_data;
    struct pv_blkback_queue *back;
    struct pv_blkfront_queue *front;
    struct pv_poll_group *group;
    struct pv_blkback_queue **idle_backs;
    struct pv_blkfront_queue **idle_fronts;
    struct pv_blkfront_io ios[MAX_DEPTH], *batch[MAX_DEPTH];
    uint8_t *data;
};

struct workload {
    const char *store;
    uint8_t operation;
    uint32_t block_size, depth, rounds;
    bool persistent, in_place, grouped;
    uint32_t idle;
};

static struct pv_blk_store *make_store(const char *name)
{
    char path[] = "/tmp/pumps.XXXXXX";
    if (strcmp(name, "null") == 0)
        return pv_null_store_create(DEVICE_SECTORS, SECTOR, true);
    if (strcmp(name, "ram") == 0)
        return pv_ram_store_create(DEVICE_SECTORS, SECTOR);
    if (strcmp(name, "external") == 0) {
        const struct pv_blk_geometry geometry = {.sectors = DEVICE_SECTORS, .sector_size = SECTOR};
        return pv_external_store_create(&geometry);
    }
    int fd = mkstemp(path);
    require(fd >= 0 && ftruncate(fd, DEVICE_SECTORS * (off_t)SECTOR) == 0, "image");
    const struct pv_file_store_config config = {.path = path, .sector_size = SECTOR};
    struct pv_blk_store *store = pv_file_store_create(&config);
    unlink(path);
    close(fd);
    return store;
}

static void connect(struct device *device, const struct workload *workload, bool idle,
                    struct pv_blkfront_queue **front, struct pv_blkback_queue **back)
{
    uint32_t buffers = workload->in_place ? workload->depth * workload->block_size / 4096u : 0;
    const struct pv_blkfront_config front_config = {.hypervisor = device->domains.front_view,
                                                    .evtchn = device->domains.front_events,
                                                    .ring_pages = 1,
                                                    .max_indirect_segments = INDIRECT_SEGMENTS,
                                                    .persistent = workload->persistent,
                                                    .trusted = true,
                                                    .pool_pages = idle ? 1 : POOL_PAGES,
                                                    .buffer_pages = idle ? 0 : buffers};
    const struct pv_blkfront_features features = {.flush = true, .sector_size = SECTOR};
    *front = pv_blkfront_create(&front_config);
    require(*front, "frontend");
    struct pv_blkback_config back_config = {.hypervisor = device->domains.back_view,
                                            .evtchn = device->domains.back_events,
                                            .frontend = 1,
                                            .abi = PV_ABI_X86_64,
                                            .ring_pages = 1,
                                            .remote_port = pv_blkfront_port(*front),
                                            .store = device->store,
                                            .flush = true,
                                            .persistent = workload->persistent,
                                            .max_indirect_segments = INDIRECT_SEGMENTS};
    pv_blkfront_ring_refs(*front, &back_config.ring_refs);
    *back = pv_blkback_create(&back_config);
    require(*back, "backend");
    require(pv_blkfront_connect(*front, &features) == 0, "connection");
}

static void gather(struct device *device, const struct workload *workload)
{
    device->group = pv_poll_group_create(PV_POLL_MODE_HYBRID);
    device->idle_backs = calloc(workload->idle + 1u, sizeof device->idle_backs[0]);
    device->idle_fronts = calloc(workload->idle + 1u, sizeof device->idle_fronts[0]);
    require(device->group && device->idle_backs && device->idle_fronts, "group");
    for (uint32_t i = 0; i < workload->idle; i++) {
        connect(device, workload, true, &device->idle_fronts[i], &device->idle_backs[i]);
        require(pv_poll_group_add(device->group, pv_blkback_pollable(device->idle_backs[i])) == 0,
                "member");
    }
    require(pv_poll_group_add(device->group, pv_blkback_pollable(device->back)) == 0, "member");
}

static void set_up(struct device *device, const struct workload *workload)
{
    make_domains(&device->domains, 512u << 20);
    device->store = make_store(workload->store);
    require(device->store, "store");
    if (strcmp(workload->store, "external") == 0) {
        device->external = malloc(sizeof *device->external);
        device->external_data = malloc(PV_EXTERNAL_BATCH_BYTES);
        require(device->external && device->external_data, "batch");
    }
    connect(device, workload, false, &device->front, &device->back);
    if (workload->grouped)
        gather(device, workload);
    device->data = workload->in_place ? pv_blkfront_buffers(device->front)
                                      : malloc((size_t)workload->depth * workload->block_size);
    for (uint32_t i = 0; i < workload->depth; i++)
        device->batch[i] = &device->ios[i];
}

static void tear_down(struct device *device, const struct workload *workload)
{
    pv_poll_group_destroy(device->group);
    for (uint32_t i = 0; i < workload->idle; i++) {
        pv_blkback_destroy(device->idle_backs[i]);
        pv_blkfront_destroy(device->idle_fronts[i]);
    }
    free(device->idle_backs);
    free(device->idle_fronts);
    require(pv_blkback_quiesce(device->back, 0) && pv_blkback_destroy(device->back) == 0, "end");
    if (!workload->in_place)
        free(device->data);
    pv_blkfront_destroy(device->front);
    pv_blk_store_close(device->store);
    free(device->external);
    free(device->external_data);
    close_domains(&device->domains);
}

/* ---- What is counted ------------------------------------------------------------------------- */

/* As a null store's author in Python does. */
static void serve(struct device *device)
{
    while (pv_external_batch_take(device->store, device->external)) {
        pv_external_batch_load(device->external, device->external_data);
        pv_external_batch_done(device->external);
        pv_external_batch_finish(device->store, device->external, device->external_data);
    }
}

static void back(struct device *device, uint64_t now)
{
    if (device->group)
        pv_poll_group_iterate(device->group, now);
    else
        pv_blkback_pump(device->back, MAX_DEPTH, now);
    if (device->external) {
        serve(device);
        pv_blkback_pump(device->back, MAX_DEPTH, now);
    }
}

INDEPENDENT static void measured_back(struct device *device, uint64_t now)
{
    back(device, now);
}

INDEPENDENT static int measured_front(struct device *device, uint32_t depth, bool submit)
{
    if (submit)
        return pv_blkfront_submit(device->front, device->batch, depth);
    return pv_blkfront_poll(device->front, device->batch, depth);
}

/* ---- Rounds of `depth` requests ------------------------------------------------------------- */

static void prepare(struct device *device, const struct workload *workload, uint32_t round)
{
    uint32_t sectors = workload->block_size / SECTOR;
    for (uint32_t i = 0; i < workload->depth; i++) {
        uint64_t block = (uint64_t)round * workload->depth + i;
        device->ios[i] =
            (struct pv_blkfront_io){.operation = workload->operation,
                                    .sector = block * 7919u % (DEVICE_SECTORS / sectors) * sectors,
                                    .nr_sectors = sectors,
                                    .data = device->data + (size_t)i * workload->block_size};
    }
}

static void run_round(struct device *device, const struct workload *workload, uint32_t round,
                      bool counted)
{
    uint32_t depth = workload->depth;
    uint64_t now = 25000u * (uint64_t)round; /* ns: no longer than a group waits to look around */
    prepare(device, workload, round);
    if (counted) {
        require(measured_front(device, depth, true) == 0, "submit");
        measured_back(device, now);
        require(measured_front(device, depth, false) == (int)depth, "poll");
    } else {
        require(pv_blkfront_submit(device->front, device->batch, depth) == 0, "submit");
        back(device, now);
        require(pv_blkfront_poll(device->front, device->batch, depth) == (int)depth, "poll");
    }
    for (uint32_t i = 0; i < depth; i++)
        require(device->ios[i].status == 0, "request");
}

int main(int argc, char **argv)
{
    static struct device device;
    if (argc == 7 && strcmp(argv[1], "packets") == 0)
        return count_packets(argv);
    if (argc == 6 && strcmp(argv[1], "commands") == 0)
        return count_commands(argv);
    require(argc == 7 || argc == 8, "arguments");
    const struct workload workload = {.store = argv[1],
                                      .operation = strcmp(argv[2], "write") == 0 ? BLKIF_OP_WRITE
                                                                                 : BLKIF_OP_READ,
                                      .block_size = (uint32_t)atoi(argv[3]),
                                      .persistent = strcmp(argv[4], "copy") != 0,
                                      .in_place = strcmp(argv[4], "in-place") == 0,
                                      .depth = (uint32_t)atoi(argv[5]),
                                      .rounds = (uint32_t)atoi(argv[6]),
                                      .grouped = argc == 8,
                                      .idle = argc == 8 ? (uint32_t)atoi(argv[7]) : 0};
    require(workload.depth <= MAX_DEPTH, "depth");
    set_up(&device, &workload);
    for (uint32_t round = 0; round < WARM_ROUNDS + workload.rounds; round++)
        run_round(&device, &workload, round, round >= WARM_ROUNDS);
    tear_down(&device, &workload);
    return 0;
}
