/* What programs with libpvsg.so and `pvbridge sg` say to each other over a Unix stream socket.
 *
 * A connection is of one logical unit and has at most one request at a time. The program sends
 * `pvsg_hello` and gets `pvsg_welcome`; then it sends a `pvsg_request` with `data_out` bytes behind
 * it and gets a `pvsg_answer` with `data_in` bytes behind it, as often as it likes. Its end aborts
 * what is under way. Numbers are in the machine's byte order: both ends are on one machine.
 *
 * A program that sends anything else loses its connection. protocol.py has the same. */
#ifndef PVSG_PROTOCOL_H
#define PVSG_PROTOCOL_H

#include <stdint.h>

#define PVSG_MAGIC 0x67737670u /* "pvsg" */
#define PVSG_VERSION 1u
#define PVSG_CDB 32   /* bytes; one that a ring has no room for gets the host byte ABORT */
#define PVSG_SENSE 96 /* bytes that a ring has for sense */
#define PVSG_NO_TIMEOUT UINT32_MAX

struct pvsg_hello {
    uint32_t magic;
    uint32_t version;
    uint32_t host, channel, target, lun; /* as the guest has them */
};

struct pvsg_welcome {
    uint32_t error;        /* an errno; 0: the unit is there */
    uint32_t max_transfer; /* bytes of one request's data at most */
    uint32_t device_type;
};

enum pvsg_act {
    PVSG_COMMAND = 1,
    PVSG_RESET =
        2, /* LOGICAL UNIT RESET: no CDB, no data; the answer's `host` is 0 if it is done */
};

struct pvsg_request {
    uint32_t act;
    uint32_t timeout;   /* milliseconds, then the command is aborted */
    uint32_t data_out;  /* bytes behind this; at most one of the two is not 0 */
    uint32_t room;      /* for data from the unit */
    uint8_t cdb_length; /* 1 to 32 */
    uint8_t cdb[PVSG_CDB];
    uint8_t zero[3];
};

struct pvsg_answer {
    uint8_t status; /* SCSI status */
    uint8_t host;   /* Linux' host byte */
    uint8_t sense_length;
    uint8_t zero;
    uint32_t residual; /* bytes of what was asked for that were not transferred */
    uint32_t data_in;  /* bytes behind this; at most `room` */
    uint8_t sense[PVSG_SENSE];
};

#endif
