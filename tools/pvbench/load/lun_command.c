/* The commands that operations become. */
#include "tools/pvbench/load/lun_private.h"

#include <string.h>

#define MAX_CDB_10_BLOCKS 0xffffu
#define MODE_PARAMETERS 192u /* bytes asked for, as Linux does; one sector has room for them */

static void put(uint8_t *at, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0) {
        at[bytes] = (uint8_t)number;
        number >>= 8;
    }
}

static void set_data(struct pv_scsifront_command *front, uint8_t direction, void *data,
                     uint64_t bytes)
{
    front->direction = direction;
    front->data = data;
    front->length = (uint32_t)bytes;
}

static void set_io_data(struct pv_scsifront_command *front, const struct pv_blkfront_io *io)
{
    bool writes = io->operation == BLKIF_OP_WRITE;
    set_data(front, writes ? VSCSIIF_TO_DEVICE : VSCSIIF_FROM_DEVICE, io->data,
             (uint64_t)io->nr_sectors * PV_SECTOR_SIZE);
}

/* ---- Of a disk ------------------------------------------------------------------------------ */

static void fill_transfer(struct pv_scsifront_command *front, bool writes, uint64_t lba,
                          uint64_t blocks)
{
    if (lba <= UINT32_MAX && blocks <= MAX_CDB_10_BLOCKS) {
        front->cdb_length = 10;
        front->cdb[0] = writes ? 0x2a : 0x28;
        put(front->cdb + 2, lba, 4);
        put(front->cdb + 7, blocks, 2);
    } else {
        front->cdb_length = 16;
        front->cdb[0] = writes ? 0x8a : 0x88;
        put(front->cdb + 2, lba, 8);
        put(front->cdb + 10, blocks, 4);
    }
}

static void fill_unmap(struct lun_command *command, uint64_t lba, uint64_t blocks)
{
    struct pv_scsifront_command *front = &command->front;
    memset(command->parameters, 0, LUN_PARAMETERS);
    put(command->parameters, LUN_PARAMETERS - 2, 2);
    put(command->parameters + 2, LUN_PARAMETERS - 8, 2);
    put(command->parameters + 8, lba, 8);
    put(command->parameters + 16, blocks, 4);
    front->cdb_length = 10;
    front->cdb[0] = 0x42;
    put(front->cdb + 7, LUN_PARAMETERS, 2);
    set_data(front, VSCSIIF_TO_DEVICE, command->parameters, LUN_PARAMETERS);
}

static void fill_disk(const struct pv_load_lun_config *config, struct lun_command *command,
                      const struct pv_blkfront_io *io)
{
    struct pv_scsifront_command *front = &command->front;
    uint32_t sectors = config->block_size / PV_SECTOR_SIZE;
    uint64_t lba = io->sector / sectors, blocks = io->nr_sectors / sectors;
    switch (io->operation) {
    case BLKIF_OP_FLUSH_DISKCACHE: /* of all blocks */
        front->cdb_length = 10;
        front->cdb[0] = 0x35;
        break;
    case BLKIF_OP_DISCARD:
        fill_unmap(command, lba, blocks);
        break;
    default:
        fill_transfer(front, io->operation == BLKIF_OP_WRITE, lba, blocks);
        set_io_data(front, io);
    }
}

/* ---- Of a tape ------------------------------------------------------------------------------ */

void lun_fill_rewind(struct pv_scsifront_command *front)
{
    front->cdb_length = 6;
    front->cdb[0] = 0x01;
    front->direction = VSCSIIF_NO_DATA;
}

/* A record of variable length; or no filemarks, which writes down what is buffered. */
static void fill_tape(struct pv_scsifront_command *front, const struct pv_blkfront_io *io)
{
    front->cdb_length = 6;
    if (io->operation == BLKIF_OP_FLUSH_DISKCACHE) {
        front->cdb[0] = 0x10;
        return;
    }
    set_io_data(front, io);
    front->cdb[0] = io->operation == BLKIF_OP_WRITE ? 0x0a : 0x08;
    put(front->cdb + 2, front->length, 3);
}

/* --------------------------------------------------------------------------------------------- */

static void fill_mode_sense(struct pv_scsifront_command *front, void *data)
{
    front->cdb_length = 6;
    front->cdb[0] = 0x1a;
    front->cdb[2] = 0x08;
    front->cdb[4] = MODE_PARAMETERS;
    set_data(front, VSCSIIF_FROM_DEVICE, data, MODE_PARAMETERS);
}

void lun_fill(const struct pv_load_lun_config *config, struct lun_command *command,
              struct pv_blkfront_io *io)
{
    struct pv_scsifront_command *front = &command->front;
    bool is_read = io->operation == BLKIF_OP_READ;
    front->user = io;
    memset(front->cdb, 0, sizeof(front->cdb));
    set_data(front, VSCSIIF_NO_DATA, NULL, 0);
    if (is_read && config->reads == PV_LOAD_LUN_TEST_UNIT_READY)
        front->cdb_length = 6;
    else if (is_read && config->reads == PV_LOAD_LUN_MODE_SENSE)
        fill_mode_sense(front, io->data);
    else if (config->is_tape)
        fill_tape(front, io);
    else
        fill_disk(config, command, io);
}
