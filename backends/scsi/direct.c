/* Which commands the store carries out itself. What is unusual in any way is left to the unit's
 * creator, who knows the sense for it: reserved bits, protection, a range beyond the disk, segments
 * that are not as long as the CDB says. */
#include "backends/scsi/scsiback_private.h"

#include "pvdrivers/scsi/plain_cdb.h"

#define DPO_FUA 0x18 /* of byte 1: how to cache it */
#define FUA 0x08
#define IMMED 0x02 /* SYNCHRONIZE CACHE: answer at once, which nobody can tell from being fast */

/* Of a CDB of so many bytes. False: it has bits that mean something else. */
static bool read_range(const uint8_t *cdb, uint8_t length, uint8_t flags, struct block_range *range)
{
    *range = cdb_range(cdb, length);
    if (cdb[length - 1] != 0) /* CONTROL */
        return false;
    if (length == 6)
        return (cdb[1] & 0xE0) == 0;
    /* Between address and CONTROL are length and group number, in this order but for (10). */
    uint8_t group = length == 10 ? cdb[6] : cdb[length - 2];
    return (cdb[1] & ~flags) == 0 && group == 0;
}

static bool within_disk(const struct pv_blk_geometry *geometry, const struct block_range *range,
                        struct pv_blk_io *io)
{
    uint64_t per_block = geometry->sector_size / PV_SECTOR_SIZE;
    uint64_t blocks = geometry->sectors / per_block;
    io->sector = range->block * per_block;
    io->nr_sectors = range->blocks * per_block;
    return range->block <= blocks && range->blocks <= blocks - range->block;
}

/* Fills in the operation. False: the unit's creator has to look at it. */
static bool read_transfer(struct scsiback_request *request, uint8_t length, enum pv_blk_op op,
                          uint8_t direction)
{
    struct block_range range;
    struct pv_blk_io *io = &request->io;
    const uint8_t *cdb = request->ring->cmnd;
    io->op = op;
    request->flushes = op == PV_BLK_WRITE && length > 6 && (cdb[1] & FUA);
    return read_range(cdb, length, DPO_FUA, &range) && range.blocks > 0 &&
           within_disk(&request->nexus->store->geometry, &range, io) &&
           request->ring->sc_data_direction == direction &&
           request->bytes == io->nr_sectors * PV_SECTOR_SIZE;
}

static bool read_synchronize(struct scsiback_request *request, uint8_t length)
{
    struct block_range range;
    request->io.op = PV_BLK_FLUSH;
    bool usual = read_range(request->ring->cmnd, length, IMMED, &range) && request->bytes == 0 &&
                 within_disk(&request->nexus->store->geometry, &range, &request->io);
    request->io.sector = request->io.nr_sectors = 0; /* a flush has no range */
    return usual;
}

static bool read_cdb(struct scsiback_request *request, uint8_t length, uint32_t *needed)
{
    const uint8_t *cdb = request->ring->cmnd;
    *needed = PV_SCSI_DIRECT_READ;
    switch (cdb[0]) {
    case 0x00:
        return big_endian(cdb + 1, 5) == 0 && request->bytes == 0;
    case 0x08:
    case 0x28:
    case 0x88:
    case 0xA8:
        return read_transfer(request, length, PV_BLK_READ, VSCSIIF_FROM_DEVICE);
    default:
        *needed = PV_SCSI_DIRECT_WRITE;
        break;
    }
    if (cdb[0] == 0x35 || cdb[0] == 0x91)
        return read_synchronize(request, length);
    return read_transfer(request, length, PV_BLK_WRITE, VSCSIIF_TO_DEVICE);
}

void scsiback_release_nexus(struct pv_scsiback_queue *queue)
{
    if (queue->held)
        pv_scsi_direct_end(queue->held);
    queue->held = NULL;
}

/* Commands come in runs for one nexus: it stays counted in between them, so that only the first of
 * a pump waits until its count is visible to everybody. */
static void hold_nexus(struct pv_scsiback_queue *queue, struct pv_scsi_nexus *nexus)
{
    if (queue->held == nexus)
        return;
    scsiback_release_nexus(queue);
    queue->held = nexus;
    pv_scsi_direct_begin(nexus, 0);
}

bool scsiback_choose_direct(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    uint32_t needed;
    uint8_t length = plain_cdb_length(request->ring->cmnd[0]);
    if (!request->nexus->store || length == 0 || request->ring->cmd_len < length)
        return false;
    request->flushes = false;
    if (!read_cdb(request, length, &needed))
        return false;
    hold_nexus(queue, request->nexus);
    request->is_direct = pv_scsi_direct_begin(request->nexus, needed);
    if (!request->is_direct) /* somebody may wait for the count */
        scsiback_release_nexus(queue);
    return request->is_direct;
}

static enum scsiback_next start_flush(struct scsiback_request *request)
{
    request->flushes = false;
    if (!request->nexus->store->geometry.can_flush)
        return SCSIBACK_ANSWER;
    request->io.op = PV_BLK_FLUSH;
    request->io.sector = request->io.nr_sectors = 0;
    request->io.iov_count = 0;
    return SCSIBACK_SUBMIT;
}

static enum scsiback_next start_transfer(struct pv_scsiback_queue *queue,
                                         struct scsiback_request *request)
{
    struct pv_blk_store *store = request->nexus->store;
    bool to_guest = request->io.op == PV_BLK_READ;
    request->io.iov_count = 0;
    if (store->geometry.no_data)
        return SCSIBACK_SUBMIT;
    uint8_t *memory = NULL;
    if (store->ops->memory)
        memory = store->ops->memory(store, request->io.sector, request->io.nr_sectors);
    if (memory)
        return scsiback_copy(queue, request, to_guest, memory, request->bytes,
                             SCSIBACK_DIRECT_DONE);
    request->iov.iov_len = request->bytes;
    request->io.iov_count = 1;
    if (to_guest)
        return SCSIBACK_SUBMIT;
    return scsiback_copy(queue, request, false, request->iov.iov_base, request->bytes,
                         SCSIBACK_SUBMIT);
}

enum scsiback_next scsiback_start_direct(struct pv_scsiback_queue *queue,
                                         struct scsiback_request *request)
{
    struct pv_scsiback_stats *stats = &queue->stats;
    if (request->ring->cmnd[0] == 0x00) {
        stats->tur_req++;
        return SCSIBACK_ANSWER;
    }
    switch (request->io.op) {
    case PV_BLK_READ:
        stats->rd_req++;
        stats->rd_sect += request->io.nr_sectors;
        return start_transfer(queue, request);
    case PV_BLK_WRITE:
        stats->wr_req++;
        stats->wr_sect += request->io.nr_sectors;
        return start_transfer(queue, request);
    default:
        stats->f_req++;
        return start_flush(request);
    }
}

enum scsiback_next scsiback_finish_direct(struct pv_scsiback_queue *queue,
                                          struct scsiback_request *request)
{
    if (request->io.op == PV_BLK_READ && request->io.iov_count) {
        request->io.iov_count = 0; /* the buffer has been read into, and is copied out once */
        return scsiback_copy(queue, request, true, request->iov.iov_base, request->bytes,
                             SCSIBACK_ANSWER);
    }
    return request->flushes ? start_flush(request) : SCSIBACK_ANSWER;
}
