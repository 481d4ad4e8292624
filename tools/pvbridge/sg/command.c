#include "tools/pvbridge/sg/command.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pvdrivers/ring/barrier.h"
#include "tools/pvbridge/sg/reserve.h"

#define SHORTEST_CDB 6
#define LONGEST_CDB 252        /* of sg's interface; the guest has no room for more than PVSG_CDB */
#define DEFAULT_TIMEOUT 60000u /* milliseconds */
#define NO_DATA_TRANSFER 0x10000u /* SG_FLAG_NO_DXFER */
#define CHECK_CONDITION 0x02
#define DRIVER_SENSE 0x08
#define HAS_SENSE 0x70 /* in the first byte of sense data */

static uint32_t timeout_of(uint32_t milliseconds)
{
    return milliseconds ? milliseconds : DEFAULT_TIMEOUT; /* UINT_MAX is none on both sides */
}

/* Where the data are: at most `length` bytes, flat or in a program's vectors, of which a copy is
 * made. */
static int place_data(struct pvsg_command *command, void *from, size_t count, uint32_t length)
{
    command->flat = (struct iovec){from, length};
    command->data = (struct pvsg_data){&command->flat, 1, length};
    if (!count) {
        return 0;
    }
    if (count > IOV_MAX) {
        return -EINVAL;
    }
    struct iovec *vectors = malloc(count * sizeof *vectors);
    if (!vectors) {
        return -ENOMEM;
    }
    command->vectors = memcpy(vectors, from, count * sizeof *vectors);
    size_t sum = 0;
    for (size_t i = 0; i < count && sum < length; i++) {
        size_t left = length - sum;
        sum += vectors[i].iov_len < left ? vectors[i].iov_len : left;
    }
    command->data = (struct pvsg_data){vectors, (int)count, (uint32_t)sum};
    return 0;
}

static int place_cdb(struct pvsg_request *request, const void *cdb, size_t length)
{
    if (length > PVSG_CDB) {
        return -EINVAL;
    }
    request->cdb_length = (uint8_t)length;
    memcpy(request->cdb, cdb, length);
    return 0;
}

static int place_v3(struct pvsg_file *file, const struct sg_io_hdr *header,
                    struct pvsg_command *command)
{
    uint32_t length = header->dxfer_len;
    if (header->flags & PVSG_MMAP_IO) {
        int error = pvsg_reserve_use(file, length);
        if (error) {
            return error;
        }
        command->reserve = &file->reserve;
        return place_data(command, file->reserve.memory, 0, length);
    }
    if (header->flags & NO_DATA_TRANSFER) {
        command->scratch = calloc(1, length);
        return command->scratch ? place_data(command, command->scratch, 0, length) : -ENOMEM;
    }
    return place_data(command, header->dxferp, header->iovec_count, length);
}

int pvsg_prepare_v3(struct pvsg_file *file, const struct sg_io_hdr *header,
                    struct pvsg_command *command)
{
    *command = (struct pvsg_command){
        .socket = -1,
        .request = {.act = PVSG_COMMAND, .timeout = timeout_of(header->timeout)},
    };
    if (header->interface_id != 'S') {
        return -ENOSYS;
    }
    if (header->flags & PVSG_MMAP_IO && header->flags & SG_FLAG_DIRECT_IO) {
        return -EINVAL;
    }
    if (!header->cmdp || header->cmd_len < SHORTEST_CDB || header->cmd_len > LONGEST_CDB) {
        return -EMSGSIZE;
    }
    int error = place_cdb(&command->request, header->cmdp, header->cmd_len);
    if (error || header->dxfer_direction == SG_DXFER_NONE || !header->dxfer_len) {
        return error;
    }
    if (header->dxfer_len > file->unit.max_transfer) {
        return -EINVAL; /* more than the guest's disks are given at a time */
    }
    error = place_v3(file, header, command);
    if (header->dxfer_direction == SG_DXFER_TO_DEV) {
        command->request.data_out = command->data.length;
    } else {
        command->request.room = command->data.length;
    }
    return error;
}

