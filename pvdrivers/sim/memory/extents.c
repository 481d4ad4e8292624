#include "pvdrivers/sim/memory/extents.h"

#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void add(struct machine *shared, uint64_t start, uint64_t end, unsigned zone,
                const struct pv_memory_extent *given)
{
    if (start < end)
        shared->extents[shared->extent_count++] =
            (struct memory_extent){.start = start,
                                   .size = end - start,
                                   .count = given->absent ? 0 : end - start,
                                   .node = (uint16_t)given->node,
                                   .zone = (uint16_t)zone};
}

/* Others look whether it is there without the lock. */
static uint64_t frames_of(const struct memory_extent *extent)
{
    return __atomic_load_n(&extent->count, __ATOMIC_ACQUIRE);
}

void extents_count_nodes(struct machine *shared)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < shared->extent_count; i++)
        if (shared->extents[i].count && shared->extents[i].node >= count)
            count = shared->extents[i].node + 1u;
    __atomic_store_n(&shared->node_count, count, __ATOMIC_RELEASE);
}

/* One that reaches over 4 GiB is two. */
void extents_init(struct machine *shared, const struct pv_machine_config *config)
{
    for (uint32_t i = 0; i < config->extent_count; i++) {
        const struct pv_memory_extent *extent = &config->extents[i];
        uint64_t start = extent->start >> FRAME_SHIFT;
        uint64_t end = start + (extent->size >> FRAME_SHIFT);
        add(shared, start, end < DMA32_FRAMES ? end : DMA32_FRAMES, ZONE_DMA32, extent);
        add(shared, start > DMA32_FRAMES ? start : DMA32_FRAMES, end, ZONE_NORMAL, extent);
    }
    extents_count_nodes(shared);
}

const struct memory_extent *extent_of(const struct machine *shared, uint64_t mfn)
{
    uint32_t first = 0, end = shared->extent_count;
    while (end - first > 1) {
        uint32_t middle = first + (end - first) / 2;
        if (mfn < shared->extents[middle].start)
            end = middle;
        else
            first = middle;
    }
    const struct memory_extent *extent = &shared->extents[first];
    return mfn - extent->start < frames_of(extent) ? extent : NULL;
}

bool is_xen_heap(const struct machine *shared, uint64_t mfn)
{
    uint64_t heap = shared->layout.xenheap >> FRAME_SHIFT;
    return mfn - heap < shared->max_domains * (shared->layout.xenheap_window >> FRAME_SHIFT);
}

uint64_t extents_of_node(const struct machine *shared, unsigned node)
{
    uint64_t frames = 0;
    for (uint32_t i = 0; i < shared->extent_count; i++)
        if (shared->extents[i].node == node)
            frames += frames_of(&shared->extents[i]);
    return frames;
}

uint64_t extents_last_before(const struct machine *shared, uint64_t mfn)
{
    for (uint32_t i = shared->extent_count; i-- > 0;) {
        uint64_t start = shared->extents[i].start, frames = frames_of(&shared->extents[i]);
        if (frames && start < mfn)
            return start + frames < mfn ? start + frames - 1 : mfn - 1;
    }
    return NO_FRAME;
}

uint64_t extents_end(const struct machine *shared)
{
    return extents_last_before(shared, UINT64_MAX) + 1;
}

/* ---- Memory that is added ----------------------------------------------------------------------
 */

static struct memory_extent *find_absent(struct machine *shared,
                                         const struct pv_memory_extent *wanted)
{
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        struct memory_extent *extent = &shared->extents[i];
        if (extent->start << FRAME_SHIFT == wanted->start &&
            extent->size << FRAME_SHIFT == wanted->size && extent->node == wanted->node)
            return extent->count ? NULL : extent;
    }
    return NULL;
}

/* One store decides: a process killed before it has changed nothing, and of one killed after it the
 * repair counts what follows from it. */
int pv_machine_add_memory(struct pv_machine *machine, const struct pv_memory_extent *wanted)
{
    struct machine *shared = machine->shared;
    machine_lock(machine);
    struct memory_extent *extent = find_absent(shared, wanted);
    if (extent) {
        __atomic_store_n(&extent->count, extent->size, __ATOMIC_RELEASE);
        extents_count_nodes(shared);
        heap_count_unopened(shared, extent);
    }
    machine_unlock(machine);
    return extent ? 0 : -EINVAL;
}

/* ---- Facts about the machine's memory: under no lock ----------------------------------------- */

int pv_machine_check_frame(struct pv_machine *machine, uint64_t mfn)
{
    return extent_of(machine->shared, mfn) || is_xen_heap(machine->shared, mfn) ? 0 : -EFAULT;
}

uint64_t pv_machine_total_memory(struct pv_machine *machine)
{
    uint64_t frames = 0;
    for (uint32_t i = 0; i < machine->shared->extent_count; i++)
        frames += frames_of(&machine->shared->extents[i]);
    return frames << FRAME_SHIFT;
}

uint32_t pv_machine_node_count(struct pv_machine *machine)
{
    return __atomic_load_n(&machine->shared->node_count, __ATOMIC_ACQUIRE);
}

/* ---- The frame table ------------------------------------------------------------------------- */

/* Bytes of the host's memory between two places of a file. */
static uint64_t data_between(int fd, off_t from, off_t end)
{
    uint64_t bytes = 0;
    while (from < end) {
        off_t data = lseek(fd, from, SEEK_DATA);
        if (data < 0 || data >= end)
            break;
        from = lseek(fd, data, SEEK_HOLE);
        bytes += (uint64_t)((from < end ? from : end) - data);
    }
    return bytes;
}

int pv_machine_frame_table(struct pv_machine *machine, struct pv_frame_table *table)
{
    const struct machine *shared = machine->shared;
    const struct machine_layout *layout = &shared->layout;
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", machine->segment_fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC); /* with a file offset of its own */
    if (fd < 0)
        return -errno;
    *table = (struct pv_frame_table){
        .dense = extents_end(shared) * sizeof(struct page_info),
        .existing = (pv_machine_total_memory(machine) >> FRAME_SHIFT) * sizeof(struct page_info),
        .resident = data_between(fd, (off_t)layout->frame_table, (off_t)layout->domains)};
    close(fd);
    return 0;
}
