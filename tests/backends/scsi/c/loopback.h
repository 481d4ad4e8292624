/*
 * A guest reduced to what scsiback sees of it, and a disk whose creator is the test. Page N is
 * granted by reference N; the first is the ring, and segments of the requests made here begin at
 * page DATA.
 */
#ifndef TESTS_BACKENDS_SCSI_C_LOOPBACK_H
#define TESTS_BACKENDS_SCSI_C_LOOPBACK_H

#include "pvdrivers/backends/scsi/scsiback.h"
#include "tests/backends/vbd/c/loopback.h" /* the hypervisor that its guest is on */

#include <sys/eventfd.h>

#define DATA 8
#define BLOCKS 4096u /* of 512 bytes */

#define NO_CONNECT (1 << 16)
#define DID_ERROR (7 << 16)
#define ABORTED (5 << 16 | 0x40)

struct scsi_loopback {
    struct loopback guest; /* first: the backend's hypervisor is its */
    struct pv_scsiback_config config;
    struct pv_scsiback_queue *back;
    struct pv_blk_store *store;
    struct pv_scsi_unit *unit;
    struct pv_scsi_nexus *nexus; /* of LUN 0:1:2 */
    uint16_t next_rqid;
};

static inline void scsi_attach_unit(struct scsi_loopback *loop, struct pv_blk_store *store)
{
    loop->store = store;
    loop->unit = pv_scsi_unit_create(store);
    loop->nexus = pv_scsi_unit_attach(loop->unit, 5);
    assert(loop->unit && loop->nexus && pv_scsi_nexus_number(loop->nexus) == 5);
    pv_scsi_nexus_permit(loop->nexus, true, true);
}

static inline void scsi_connect(struct scsi_loopback *loop)
{
    const struct pv_scsiback_lun lun = {0, 1, 2, loop->nexus};
    struct pv_sring *sring = (struct pv_sring *)loop->guest.memory;
    pv_front_ring_attach(&loop->guest.front, sring, loop->guest.page_size, VSCSIIF_SLOT_SIZE,
                         pv_read_once(&sring->rsp_prod));
    loop->back = pv_scsiback_create(&loop->config);
    assert(loop->back && pv_scsiback_port(loop->back) == 5);
    assert(pv_scsiback_set_luns(loop->back, &lun, 1) == 0);
}

/* A guest of this ABI whose lists have so many segments; not connected yet. */
static inline void scsi_init(struct scsi_loopback *loop, enum pv_abi abi, uint32_t max_segments,
                             struct pv_blk_store *store)
{
    memset(loop, 0, sizeof *loop);
    loopback_config(&loop->guest, abi, NULL);
    loop->config = (struct pv_scsiback_config){.hypervisor = &loop->guest.hypervisor,
                                               .evtchn = (struct pv_evtchn *)loop,
                                               .frontend = GUEST,
                                               .abi = abi,
                                               .remote_port = 3,
                                               .max_segments = max_segments};
    scsi_attach_unit(loop, store);
}

static inline void scsi_open(struct scsi_loopback *loop)
{
    scsi_init(loop, PV_ABI_X86_64, 128, pv_ram_store_create(BLOCKS, 512));
    scsi_connect(loop);
}

static inline void scsi_close(struct scsi_loopback *loop)
{
    assert(pv_scsiback_quiesce(loop->back, loop->guest.now));
    assert(pv_scsiback_destroy(loop->back) == 0);
    assert(loop->guest.mapped == 0 && !loop->guest.bound);
    assert(pv_scsi_nexus_detach(loop->nexus) == 0);
    assert(pv_scsi_unit_destroy(loop->unit) == 0);
    if (loop->store) {
        assert(loop->store->users == 0);
        pv_blk_store_close(loop->store);
    }
    free(loop->guest.memory);
}

static inline uint8_t *scsi_page(struct scsi_loopback *loop, grant_ref_t ref)
{
    return loop->guest.memory + (size_t)ref * loop->guest.page_size;
}

/* A CDB for LUN 0:1:2. With data: that many bytes in whole pages and a rest, from page DATA on. */
static inline struct pv_vscsiif_request scsi_cdb(struct scsi_loopback *loop, const void *cdb,
                                                 uint8_t length, uint8_t direction, uint32_t bytes)
{
    struct pv_vscsiif_request request = {.act = VSCSIIF_ACT_SCSI_CDB,
                                         .cmd_len = length,
                                         .id = 1,
                                         .lun = 2,
                                         .sc_data_direction = direction};
    memcpy(request.cmnd, cdb, length);
    while (bytes > 0) {
        uint32_t here = bytes < loop->guest.page_size ? bytes : loop->guest.page_size;
        request.seg[request.nr_segments] = (struct pv_vscsiif_segment){
            .gref = DATA + request.nr_segments, .length = (uint16_t)here};
        request.nr_segments++;
        bytes -= here;
    }
    return request;
}

