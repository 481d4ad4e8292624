#ifndef BENCHMARKS_INSTRUCTIONS_PACKETS_H
#define BENCHMARKS_INSTRUCTIONS_PACKETS_H

/* Packets instead of disk requests: pumps packets null|tx|rx BYTES copy|static DEPTH ROUNDS. null
 * is tx to an uplink that looks at no byte, and what exceeds 1514 bytes is a GSO packet. static:
 * the backend keeps the guest's pages mapped; copy: the hypervisor copies. */
int count_packets(char **argv);

#endif
