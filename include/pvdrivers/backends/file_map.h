/*
 * A mapped file that outlives the process, and that others may truncate meanwhile. An access behind
 * the end of a mapped file raises SIGBUS, which would end the process and the service of every
 * guest. Instead, missing pages of these maps are replaced by empty private ones: the program goes
 * on, and what it stores there from then on is lost when it ends.
 *
 * The first map installs a SIGBUS handler; signals for other addresses go on to the earlier
 * handler.
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
