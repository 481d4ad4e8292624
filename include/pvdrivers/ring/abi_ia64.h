/*
 * What Xen and an IA-64 guest exchange of a vcpu's state (arch-ia64.h of 2012, the last that Xen
 * had): the page of privileged registers that both write, the context that VCPUOP_initialise takes
 * and dumps hold, the boot parameters behind start_info, and how hypercall arguments are passed.
 * Padding is declared, so the compiler adds none.
 */
#ifndef PVDRIVERS_RING_ABI_IA64_H
#define PVDRIVERS_RING_ABI_IA64_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */

/* ---- Hypercall arguments: xencomm.h ---- */

#define XENCOMM_MAGIC 0x58434F4D /* "XCOM" */
#define XENCOMM_INLINE_MASK 0xf800000000000000
#define XENCOMM_INLINE_FLAG 0x8000000000000000 /* the rest is the data's own address */
#define XENCOMM_INVALID 0xffffffffffffffff     /* an address that stands for no page */

/* Guest-physical, like the addresses that follow it: one for each page of the buffer. */
struct xencomm_desc {
    uint32_t magic;
    uint32_t nr_addrs;
};

/* XENMEM_machine_memory_map's argument: here both count bytes. */
struct xen_memory_map_ia64 {
    uint32_t nr_entries; /* room in the buffer, then what is in it */
    uint32_t pad;
    uint64_t buffer; /* a xencomm handle */
};

/* ---- Operations on the physmap: hypercall __HYPERVISOR_arch_0 ---- */

#define IA64_DOM0VP_ioremap 0
#define IA64_DOM0VP_phystomach 1
#define IA64_DOM0VP_machtophys 3
#define IA64_DOM0VP_iounmap 4
#define IA64_DOM0VP_zap_physmap 5
#define IA64_DOM0VP_add_physmap 6
#define IA64_DOM0VP_expose_p2m 7
#define IA64_DOM0VP_perfmon 8
#define IA64_DOM0VP_add_physmap_with_gmfn 9
#define IA64_DOM0VP_fpswa_revision 10
#define IA64_DOM0VP_add_io_space 11
#define IA64_DOM0VP_expose_foreign_p2m 12
#define IA64_DOM0VP_unexpose_foreign_p2m 13
#define IA64_DOM0VP_get_memmap 14

#define IA64_DOM0VP_EFP_ALLOC_PTE 1 /* of expose_foreign_p2m: pages for all entries */

#define ASSIGN_readonly 1
#define ASSIGN_nocache 2 /* Xen's own, as pgc_allocated is */
#define ASSIGN_tlb_track 4
#define ASSIGN_pgc_allocated 8
#define ASSIGN_io 16

/* ---- What a domain is stopped for by a debugger: hypercall __HYPERVISOR_arch_2 ---- */

#define XEN_IA64_DEBUG_OP_SET_FLAGS 1
#define XEN_IA64_DEBUG_OP_GET_FLAGS 2

union xen_ia64_debug_op {
    uint64_t flags;
    uint64_t vtlb[2]; /* of operations that Xen never had */
};

/* ---- An entry of the P2M table: the machine's address of a page of 16 KiB, and what may be done
 * there, as the processor's translations have it; 0: no page ---- */

#define _PAGE_P 0x1
#define _PAGE_MA_UC 0x10 /* uncached; otherwise WB */
#define _PAGE_A 0x20
#define _PAGE_D 0x40
#define _PAGE_PL_1 0x80 /* a guest's kernel is at privilege level 1 */
#define _PAGE_AR_RWX 0x600
#define _PAGE_PPN_MASK 0x3fffffffff000
#define _PAGE_ED 0x10000000000000
#define _PAGE_PGC_ALLOCATED 0x800000000000000 /* memory of the domain's own */

/* ---- Registers ---- */

