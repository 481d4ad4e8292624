/* A guest's EFI and SAL tables. Its memory map is not among them: that has a page of its own. */
#include "pvdrivers/sim/ia64/firmware.h"

#define EFI_SYSTEM_TABLE_SIGNATURE 0x5453595320494249ull     /* "IBI SYST" */
#define EFI_RUNTIME_SERVICES_SIGNATURE 0x56524553544e5552ull /* "RUNTSERV" */
#define EFI_REVISION 0x10000                                 /* 1.00 */
#define BOOT_RENDEZVOUS_VECTOR 0xf3
#define SERVICES 11 /* with ConvertPointer, which Xen does not have */

struct efi_guid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
};

static const struct efi_guid sal_system_table_guid = {
    0xeb9d2d32, 0x2d88, 0x11d3, {0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
static const struct efi_guid acpi_20_table_guid = {
    0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};

struct efi_table_header {
    uint64_t signature;
    uint32_t revision, header_size, crc32, reserved;
};

struct efi_system_table {
    struct efi_table_header header;
    uint64_t vendor; /* UTF-16 */
    uint32_t vendor_revision, pad;
    uint64_t consoles[6]; /* there are none */
    uint64_t runtime_services, boot_services;
    uint64_t table_count, tables;
};
static_assert(sizeof(struct efi_system_table) == 120, "efi_system_table");

struct efi_runtime_services {
    struct efi_table_header header;
    uint64_t services[SERVICES]; /* addresses of descriptors */
};
static_assert(sizeof(struct efi_runtime_services) == 112, "efi_runtime_services");

struct efi_configuration_table {
    struct efi_guid guid;
    uint64_t address;
};

/* What a function's address is on IA-64. */
struct descriptor {
    uint64_t entry, global_pointer;
};

struct sal_system_table {
    char signature[4];
    uint32_t size;
    uint8_t revision_minor, revision_major;
    uint16_t entry_count;
    uint8_t checksum, reserved[7];
    uint8_t version_a[2], version_b[2];
    char oem[32], product[32];
    uint8_t reserved2[8];
};
static_assert(sizeof(struct sal_system_table) == 96, "sal_system_table");

enum { SAL_ENTRY_POINT = 0, SAL_AP_WAKEUP = 5 };

struct sal_entry_point {
    uint8_t type, reserved[7];
    uint64_t pal, sal, global_pointer;
    uint8_t reserved2[16];
};
static_assert(sizeof(struct sal_entry_point) == 48, "sal_entry_point");

struct sal_ap_wakeup {
    uint8_t type, mechanism, reserved[6]; /* mechanism 0: an interrupt */
    uint64_t vector;
};
static_assert(sizeof(struct sal_ap_wakeup) == 16, "sal_ap_wakeup");

struct tables {
    struct efi_system_table system;
    struct efi_runtime_services runtime;
    struct efi_configuration_table configuration[2];
    struct descriptor services[EFI_SERVICES];
    uint16_t vendor[12]; /* and zeros */
    struct sal_system_table sal;
    struct sal_entry_point entry_point;
    struct sal_ap_wakeup ap_wakeup;
};
static_assert(offsetof(struct tables, entry_point) ==
                  offsetof(struct tables, sal) + sizeof(struct sal_system_table),
              "SAL's follow each other");
static_assert(sizeof(struct tables) <= TABLES_END - TABLES_START, "in the guest's first page");

#define ADDRESS(member) (TABLES_START + offsetof(struct tables, member))

/* Which of EFI's services each of ours is. */
static const unsigned position[EFI_SERVICES] = {
    [GET_TIME] = 0,
    [SET_TIME] = 1,
    [GET_WAKEUP_TIME] = 2,
    [SET_WAKEUP_TIME] = 3,
    [SET_VIRTUAL_ADDRESS_MAP] = 4,
    [GET_VARIABLE] = 6,
    [GET_NEXT_VARIABLE] = 7,
    [SET_VARIABLE] = 8,
    [GET_NEXT_HIGH_MONO_COUNT] = 9,
    [RESET_SYSTEM] = 10,
};

static struct efi_table_header header(uint64_t signature)
{
    return (struct efi_table_header){.signature = signature,
                                     .revision = EFI_REVISION,
                                     .header_size = sizeof(struct efi_table_header)};
}

static void fill_efi(struct tables *t)
{
    static const uint16_t vendor[] = {'X', 'e', 'n', '/', 'i', 'a', '6', '4', 0};
    static_assert(sizeof vendor <= sizeof t->vendor, "room");
    memcpy(t->vendor, vendor, sizeof vendor);
    t->system = (struct efi_system_table){.header = header(EFI_SYSTEM_TABLE_SIGNATURE),
                                          .vendor = ADDRESS(vendor),
                                          .vendor_revision = 1,
                                          .runtime_services = ADDRESS(runtime),
                                          .table_count = 2,
                                          .tables = ADDRESS(configuration)};
    t->runtime.header = header(EFI_RUNTIME_SERVICES_SIGNATURE);
    for (unsigned i = 0; i < EFI_SERVICES; i++) {
        t->services[i].entry = STUB_ADDRESS(STUB_EFI + i);
        t->runtime.services[position[i]] = ADDRESS(services) + i * sizeof t->services[i];
    }
    t->configuration[0] = (struct efi_configuration_table){sal_system_table_guid, ADDRESS(sal)};
    t->configuration[1] = (struct efi_configuration_table){acpi_20_table_guid, ACPI_START};
}

static void fill_sal(struct tables *t)
{
    t->sal = (struct sal_system_table){.signature = "SST_",
                                       .size = sizeof t->sal,
                                       .revision_minor = 1,
                                       .entry_count = 2,
                                       .oem = "Xen/ia64",
                                       .product = "Xen/ia64"};
    t->entry_point = (struct sal_entry_point){
        .type = SAL_ENTRY_POINT, .pal = STUB_ADDRESS(STUB_PAL), .sal = STUB_ADDRESS(STUB_SAL)};
    t->ap_wakeup = (struct sal_ap_wakeup){.type = SAL_AP_WAKEUP, .vector = BOOT_RENDEZVOUS_VECTOR};
    t->sal.checksum = checksum(&t->sal, sizeof *t - offsetof(struct tables, sal));
}

void fill_firmware(uint8_t *page, unsigned vcpus)
{
    struct tables *tables = (struct tables *)(page + TABLES_START);
    fill_stubs(page);
    fill_acpi(page, vcpus);
    fill_efi(tables);
    fill_sal(tables);
}
