/*
 * What memory and the kernel alone can do, as baselines of `pvbench compare`:
 *
 *   bare KIND MILLISECONDS PERCENTILE...
 *   bare memcpy MILLISECONDS BYTES BLOCK DEPTH
 *   bare net MILLISECONDS SIZE
 *   bare net-tx MILLISECONDS SIZE
 *   bare taps FD FD
 *   bare net-latency MILLISECONDS SIZE PERCENTILE...
 *
 * ring         two processes on one ring of the block protocol's shape, 32 requests outstanding
 * ring-latency the same with one outstanding
 * scsi-ring    as ring, of the SCSI protocol's shape: 16 slots, all of them outstanding
 * eventfd      two processes wake each other in turn
 * memcpy       blocks copied from BYTES of memory, in sequence, to DEPTH blocks in turn
 * net          two processes on two rings of the network protocol's shape: frames of SIZE bytes go
 *              from one to the other and come back, as from guest to guest (0: without data)
 * net-tx       one process sends them on one ring, the other looks at none of their bytes
 * net-latency  as net, with one frame under way
 * taps         no measurement: carries packets between two TAPs until it is killed
 *
 * Prints one object of JSON: `rate` (operations a second; memcpy: bytes), and for the latencies
 * `percentiles`, in ns. The two processes run on the first two processors that they may use.
 */
#include "tools/pvbench/compare/competitors/bare.h"

#include <sys/eventfd.h>

#define LARGE_PAGE ((size_t)2 << 20)

struct channels {
    int to_back, to_front;
};

/* With large pages where the kernel has them, as our ram store. */
static char *allocate_large(size_t bytes)
{
    char *memory =
        mmap(NULL, bytes + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        err(1, "mmap");
    memory += -(uintptr_t)memory % LARGE_PAGE;
    madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 1, bytes);
    return memory;
}

/* ---- eventfd ------------------------------------------------------------------------------- */

static void pass_on(int from, int to)
{
    eventfd_t value;
    if (eventfd_read(from, &value) || eventfd_write(to, 1))
        err(1, "eventfd");
}

static void eventfd_back(void *context)
{
    struct channels *channels = context;
    for (;;)
        pass_on(channels->to_back, channels->to_front);
}

static uint64_t eventfd_latency(void *context, uint64_t end, struct pv_histogram *latency)
{
    struct channels *channels = context;
    uint64_t total = 0;
    for (uint64_t begin; (begin = now_ns()) < end;) {
        eventfd_t value;
        if (eventfd_write(channels->to_back, 1) || eventfd_read(channels->to_front, &value))
            err(1, "eventfd");
        pv_histogram_add(latency, now_ns() - begin);
        total++;
    }
    return total;
}

/* ---- Kinds --------------------------------------------------------------------------------- */

void measure_pair(const struct pair *pair, void *shared, void *front, uint64_t duration,
                  char **percentiles)
{
    struct pv_histogram *latency = calloc(1, sizeof *latency);
    if (!latency)
        err(1, "%s", pair->name);
    pid_t child = start(pair->back, shared);
    uint64_t total = 0, begin = 0, length = RAMP_NS;
    for (int pass = 0; pass < 2; pass++, length = duration) {
        memset(latency, 0, sizeof *latency);
        begin = now_ns();
        total = pair->run(front, begin + length, latency);
    }
    double seconds = (double)(now_ns() - begin) / NS_PER_S;
    stop(child);
    print_result((double)total / seconds, latency,
                 pair->has_latency ? percentiles : (char *[]){NULL});
    free(latency);
}

static void measure_eventfd(uint64_t duration, char **percentiles)
{
    static const struct pair pair = {"eventfd", eventfd_back, eventfd_latency, true};
    struct channels channels = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    if (channels.to_back < 0 || channels.to_front < 0)
        err(1, "eventfd");
    measure_pair(&pair, &channels, &channels, duration, percentiles);
}

static void measure_memcpy(uint64_t duration, size_t bytes, size_t block, size_t depth)
{
    if (block == 0 || depth == 0 || bytes < block)
        errx(1, "nothing to copy");
    char *source = allocate_large(bytes), *target = allocate_large(block * depth);
    uint64_t copied = 0, begin = 0, length = RAMP_NS;
    for (int pass = 0; pass < 2; pass++, length = duration) {
        begin = now_ns();
        copied = 0;
        for (size_t from = 0, to = 0; now_ns() < begin + length; to = (to + 1) % depth) {
            memcpy(target + to * block, source + from, block);
            use(target);
            from = from + 2 * block <= bytes ? from + block : 0;
            copied += block;
        }
    }
    double seconds = (double)(now_ns() - begin) / NS_PER_S;
    print_result((double)copied / seconds, NULL, (char *[]){NULL});
}

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(2, "bare KIND MILLISECONDS ...");
    uint64_t duration = number(argv[2]) * 1000000;
    if (argc == 6 && !strcmp(argv[1], "memcpy")) {
        measure_memcpy(duration, number(argv[3]), number(argv[4]), number(argv[5]));
        return 0;
    }
    if (argc == 4 && !strcmp(argv[1], "taps")) {
        bare_taps((int)number(argv[2]), (int)number(argv[3]));
        return 0;
    }
    if (argc == 4 && !strcmp(argv[1], "net")) {
        bare_net(duration, argv + 3);
        return 0;
    }
    if (argc == 4 && !strcmp(argv[1], "net-tx")) {
        bare_net_tx(duration, argv + 3);
        return 0;
    }
    if (argc > 4 && !strcmp(argv[1], "net-latency")) {
        bare_net_latency(duration, argv + 3);
        return 0;
    }
    if (!strcmp(argv[1], "eventfd")) {
        measure_eventfd(duration, argv + 3);
        return 0;
    }
    if (bare_ring(argv[1], duration, argv + 3))
        return 0;
    errx(2, "%s is no kind", argv[1]);
}
