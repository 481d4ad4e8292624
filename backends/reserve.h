/* Memory of which perhaps little is ever used. */
#ifndef BACKENDS_RESERVE_H
#define BACKENDS_RESERVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* Zeroed memory, whose pages come with their first use; munmap gives it back. NULL: see errno. */
static inline void *reserve(size_t size)
{
    void *area = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return area == MAP_FAILED ? NULL : area;
}

/* The next part of an area, with cache lines of its own; without an area it only adds up the size.
 */
static inline void *carve(uint8_t *area, size_t *at, size_t count, size_t size)
{
    void *part = area ? area + *at : NULL;
    *at += (count * size + 63) & ~(size_t)63;
    return part;
}

#endif
