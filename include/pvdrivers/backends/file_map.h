/*
 * A file in memory that outlives the process, and that others may truncate meanwhile. To touch what
 * lies behind the end of a mapped file is SIGBUS, which would end the process and the service of
 * every guest. Pages of these maps that are gone are replaced by empty ones of the process instead:
 * the program goes on, and what it stores there from then on ends with it.
 *
 * The first map takes over the process's SIGBUS handler; what is no map's goes on to the one
 * before.
 */
#ifndef PVDRIVERS_BACKENDS_FILE_MAP_H
#define PVDRIVERS_BACKENDS_FILE_MAP_H

#include "pvdrivers/types.h"

/* cffi: begin */
struct pv_file_map;

/* Maps the first `size` bytes of the file, shared. The fd may be closed afterwards. NULL: see
 * errno.
 */
PV_API struct pv_file_map *pv_file_map_create(int fd, size_t size);
PV_API void *pv_file_map_memory(const struct pv_file_map *map);
/* Whether some of the file was gone when it was touched. */
PV_API bool pv_file_map_is_lost(const struct pv_file_map *map);
PV_API void pv_file_map_destroy(struct pv_file_map *map);
/* cffi: end */

#endif
