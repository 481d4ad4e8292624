#include <errno.h>
#include <scsi/scsi_ioctl.h>
#include <scsi/sg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "pvdrivers/ring/barrier.h"
#include "tools/pvbridge/sg/command.h"
#include "tools/pvbridge/sg/io.h"
#include "tools/pvbridge/sg/reserve.h"

/* Those that the C library's headers lack. */
#define IOCTL_GET_IDLUN 0x5382
#define IOCTL_GET_BUS_NUMBER 0x5386
#define BLKSECTGET 0x1267

#define VERSION 30536 /* of Linux' sg */
#define PAGE 4096u    /* of a ring's segments */
#define NO_ESCALATE 0x100
#define RESET_TIMEOUT 60000u /* milliseconds */

struct idlun {
    uint32_t device; /* host, channel, LUN, target: 8 bits each */
    uint32_t host_unique_id;
};

static int put(void *argument, int value)
{
    memcpy(argument, &value, sizeof value);
    return 0;
}

static int get(const void *argument)
{
    int value;
    memcpy(&value, argument, sizeof value);
    return value;
}

static int scsi_id(const struct pvsg_file *file, void *argument)
{
    struct sg_scsi_id id = {
        .host_no = (int)file->device.host,
        .channel = (int)file->device.channel,
        .scsi_id = (int)file->device.target,
        .lun = (int)file->device.lun,
        .scsi_type = (int)file->unit.device_type,
        .h_cmd_per_lun = PVSG_QUEUE,
        .d_queue_depth = PVSG_QUEUE,
    };
    memcpy(argument, &id, sizeof id);
    return 0;
}

static int idlun(const struct pvsg_file *file, void *argument)
{
    const struct pvsg_device *device = &file->device;
    struct idlun id = {.device = (device->target & 0xff) | (device->lun & 0xff) << 8 |
                                 (device->channel & 0xff) << 16 | (device->host & 0xff) << 24};
    memcpy(argument, &id, sizeof id);
    return 0;
}

/* xen-scsifront can reset a logical unit and nothing else, so what Linux tries next fails. */
static int reset(struct pvsg_file *file, int what)
{
    switch (what & ~NO_ESCALATE) {
    case SG_SCSI_RESET_NOTHING:
        return 0;
    case SG_SCSI_RESET_DEVICE:
        break;
    default:
        return -EIO;
    }
    struct pvsg_command command = {.request = {.act = PVSG_RESET, .timeout = RESET_TIMEOUT}};
    int error = pvsg_command_run(file, &command);
    return error ? error : command.answer.host ? -EIO : 0;
}

static int set_option(int *option, const void *argument)
{
    pv_write_once((uint32_t *)option, (uint32_t)get(argument));
    return 0;
}

static int get_option(const int *option, void *argument)
{
    return put(argument, (int)pv_read_once((const uint32_t *)option));
}

int pvsg_ioctl(struct pvsg_file *file, unsigned long request, void *argument)
{
    int pack_id;
    switch (request) {
    case SG_IO:
        return pvsg_sg_io(file, argument);
    case SG_SCSI_RESET:
        return reset(file, get(argument));
    case SG_GET_VERSION_NUM:
        return put(argument, VERSION);
    case SG_GET_SCSI_ID:
        return scsi_id(file, argument);
    case IOCTL_GET_IDLUN:
        return idlun(file, argument);
    case IOCTL_GET_BUS_NUMBER:
        return put(argument, (int)file->device.host);
    case SG_SET_RESERVED_SIZE:
        return pvsg_reserve_resize(file, get(argument));
    case SG_GET_RESERVED_SIZE:
        return put(argument, (int)file->reserve.size);
    case SG_SET_TIMEOUT:
        return get(argument) < 0 ? -EIO : set_option(&file->timeout, argument);
    case SG_GET_TIMEOUT: /* the result, not the argument */
        return file->timeout;
    case SG_SET_FORCE_PACK_ID:
        return set_option(&file->force_pack_id, argument);
    case SG_GET_PACK_ID:
        pvsg_answered(file, &pack_id);
        return put(argument, pack_id);
    case SG_GET_NUM_WAITING:
        return put(argument, pvsg_answered(file, &pack_id));
    case SG_SET_COMMAND_Q:
        return set_option(&file->command_queueing, argument);
    case SG_GET_COMMAND_Q:
        return get_option(&file->command_queueing, argument);
    case SG_SET_KEEP_ORPHAN: /* no SG_IO is ever left by a signal */
        return set_option(&file->keep_orphan, argument);
    case SG_GET_KEEP_ORPHAN:
        return get_option(&file->keep_orphan, argument);
    case SG_GET_SG_TABLESIZE:
        return put(argument, (int)(file->unit.max_transfer / PAGE));
    case BLKSECTGET:
        return put(argument, (int)file->unit.max_transfer);
    case SG_EMULATED_HOST:
    case SG_GET_LOW_DMA:
        return put(argument, 0);
    case SG_SET_FORCE_LOW_DMA:
    case SG_SET_DEBUG:
        return 0;
    default:
        return -ENOTTY;
    }
}
