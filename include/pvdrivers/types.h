/* Names and constants every part shares; values from Xen's public headers (xen.h, io/protocols.h).
 */
#ifndef PVDRIVERS_TYPES_H
#define PVDRIVERS_TYPES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define PV_API extern "C" __attribute__((visibility("default")))
#else
#define PV_API __attribute__((visibility("default")))
#endif
/* A function whose body is in the header: the extension calls it without the library. */
#define PV_INLINE static inline

/* cffi: begin */
typedef uint16_t domid_t;
typedef uint32_t grant_ref_t;
typedef uint32_t grant_handle_t;
typedef uint32_t evtchn_port_t;

/* Bytes: the unit of every sector number, whatever a disk's own sector size. */
#define PV_SECTOR_SIZE 512

#define DOMID_FIRST_RESERVED 0x7FF0
#define DOMID_SELF 0x7FF0
#define DOMID_XEN 0x7FF2 /* whose the hypervisor's own pages are */
#define DOMID_INVALID 0x7FF4
#define DOMID_IDLE 0x7FFF /* whose vcpus CPUs run that have nothing to do */

/* The guest ABIs a ring's other half may be built for (io/protocols.h; ia64-abi until 2012). */
enum pv_abi { PV_ABI_X86_64, PV_ABI_X86_32, PV_ABI_IA64, PV_ABI_COUNT };
/* cffi: end */

#endif
