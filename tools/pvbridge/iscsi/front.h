/*
 * The data plane of the iSCSI front (RFC 7143): a connection's socket, the PDUs in it, and commands
 * that a guest's ring carries without Python.
 *
 * Everything runs on one thread, the event loop's. Python takes what is not carried out here, PDU
 * by PDU and in the order in which they came; what it sends goes out through the same output, where
 * each PDU gets its numbers. A command that is carried out here is one that leaves nothing to
 * decide: in turn, of a logical unit with blocks, with as many data as it moves, all of them in its
 * PDU if it writes.
 *
 * Declarations between the marks are Python's too. The header is not public.
 */
#ifndef TOOLS_PVBRIDGE_ISCSI_FRONT_H
#define TOOLS_PVBRIDGE_ISCSI_FRONT_H

#include "pvdrivers/frontends/scsi/scsifront.h"

/* cffi: begin */
enum {
    PV_ISCSI_HEADER = 48, /* bytes */
    PV_ISCSI_WINDOW = 64, /* commands that a session may have sent and not seen taken */
    PV_ISCSI_MAX_RECEIVED =
        262144, /* bytes of data in a PDU that is taken: the target's declaration */
    PV_ISCSI_MAX_UNSENT = 1048576, /* bytes of output, beyond which nothing more should be taken */
    PV_ISCSI_BUCKETS = 64
};

struct pv_iscsi_lun {
    uint16_t lun;
    uint32_t block_size; /* bytes; 0: the unit has no blocks */
};

struct pv_iscsi_task;

/* What a session's connections share. Whoever uses it holds it; it is freed with the last. */
struct pv_iscsi_session {
    uint32_t expected;                  /* ExpCmdSN */
    uint32_t early;                     /* commands in Python whose turn has not come */
    uint32_t max_transfer, first_burst; /* bytes */
    bool immediate_data;
    struct pv_iscsi_lun *luns;
    uint32_t nr_luns;
    uint32_t holders, nr_carried; /* nr_carried: of the tasks, those that are not Python's */
    struct pv_iscsi_task *tasks[PV_ISCSI_BUCKETS]; /* by tag */
};

/* A command that has not been answered. One of Python's is here for its tag alone. */
struct pv_iscsi_task {
    struct pv_iscsi_session *session;
    struct pv_iscsi_connection *connection; /* NULL: Python's, or cancelled */
    struct pv_iscsi_task *next;             /* of its bucket */
    uint32_t tag;                           /* initiator task tag */
    uint8_t lun[8];                         /* as it came */
    uint32_t holders;                       /* the ring, and who has listed it */
    struct pv_scsifront_command command;
};

struct pv_iscsi_buffer {
    uint8_t *bytes;
    size_t start, end, room; /* from start to end is what it has */
};

struct pv_iscsi_connection {
    int fd;           /* Python's, which closes it */
    int error;        /* errno of what ended it; 0: nothing did */
    bool ended;       /* the other end sends no more */
    uint32_t stat_sn; /* of the next that counts */
    uint32_t max_received, max_data,
        max_burst;                    /* bytes: of a PDU that comes, that goes; a sequence */
    uint64_t carried;                 /* commands that were given to the ring */
    struct pv_iscsi_session *session; /* NULL: login is not over */
    struct pv_iscsi_buffer in, out;
};

/* A request that is Python's. It is valid until the next is taken or more is received. */
struct pv_iscsi_pdu {
    const uint8_t *header, *data;
    uint32_t length; /* bytes of data */
};

enum pv_iscsi_taken { PV_ISCSI_NOTHING, PV_ISCSI_PDU, PV_ISCSI_TOO_LONG, PV_ISCSI_ENDED };

/* How a SCSI command ended. */
struct pv_iscsi_answer {
    uint32_t tag;
    uint8_t lun[8];
    int32_t rslt;      /* SCSI status and host byte, as on the ring */
    uint32_t overflow; /* bytes that it moved beyond what was expected */
    uint32_t residual; /* bytes that were expected and not moved */
    const uint8_t *data;
    uint32_t length;
    const uint8_t *sense;
    uint32_t sense_length;
};

/* ---- Sessions ---- NULL with errno set: there is no memory. */
PV_API struct pv_iscsi_session *pv_iscsi_session_create(uint32_t cmd_sn);
PV_API void pv_iscsi_session_release(struct pv_iscsi_session *session);
/* Which LUNs there are. False: there is no memory. */
PV_API bool pv_iscsi_set_luns(struct pv_iscsi_session *session, const struct pv_iscsi_lun *luns,
                              uint32_t count);
/* Whether a command has it that has not been answered. */
PV_API bool pv_iscsi_has_tag(const struct pv_iscsi_session *session, uint32_t tag);
/* Takes one that nobody has for a command of Python's. False: there is no memory. */
PV_API bool pv_iscsi_take_tag(struct pv_iscsi_session *session, uint32_t tag);
PV_API void pv_iscsi_give_tag(struct pv_iscsi_session *session, uint32_t tag);
/* Lists the `nr_carried` commands that are carried out here. Each is released by its caller. */
PV_API void pv_iscsi_tasks(const struct pv_iscsi_session *session, struct pv_iscsi_task **tasks);
/* It is not answered any more. False: it has ended already. */
PV_API bool pv_iscsi_cancel(struct pv_iscsi_task *task);
PV_API void pv_iscsi_task_release(struct pv_iscsi_task *task);

/* ---- Connections ---- `fd` does not block. */
PV_API struct pv_iscsi_connection *pv_iscsi_open(int fd);
/* Login is over. */
PV_API void pv_iscsi_enter(struct pv_iscsi_connection *connection,
                           struct pv_iscsi_session *session);
/* Cancels what it has under way. The fd stays open. */
PV_API void pv_iscsi_free(struct pv_iscsi_connection *connection);
/* Reads once from the socket what there is room for. */
PV_API void pv_iscsi_receive(struct pv_iscsi_connection *connection);
/* Goes through what was received, gives the commands that it carries out to `queue` (NULL: there is
 * none now), and stops at the first PDU that is Python's. */
PV_API enum pv_iscsi_taken pv_iscsi_take(struct pv_iscsi_connection *connection,
                                         struct pv_scsifront_queue *queue,
                                         struct pv_iscsi_pdu *pdu);
/* Puts a PDU into the output, with its lengths and numbers: a status number of its own if it
 * `counts`. */
PV_API void pv_iscsi_send(struct pv_iscsi_connection *connection, const uint8_t *header,
                          const uint8_t *data, uint32_t length, bool counts);
/* Puts a command's data and status into the output. */
PV_API void pv_iscsi_answer(struct pv_iscsi_connection *connection,
                            const struct pv_iscsi_answer *answer);
/* Sends what the socket takes; returns how many bytes are left. */
PV_API size_t pv_iscsi_flush(struct pv_iscsi_connection *connection);
/* cffi: end */

#endif
