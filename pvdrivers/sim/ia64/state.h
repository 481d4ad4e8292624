/* What the ia64 room keeps in the machine and in each domain. */
#ifndef PVDRIVERS_SIM_IA64_STATE_H
#define PVDRIVERS_SIM_IA64_STATE_H

#include "pvdrivers/ring/abi_efi.h"

#include <pthread.h>
#include <stdbool.h>

#define IA64_MAX_DESCRIPTORS 256
#define IA64_MAX_IO_SPACES 16

/* An I/O port space beside the legacy one, as dom0 has told of it. */
struct ia64_io_space {
    uint64_t base;
    bool sparse;
};

/* In struct machine. */
struct ia64_machine {
    uint32_t efi_count; /* 0: nobody has told what the firmware says. The map does not change once
                         * there is a domain */
    struct efi_memory_desc efi_map[IA64_MAX_DESCRIPTORS];
    uint32_t io_spaces; /* under machine.lock, like those */
    struct ia64_io_space io_space[IA64_MAX_IO_SPACES];
};

/* In struct domain. The lock is initialised once per domid and never wiped. */
struct ia64_domain {
    pthread_mutex_t lock; /* what is assigned to its addresses, in its area */
    bool p2m_shown;       /* its P2M table is kept, for somebody sees it */
    uint64_t debug_flags;
};

#endif
