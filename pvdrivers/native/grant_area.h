/* Grants mapped in one call. The kernel takes such an area back only as a whole, so it stays mapped
 * until the last of its pages is given back. */
#ifndef PVDRIVERS_NATIVE_GRANT_AREA_H
#define PVDRIVERS_NATIVE_GRANT_AREA_H

#include "pvdrivers/native/hypervisor.h"

#define GRANT_AREA_MAX 64u /* pages */

/* Maps all of them, at most GRANT_AREA_MAX, with the protection of the first; false: none. */
bool grant_area_map(struct native_hypervisor *hv, struct pv_grant_map *maps, unsigned count);
/* Gives back the page at `address`; false: it is not mapped, or the kernel refused. */
bool grant_area_unmap(struct native_hypervisor *hv, void *address);
/* The areas stay mapped; nothing is kept of them. */
void grant_areas_forget(struct native_hypervisor *hv);

#endif
