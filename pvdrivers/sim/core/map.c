#include "pvdrivers/sim/core/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* A host may give files in memory large pages by itself (shmem_enabled). Domains' windows are
 * sparse and would take a hundred times the memory with them. A kernel that has none refuses the
 * advice. */
static void use_small_pages(void *start, uint64_t size)
{
    madvise(start, size, MADV_NOHUGEPAGE);
}

void *map_file(int fd, uint64_t size)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED)
        return NULL;
    /* Not for core files: a dump of the machine is a copy of its populated parts, not of terabytes
     * of address range. */
    madvise(base, size, MADV_DONTDUMP);
    use_small_pages(base, size);
    return base;
}

int map_memory(const struct pv_machine *machine, void *place, uint64_t address, uint64_t size,
               bool readonly)
{
    if (mmap(place, size, readonly ? PROT_READ : PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED | MAP_NORESERVE, machine->memory_fd,
             (off_t)address) == MAP_FAILED)
        return -ENOMEM;
    use_small_pages(place, size);
    return 0;
}

void punch_memory(struct pv_machine *machine, uint64_t address, uint64_t size)
{
    fallocate(machine->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)address,
              (off_t)size);
}

void punch_segment(struct pv_machine *machine, uint64_t offset, uint64_t size)
{
    fallocate(machine->segment_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
              (off_t)size);
}