int pvsg_prepare_v4(struct pvsg_file *file, const struct sg_io_v4 *header,
                    struct pvsg_command *command)
{
    *command = (struct pvsg_command){
        .socket = -1,
        .request = {.act = PVSG_COMMAND, .timeout = timeout_of(header->timeout)},
    };
    if (header->protocol != BSG_PROTOCOL_SCSI || header->subprotocol != BSG_SUB_PROTOCOL_SCSI_CMD ||
        !header->request || !header->request_len) {
        return -EINVAL;
    }
    uint32_t out = header->dout_xfer_len, in = header->din_xfer_len;
    if (out && in) {
        return -EOPNOTSUPP;
    }
    if (out > file->unit.max_transfer || in > file->unit.max_transfer) {
        return -EINVAL;
    }
    int error =
        place_cdb(&command->request, (void *)(uintptr_t)header->request, header->request_len);
    if (error) {
        return error;
    }
    if (out) {
        error = place_data(command, (void *)(uintptr_t)header->dout_xferp, header->dout_iovec_count,
                           out);
        command->request.data_out = command->data.length;
    } else if (in) {
        error =
            place_data(command, (void *)(uintptr_t)header->din_xferp, header->din_iovec_count, in);
        command->request.room = command->data.length;
    }
    return error;
}

void pvsg_command_release(struct pvsg_command *command)
{
    free(command->vectors);
    free(command->scratch);
    if (command->reserve) {
        pv_store_release(&command->reserve->in_use, 0); /* its data are read */
    }
}

int pvsg_command_send(struct pvsg_file *file, struct pvsg_command *command)
{
    clock_gettime(CLOCK_MONOTONIC, &command->began);
    command->socket = pvsg_file_take(file);
    if (command->socket < 0) {
        return command->socket;
    }
    int error = pvsg_send(command->socket, &command->request, command->data);
    if (error) {
        pvsg_file_give(file, command->socket, false);
    }
    return error;
}

int pvsg_command_receive(struct pvsg_file *file, struct pvsg_command *command)
{
    int error = pvsg_receive(command->socket, &command->request, &command->answer, command->data);
    pvsg_file_give(file, command->socket, !error);
    return error;
}

int pvsg_command_run(struct pvsg_file *file, struct pvsg_command *command)
{
    int error = pvsg_command_send(file, command);
    return error ? error : pvsg_command_receive(file, command);
}

static uint32_t milliseconds_since(const struct timespec *began)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((now.tv_sec - began->tv_sec) * 1000 +
                      (now.tv_nsec - began->tv_nsec) / 1000000);
}

void pvsg_finish_v3(const struct pvsg_command *command, struct sg_io_hdr *header)
{
    const struct pvsg_answer *answer = &command->answer;
    header->status = answer->status;
    header->masked_status = answer->status >> 1 & 0x1f;
    header->msg_status = 0;
    header->host_status = answer->host;
    header->driver_status = 0;
    header->resid = (int)answer->residual;
    header->duration = milliseconds_since(&command->began);
    header->info = 0;
    header->sb_len_wr = 0;
    bool sensed = answer->status == CHECK_CONDITION || (answer->sense[0] & HAS_SENSE) == HAS_SENSE;
    if (sensed && header->sbp && header->mx_sb_len) {
        unsigned length = 8u + answer->sense[7]; /* with the additional length */
        length = length < PVSG_SENSE ? length : PVSG_SENSE;
        length = length < header->mx_sb_len ? length : header->mx_sb_len;
        memcpy(header->sbp, answer->sense, length);
        header->sb_len_wr = (unsigned char)length;
        header->driver_status = DRIVER_SENSE;
    }
    if (header->masked_status || header->host_status || header->driver_status) {
        header->info |= SG_INFO_CHECK;
    }
}

void pvsg_finish_v4(const struct pvsg_command *command, struct sg_io_v4 *header)
{
    const struct pvsg_answer *answer = &command->answer;
    header->device_status = answer->status;
    header->transport_status = answer->host;
    header->driver_status = answer->status == CHECK_CONDITION ? DRIVER_SENSE : 0;
    header->info = answer->status || answer->host ? SG_INFO_CHECK : 0;
    header->duration = milliseconds_since(&command->began);
    header->din_resid = command->request.room ? (int)answer->residual : 0;
    header->dout_resid = command->request.data_out ? (int)answer->residual : 0;
    header->response_len = 0;
    if (answer->sense_length && header->response) {
        uint32_t length = header->max_response_len;
        length = length < answer->sense_length ? length : answer->sense_length;
        memcpy((void *)(uintptr_t)header->response, answer->sense, length);
        header->response_len = length;
    }
}
