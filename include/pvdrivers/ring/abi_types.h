/*
 * Integer types of the guest ABIs whose structs are declared in the abi_*.h headers. Where the
 * ABIs agree a struct has Xen's own name; where they differ it is suffixed _x86_64 (the LP64
 * layout, which ia64 shares unless there is an _ia64 one) and _x86_32.
 */
#ifndef PVDRIVERS_RING_ABI_TYPES_H
#define PVDRIVERS_RING_ABI_TYPES_H

#include "pvdrivers/types.h"

/* The i386 psABI aligns 64-bit integers in structs to 4 bytes. */
typedef uint64_t __attribute__((aligned(4))) pv_x86_32_u64;

#endif