/* Control registers by number (cr) or by name. */
union vcpu_cr_regs {
    uint64_t cr[128];
    struct {
        uint64_t dcr; /* cr0 */
        uint64_t itm;
        uint64_t iva;
        uint64_t rsv1[5];
        uint64_t pta; /* cr8 */
        uint64_t rsv2[7];
        uint64_t ipsr; /* cr16 */
        uint64_t isr;
        uint64_t rsv3;
        uint64_t iip;
        uint64_t ifa;
        uint64_t itir;
        uint64_t iipa;
        uint64_t ifs;
        uint64_t iim; /* cr24 */
        uint64_t iha;
        uint64_t rsv4[38];
        uint64_t lid; /* cr64 */
        uint64_t ivr;
        uint64_t tpr;
        uint64_t eoi;
        uint64_t irr[4];
        uint64_t itv; /* cr72 */
        uint64_t pmv;
        uint64_t cmcv;
        uint64_t rsv5[5];
        uint64_t lrr0; /* cr80 */
        uint64_t lrr1;
        uint64_t rsv6[46];
    };
};

/* Application registers by number (ar) or by name. */
union vcpu_ar_regs {
    uint64_t ar[128];
    struct {
        uint64_t kr[8];
        uint64_t rsv1[8];
        uint64_t rsc; /* ar16 */
        uint64_t bsp;
        uint64_t bspstore;
        uint64_t rnat;
        uint64_t rsv2;
        uint64_t fcr;
        uint64_t rsv3[2];
        uint64_t eflag;
        uint64_t csd;
        uint64_t ssd;
        uint64_t cflg;
        uint64_t fsr;
        uint64_t fir;
        uint64_t fdr;
        uint64_t rsv4;
        uint64_t ccv; /* ar32 */
        uint64_t rsv5[3];
        uint64_t unat;
        uint64_t rsv6[3];
        uint64_t fpsr;
        uint64_t rsv7[3];
        uint64_t itc;
        uint64_t rsv8[3];
        uint64_t ign1[16];
        uint64_t pfs; /* ar64 */
        uint64_t lc;
        uint64_t ec;
        uint64_t rsv9[45];
        uint64_t ign2[16];
    };
};

/* ---- The page of privileged registers, one for each vcpu ---- */

/* The guest reads and writes its virtual registers here instead of trapping. Interrupts are masked
 * elsewhere: by vcpu_info.evtchn_upcall_mask, whose address is interrupt_mask_addr. */
struct mapped_regs {
    uint64_t vac; /* virtualization acceleration control */
    uint64_t vdc; /* and disable control */
    uint64_t virt_env_vaddr;
    uint64_t reserved1[29];
    uint64_t vhpi; /* highest pending interrupt */
    uint64_t reserved2[95];
    uint64_t vgr[16];  /* r16 to r31 of bank 1 while bank 0 is in use */
    uint64_t vbgr[16]; /* and those of bank 0 while bank 1 is */
    uint64_t vnat;
    uint64_t vbnat;
    uint64_t vcpuid[5];
    uint64_t reserved3[11];
    uint64_t vpsr;
    uint64_t vpr;
    uint64_t reserved4[76];
    union vcpu_cr_regs vcr;
    uint64_t precover_ifs;
    uint64_t unat;
    int32_t interrupt_collection_enabled; /* psr.ic */
    uint32_t pad0;
    uint64_t interrupt_mask_addr;
    int32_t pending_interruption;
    uint8_t vpsr_pp;
    uint8_t vpsr_dfh;
    uint8_t hpsr_dfh;
    uint8_t hpsr_mfh;
    uint64_t reserved5_1[4];
    int32_t metaphysical_mode; /* 1: the guest addresses without translation */
    int32_t banknum;
    uint64_t rrs[8];
    uint64_t krs[8];
    uint64_t tmp[16];
    uint64_t itc_offset; /* what the guest reads of ar.itc is the processor's plus this */
    uint64_t itc_last;
    uint64_t reserved5[84];
};

