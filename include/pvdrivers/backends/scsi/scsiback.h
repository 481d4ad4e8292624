/*
 * The SCSI backend's data plane: a queue is one frontend's ring mapped here, its event channel, and
 * the LUNs that its commands go to. It is driven by one thread at a time: pump until there is
 * nothing to do, and before sleeping arm. Nothing here blocks, nor allocates once created.
 *
 * READ, WRITE, SYNCHRONIZE CACHE and TEST UNIT READY go straight to the store of their logical unit
 * when the nexus may (targets/unit.h), all other commands to the unit's creator.
 *
 * Return values below 0 are negative errnos. What a frontend does wrong is answered on its ring and
 * counted; only an overrun of the ring is final: the queue is broken, touches the ring no more,
 * every later pump returns -EPROTO, and an eventfd tells the owner to close the device.
 */
#ifndef PVDRIVERS_BACKENDS_SCSI_SCSIBACK_H
#define PVDRIVERS_BACKENDS_SCSI_SCSIBACK_H

#include "pvdrivers/backends/targets/unit.h"
#include "pvdrivers/hypervisor.h"
#include "pvdrivers/poll/pollable.h"
#include "pvdrivers/ring/vscsiif.h"

/* cffi: begin */
struct pv_scsiback_queue;

#define PV_SCSIBACK_MAX_SEGMENTS 4096

struct pv_scsiback_config {
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *evtchn; /* may serve several queues; outlives them */
    domid_t frontend;
    enum pv_abi abi; /* the frontend's: gives the size of its pages */
    grant_ref_t ring_ref;
    evtchn_port_t remote_port; /* the frontend's `event-channel` */
    uint32_t max_segments;     /* of a list, as advertised; 0 (no lists) to 4096 */
    /* Where to log what is in flight: pv_scsiback_inflight_size bytes, aligned to 128. All zero, or
     * as an earlier queue of this connection left them, however it ended: what that had taken and
     * not answered is then begun again before anything else is taken. NULL: memory of the queue's
     * own. */
    void *inflight;
    size_t inflight_size; /* bytes */
    int fault_fd;         /* an eventfd, written to when the ring has broken; 0: nobody is told */
};

/* A logical unit where the frontend sees it. */
struct pv_scsiback_lun {
    uint16_t channel, id, lun;
    struct pv_scsi_nexus *nexus;
};

/* What was wrong with a request. All but the last are the frontend's faults. */
enum pv_scsiback_error {
    PV_SCSIBACK_NO_LUN,        /* NO_CONNECT; all others: ERROR */
    PV_SCSIBACK_BAD_DIRECTION, /* sc_data_direction */
    PV_SCSIBACK_BAD_COMMAND_LENGTH,
    PV_SCSIBACK_BAD_ACT,
    PV_SCSIBACK_BAD_SEGMENT_COUNT,
    PV_SCSIBACK_BAD_SEGMENT, /* it does not lie within a page */
    PV_SCSIBACK_BAD_LIST,    /* a part of it is not within a page, or no multiple of 8 bytes */
    PV_SCSIBACK_BAD_GRANT,   /* a copy failed */
    PV_SCSIBACK_STORE_ERROR, /* answered by the unit, who is given the command then */
    PV_SCSIBACK_ERROR_COUNT
};

struct pv_scsiback_stats {
    uint64_t rd_req, rd_sect, wr_req, wr_sect, f_req; /* carried out by the store */
    uint64_t tur_req;                                 /* TEST UNIT READY answered here */
    uint64_t emulated;                                /* CDBs that the units' creators got */
    uint64_t aborts, resets;
    uint64_t requests, responses;
    uint64_t resumed; /* of the requests: taken by an earlier queue */
    uint64_t batches; /* times responses were published */
    uint64_t notifications_sent, notifications_suppressed;
    uint64_t grant_copies, grant_copy_calls, bytes_copied;
    uint64_t ring_overruns;
    uint64_t errors[PV_SCSIBACK_ERROR_COUNT]; /* by enum pv_scsiback_error */
};

/* Bytes of memory for a queue's in-flight log. */
PV_API size_t pv_scsiback_inflight_size(enum pv_abi abi);

/* Maps the ring, binds the event channel and takes up the ring where its last backend left it.
 * There are no LUNs yet. NULL with errno set on failure: EINVAL is the caller's mistake, EIO a ring
 * that is overrun already, ESTALE an in-flight log that is not this connection's or contradicts its
 * ring, EPROTO an ABI with other pages than the frontend's, anything else what the hypervisor said.
 */
PV_API struct pv_scsiback_queue *pv_scsiback_create(const struct pv_scsiback_config *config);
/* Whether such a queue would go on, with nothing lost, where an earlier backend stopped: 0, -EBUSY
 * (there is no log, and the frontend waits for answers), or a negative errno as above. Changes
 * nothing, and needs no event channel handle. */
PV_API int pv_scsiback_resumable(const struct pv_scsiback_config *config);
/* What the frontend sees from now on, whichever thread drives the queue. Commands that were taken
 * before still end at their units: a nexus that is no longer named can be detached once they have.
 * -EEXIST: two have one place. -ENOMEM. The LUNs are then as before. */
PV_API int pv_scsiback_set_luns(struct pv_scsiback_queue *queue, const struct pv_scsiback_lun *luns,
                                uint32_t count);

/* For a poll group, until disconnect; its fd is readable when an armed queue has finished
 * operations. */
PV_API struct pv_pollable *pv_scsiback_pollable(struct pv_scsiback_queue *queue);
PV_API evtchn_port_t pv_scsiback_port(const struct pv_scsiback_queue *queue);

/* Takes at most `budget` requests, or 4 MiB of them, moves what has finished, publishes the answers
 * and notifies at most once a batch. `now` is monotonic time, ns, and may be virtual. Returns how
 * many requests and responses it moved, at least 1 when it gave a store something to do (0: nothing
 * to do now), or -EPROTO when the ring is broken. */
PV_API int pv_scsiback_pump(struct pv_scsiback_queue *queue, uint32_t budget, uint64_t now);
/* Before sleeping: asks to be woken at the next request or finished operation; true when there is
 * something to pump already (do not sleep). */
PV_API bool pv_scsiback_arm(struct pv_scsiback_queue *queue);
/* When a store wants the queue pumped though nothing else happens, ns; UINT64_MAX: never. */
PV_API uint64_t pv_scsiback_deadline(const struct pv_scsiback_queue *queue);

/* Takes no more requests; those taken are still answered. */
PV_API void pv_scsiback_stop(struct pv_scsiback_queue *queue);
/* Pumps a stopped queue; true when nothing is in flight any more. */
PV_API bool pv_scsiback_quiesce(struct pv_scsiback_queue *queue, uint64_t now);
/* Unmaps everything, unbinds the port and frees the queue, which no longer names any nexus. NULL is
 * fine. -EBUSY while something is in flight: the queue then still stands. */
PV_API int pv_scsiback_destroy(struct pv_scsiback_queue *queue);

PV_API bool pv_scsiback_broken(const struct pv_scsiback_queue *queue);
PV_API uint32_t pv_scsiback_in_flight(const struct pv_scsiback_queue *queue);
/* From any thread: each counter is whole, but they need not be of one moment. */
PV_API void pv_scsiback_get_stats(const struct pv_scsiback_queue *queue,
                                  struct pv_scsiback_stats *stats);
/* One line about the queue as it is now; returns what snprintf does. From any thread, as above. */
PV_API int pv_scsiback_describe(const struct pv_scsiback_queue *queue, char *line, size_t size);
/* cffi: end */

#endif
