/* What the files of the block workload share. */
#ifndef TOOLS_PVBENCH_LOAD_WORKLOAD_PRIVATE_H
#define TOOLS_PVBENCH_LOAD_WORKLOAD_PRIVATE_H

#include "pvdrivers/ring/barrier.h"
#include "tools/pvbench/load/wait.h"
#include "tools/pvbench/load/workload.h"

#include <errno.h>

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

/* A bijection of 0 ... count - 1 that needs no memory; see workload_random.c. */
struct permutation {
    uint64_t count, mask;
    unsigned shift;
    uint64_t keys[3];
};

/* Operations of one direction that are not in the log yet. */
struct log_window {
    uint64_t ios, bytes, slat, clat, lat; /* latencies: sums */
};

struct job {
    uint64_t random_state;
    uint64_t next_block[PV_BLK_DIR_COUNT]; /* of a sequential stream, in units of its sizes' min */
    uint64_t left;                         /* bytes still to be issued */
    uint32_t writes_since_flush;
    uint32_t outstanding;
    struct slot *free;
    struct permutation order; /* of a random map, until all its blocks are taken */
    uint64_t taken;

    /* When it may issue; only with rates or a think time. */
    uint64_t issued_ios[PV_BLK_DIR_COUNT], issued_bytes[PV_BLK_DIR_COUNT];
    uint64_t due_ns[PV_BLK_DIR_COUNT];
    uint64_t think_until_ns;
    uint32_t until_think; /* operations */

    struct log_window windows[PV_BLK_DIR_COUNT];
    uint64_t window_start_ns;
    struct pv_blk_log_entry *log;
    uint64_t log_count, log_room;

    struct pv_blk_progress progress; /* read by other threads */
    struct pv_blk_job_result result;
};

/* Operations chosen for one queue in this round. */
struct batch {
    struct pv_blkfront_io **ios;
    uint32_t count;
};

enum pass { PASS_LAYOUT, PASS_MEASURE, PASS_VERIFY };

struct pv_blk_workload {
    struct pv_blk_workload_config config;
    struct pv_load_queue *queues;
    uint64_t nr_blocks;
    struct slot *slots;
    uint32_t nr_slots;
    uint32_t max_size;          /* bytes of an operation at most */
    bool sized;                 /* operations are of several sizes */
    bool paced;                 /* operations have to wait until they are due */
    struct permutation scatter; /* where the favourite blocks of a distribution are */
    double zeta;                /* of all blocks; zipf's */
    uint32_t reap_budget;       /* responses taken before new requests follow */
    struct job *jobs;
    struct batch *batches;
    struct pv_blkfront_io **done;
    uint8_t *data; /* NULL when the data lives in the queues' buffers */

    enum pass pass;
    uint32_t outstanding;
    bool ending;       /* nothing more is issued */
    uint32_t requests; /* REQUEST_*, by any thread */
    struct pv_blk_workload_result *copy;
    struct pv_blk_job_result *copy_jobs;
    uint64_t start_ns, next_due_ns; /* when paced */
    bool log_is_full;
    uint64_t measure_from_ns, end_ns;
    struct pv_load_wait wait;

    /* With verify: what each block holds. */
    uint32_t *crcs;
    uint8_t *blocks; /* BLOCK_* */
    uint64_t sequence;

    struct pv_blk_workload_result result;
};

#define REQUEST_STOP 1u
#define REQUEST_COPY 2u

#define BLOCK_KNOWN 1u /* its crc is what a read must find */
#define BLOCK_BUSY 2u  /* an operation on it is outstanding */

/* workload_choose.c */
/* Fills a free slot with the job's next operation; false when there is none now. */
bool pv_workload_choose(struct pv_blk_workload *workload, struct job *job, struct slot *slot);

/* workload_random.c */
void pv_permutation_init(struct permutation *permutation, uint64_t count, uint64_t *random_state);
uint64_t pv_permutation_at(const struct permutation *permutation, uint64_t index);
/* A block by the configured distribution, which is not uniform. */
uint64_t pv_workload_distributed(const struct pv_blk_workload *workload, struct job *job);
void pv_workload_init_distribution(struct pv_blk_workload *workload);

/* workload_pace.c */
void pv_workload_pace_start(struct pv_blk_workload *workload, struct job *job);
/* Whether an operation may be issued now. When only the other direction may, takes that. */
bool pv_workload_is_due(struct pv_blk_workload *workload, struct job *job,
                        enum pv_blk_direction *direction);
void pv_workload_pace_issued(const struct pv_blk_workload *workload, struct job *job,
                             enum pv_blk_direction direction, uint32_t bytes);

/* workload_log.c */
void pv_workload_log(struct pv_blk_workload *workload, const struct slot *slot, uint64_t now);
/* Enters the windows that have not ended yet. */
void pv_workload_log_finish(struct pv_blk_workload *workload, uint64_t now);

/* workload_verify.c */
/* Fills a slot's data for a write of its block, and notes the crc. */
void pv_workload_fill(struct pv_blk_workload *workload, struct slot *slot);
/* After an operation: notes what a write left, checks what a read found. */
void pv_workload_verify(struct pv_blk_workload *workload, struct slot *slot);

static inline uint64_t pv_workload_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

#endif
