/*
 * The seam over a real Xen: libxenevtchn, libxengnttab and libxenforeignmemory, loaded at run time,
 * so that nothing of Xen is needed to build or to install.
 *
 * What a real Xen does differently, and the drivers need not know:
 * - A batch of maps is mapped page by page, since the kernel (gntdev) takes a mapping back only as
 *   a whole, and a driver unmaps its pages one by one.
 * - A grant and its page are made together (gntalloc). grant_access therefore puts the granted page
 *   in the place of the private one, contents and all, and grant_end puts a private copy back; the
 *   kernel keeps the old page for as long as the peer uses it, so grant_end never gives -EBUSY. A
 *   page can be granted once at a time: -EBUSY else.
 */
#ifndef PVDRIVERS_NATIVE_NATIVE_H
#define PVDRIVERS_NATIVE_NATIVE_H

#include "pvdrivers/hypervisor.h"

/* cffi: begin */
/* Opens the view of `domid`, the domain this process runs in. `folder` is where the libraries lie;
 * NULL lets the dynamic linker look. On failure a negative errno, and `problem` says in one line
 * which library or device was missing (-ENOENT: there is no Xen here). */
PV_API int pv_native_open_hypervisor(const char *folder, domid_t domid, struct pv_hypervisor **out,
                                     char *problem, size_t problem_size);
/* cffi: end */

#endif
