/*
 * A workload on a block device: fio's generator in small. One thread drives every job and every
 * queue; nothing is allocated once it is created.
 */
#ifndef TOOLS_PVBENCH_LOAD_WORKLOAD_H
#define TOOLS_PVBENCH_LOAD_WORKLOAD_H

#include "pvdrivers/poll/group.h"
#include "tools/pvbench/load/histogram.h"
#include "tools/pvbench/load/queue.h"

/* cffi: begin */
struct pv_blk_workload;

enum pv_blk_direction { PV_BLK_DIR_READ, PV_BLK_DIR_WRITE, PV_BLK_DIR_TRIM, PV_BLK_DIR_COUNT };

#define PV_BLK_DEPTH_LEVELS 7
#define PV_BLK_SIZE_SHARES 64

enum pv_blk_distribution { PV_BLK_UNIFORM, PV_BLK_ZIPF, PV_BLK_PARETO };

struct pv_blk_size_share {
    uint32_t size, percent; /* bytes */
};

/* How long one direction's operations are. `min` is the unit of their offsets. */
struct pv_blk_sizes {
    uint32_t min, max;  /* bytes, multiples of the sector size; max 0: block_size, always */
    uint32_t nr_shares; /* 0: multiples of min up to max, and max itself */
    struct pv_blk_size_share shares[PV_BLK_SIZE_SHARES]; /* their percents are 100 together */
};

struct pv_blk_workload_config {
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *evtchn;           /* of all the queues */
    const struct pv_load_queue *queues; /* connected; a job's operations go round them */
    uint32_t nr_queues;
    uint32_t jobs, iodepth;       /* operations outstanding: jobs * iodepth */
    uint32_t block_size;          /* bytes, a multiple of the sector size */
    struct pv_blk_sizes sizes[3]; /* by enum pv_blk_direction; not with verify */
    bool random;
    bool random_map; /* a job takes every block once before it takes one again; not with sizes */
    enum pv_blk_distribution distribution; /* of random blocks; not uniform: random_map is unused */
    double theta;                          /* zipf: above 0, not 1; pareto: between 0 and 1 */
    bool trim;                             /* every operation is a discard */
    uint32_t read_percent;                 /* of the others: 100 reads only, 0 writes only */
    uint64_t offset, size;                 /* bytes, multiples of block_size: where on the device */
    uint64_t io_size;                      /* bytes after which each job ends; 0: `size` */
    bool time_based;                       /* run for runtime_ns; else io_size is a limit too */
    uint64_t runtime_ns;                   /* 0: no limit */
    uint64_t ramp_ns;                      /* not measured, before the runtime */
    uint32_t fsync;                        /* a flush after this many writes of a job; 0: none */
    uint64_t rate[3], rate_iops[3]; /* of a job and direction, a second at most; 0: no limit */
    uint64_t thinktime_ns;          /* without I/O whenever thinktime_blocks of a job have ended */
    uint32_t thinktime_blocks;
    uint64_t seed;
    bool verify;   /* writes carry their place and a crc32c, reads are checked */
    bool in_place; /* data lives in the queues' own buffers, each with room for its share of the
                      operations, page by page */
    bool log;      /* keep an entry of each measured operation, or of each window */
    uint64_t log_window_ns; /* 0: of each operation */
    enum pv_poll_mode mode;
};

struct pv_blk_direction_result {
    uint64_t ios, bytes;
    struct pv_histogram slat, clat, lat; /* ns: until submitted, from then on, both */
};

/* What one job did. */
struct pv_blk_job_result {
    struct pv_blk_direction_result direction[3]; /* by enum pv_blk_direction */
    uint64_t syncs;
    struct pv_histogram sync_lat;
    /* How many of the job's were outstanding at each issue: 1, 2, 4, 8, 16, 32, >= 64. */
    uint64_t depth_level[PV_BLK_DEPTH_LEVELS];
};

