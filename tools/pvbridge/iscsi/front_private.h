/* What the files of the iSCSI front's data plane share. */
#ifndef TOOLS_PVBRIDGE_ISCSI_FRONT_PRIVATE_H
#define TOOLS_PVBRIDGE_ISCSI_FRONT_PRIVATE_H

#include "tools/pvbridge/iscsi/front.h"

#define NO_TAG UINT32_MAX
#define FINAL 0x80 /* in the second byte of a header */

enum iscsi_opcode {
    SCSI_COMMAND = 0x01,
    SCSI_RESPONSE = 0x21,
    DATA_IN = 0x25,
};

static inline uint32_t get_be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline uint32_t get_be16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static inline void put_be32(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 24);
    bytes[1] = (uint8_t)(value >> 16);
    bytes[2] = (uint8_t)(value >> 8);
    bytes[3] = (uint8_t)value;
}

/* session.c */
/* A task with `length` bytes behind it, found by its tag from now on; NULL: there is no memory. */
struct pv_iscsi_task *pv_iscsi_task_create(struct pv_iscsi_session *session, uint32_t tag,
                                           size_t length);

/* command.c */
/* The logical unit's task if the request is one that is carried out here; it counts as taken. NULL:
 * it is Python's. */
struct pv_iscsi_task *pv_iscsi_task_of(struct pv_iscsi_connection *connection,
                                       const struct pv_scsifront_queue *queue,
                                       const struct pv_iscsi_pdu *pdu);
/* The end of one that the ring did not take: the initiator may send it again. */
void pv_iscsi_turn_away(struct pv_iscsi_task *task);

#endif
