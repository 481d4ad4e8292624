/* CRC-32C (Castagnoli, RFC 3720 B.4), with the processor's instruction where there is one. */
#ifndef TOOLS_PVBENCH_LOAD_CRC32C_H
#define TOOLS_PVBENCH_LOAD_CRC32C_H

#include "pvdrivers/types.h"

/* cffi: begin */
/* Continues `crc`, 0 at the start. */
PV_API uint32_t pv_crc32c(uint32_t crc, const void *data, size_t size);
/* The same without the instruction. */
PV_API uint32_t pv_crc32c_portable(uint32_t crc, const void *data, size_t size);
/* cffi: end */

#endif