/* ---- A vcpu's context ---- */

#define VGCF_EXTRA_REGS 2
#define VGCF_SET_CR_IRR 4
#define VGCF_online_ia64 8
#define VGCF_SET_AR_ITC 16
#define VGC_PRIVREGS_HVM 1 /* privregs_pfn of a domain that has no such page: ~(-2) */

struct ia64_tr_entry {
    uint64_t pte;
    uint64_t itir;
    uint64_t vadr;
    uint64_t rid;
};

struct vcpu_tr_regs {
    struct ia64_tr_entry itrs[12];
    struct ia64_tr_entry dtrs[12];
};

struct pt_fpreg {
    uint64_t bits[2]; /* an 82-bit register as stf.spill writes it */
};

struct vcpu_guest_context_regs {
    uint64_t r[32];
    uint64_t b[8];
    uint64_t bank[16];
    uint64_t ip;
    uint64_t psr;
    uint64_t cfm;
    uint64_t pr;
    uint32_t nats;  /* of r1 to r31 */
    uint32_t bnats; /* of the banked registers */
    union vcpu_ar_regs ar;
    union vcpu_cr_regs cr;
    uint64_t pad0; /* Xen's pt_fpreg is aligned to 16 bytes */
    struct pt_fpreg f[128];
    uint64_t dbr[8];
    uint64_t ibr[8];
    uint64_t rr[8];
    uint64_t pkr[16];
    uint64_t xip;
    uint64_t xpsr;
    uint64_t xfs;
    uint64_t xr[4];
    struct vcpu_tr_regs tr;
    uint64_t excp_iipa;
    uint64_t excp_ifa;
    uint64_t excp_isr;
    uint32_t excp_vector;
    uint32_t rbs_voff;  /* where in a 512-byte line rbs begins, in slots of 8 bytes */
    uint64_t rbs[2048]; /* stacked registers that are not in memory yet */
    uint64_t rbs_rnat;
    uint64_t num_phys_stacked;
    uint64_t pad1;
};

struct vcpu_guest_context_ia64 {
    uint64_t flags; /* VGCF_* */
    uint64_t pad;
    struct vcpu_guest_context_regs regs;
    uint64_t event_callback_ip;
    uint64_t privregs_pfn; /* of its mapped_regs */
};

/* ---- Boot: behind start_info, and its address in r28 ---- */

struct xen_ia64_boot_param {
    uint64_t command_line; /* this and the following: guest-physical addresses */
    uint64_t efi_systab;
    uint64_t efi_memmap;
    uint64_t efi_memmap_size;
    uint64_t efi_memdesc_size;
    uint32_t efi_memdesc_version;
    struct {
        uint16_t num_cols;
        uint16_t num_rows;
        uint16_t orig_x;
        uint16_t orig_y;
    } console_info;
    uint32_t pad;
    uint64_t fpswa;
    uint64_t initrd_start;
    uint64_t initrd_size;
    uint64_t domain_start;
    uint64_t domain_size;
};
/* cffi: end */

static_assert(sizeof(struct xencomm_desc) == 8, "xencomm_desc");
static_assert(sizeof(union xen_ia64_debug_op) == 16, "xen_ia64_debug_op");
static_assert(sizeof(union vcpu_cr_regs) == 1024, "vcpu_cr_regs");
static_assert(sizeof(union vcpu_ar_regs) == 1024, "vcpu_ar_regs");
static_assert(sizeof(struct mapped_regs) == 4096, "mapped_regs");
static_assert(sizeof(struct ia64_tr_entry) == 32, "ia64_tr_entry");
static_assert(sizeof(struct vcpu_guest_context_regs) == 22176, "vcpu_guest_context_regs");
static_assert(sizeof(struct vcpu_guest_context_ia64) == 22208, "vcpu_guest_context ia64");
static_assert(sizeof(struct xen_ia64_boot_param) == 96, "xen_ia64_boot_param");

#endif
