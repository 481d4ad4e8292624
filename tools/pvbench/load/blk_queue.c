#include "tools/pvbench/load/queue.h"

static int submit(void *front, struct pv_blkfront_io **ios, unsigned count)
{
    return pv_blkfront_submit(front, ios, count);
}

static int poll(void *front, struct pv_blkfront_io **done, unsigned budget)
{
    return pv_blkfront_poll(front, done, budget);
}

static bool has_news(const void *front)
{
    return pv_blkfront_has_news(front);
}

static bool arm(void *front)
{
    return pv_blkfront_arm(front);
}

static void *buffers(void *front)
{
    return pv_blkfront_buffers(front);
}

static bool is_broken(const void *front)
{
    return pv_blkfront_broken(front) != 0;
}

static int describe(const void *front, char *line, size_t size)
{
    return pv_blkfront_describe(front, line, size);
}

static const struct pv_load_queue_ops ops = {
    .submit = submit,
    .poll = poll,
    .has_news = has_news,
    .arm = arm,
    .buffers = buffers,
    .is_broken = is_broken,
    .describe = describe,
};

struct pv_load_queue pv_load_blk_queue(struct pv_blkfront_queue *queue)
{
    return (struct pv_load_queue){.ops = &ops, .front = queue};
}
