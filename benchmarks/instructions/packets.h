#ifndef BENCHMARKS_INSTRUCTIONS_PACKETS_H
#define BENCHMARKS_INSTRUCTIONS_PACKETS_H

/* Packets instead of disk requests: pumps packets null|tx|rx BYTES DEPTH ROUNDS; null is tx to an
 * uplink that looks at no byte, and what exceeds 1514 bytes is a GSO packet. */
int count_packets(char **argv);

#endif