/* An operation, or all operations of one direction in a window. */
struct pv_blk_log_entry {
    uint64_t time_ns;   /* of its end, since the measured run began */
    uint64_t window_ns; /* 0: an operation */
    uint64_t ios, bytes;
    uint64_t slat, clat, lat; /* ns, means */
    uint64_t offset;          /* bytes; 0 for a window */
    enum pv_blk_direction direction;
};

/* The first block that did not hold what it should. */
struct pv_blk_mismatch {
    uint64_t offset; /* bytes on the device */
    uint32_t expected_crc, found_crc;
    bool is_ours; /* the block carries the next two, so it is one of this workload's writes */
    uint64_t found_offset, found_sequence;
};

/* What is counted for all jobs together. */
struct pv_blk_workload_result {
    uint64_t elapsed_ns;
    uint64_t user_ns, system_ns, context_switches, major_faults, minor_faults;
    /* How many at once: 0, up to 4, 8, 16, 32, 64, more. */
    uint64_t depth_submit[PV_BLK_DEPTH_LEVELS], depth_complete[PV_BLK_DEPTH_LEVELS];
    uint64_t sleeps;                  /* times the thread waited for an event */
    uint64_t errors;                  /* operations that failed */
    int first_error;                  /* negative errno */
    uint64_t verified, verify_errors; /* blocks */
    struct pv_blk_mismatch mismatch;
};

struct pv_blk_progress {
    uint64_t ios[3], bytes[3]; /* by enum pv_blk_direction, since the ramp */
};

/* NULL with errno set: EINVAL for a configuration that makes no sense. */
PV_API struct pv_blk_workload *pv_blk_workload_create(const struct pv_blk_workload_config *config);
PV_API void pv_blk_workload_destroy(struct pv_blk_workload *workload);
/* Learns what the region holds from a file with the device's content, so that reads are checked
 * from the first on. 0 or a negative errno. */
PV_API int pv_blk_workload_expect(struct pv_blk_workload *workload, int fd);
/* Each of these runs to its end in the calling thread. 0, -EIO after a failed operation (nothing
 * more is issued then), -EPROTO for a broken queue, -ETIMEDOUT when the backend does not answer,
 * -ENOMEM when the log has no room. Layout writes every block once, verify reads every block whose
 * content is known; neither is measured. */
PV_API int pv_blk_workload_layout(struct pv_blk_workload *workload);
PV_API int pv_blk_workload_run(struct pv_blk_workload *workload);
PV_API int pv_blk_workload_verify(struct pv_blk_workload *workload);
/* These may be called from any thread, `job` from 0 on. Stopping lets what is outstanding end. */
PV_API void pv_blk_workload_stop(struct pv_blk_workload *workload);
PV_API void pv_blk_workload_get_progress(const struct pv_blk_workload *workload, uint32_t job,
                                         struct pv_blk_progress *progress);
/* Asks the thread that runs the workload for a copy of all results as they are: `jobs` of them, and
 * what they have together. `copied` is true once they are there, or before the first is asked for;
 * an answer may come with a later run, so the copies have to stay until then. */
PV_API void pv_blk_workload_copy(struct pv_blk_workload *workload,
                                 struct pv_blk_workload_result *result,
                                 struct pv_blk_job_result *jobs);
PV_API bool pv_blk_workload_copied(const struct pv_blk_workload *workload);
/* These are for when no run goes on. The log is in the order in which operations ended. */
PV_API const struct pv_blk_workload_result *
pv_blk_workload_get_result(const struct pv_blk_workload *workload);
PV_API const struct pv_blk_job_result *
pv_blk_workload_get_job_result(const struct pv_blk_workload *workload, uint32_t job);
PV_API const struct pv_blk_log_entry *
pv_blk_workload_get_log(const struct pv_blk_workload *workload, uint32_t job, uint64_t *count);
/* cffi: end */

#endif
