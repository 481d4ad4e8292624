/* What the xentrace room keeps in the machine. The buffers are in the memory file. */
#ifndef PVDRIVERS_SIM_XENTRACE_STATE_H
#define PVDRIVERS_SIM_XENTRACE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define XENTRACE_CPUS 256
#define XENTRACE_INFO_SIZE (64u << 12) /* bytes: all that 16-bit offsets reach */
#define XENTRACE_SIZE (XENTRACE_INFO_SIZE + (65536ull << 12))

struct xentrace_cpu {
    uint32_t prod;       /* the buffer's, which a consumer can write to */
    uint32_t lost;       /* records for which there was no room, since the last one that had */
    uint64_t lost_since; /* the time of the first */
};

/* A process killed while it writes a record has not moved `prod` yet: there is nothing to repair.
 */
struct xentrace {
    pthread_mutex_t lock;
    bool enabled; /* also read without the lock */
    uint32_t event_mask;
    uint32_t pages; /* of each buffer; 0: there are none */
    uint64_t tsc;   /* of the last record */
    uint64_t cpus[XENTRACE_CPUS / 64];
    struct xentrace_cpu cpu[XENTRACE_CPUS];
};

#endif
