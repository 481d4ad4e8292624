/* Both halves of a SCSI host with one logical unit on one simulated machine and in one thread, as
 * pumps.c does it for a disk. */
#include "benchmarks/instructions/commands.h"
#include "benchmarks/instructions/domains.h"
#include "pvdrivers/backends/scsi/scsiback.h"
#include "pvdrivers/backends/stores/stores.h"
#include "pvdrivers/frontends/scsi/scsifront.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define DEVICE_SECTORS (32u << 11)
#define WARM_ROUNDS 8u /* every page touched */
#define MAX_DEPTH 15u  /* of a ring's 16 slots one is kept for ABORT and RESET */
#define SEGMENTS 128u
#define PAGE 4096u
#define INDEPENDENT __attribute__((noinline, noclone))

struct device {
    struct domains domains;
    struct pv_blk_store *store;
    struct pv_scsi_unit *unit;
    struct pv_scsi_nexus *nexus;
    struct pv_scsiback_queue *back;
    struct pv_scsifront_queue *front;
    struct pv_scsifront_command commands[MAX_DEPTH], *batch[MAX_DEPTH];
};

struct workload {
    uint8_t opcode;
    uint32_t bytes, depth, rounds;
};

static void make_unit(struct device *device)
{
    device->store = pv_ram_store_create(DEVICE_SECTORS, SECTOR);
    require(device->store, "store");
    device->unit = pv_scsi_unit_create(device->store);
    require(device->unit, "unit");
    device->nexus = pv_scsi_unit_attach(device->unit, 0);
    require(device->nexus, "nexus");
    pv_scsi_nexus_permit(device->nexus, true, true);
}

static void connect(struct device *device, const struct workload *workload)
{
    const struct pv_scsifront_config front = {.hypervisor = device->domains.front_view,
                                              .evtchn = device->domains.front_events,
                                              .buffer_pages =
                                                  workload->depth * (workload->bytes / PAGE + 1)};
    device->front = pv_scsifront_create(&front);
    require(device->front, "frontend");
    const struct pv_scsiback_config back = {.hypervisor = device->domains.back_view,
                                            .evtchn = device->domains.back_events,
                                            .frontend = 1,
                                            .abi = PV_ABI_X86_64,
                                            .ring_ref = pv_scsifront_ring_ref(device->front),
                                            .remote_port = pv_scsifront_port(device->front),
                                            .max_segments = SEGMENTS};
    device->back = pv_scsiback_create(&back);
    require(device->back, "backend");
    const struct pv_scsiback_lun lun = {.nexus = device->nexus};
    require(pv_scsiback_set_luns(device->back, &lun, 1) == 0 &&
                pv_scsifront_connect(device->front, SEGMENTS) == 0,
            "connection");
}

static void tear_down(struct device *device)
{
    require(pv_scsiback_quiesce(device->back, 0) && pv_scsiback_destroy(device->back) == 0, "end");
    require(pv_scsi_nexus_detach(device->nexus) == 0 && pv_scsi_unit_destroy(device->unit) == 0,
            "unit");
    pv_scsifront_destroy(device->front);
    pv_blk_store_close(device->store);
    close_domains(&device->domains);
}

/* ---- What is counted ------------------------------------------------------------------------- */

/* The unit's creator, who answers with nothing. */
static unsigned serve(struct device *device)
{
    struct pv_scsi_command *commands[MAX_DEPTH];
    unsigned count = pv_scsi_unit_take(device->unit, commands, MAX_DEPTH);
    for (unsigned i = 0; i < count; i++)
        pv_scsi_command_answer(commands[i], 0, commands[i]->data, commands[i]->room, NULL, 0, 0);
    pv_scsi_commands_complete(commands, count);
    return count;
}

static void back(struct device *device)
{
    pv_scsiback_pump(device->back, MAX_DEPTH, 1);
    if (serve(device))
        pv_scsiback_pump(device->back, MAX_DEPTH, 1);
}

INDEPENDENT static void measured_back(struct device *device)
{
    back(device);
}

INDEPENDENT static int measured_front(struct device *device, uint32_t depth, bool submit)
{
    if (submit)
        return pv_scsifront_submit(device->front, device->batch, depth);
    return pv_scsifront_poll(device->front, device->batch, depth);
}

/* ---- Rounds of `depth` commands -------------------------------------------------------------- */

static void prepare(struct device *device, const struct workload *workload, uint32_t round)
{
    uint32_t sectors = workload->bytes / SECTOR;
    uint8_t *data = pv_scsifront_buffers(device->front);
    for (uint32_t i = 0; i < workload->depth; i++) {
        struct pv_scsifront_command *command = &device->commands[i];
        *command = (struct pv_scsifront_command){.act = VSCSIIF_ACT_SCSI_CDB,
                                                 .cdb_length = 10,
                                                 .cdb = {workload->opcode},
                                                 .direction = VSCSIIF_NO_DATA,
                                                 .length = workload->bytes};
        device->batch[i] = command;
        if (workload->bytes == 0)
            continue;
        uint32_t lba = (round * workload->depth + i) * 7919u % (DEVICE_SECTORS / sectors) * sectors;
        command->cdb[3] = (uint8_t)(lba >> 16);
        command->cdb[4] = (uint8_t)(lba >> 8);
        command->cdb[5] = (uint8_t)lba;
        command->cdb[7] = (uint8_t)(sectors >> 8);
        command->cdb[8] = (uint8_t)sectors;
        command->direction = workload->opcode == 0x2A ? VSCSIIF_TO_DEVICE : VSCSIIF_FROM_DEVICE;
        command->data = data + (size_t)i * workload->bytes;
    }
}

static void run_round(struct device *device, const struct workload *workload, uint32_t round,
                      bool counted)
{
    uint32_t depth = workload->depth;
    prepare(device, workload, round);
    if (counted) {
        require(measured_front(device, depth, true) == 0, "submit");
        measured_back(device);
        require(measured_front(device, depth, false) == (int)depth, "poll");
    } else {
        require(pv_scsifront_submit(device->front, device->batch, depth) == 0, "submit");
        back(device);
        require(pv_scsifront_poll(device->front, device->batch, depth) == (int)depth, "poll");
    }
    for (uint32_t i = 0; i < depth; i++)
        require(device->commands[i].rslt == 0 && device->commands[i].residual == 0, "command");
}

static uint8_t opcode_of(const char *kind)
{
    static const struct {
        const char *kind;
        uint8_t opcode;
    } known[] = {{"tur", 0x00}, {"read", 0x28}, {"write", 0x2A}, {"emulated", 0x12}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(kind, known[i].kind) == 0)
            return known[i].opcode;
    require(false, kind);
    return 0;
}

int count_commands(char **argv)
{
    static struct device device;
    const struct workload workload = {.opcode = opcode_of(argv[2]),
                                      .bytes = (uint32_t)atoi(argv[3]),
                                      .depth = (uint32_t)atoi(argv[4]),
                                      .rounds = (uint32_t)atoi(argv[5])};
    require(workload.depth <= MAX_DEPTH, "depth");
    make_domains(&device.domains, 64u << 20);
    make_unit(&device);
    connect(&device, &workload);
    for (uint32_t round = 0; round < WARM_ROUNDS + workload.rounds; round++)
        run_round(&device, &workload, round, round >= WARM_ROUNDS);
    tear_down(&device);
    return 0;
}
