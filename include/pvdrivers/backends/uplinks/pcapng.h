/*
 * Captures of what passes an uplink, as pcapng files that Wireshark reads, and their replay.
 *
 * A capture is one file for any number of uplinks, each an interface in it. Its writer is a thread
 * of its own behind a buffer: who sends and receives packets never waits for the file, and what the
 * buffer has no room for is counted in the file and passes unrecorded.
 */
#ifndef PVDRIVERS_BACKENDS_UPLINKS_PCAPNG_H
#define PVDRIVERS_BACKENDS_UPLINKS_PCAPNG_H

#include "pvdrivers/backends/uplinks/uplink.h"

/* cffi: begin */
#define PV_CAPTURE_MIN_BUFFER 262144 /* bytes */

struct pv_capture;

struct pv_capture_stats {
    uint64_t recorded, not_recorded; /* packets */
    int error;                       /* errno of the write that failed, after which none is; or 0 */
};

/* Takes the fd, of a file or a pipe, when it succeeds. `buffer` is in bytes; there are two of them.
 * `wall_offset` added to the time that pumps are told is ns since 1970; 0: by this machine's clock
 * when the first packet comes. NULL with errno set: EINVAL is a buffer too small. */
PV_API struct pv_capture *pv_capture_create(int fd, size_t buffer, uint64_t wall_offset);
PV_API void pv_capture_get_stats(struct pv_capture *capture, struct pv_capture_stats *stats);
/* Writes what is in the buffer, and waits for it. Returns 0, a negative errno of a write that
 * failed, or -EBUSY: an uplink is open, and so stays the capture. */
PV_API int pv_capture_close(struct pv_capture *capture);

/* Records what passes `below`, which it takes over when it succeeds. Of each packet at most
 * `captured_max` bytes are recorded. NULL with errno set: EINVAL is a name longer than 128 bytes,
 * ENOBUFS a buffer that is full. */
PV_API struct pv_uplink *pv_capture_uplink_create(struct pv_capture *capture,
                                                  struct pv_uplink *below, const char *name,
                                                  uint32_t captured_max);

/* Gives the guest packets that need no offload, on its one queue, from the first one on whenever a
 * guest connects: each `times` ns (ascending) after the connection, or all at once when that is
 * NULL. `again`: without an end, a millisecond after the last one. What is sent goes nowhere. Takes
 * the packets, at least one, when it succeeds; `times` is copied. NULL with errno set. */
PV_API struct pv_uplink *pv_replay_uplink_create(struct pv_packet_pool *pool,
                                                 struct pv_packet **packets, const uint64_t *times,
                                                 uint32_t count, bool again);
/* cffi: end */

#endif
