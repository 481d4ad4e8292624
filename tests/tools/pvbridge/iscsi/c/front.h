/* A connection of the iSCSI front whose other end, and whose ring's backend, are the test. */
#ifndef TESTS_TOOLS_PVBRIDGE_ISCSI_C_FRONT_H
#define TESTS_TOOLS_PVBRIDGE_ISCSI_C_FRONT_H

#include "frontends/scsi/c/fake_scsiback.h"
#include "tools/pvbridge/iscsi/front_private.h"

#include <fcntl.h>
#include <sys/socket.h>

#define BLOCK 512u
#define FIRST_CMD_SN 0xFFFFFFFEu /* so that it wraps */
#define LUN 300u                 /* of flat space addressing */
#define READS 0xC0               /* flags */
#define WRITES 0xA0
#define NO_DATA 0x80

struct front {
    struct fake_scsiback *peer;
    struct pv_scsifront_queue *queue;
    struct pv_iscsi_session *session;
    struct pv_iscsi_connection *connection;
    int other; /* end of the socket */
    uint32_t cmd_sn, tag;
};

/* A PDU as it is on the wire. */
struct wire_pdu {
    uint8_t header[PV_ISCSI_HEADER];
    uint8_t data[1 << 18];
    uint32_t length;
};

static inline struct pv_iscsi_connection *front_connection(struct pv_iscsi_session *session, int fd)
{
    struct pv_iscsi_connection *connection = pv_iscsi_open(fd);
    assert(connection);
    connection->max_received = PV_ISCSI_MAX_RECEIVED;
    connection->max_data = 8192;
    connection->max_burst = 262144;
    pv_iscsi_enter(connection, session);
    return connection;
}

static inline struct front front_create(void)
{
    struct front front = {
        .peer = fake_scsiback_create(PV_ABI_X86_64), .cmd_sn = FIRST_CMD_SN, .tag = 1000};
    front.queue = fake_connect(front.peer, 64, 0);
    front.session = pv_iscsi_session_create(FIRST_CMD_SN);
    struct pv_iscsi_lun luns[] = {{0, BLOCK}, {LUN, BLOCK}, {7, 0}};
    assert(front.session && pv_iscsi_set_luns(front.session, luns, 3));
    front.session->max_transfer = 1 << 20;
    front.session->first_burst = 8192;
    front.session->immediate_data = true;
    int ends[2];
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    front.connection = front_connection(front.session, ends[0]);
    front.other = ends[1];
    return front;
}

static inline void front_close_connection(struct front *front)
{
    close(front->connection->fd);
    pv_iscsi_free(front->connection);
    front->connection = NULL;
}

/* Whatever is under way ends unanswered. */
static inline void front_destroy(struct front *front)
{
    if (front->connection)
        front_close_connection(front);
    close(front->other);
    pv_iscsi_session_release(front->session);
    struct pv_scsifront_command *done[64];
    pv_scsifront_stop(front->queue);
    for (int count; (count = pv_scsifront_give_up(front->queue, done, 64)) > 0;)
        assert(pv_scsifront_hand_out(done, (unsigned)count) == 0);
    pv_scsifront_destroy(front->queue);
    fake_scsiback_destroy(front->peer, 0);
}

/* ---- The initiator ------------------------------------------------------------------------- */

static inline struct wire_pdu front_command(struct front *front, const uint8_t *cdb,
                                            size_t cdb_length, uint8_t flags, uint32_t expected)
{
    struct wire_pdu pdu = {.header = {SCSI_COMMAND, flags}};
    put_be32(pdu.header + 16, ++front->tag);
    put_be32(pdu.header + 20, expected);
    put_be32(pdu.header + 24, front->cmd_sn++);
    memcpy(pdu.header + 32, cdb, cdb_length);
    return pdu;
}

/* READ(10) or WRITE(10); the fake backend's blocks are bytes. */
static inline struct wire_pdu front_transfer(struct front *front, uint8_t opcode, uint32_t place,
                                             uint32_t blocks)
{
    uint8_t cdb[10] = {opcode, [8] = (uint8_t)blocks};
    put_be32(cdb + 2, place);
    bool writes = opcode == 0x2A;
    struct wire_pdu pdu =
        front_command(front, cdb, sizeof(cdb), writes ? WRITES : READS, blocks * BLOCK);
    for (uint32_t i = 0; writes && i < blocks * BLOCK; i++)
        pdu.data[i] = (uint8_t)(place + i * 7);
    pdu.length = writes ? blocks * BLOCK : 0;
    return pdu;
}

static inline void front_send(struct front *front, struct wire_pdu *pdu)
{
    pdu->header[5] = (uint8_t)(pdu->length >> 16);
    pdu->header[6] = (uint8_t)(pdu->length >> 8);
    pdu->header[7] = (uint8_t)pdu->length;
    size_t padded = (pdu->length + 3u) & ~3u;
    assert(write(front->other, pdu->header, PV_ISCSI_HEADER) == PV_ISCSI_HEADER);
    assert(write(front->other, pdu->data, padded) == (ssize_t)padded);
}

/* What it makes of one PDU that comes. */
static inline enum pv_iscsi_taken front_take(struct front *front, struct pv_iscsi_pdu *pdu)
{
    pv_iscsi_receive(front->connection);
    return pv_iscsi_take(front->connection, front->queue, pdu);
}

/* Sends one that is carried out. */
static inline void front_carry(struct front *front, struct wire_pdu *pdu)
{
    struct pv_iscsi_pdu left;
    front_send(front, pdu);
    assert(front_take(front, &left) == PV_ISCSI_NOTHING);
}

/* Ends what the backend has answered. */
static inline void front_poll(struct front *front)
{
    struct pv_scsifront_command *done[64];
    int count = pv_scsifront_poll(front->queue, done, 64);
    assert(count >= 0 && pv_scsifront_hand_out(done, (unsigned)count) == 0);
}

static inline void front_read_exactly(struct front *front, void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        if (front->connection)
            pv_iscsi_flush(front->connection); /* when there is room again */
        ssize_t count = read(front->other, (uint8_t *)bytes + done, length - done);
        assert(count > 0);
        done += (size_t)count;
    }
}

/* The next PDU that was sent. */
static inline void front_receive(struct front *front, struct wire_pdu *pdu)
{
    front_read_exactly(front, pdu->header, PV_ISCSI_HEADER);
    pdu->length = get_be32(pdu->header + 4);
    assert(pdu->length <= sizeof(pdu->data) - 3);
    front_read_exactly(front, pdu->data, (pdu->length + 3u) & ~3u);
}

static inline bool front_has_sent(struct front *front)
{
    uint8_t byte;
    return recv(front->other, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

#endif
