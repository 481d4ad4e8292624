/* The buffer and the writer of a capture, as its uplinks see them. */
#ifndef BACKENDS_UPLINKS_CAPTURE_H
#define BACKENDS_UPLINKS_CAPTURE_H

#include "backends/uplinks/pcapng_blocks.h"
#include "pvdrivers/backends/uplinks/pcapng.h"

struct capture_interface {
    uint32_t number;
    uint32_t captured_max;
    uint64_t recorded, not_recorded; /* of those dropped by the backend too */
    uint64_t dropped;                /* by the backend */
    uint64_t told;                   /* of those not recorded, how many the file tells of */
};

/* 0 or a negative errno. */
int capture_add_interface(struct pv_capture *capture, struct capture_interface *interface,
                          const char *name);
/* Adds a batch of one direction. */
void capture_add_packets(struct pv_capture *capture, struct capture_interface *interface,
                         uint32_t direction, uint32_t queue, struct pv_packet *const *packets,
                         uint32_t count, uint64_t now);
/* Adds one that the backend has dropped. */
void capture_add_drop(struct pv_capture *capture, struct capture_interface *interface,
                      uint32_t queue, const struct pv_uplink_drop *drop, uint64_t now);
/* The interface's last word. `stats` are those of what is below. */
void capture_end_interface(struct pv_capture *capture, const struct capture_interface *interface,
                           const struct pv_uplink_stats *stats);

#endif
