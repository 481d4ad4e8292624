#include "tools/pvbench/load/lun_private.h"

#include <errno.h>
#include <stdlib.h>

#define CHECK_CONDITION 2
#define UNIT_ATTENTION 6
#define ILLEGAL_REQUEST 5
#define INVALID_OPERATION_CODE 0x20

struct pv_load_lun {
    struct pv_load_lun_config config;
    struct lun_command *commands, *free;
    struct pv_scsifront_command **batch; /* room for all commands, and a REWIND before each */
    bool moved;                          /* the tape is not where it begins */
};

static void init_command(const struct pv_load_lun *lun, struct pv_scsifront_command *front)
{
    const struct pv_load_lun_config *config = &lun->config;
    *front = (struct pv_scsifront_command){.act = VSCSIIF_ACT_SCSI_CDB,
                                           .channel = config->channel,
                                           .target = config->target,
                                           .lun = config->lun};
}

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
    lun->batch = calloc(2 * (size_t)config->commands, sizeof(struct pv_scsifront_command *));
    if (!lun->commands || !lun->batch) {
        pv_load_lun_destroy(lun);
        errno = ENOMEM;
        return NULL;
    }
    for (uint32_t i = config->commands; i-- > 0;) {
        init_command(lun, &lun->commands[i].front);
        init_command(lun, &lun->commands[i].rewind);
        lun_fill_rewind(&lun->commands[i].rewind);
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

/* ---- Answers -------------------------------------------------------------------------------- */

/* Of sense data in fixed format, which a disk has unless it is asked for another; 0: none. */
static uint8_t sense_key(const struct pv_scsifront_command *front)
{
    bool has_sense = (front->rslt & 0xff) == CHECK_CONDITION && front->sense_length >= 13;
    return has_sense ? front->sense[2] & 0xf : 0;
}

static int status_of(const struct pv_load_lun *lun, const struct pv_scsifront_command *front)
{
    if (front->rslt == 0) /* pages of parameters are as long as they are */
        return front->residual && lun->config.reads != PV_LOAD_LUN_MODE_SENSE ? -EIO : 0;
    bool is_unknown =
        sense_key(front) == ILLEGAL_REQUEST && front->sense[12] == INVALID_OPERATION_CODE;
    return is_unknown ? -EOPNOTSUPP : -EIO;
}

/* ---- The queue ------------------------------------------------------------------------------ */

static void release(struct pv_load_lun *lun, struct lun_command *command)
{
    command->next_free = lun->free;
    lun->free = command;
}

/* Lists what the operation becomes; returns how many commands that is. */
static unsigned list(struct pv_load_lun *lun, struct pv_blkfront_io *io, unsigned listed)
{
    struct lun_command *command = lun->free;
    unsigned before = listed;
    lun->free = command->next_free;
    lun_fill(&lun->config, command, io);
    /* Only the first commands of a connection meet a unit attention, and are given again behind
     * others. REWIND is none of them, so it stays where it belongs. */
    bool begins = io->sector == 0 && io->operation != BLKIF_OP_FLUSH_DISKCACHE;
    if (lun->config.is_tape && begins && lun->moved)
        lun->batch[listed++] = &command->rewind;
    lun->batch[listed++] = &command->front;
    lun->moved = true;
    return listed - before;
}

static int submit(void *front, struct pv_blkfront_io **ios, unsigned count)
{
    struct pv_load_lun *lun = front;
    unsigned filled = 0, listed = 0;
    for (; filled < count && lun->free; filled++)
        listed += list(lun, ios[filled], listed);
    int error =
        filled < count ? -EINVAL : pv_scsifront_submit(lun->config.queue, lun->batch, listed);
    for (; error && listed > 0; listed--)
        if (lun->batch[listed - 1]->user)
            release(lun, (struct lun_command *)lun->batch[listed - 1]);
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
        struct pv_blkfront_io *io = command->user;
        if (!io) /* a REWIND: if it has failed, so does what follows it */
            continue;
        if (sense_key(command) == UNIT_ATTENTION) {
            lun->batch[again++] = command;
            continue;
        }
        io->status = status_of(lun, command);
        release(lun, (struct lun_command *)command);
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
