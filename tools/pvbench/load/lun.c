#include "tools/pvbench/load/lun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNMAP_PARAMETERS 24 /* bytes: a header, and one descriptor */
#define MAX_CDB_10_BLOCKS 0xffffu
#define CHECK_CONDITION 2
#define UNIT_ATTENTION 6
#define ILLEGAL_REQUEST 5
#define INVALID_OPERATION_CODE 0x20

struct command {
    struct pv_scsifront_command front; /* first: the queue hands it back */
    uint8_t unmap[UNMAP_PARAMETERS];
    struct command *next_free;
};

struct pv_load_lun {
    struct pv_load_lun_config config;
    struct command *commands, *free;
    struct pv_scsifront_command **batch; /* room for all commands */
};

struct pv_load_lun *pv_load_lun_create(const struct pv_load_lun_config *config)
{
    if (!config->queue || !config->commands || !config->block_size ||
        config->block_size % PV_SECTOR_SIZE) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_load_lun *lun = calloc(1, sizeof(*lun));
    if (!lun)
        return NULL;
    lun->config = *config;
    lun->commands = calloc(config->commands, sizeof(*lun->commands));
    lun->batch = calloc(config->commands, sizeof(struct pv_scsifront_command *));
    if (!lun->commands || !lun->batch) {
        pv_load_lun_destroy(lun);
        errno = ENOMEM;
        return NULL;
    }
    for (uint32_t i = config->commands; i-- > 0;) {
        lun->commands[i].next_free = lun->free;
        lun->free = &lun->commands[i];
    }
    return lun;
}

void pv_load_lun_destroy(struct pv_load_lun *lun)
{
    if (!lun)
        return;
    free(lun->commands);
    free(lun->batch);
    free(lun);
}

/* ---- Commands ------------------------------------------------------------------------------- */

static void put(uint8_t *at, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0) {
        at[bytes] = (uint8_t)number;
        number >>= 8;
    }
}

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
    front->direction = writes ? VSCSIIF_TO_DEVICE : VSCSIIF_FROM_DEVICE;
}

static void fill_unmap(struct command *command, uint64_t lba, uint64_t blocks)
{
    struct pv_scsifront_command *front = &command->front;
    put(command->unmap, UNMAP_PARAMETERS - 2, 2);
    put(command->unmap + 2, UNMAP_PARAMETERS - 8, 2);
    put(command->unmap + 8, lba, 8);
    put(command->unmap + 16, blocks, 4);
    front->cdb_length = 10;
    front->cdb[0] = 0x42;
    put(front->cdb + 7, UNMAP_PARAMETERS, 2);
    front->direction = VSCSIIF_TO_DEVICE;
    front->data = command->unmap;
    front->length = UNMAP_PARAMETERS;
}

static void fill(const struct pv_load_lun *lun, struct command *command, struct pv_blkfront_io *io)
{
    const struct pv_load_lun_config *config = &lun->config;
    uint32_t sectors = config->block_size / PV_SECTOR_SIZE;
    uint64_t lba = io->sector / sectors, blocks = io->nr_sectors / sectors;
    memset(command, 0, sizeof(*command));
    command->front = (struct pv_scsifront_command){
        .act = VSCSIIF_ACT_SCSI_CDB,
        .channel = config->channel,
        .target = config->target,
        .lun = config->lun,
        .user = io,
    };
    switch (io->operation) {
    case BLKIF_OP_FLUSH_DISKCACHE: /* of all blocks */
        command->front.cdb_length = 10;
        command->front.cdb[0] = 0x35;
        command->front.direction = VSCSIIF_NO_DATA;
        break;
    case BLKIF_OP_DISCARD:
        fill_unmap(command, lba, blocks);
        break;
    default:
        fill_transfer(&command->front, io->operation == BLKIF_OP_WRITE, lba, blocks);
        command->front.data = io->data;
        command->front.length = (uint32_t)(io->nr_sectors * PV_SECTOR_SIZE);
    }
}

/* ---- Answers -------------------------------------------------------------------------------- */

/* Of sense data in fixed format, which a disk has unless it is asked for another; 0: none. */
static uint8_t sense_key(const struct pv_scsifront_command *front)
{
    bool has_sense = (front->rslt & 0xff) == CHECK_CONDITION && front->sense_length >= 13;
    return has_sense ? front->sense[2] & 0xf : 0;
}

static int status_of(const struct pv_scsifront_command *front)
{
    if (front->rslt == 0)
        return front->residual ? -EIO : 0;
    bool is_unknown =
        sense_key(front) == ILLEGAL_REQUEST && front->sense[12] == INVALID_OPERATION_CODE;
    return is_unknown ? -EOPNOTSUPP : -EIO;
}

/* ---- The queue ------------------------------------------------------------------------------ */

static void release(struct pv_load_lun *lun, struct command *command)
{
    command->next_free = lun->free;
    lun->free = command;
}

static int submit(void *front, struct pv_blkfront_io **ios, unsigned count)
{
    struct pv_load_lun *lun = front;
    unsigned filled = 0;
    for (; filled < count && lun->free; filled++) {
        struct command *command = lun->free;
        lun->free = command->next_free;
        fill(lun, command, ios[filled]);
        lun->batch[filled] = &command->front;
    }
    int error =
        filled < count ? -EINVAL : pv_scsifront_submit(lun->config.queue, lun->batch, count);
    for (; error && filled > 0; filled--)
        release(lun, (struct command *)lun->batch[filled - 1]);
    return error;
}

static int poll(void *front, struct pv_blkfront_io **done, unsigned budget)
{
    struct pv_load_lun *lun = front;
    unsigned room = budget < lun->config.commands ? budget : lun->config.commands;
    int count = pv_scsifront_poll(lun->config.queue, lun->batch, room);
    unsigned again = 0, finished = 0;
    for (int i = 0; i < count; i++) {
        struct pv_scsifront_command *command = lun->batch[i];
        if (sense_key(command) == UNIT_ATTENTION) {
            lun->batch[again++] = command;
            continue;
        }
        struct pv_blkfront_io *io = command->user;
        io->status = status_of(command);
        release(lun, (struct command *)command);
        done[finished++] = io;
    }
    int error = again ? pv_scsifront_submit(lun->config.queue, lun->batch, again) : 0;
    return count < 0 ? count : error ? error : (int)finished;
}

static bool has_news(const void *front)
{
    const struct pv_load_lun *lun = front;
    return pv_scsifront_has_news(lun->config.queue);
}

static bool arm(void *front)
{
    const struct pv_load_lun *lun = front;
    return pv_scsifront_arm(lun->config.queue);
}

static void *buffers(void *front)
{
    const struct pv_load_lun *lun = front;
    return pv_scsifront_buffers(lun->config.queue);
}

static bool is_broken(const void *front)
{
    const struct pv_load_lun *lun = front;
    return pv_scsifront_broken(lun->config.queue) != 0;
}

static int describe(const void *front, char *line, size_t size)
{
    const struct pv_load_lun *lun = front;
    return pv_scsifront_describe(lun->config.queue, line, size);
}

static const struct pv_load_queue_ops ops = {
    .submit = submit,
    .poll = poll,
    .has_news = has_news,
    .arm = arm,
    .buffers = buffers,
    .is_broken = is_broken,
    .describe = describe,
};

struct pv_load_queue pv_load_lun_queue(struct pv_load_lun *lun)
{
    return (struct pv_load_queue){.ops = &ops, .front = lun};
}
