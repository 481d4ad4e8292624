/*
 * The blocks of a pcapng file (draft-ietf-opsawg-pcapng), in the byte order of this machine. A
 * block is built on the stack; a packet's bytes go between two parts of it.
 */
#ifndef BACKENDS_UPLINKS_PCAPNG_BLOCKS_H
#define BACKENDS_UPLINKS_PCAPNG_BLOCKS_H

#include "pvdrivers/backends/uplinks/uplink.h"

#define PCAPNG_BLOCK_MAX 512u /* bytes of a block without a packet's */
#define PCAPNG_NAME_MAX 128u  /* bytes of an interface's name */
#define PCAPNG_INBOUND 1u     /* flags of a packet (epb_flags) */
#define PCAPNG_OUTBOUND 2u
#define PCAPNG_CSUM_BLANK (1u << 9)
#define PCAPNG_CSUM_VALID (1u << 10)
#define PCAPNG_GSO (1u << 11)

struct pcapng_block {
    uint8_t bytes[PCAPNG_BLOCK_MAX];
    uint32_t length;
};

struct pcapng_packet {
    const struct pv_packet *packet;
    uint32_t interface;
    uint32_t captured; /* bytes of it that are in the file */
    uint32_t direction;
    uint32_t queue;
    uint64_t time;           /* ns since 1970 */
    uint64_t not_recorded;   /* of the interface's, since the one before */
    const char *drop_reason; /* NULL: the backend has not dropped it */
};

struct pcapng_statistics {
    uint32_t interface;
    uint64_t time;
    uint64_t seen, recorded, not_recorded; /* packets */
    uint64_t dropped;                      /* of these, by the backend */
    uint64_t tx_dropped, rx_dropped;       /* by what is below */
};

void pcapng_section(struct pcapng_block *block);
void pcapng_interface(struct pcapng_block *block, const char *name, uint32_t captured_max);
/* What is in front of the packet's bytes, and what is behind them, padding first. */
void pcapng_packet(struct pcapng_block *front, struct pcapng_block *behind,
                   const struct pcapng_packet *packet);
void pcapng_statistics(struct pcapng_block *block, const struct pcapng_statistics *statistics);

#endif
