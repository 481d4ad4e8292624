/* A guest's ACPI tables: just enough to tell of its vcpus. */
#include "pvdrivers/sim/ia64/firmware.h"

#include "pvdrivers/sim/hypercall.h"

#define MAX_PROCESSORS PV_IA64_MAX_VCPUS
#define SYSTEM_MEMORY 0 /* an address space */
#define LOCAL_SAPIC 7
#define ENABLED 1
#define SCOPE_BYTES 7 /* of AML, before its first object */
#define PROCESSOR_BYTES 13

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));
#define RSDP_FIRST_PART 20 /* that of ACPI 1.0 has a sum of its own */

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision;
    char compiler[4];
    uint32_t compiler_revision;
} __attribute__((packed));

struct generic_address {
    uint8_t space, bit_width, bit_offset, access_size;
    uint64_t address;
} __attribute__((packed));

struct xsdt {
    struct acpi_header header;
    uint64_t tables[2];
} __attribute__((packed));

struct fadt {
    struct acpi_header header;
    uint8_t before_lengths[52]; /* addresses of 32 bits, of which there are none */
    uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
    uint8_t before_x[40];
    uint64_t x_facs, x_dsdt;
    struct generic_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
    struct generic_address x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
} __attribute__((packed));
static_assert(offsetof(struct fadt, pm1_event_length) == 88, "fadt");
static_assert(offsetof(struct fadt, x_facs) == 132 && sizeof(struct fadt) == 244, "fadt");

struct facs {
    char signature[4];
    uint32_t length;
    uint8_t before_version[24], version, reserved[31];
} __attribute__((packed));
static_assert(sizeof(struct facs) == 64, "facs");

struct local_sapic {
    uint8_t type, length, processor, id, eid, reserved[3];
    uint32_t flags, uid;
    char uid_text[1];
} __attribute__((packed));
static_assert(sizeof(struct local_sapic) == 17, "local_sapic");

struct madt {
    struct acpi_header header;
    uint32_t local_interrupt_controller, flags;
    struct local_sapic sapics[MAX_PROCESSORS];
} __attribute__((packed));

struct acpi_tables {
    struct rsdp rsdp;
    uint32_t pad; /* FACS and what are registers elsewhere are aligned */
    uint8_t pm1a_event[4], pm1a_control[2], pad2[2], pm_timer[4], pad3[12];
    struct facs facs;
    struct xsdt xsdt;
    struct fadt fadt;
    struct acpi_header dsdt;
    uint8_t aml[SCOPE_BYTES + MAX_PROCESSORS * PROCESSOR_BYTES];
    struct madt madt;
} __attribute__((packed));
static_assert(offsetof(struct acpi_tables, facs) % 64 == 0, "aligned as ACPI wants it");
static_assert(ACPI_START + sizeof(struct acpi_tables) <= TABLES_START, "below EFI's");

#define ADDRESS(member) (ACPI_START + offsetof(struct acpi_tables, member))

static struct acpi_header header(const char *signature, uint8_t revision, size_t length)
{
    struct acpi_header header = {.length = (uint32_t)length,
                                 .revision = revision,
                                 .compiler_revision = PV_XEN_MAJOR << 16 | PV_XEN_MINOR};
    memcpy(header.signature, signature, sizeof header.signature);
    memcpy(header.oem, "XEN", 3);
    memcpy(header.oem_table, "Xen/ia64", sizeof header.oem_table);
    memcpy(header.compiler, "XEN", 3);
    return header;
}

static void finish(struct acpi_header *table)
{
    table->checksum = checksum(table, table->length);
}

static struct generic_address in_memory(uint64_t address, unsigned bytes)
{
    return (struct generic_address){
        .space = SYSTEM_MEMORY, .bit_width = (uint8_t)(8 * bytes), .address = address};
}

static void fill_fadt(struct acpi_tables *t)
{
    t->facs = (struct facs){.signature = "FACS", .length = sizeof t->facs, .version = 1};
    t->fadt = (struct fadt){
        .header = header("FACP", 3, sizeof t->fadt),
        .pm1_event_length = sizeof t->pm1a_event,
        .pm1_control_length = sizeof t->pm1a_control,
        .pm_timer_length = sizeof t->pm_timer,
        .x_facs = ADDRESS(facs),
        .x_dsdt = ADDRESS(dsdt),
        .x_pm1a_event = in_memory(ADDRESS(pm1a_event), sizeof t->pm1a_event),
        .x_pm1a_control = in_memory(ADDRESS(pm1a_control), sizeof t->pm1a_control),
        .x_pm_timer = in_memory(ADDRESS(pm_timer), sizeof t->pm_timer),
    };
    finish(&t->fadt.header);
}

/* Scope (\_SB) with an object for each: Processor (CPnn, nn, 0, 0) {} */
static void fill_dsdt(struct acpi_tables *t, unsigned processors)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned bytes = SCOPE_BYTES + processors * PROCESSOR_BYTES, rest = bytes - 1;
    const uint8_t scope[SCOPE_BYTES] = {
        0x10, (uint8_t)(0x40 | (rest & 0xf)), (uint8_t)(rest >> 4), '_', 'S', 'B', '_'};
    memcpy(t->aml, scope, sizeof scope);
    for (unsigned i = 0; i < processors; i++) {
        const uint8_t object[PROCESSOR_BYTES] = {0x5b,
                                                 0x83,
                                                 PROCESSOR_BYTES - 2,
                                                 'C',
                                                 'P',
                                                 (uint8_t)digits[i >> 4],
                                                 (uint8_t)digits[i & 0xf],
                                                 (uint8_t)i};
        memcpy(t->aml + SCOPE_BYTES + i * PROCESSOR_BYTES, object, sizeof object);
    }
    t->dsdt = header("DSDT", 1, sizeof t->dsdt + bytes);
    finish(&t->dsdt);
}

static void fill_madt(struct acpi_tables *t, unsigned processors)
{
    size_t length = offsetof(struct madt, sapics) + processors * sizeof t->madt.sapics[0];
    t->madt.header = header("APIC", 2, length);
    for (unsigned i = 0; i < processors; i++)
        t->madt.sapics[i] = (struct local_sapic){.type = LOCAL_SAPIC,
                                                 .length = sizeof t->madt.sapics[i],
                                                 .processor = (uint8_t)i,
                                                 .id = (uint8_t)i,
                                                 .flags = ENABLED};
    finish(&t->madt.header);
}

static void fill_pointers(struct acpi_tables *t)
{
    t->xsdt = (struct xsdt){.header = header("XSDT", 1, sizeof t->xsdt),
                            .tables = {ADDRESS(fadt), ADDRESS(madt)}};
    finish(&t->xsdt.header);
    t->rsdp = (struct rsdp){.signature = "RSD PTR ",
                            .oem = "XEN",
                            .revision = 2,
                            .length = sizeof t->rsdp,
                            .xsdt = ADDRESS(xsdt)};
    t->rsdp.checksum = checksum(&t->rsdp, RSDP_FIRST_PART);
    t->rsdp.extended_checksum = checksum(&t->rsdp, sizeof t->rsdp);
}

void fill_acpi(uint8_t *page, unsigned vcpus)
{
    struct acpi_tables *tables = (struct acpi_tables *)(page + ACPI_START);
    unsigned processors = vcpus < MAX_PROCESSORS ? vcpus : MAX_PROCESSORS;
    fill_fadt(tables);
    fill_dsdt(tables, processors);
    fill_madt(tables, processors);
    fill_pointers(tables);
}
