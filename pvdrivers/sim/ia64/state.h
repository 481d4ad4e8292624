/* What the ia64 room keeps in the machine. */
#ifndef PVDRIVERS_SIM_IA64_STATE_H
#define PVDRIVERS_SIM_IA64_STATE_H

#include "pvdrivers/ring/abi_efi.h"

#define IA64_MAX_DESCRIPTORS 256

/* In struct machine. It does not change once there is a domain. */
struct ia64_machine {
    uint32_t efi_count; /* 0: nobody has told what the firmware says */
    struct efi_memory_desc efi_map[IA64_MAX_DESCRIPTORS];
};

#endif
