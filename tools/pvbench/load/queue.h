/* What a block workload asks of a queue, whatever its device class. */
#ifndef TOOLS_PVBENCH_LOAD_QUEUE_H
#define TOOLS_PVBENCH_LOAD_QUEUE_H

#include "pvdrivers/frontends/vbd/blkfront.h"

/* cffi: begin */
/* Operations are blkfront's: READ, WRITE, FLUSH_DISKCACHE and DISCARD. The functions do what those
 * of the same names in blkfront.h do. */
struct pv_load_queue_ops {
    int (*submit)(void *front, struct pv_blkfront_io **ios, unsigned count);
    int (*poll)(void *front, struct pv_blkfront_io **done, unsigned budget);
    bool (*has_news)(const void *front);
    bool (*arm)(void *front);
    void *(*buffers)(void *front);
    bool (*is_broken)(const void *front);
    int (*describe)(const void *front, char *line, size_t size);
};

struct pv_load_queue {
    const struct pv_load_queue_ops *ops;
    void *front;
};

/* A ring of a disk. */
PV_API struct pv_load_queue pv_load_blk_queue(struct pv_blkfront_queue *queue);
/* cffi: end */

#endif
