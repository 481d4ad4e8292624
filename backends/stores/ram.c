/* Sectors in this process's memory; data is copied to and from it at once. */
#include "backends/stores/ram_memory.h"
#include "pvdrivers/backends/stores/stores.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HOST_PAGE 4096u /* the host's may be a multiple: a discard then zeroes more itself */

struct ram_store {
    struct pv_blk_store store;
    struct ram_memory memory;
};

static void *memory(struct pv_blk_store *store, uint64_t sector, uint64_t nr_sectors)
{
    (void)nr_sectors;
    return ((struct ram_store *)store)->memory.start + sector * PV_SECTOR_SIZE;
}

static void transfer(uint8_t *memory, const struct pv_blk_io *io)
{
    for (int i = 0; i < io->iov_count; i++) {
        const struct iovec *iov = &io->iov[i];
        if (io->op == PV_BLK_READ)
            memcpy(iov->iov_base, memory, iov->iov_len);
        else
            memcpy(memory, iov->iov_base, iov->iov_len);
        memory += iov->iov_len;
    }
}

/* Whole pages go back to the host, which gives zeros when they are touched again. Of a large page
 * the host takes a part back only when it runs short. */
static void discard(uint8_t *start, size_t size)
{
    uint8_t *end = start + size;
    uint8_t *first = (uint8_t *)(((uintptr_t)start + HOST_PAGE - 1) & ~(uintptr_t)(HOST_PAGE - 1));
    uint8_t *last = (uint8_t *)((uintptr_t)end & ~(uintptr_t)(HOST_PAGE - 1));
    if (first >= last || madvise(first, (size_t)(last - first), MADV_DONTNEED) < 0) {
        memset(start, 0, size);
        return;
    }
    memset(start, 0, (size_t)(first - start));
    memset(last, 0, (size_t)(end - last));
}

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct pv_blk_io *io = ios[i];
        uint8_t *start = memory(store, io->sector, io->nr_sectors);
        if (io->op == PV_BLK_DISCARD)
            discard(start, io->nr_sectors * PV_SECTOR_SIZE);
        else if (io->op != PV_BLK_FLUSH)
            transfer(start, io);
        io->status = 0;
        io->complete(io);
    }
}

static void close_store(struct pv_blk_store *store)
{
    struct ram_store *ram = (struct ram_store *)store;
    ram_memory_unmap(&ram->memory);
    free(ram);
}

static const struct pv_blk_store_ops ram_ops = {
    .name = "ram", .submit = submit, .memory = memory, .close = close_store};

struct pv_blk_store *pv_ram_store_create(uint64_t sectors, uint32_t sector_size)
{
    struct ram_store *ram = calloc(1, sizeof *ram);
    if (!ram)
        return NULL;
    if (!ram_memory_map(&ram->memory, sectors)) {
        free(ram);
        return NULL;
    }
    ram->store.ops = &ram_ops;
    ram->store.geometry = (struct pv_blk_geometry){.sectors = sectors,
                                                   .sector_size = sector_size,
                                                   .physical_sector_size = sector_size,
                                                   .discard_granularity = sector_size,
                                                   .can_flush = true,
                                                   .can_discard = true,
                                                   .can_secure_discard = true};
    return &ram->store;
}
