/*
 * The guest ABIs as data: page size, protocol string, and every struct's size and offsets, for
 * tools and languages that do not read the abi_*.h headers.
 */
#ifndef PVDRIVERS_RING_ABI_LAYOUT_H
#define PVDRIVERS_RING_ABI_LAYOUT_H

#include "pvdrivers/types.h"

/* cffi: begin */
struct pv_abi_field {
    unsigned abis;     /* bit (1 << enum pv_abi): the ABIs it is so on */
    const char *type;  /* Xen's name of the struct */
    const char *field; /* dotted path, "" for the struct itself */
    uint32_t offset, bytes;
};

/* All fields of all structs, padding left out; fields of one struct follow each other. */
PV_API const struct pv_abi_field *pv_abi_fields(unsigned *count);
/* Bytes of a page, hence of a ring page and of a grant: 4096, ia64 16384. */
PV_API uint32_t pv_abi_page_size(enum pv_abi abi);
/* What a frontend writes into its `protocol` key. */
PV_API const char *pv_abi_protocol(enum pv_abi abi);
/* cffi: end */

#endif