static inline struct pv_vscsiif_request scsi_read_10(struct scsi_loopback *loop, uint32_t block,
                                                     uint16_t blocks, bool write)
{
    const uint8_t cdb[10] = {write ? 0x2A : 0x28,
                             0,
                             (uint8_t)(block >> 24),
                             (uint8_t)(block >> 16),
                             (uint8_t)(block >> 8),
                             (uint8_t)block,
                             0,
                             (uint8_t)(blocks >> 8),
                             (uint8_t)blocks};
    return scsi_cdb(loop, cdb, 10, write ? VSCSIIF_TO_DEVICE : VSCSIIF_FROM_DEVICE,
                    blocks * PV_SECTOR_SIZE);
}

/* Something that only the unit's creator knows. */
static inline struct pv_vscsiif_request scsi_inquiry(struct scsi_loopback *loop, uint8_t bytes)
{
    const uint8_t cdb[6] = {0x12, 0, 0, 0, bytes};
    return scsi_cdb(loop, cdb, 6, VSCSIIF_FROM_DEVICE, bytes);
}

/* Returns its rqid. */
static inline uint16_t scsi_put(struct scsi_loopback *loop, struct pv_vscsiif_request request)
{
    request.rqid = ++loop->next_rqid;
    pv_vscsiif_encode_request(
        &request, pv_front_request_slot(&loop->guest.front, loop->guest.front.req_prod_pvt++));
    return request.rqid;
}

static inline int scsi_pump(struct scsi_loopback *loop)
{
    pv_front_push_requests(&loop->guest.front);
    return pv_scsiback_pump(loop->back, 1024, loop->guest.now);
}

static inline bool scsi_take(struct scsi_loopback *loop, struct pv_vscsiif_response *response)
{
    uint8_t slot[VSCSIIF_SLOT_SIZE];
    int ready = pv_front_unconsumed_responses(&loop->guest.front);
    assert(ready >= 0);
    if (ready == 0)
        return false;
    pv_front_copy_response(&loop->guest.front, loop->guest.front.rsp_cons++, slot, sizeof slot);
    pv_vscsiif_decode_response(slot, response);
    return true;
}

/* Puts one request through that no unit is asked about. */
static inline struct pv_vscsiif_response scsi_one(struct scsi_loopback *loop,
                                                  struct pv_vscsiif_request request)
{
    struct pv_vscsiif_response response, other;
    uint16_t rqid = scsi_put(loop, request);
    scsi_pump(loop);
    assert(scsi_take(loop, &response) && response.rqid == rqid);
    assert(!scsi_take(loop, &other));
    return response;
}

/* The one command that waits for the unit's creator. */
static inline struct pv_scsi_command *scsi_asked(struct scsi_loopback *loop)
{
    struct pv_scsi_command *commands[2];
    assert(is_readable(pv_scsi_unit_fd(loop->unit)));
    assert(pv_scsi_unit_take(loop->unit, commands, 2) == 1);
    assert(commands[0]->nexus == loop->nexus);
    return commands[0];
}

static inline bool scsi_asks(struct scsi_loopback *loop)
{
    struct pv_scsi_command *command;
    return pv_scsi_unit_take(loop->unit, &command, 1) != 0;
}

static inline void scsi_end(struct pv_scsi_command *command, int32_t result, const uint8_t *data,
                            uint32_t data_size, const uint8_t *sense, uint32_t sense_size,
                            uint32_t unused)
{
    pv_scsi_command_answer(command, result, data, data_size, sense, sense_size, unused);
    pv_scsi_commands_complete(&command, 1);
}

static inline void scsi_finish(struct pv_scsi_command *command, int32_t result, const char *data)
{
    scsi_end(command, result, (const uint8_t *)data, (uint32_t)strlen(data), NULL, 0, 0);
}

static inline struct pv_scsiback_stats scsi_stats(const struct scsi_loopback *loop)
{
    struct pv_scsiback_stats stats;
    pv_scsiback_get_stats(loop->back, &stats);
    return stats;
}

#endif
