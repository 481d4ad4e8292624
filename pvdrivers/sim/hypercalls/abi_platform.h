/* Argument structures of platform_op, with Xen's names (platform.h of Xen 4.17, x86-64). */
#ifndef PVDRIVERS_SIM_HYPERCALLS_ABI_PLATFORM_H
#define PVDRIVERS_SIM_HYPERCALLS_ABI_PLATFORM_H

#include "pvdrivers/types.h"

#define XENPF_INTERFACE_VERSION 0x03000001

#define XENPF_mem_hotadd 59

struct xenpf_mem_hotadd {
    uint64_t spfn, epfn; /* frames, the last one not included */
    uint32_t pxm, flags;
};

struct xen_platform_op {
    uint32_t cmd, interface_version;
    union {
        struct xenpf_mem_hotadd mem_add;
        uint8_t pad[128];
    } u;
};

#endif
