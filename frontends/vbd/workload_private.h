/* What the files of the block workload share. */
#ifndef PVDRIVERS_WORKLOAD_PRIVATE_H
#define PVDRIVERS_WORKLOAD_PRIVATE_H

#include "pvdrivers/barrier.h"
#include "pvdrivers/blk_workload.h"

#include <errno.h>

#define SECTOR_SIZE 512u

/* One operation that is outstanding or waits to be chosen. */
struct slot {
    struct pv_blkfront_io io; /* first: the queue hands it back */
    struct job *job;
    uint32_t queue;
    enum pv_blk_direction direction;
    uint64_t block;
    uint64_t issued_ns, submitted_ns;
    uint32_t crc; /* of what is being written */
    struct slot *next_free;
};

struct job {
    uint64_t random_state;
    uint64_t next_block[PV_BLK_DIR_COUNT]; /* of a sequential stream */
    uint64_t left;                         /* operations still to be issued */
    uint32_t writes_since_flush;
    struct slot *free;
};

/* Operations chosen for one queue in this round. */
struct batch {
    struct pv_blkfront_io **ios;
    uint32_t count;
};

enum pass { PASS_LAYOUT, PASS_MEASURE, PASS_VERIFY };

struct pv_blk_workload {
    struct pv_blk_workload_config config;
    struct pv_blkfront_queue **queues;
    uint64_t nr_blocks;
    struct slot *slots;
    uint32_t nr_slots;
    uint32_t reap_budget; /* responses taken before new requests follow */
    struct job *jobs;
    struct batch *batches;
    struct pv_blkfront_io **done;
    uint8_t *data; /* NULL when the data lives in the queues' buffers */

    enum pass pass;
    uint32_t outstanding;
    bool ending; /* nothing more is issued */
    uint32_t stop;
    uint64_t measure_from_ns, end_ns, last_progress_ns;
    uint64_t linger;     /* ns to spin without an answer in mode HYBRID */
    uint64_t next_yield; /* ns: not before */

    /* With verify: what each block holds. */
    uint32_t *crcs;
    uint8_t *blocks; /* BLOCK_* */
    uint64_t sequence;

    struct pv_blk_progress progress; /* read by other threads */
    struct pv_blk_workload_result result;
};

#define BLOCK_KNOWN 1u /* its crc is what a read must find */
#define BLOCK_BUSY 2u  /* an operation on it is outstanding */

/* workload_verify.c */
/* Fills a slot's data for a write of its block, and notes the crc. */
void pv_workload_fill(struct pv_blk_workload *workload, struct slot *slot);
/* After an operation: notes what a write left, checks what a read found. */
void pv_workload_settle(struct pv_blk_workload *workload, struct slot *slot);

static inline uint64_t pv_workload_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

#endif
