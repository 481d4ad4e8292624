/* Large pages cause fewer TLB misses. The first byte written to one allocates it as a whole. */
#include "backends/stores/ram_memory.h"
#include "backends/reserve.h"
#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/types.h"

#include <errno.h>
#include <unistd.h>

#define LARGE_PAGE ((size_t)2 << 20)

static uint64_t promised; /* bytes of this process's stores with large pages */

/* Whether all stores with large pages fit into half of the host's memory, this one included.
 * So large pages never cost more than that, however few blocks guests write; and a disk larger than
 * memory costs only what is written to it. */
static bool promise(size_t size)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (pv_fetch_add_64(&promised, size) + size <= memory / 2)
        return true;
    pv_fetch_sub_64(&promised, size);
    return false;
}

bool ram_memory_map(struct ram_memory *memory, uint64_t sectors)
{
    if (sectors > (SIZE_MAX - LARGE_PAGE) / PV_SECTOR_SIZE) {
        errno = ENOMEM;
        return false;
    }
    size_t size = sectors * PV_SECTOR_SIZE;
    bool holds_large_pages = size >= LARGE_PAGE;
    size_t area_size = holds_large_pages ? size + LARGE_PAGE : size;
    uint8_t *area = reserve(area_size);
    if (!area)
        return false;
    *memory = (struct ram_memory){area, size, area, area_size, false};
    if (holds_large_pages) {
        memory->start += -(uintptr_t)area % LARGE_PAGE;
        memory->large_pages = promise(size);
        /* Advice: a kernel without large pages refuses it, and nothing is lost. */
        madvise(memory->start, size, memory->large_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    }
    return true;
}

void ram_memory_unmap(struct ram_memory *memory)
{
    munmap(memory->area, memory->area_size);
    if (memory->large_pages)
        pv_fetch_sub_64(&promised, memory->size);
}
