/* The code behind a guest's firmware entry points: hypercalls, as Itanium's instructions. Formats
 * (A5, I19 …) are those of the architecture's manual, volume 3. */
#include "pvdrivers/sim/ia64/firmware.h"

#define BREAK_IMMEDIATE 0x1000 /* by which Xen knows a hypercall */
/* Hypercalls by firmware's number, in r2. */
#define HYPERCALL_EFI 0x300 /* plus enum efi_service */
#define HYPERCALL_PAL 0x1000
#define HYPERCALL_SAL 0x1100
#define HYPERCALL_SAL_RETURN 0x1200

/* Units of the three slots, and where groups of instructions end. */
enum { MI_STOP_I = 0x02, MIB_STOP = 0x11, MBB_STOP = 0x13 };

/* ---- Instructions of 41 bits ----------------------------------------------------------------- */

static uint64_t major(uint64_t opcode)
{
    return opcode << 37;
}

/* A5: addl r = immediate, r0 */
static uint64_t move(unsigned r, uint64_t immediate)
{
    return major(9) | (immediate >> 7 & 0x1ff) << 27 | (immediate >> 16 & 0x1f) << 22 |
           (immediate & 0x7f) << 13 | (uint64_t)r << 6;
}

/* I19, and M37 alike: break */
static uint64_t break_xen(void)
{
    return (uint64_t)BREAK_IMMEDIATE << 6;
}

/* A6: cmp.ltu p, q = r, s */
static uint64_t is_less(unsigned p, unsigned q, unsigned r, unsigned s)
{
    return major(0xd) | (uint64_t)q << 27 | (uint64_t)s << 20 | (uint64_t)r << 13 |
           (uint64_t)p << 6;
}

#define MANY (1u << 12) /* how much to fetch there */

/* B4, to b0: br.ret, when the predicate is set */
static uint64_t return_if(unsigned predicate, unsigned hint)
{
    return 0x21ull << 27 | hint | 4u << 6 | predicate;
}

/* B4, to b0: br.cond */
static uint64_t branch_if(unsigned predicate, unsigned hint)
{
    return 0x20ull << 27 | hint | predicate;
}

/* ---- Bundles --------------------------------------------------------------------------------- */

static void store_bundle(uint8_t *page, unsigned bundle, unsigned units, uint64_t slot0,
                         uint64_t slot1, uint64_t slot2)
{
    uint64_t words[2] = {units | slot0 << 5 | slot1 << 46, slot1 >> 18 | slot2 << 23};
    memcpy(page + STUB_ADDRESS(bundle), words, sizeof words);
}

static void store_call(uint8_t *page, unsigned bundle, uint64_t hypercall)
{
    store_bundle(page, bundle, MIB_STOP, move(2, hypercall), break_xen(), return_if(0, MANY));
}

/* PAL procedures up to 255 are branched to, the others are called: r28 has the number. */
static void store_pal_call(uint8_t *page)
{
    store_bundle(page, STUB_PAL, MI_STOP_I, move(2, HYPERCALL_PAL), move(9, 256),
                 is_less(7, 8, 28, 9));
    store_bundle(page, STUB_PAL + 1, MBB_STOP, break_xen(), branch_if(7, 0), return_if(8, 0));
}

void fill_stubs(uint8_t *page)
{
    for (unsigned service = 0; service < EFI_SERVICES; service++)
        store_call(page, STUB_EFI + service, HYPERCALL_EFI + service);
    store_pal_call(page);
    store_call(page, STUB_SAL, HYPERCALL_SAL);
    store_bundle(page, STUB_SAL_RETURN, MIB_STOP, move(2, HYPERCALL_SAL_RETURN), break_xen(),
                 branch_if(0, MANY));
}
