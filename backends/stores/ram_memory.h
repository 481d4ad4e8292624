/* The memory of a ram store: zeros, which cost nothing until they are written to. */
#ifndef BACKENDS_STORES_RAM_MEMORY_H
#define BACKENDS_STORES_RAM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ram_memory {
    uint8_t *start;
    size_t size;
    void *area; /* what was mapped for it: as large or a little larger */
    size_t area_size;
    bool large_pages;
};

/* False with errno set when there is no address range for it. */
bool ram_memory_map(struct ram_memory *memory, uint64_t sectors);
void ram_memory_unmap(struct ram_memory *memory);

#endif
