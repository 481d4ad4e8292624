/* Memory of which perhaps little is ever used. */
#ifndef BACKENDS_RESERVE_H
#define BACKENDS_RESERVE_H

#include <stddef.h>
#include <sys/mman.h>

/* Zeroed memory, whose pages come with their first use; munmap gives it back. NULL: see errno. */
static inline void *reserve(size_t size)
{
    void *area = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return area == MAP_FAILED ? NULL : area;
}

#endif
