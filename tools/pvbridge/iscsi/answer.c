/* What a connection sends: any PDU, and those that answer a SCSI command. */
#include "tools/pvbridge/iscsi/front_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OVERFLOW 0x04 /* in the second byte of the header */
#define UNDERFLOW 0x02
#define HAS_STATUS 0x01
#define TARGET_FAILURE 0x01 /* response: the command got no status */
#define KEPT (1u << 18)     /* bytes of an empty output that stay allocated */

enum { GOOD = 0x00, CHECK_CONDITION = 0x02, BUSY = 0x08, TASK_ABORTED = 0x40 };
enum {
    HOST_OK = 0,
    HOST_BUS_BUSY = 2,
    HOST_ABORT = 5,
    HOST_RESET = 8,
    HOST_IMM_RETRY = 12,
    HOST_REQUEUE = 13
};

/* ---- The output ---------------------------------------------------------------------------- */

static void fail(struct pv_iscsi_connection *connection, int error)
{
    connection->error = error;
    connection->out.start = connection->out.end = 0;
}

/* Room for so many bytes at the end; NULL: the connection has failed. */
static uint8_t *append(struct pv_iscsi_connection *connection, size_t bytes)
{
    struct pv_iscsi_buffer *out = &connection->out;
    if (connection->error)
        return NULL;
    if (out->end + bytes > out->room) {
        size_t room = 2 * (out->end + bytes);
        uint8_t *larger = realloc(out->bytes, room);
        if (!larger) {
            fail(connection, ENOMEM);
            return NULL;
        }
        out->bytes = larger;
        out->room = room;
    }
    out->end += bytes;
    return out->bytes + out->end - bytes;
}

void pv_iscsi_send(struct pv_iscsi_connection *connection, const uint8_t *header,
                   const uint8_t *data, uint32_t length, bool counts)
{
    uint32_t padding = -length % 4;
    uint8_t *pdu = append(connection, PV_ISCSI_HEADER + (size_t)length + padding);
    if (!pdu)
        return;
    memcpy(pdu, header, PV_ISCSI_HEADER);
    put_be32(pdu + 4, length); /* the first of these bytes is that of the additional header: 0 */
    put_be32(pdu + 24, counts || header[0] != DATA_IN ? connection->stat_sn : 0);
    connection->stat_sn += counts;
    if (connection->session) {
        uint32_t expected = connection->session->expected;
        put_be32(pdu + 28, expected);
        put_be32(pdu + 32, expected + PV_ISCSI_WINDOW - 1);
    }
    if (length > 0)
        memcpy(pdu + PV_ISCSI_HEADER, data, length);
    memset(pdu + PV_ISCSI_HEADER + length, 0, padding);
}

size_t pv_iscsi_flush(struct pv_iscsi_connection *connection)
{
    struct pv_iscsi_buffer *out = &connection->out;
    while (out->start < out->end) {
        ssize_t sent = send(connection->fd, out->bytes + out->start, out->end - out->start,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN)
            fail(connection, errno);
        if (sent < 0)
            break;
        out->start += (size_t)sent;
    }
    if (out->start == out->end) {
        out->start = out->end = 0;
        if (out->room > KEPT) {
            free(out->bytes);
            *out = (struct pv_iscsi_buffer){0};
        }
    }
    return out->end - out->start;
}

/* ---- Answers of SCSI commands -------------------------------------------------------------- */

/* What an initiator is told; -1: that the command got no status. See pvdrivers/scsi/result.py. */
static int status_of(int32_t rslt)
{
    uint32_t word = (uint32_t)rslt, status = word & 0xFF;
    switch (word >> 16 & 0xFF) {
    case HOST_OK:
        return status || word >> 24 == 0 ? (int)status : -1;
    case HOST_BUS_BUSY:
    case HOST_IMM_RETRY:
    case HOST_REQUEUE:
        return BUSY;
    case HOST_ABORT:
    case HOST_RESET:
        return TASK_ABORTED;
    default:
        return -1;
    }
}

/* Sets the residual count; returns its flag. */
static uint8_t put_residual(uint8_t *header, const struct pv_iscsi_answer *answer, int status)
{
    bool over = answer->overflow > 0 && status == GOOD;
    uint32_t count = over ? answer->overflow : answer->residual;
    put_be32(header + 44, count);
    return over ? OVERFLOW : count > 0 ? UNDERFLOW : 0;
}

static void send_response(struct pv_iscsi_connection *connection,
                          const struct pv_iscsi_answer *answer, int status, uint32_t data_pdus)
{
    uint8_t header[PV_ISCSI_HEADER] = {SCSI_RESPONSE, FINAL};
    uint8_t data[2 + UINT8_MAX];
    uint32_t length = 0;
    put_be32(header + 16, answer->tag);
    if (status < 0) {
        header[2] = TARGET_FAILURE;
    } else {
        header[1] |= put_residual(header, answer, status);
        header[3] = (uint8_t)status;
        put_be32(header + 36, data_pdus); /* ExpDataSN */
        if (status == CHECK_CONDITION && answer->sense_length > 0) {
            length = answer->sense_length < UINT8_MAX ? answer->sense_length : UINT8_MAX;
            memcpy(data + 2, answer->sense, length);
            data[0] = 0;
            data[1] = (uint8_t)length;
            length += 2;
        }
    }
    pv_iscsi_send(connection, header, data, length, true);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* PDUs no larger than the initiator takes, in sequences no longer than a burst. */
void pv_iscsi_answer(struct pv_iscsi_connection *connection, const struct pv_iscsi_answer *answer)
{
    int status = status_of(answer->rslt);
    uint32_t number = 0, burst_end = 0;
    for (uint32_t start = 0, end; start < answer->length; start = end) {
        if (start == burst_end)
            burst_end += min_u32(connection->max_burst, answer->length - start);
        end = start + min_u32(connection->max_data, burst_end - start);
        uint8_t header[PV_ISCSI_HEADER] = {DATA_IN, end == burst_end ? FINAL : 0};
        memcpy(header + 8, answer->lun, sizeof(answer->lun));
        put_be32(header + 16, answer->tag);
        put_be32(header + 20, NO_TAG);
        put_be32(header + 36, number++);
        put_be32(header + 40, start);
        bool last = end == answer->length && status == GOOD; /* the status travels with it */
        if (last) {
            header[1] |= HAS_STATUS | put_residual(header, answer, status);
            header[3] = GOOD;
        }
        pv_iscsi_send(connection, header, answer->data + start, end - start, last);
        if (last)
            return;
    }
    send_response(connection, answer, status, number);
}
