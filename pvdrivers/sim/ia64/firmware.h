/* The tables that an ia64 guest's kernel reads as its firmware's: EFI's, SAL's (Itanium System
 * Abstraction Layer specification, 3.2) and ACPI's (2.0). Addresses in them are guest-physical. */
#ifndef PVDRIVERS_SIM_IA64_FIRMWARE_H
#define PVDRIVERS_SIM_IA64_FIRMWARE_H

#include "pvdrivers/sim/ia64/internal.h"

/* ---- Where they lie in a guest: all in its first page ---- */

#define STUBS_START 0 /* what is called, in bundles of 16 bytes */
#define ACPI_START 0x1000
#define TABLES_START PV_IA64_EFI_SYSTEM_TABLE
#define TABLES_END IA64_PAGE_SIZE

/* The bundle in which each begins. */
#define STUB_EFI 0x10 /* and the following: enum efi_service */
#define STUB_PAL 0x80
#define STUB_SAL 0x82
#define STUB_SAL_RETURN 0x84
#define STUB_ADDRESS(bundle) (STUBS_START + (bundle) * 16ull)

/* In the order of their hypercalls' numbers. */
enum efi_service {
    GET_TIME,
    SET_TIME,
    GET_WAKEUP_TIME,
    SET_WAKEUP_TIME,
    SET_VIRTUAL_ADDRESS_MAP,
    GET_VARIABLE,
    GET_NEXT_VARIABLE,
    SET_VARIABLE,
    GET_NEXT_HIGH_MONO_COUNT,
    RESET_SYSTEM,
    EFI_SERVICES
};

/* What makes a table's bytes a sum of 0, when its byte for that is 0. */
static inline uint8_t checksum(const void *table, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += ((const uint8_t *)table)[i];
    return (uint8_t)-sum;
}

/* ---- stubs.c, acpi.c, firmware.c: each fills its part of the page ---- */
void fill_stubs(uint8_t *page);
void fill_acpi(uint8_t *page, unsigned vcpus);
void fill_firmware(uint8_t *page, unsigned vcpus);

#endif
