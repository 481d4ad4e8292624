#include "backends/stores/file.h"

#include <sys/syscall.h>
#include <unistd.h>

#define CACHE_PAGE 4096u /* or a multiple: then fewer are there, and they count as absent */

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* on every architecture; Linux 6.5 */
#endif

struct range {
    uint64_t start, length; /* bytes */
};

struct cached {
    uint64_t present, dirty, writeback, evicted, recently_evicted; /* pages */
};

bool file_is_cached(const struct file_store *file, const struct pv_blk_io *io)
{
    struct range range = {io->sector * PV_SECTOR_SIZE, io->nr_sectors * PV_SECTOR_SIZE};
    struct cached cached;
    uint64_t first = range.start / CACHE_PAGE, last = (range.start + range.length - 1) / CACHE_PAGE;
    return syscall(SYS_cachestat, file->fd, &range, &cached, 0) == 0 &&
           cached.present > last - first;
}
