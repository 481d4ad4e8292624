/* Commands that go to the ring without Python, and how they end. */
#include "tools/pvbridge/iscsi/front_private.h"

#include "pvdrivers/scsi/plain_cdb.h"

#include <string.h>

#define READ 0x40 /* beside FINAL */
#define WRITE 0x20
#define DIRECTION (READ | WRITE)
#define RSLT_REQUEUE (13 << 16) /* host byte */

/* ---- Which they are ------------------------------------------------------------------------ */

struct cdb_shape {
    uint8_t length;    /* 0: not of a command that is carried out here */
    uint8_t direction; /* READ, WRITE; 0: no data */
    uint32_t blocks;
};

static struct cdb_shape shape_of(const uint8_t *cdb)
{
    struct cdb_shape shape = {.length = plain_cdb_length(cdb[0])};
    switch (cdb[0]) {
    case 0x08: /* READ (6), (10), (12), (16) */
    case 0x28:
    case 0xA8:
    case 0x88:
        shape.direction = READ;
        break;
    case 0x0A: /* WRITE (6), (10), (12), (16) */
    case 0x2A:
    case 0xAA:
    case 0x8A:
        shape.direction = WRITE;
        break;
    }
    if (shape.direction)
        shape.blocks = cdb_range(cdb, shape.length).blocks;
    return shape;
}

/* Peripheral device or flat space addressing, as pvdrivers/scsi/lun.py reads it. */
static const struct pv_iscsi_lun *find_lun(const struct pv_iscsi_session *session,
                                           const uint8_t *encoded)
{
    uint32_t first = get_be16(encoded), flat = first >> 14 == 1;
    if (get_be16(encoded + 2) || get_be32(encoded + 4) || (!flat && first > 0xFF))
        return NULL;
    for (uint32_t i = 0; i < session->nr_luns; i++)
        if (session->luns[i].lun == (first & 0x3FFF))
            return &session->luns[i];
    return NULL;
}

static bool has_its_turn(const struct pv_iscsi_session *session, const uint8_t *header)
{
    return header[0] == SCSI_COMMAND && /* not an immediate one */
           get_be32(header + 24) == session->expected && session->early == 0;
}

/* All it writes came with it, and no more than was agreed. */
static bool has_its_data(const struct pv_iscsi_session *session, uint8_t direction,
                         const struct pv_iscsi_pdu *pdu, uint32_t expected)
{
    if (direction != WRITE)
        return pdu->length == 0;
    return pdu->length == expected && session->immediate_data && expected <= session->first_burst;
}

static bool is_plain(const struct pv_iscsi_session *session, const struct pv_iscsi_lun *lun,
                     const struct cdb_shape *shape, const struct pv_iscsi_pdu *pdu)
{
    uint32_t expected = get_be32(pdu->header + 20);
    uint8_t flags = pdu->header[1];
    return shape->length > 0 && pdu->header[4] == 0 /* additional header */ && (flags & FINAL) &&
           (flags & DIRECTION) == shape->direction && lun->block_size > 0 &&
           (uint64_t)shape->blocks * lun->block_size == expected &&
           (expected > 0 || !shape->direction) && expected <= session->max_transfer &&
           has_its_data(session, shape->direction, pdu, expected);
}

/* ---- Their end ---------------------------------------------------------------------------- */

static void answer(struct pv_iscsi_connection *connection, const struct pv_iscsi_task *task)
{
    const struct pv_scsifront_command *command = &task->command;
    struct pv_iscsi_answer answer = {
        .tag = task->tag,
        .rslt = command->rslt,
        .residual = command->residual,
        .sense = command->sense,
        .sense_length = command->sense_length,
    };
    memcpy(answer.lun, task->lun, sizeof(answer.lun));
    if (command->direction == VSCSIIF_FROM_DEVICE) {
        answer.data = command->data;
        answer.length = command->length - command->residual;
    }
    pv_iscsi_answer(connection, &answer);
}

static void finished(struct pv_scsifront_command *command)
{
    struct pv_iscsi_task *task = command->user;
    struct pv_iscsi_connection *connection = task->connection;
    if (pv_iscsi_cancel(task)) /* now: with the answer, its tag is free */
        answer(connection, task);
    pv_iscsi_task_release(task);
}

void pv_iscsi_turn_away(struct pv_iscsi_task *task)
{
    task->command.rslt = RSLT_REQUEUE;
    task->command.residual = task->command.length;
    finished(&task->command);
}

/* ---- Their begin --------------------------------------------------------------------------- */

struct pv_iscsi_task *pv_iscsi_task_of(struct pv_iscsi_connection *connection,
                                       const struct pv_scsifront_queue *queue,
                                       const struct pv_iscsi_pdu *pdu)
{
    struct pv_iscsi_session *session = connection->session;
    const uint8_t *header = pdu->header, *cdb = header + 32;
    if (!session || !has_its_turn(session, header))
        return NULL;
    const struct pv_iscsi_lun *lun = find_lun(session, header + 8);
    struct cdb_shape shape = shape_of(cdb);
    uint32_t tag = get_be32(header + 16), expected = get_be32(header + 20);
    if (!lun || !is_plain(session, lun, &shape, pdu) || tag == NO_TAG ||
        expected > pv_scsifront_max_length(queue) || pv_iscsi_has_tag(session, tag))
        return NULL;

    struct pv_iscsi_task *task = pv_iscsi_task_create(session, tag, expected);
    if (!task)
        return NULL;
    session->holders++;
    session->nr_carried++;
    session->expected++;
    task->connection = connection;
    memcpy(task->lun, header + 8, sizeof(task->lun));
    task->command = (struct pv_scsifront_command){
        .act = VSCSIIF_ACT_SCSI_CDB,
        .lun = lun->lun,
        .cdb_length = shape.length,
        .direction = shape.direction == READ    ? VSCSIIF_FROM_DEVICE
                     : shape.direction == WRITE ? VSCSIIF_TO_DEVICE
                                                : VSCSIIF_NO_DATA,
        .length = expected,
        .data = task + 1,
        .finished = finished,
        .user = task,
    };
    memcpy(task->command.cdb, cdb, shape.length);
    if (shape.direction == WRITE)
        memcpy(task + 1, pdu->data, expected);
    return task;
}
