/* The layouts of the abi_*.h headers as data: see abi_layout.h. */
#include "pvdrivers/ring/abi_layout.h"

#include "pvdrivers/ring/abi_blkif.h"
#include "pvdrivers/ring/abi_efi.h"
#include "pvdrivers/ring/abi_event_channel.h"
#include "pvdrivers/ring/abi_grant_table.h"
#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/ring/abi_sched.h"
#include "pvdrivers/ring/abi_shared_info.h"
#include "pvdrivers/ring/abi_vcpu.h"
#include "pvdrivers/ring/abi_vscsiif.h"
#include "pvdrivers/ring/abi_xenstore.h"
#include "pvdrivers/ring/ring.h"

enum {
    X86_64 = 1 << PV_ABI_X86_64,
    X86_32 = 1 << PV_ABI_X86_32,
    IA64 = 1 << PV_ABI_IA64,
    LP64 = X86_64 | IA64,
    X86 = X86_64 | X86_32,
    ALL = X86 | IA64,
};

/* clang-format off */

/* FIELDS(…, a, b, c) is FIELD(…, a), FIELD(…, b), FIELD(…, c); EXPAND rescans often enough. */
#define EXPAND(...) EXPAND2(EXPAND2(EXPAND2(__VA_ARGS__)))
#define EXPAND2(...) EXPAND1(EXPAND1(EXPAND1(__VA_ARGS__)))
#define EXPAND1(...) EXPAND0(EXPAND0(EXPAND0(__VA_ARGS__)))
#define EXPAND0(...) __VA_ARGS__
#define PARENTHESES ()
#define EACH(abis, name, type, field, ...) \
    FIELD(abis, name, type, field)         \
    __VA_OPT__(, EACH_AGAIN PARENTHESES(abis, name, type, __VA_ARGS__))
#define EACH_AGAIN() EACH

#define FIELD(abis, name, type, field) \
    {abis, #name, #field, offsetof(type, field), sizeof(((type *)0)->field)}
#define FIELDS(abis, name, type, ...) EXPAND(EACH(abis, name, type, __VA_ARGS__))

/* A struct that is the same on all `abis`. */
#define LAYOUT(abis, name, type, ...) \
    {abis, #name, "", 0, sizeof(type)}, FIELDS(abis, name, type, __VA_ARGS__)

/* A struct with one layout for 64-bit ABIs and another for x86_32. */
#define PER_WORD(kind, name, ...)                           \
    LAYOUT(LP64, name, kind name##_x86_64, __VA_ARGS__), \
    LAYOUT(X86_32, name, kind name##_x86_32, __VA_ARGS__)

static const struct pv_abi_field fields[] = {
    /* io/ring.h, io/blkif.h */
    LAYOUT(ALL, sring, struct pv_sring, req_prod, req_event, rsp_prod, rsp_event, pvt, pad),
    LAYOUT(ALL, blkif_request_segment, struct blkif_request_segment, gref, first_sect, last_sect),
    PER_WORD(struct, blkif_request, operation, nr_segments, handle, id, sector_number, seg),
    PER_WORD(struct, blkif_request_discard, operation, flag, handle, id, sector_number, nr_sectors),
    PER_WORD(struct, blkif_request_indirect, operation, indirect_op, nr_segments, id,
        sector_number, handle, indirect_grefs),
    FIELD(X86_32, blkif_request_indirect, struct blkif_request_indirect_x86_32, pad),
    PER_WORD(struct, blkif_response, id, operation, status),
    PER_WORD(union, blkif_sring_entry, req, rsp),

    /* io/netif.h; the control ring is younger than ia64 */
    LAYOUT(ALL, netif_tx_request, struct netif_tx_request, gref, offset, flags, id, size),
    LAYOUT(ALL, netif_tx_response, struct netif_tx_response, id, status),
    LAYOUT(ALL, netif_rx_request, struct netif_rx_request, id, pad, gref),
    LAYOUT(ALL, netif_rx_response, struct netif_rx_response, id, offset, flags, status),
    LAYOUT(ALL, netif_extra_info, struct netif_extra_info, type, flags, u.gso.size, u.gso.type,
        u.gso.pad, u.gso.features, u.mcast.addr),
    LAYOUT(ALL, netif_tx_sring_entry, union netif_tx_sring_entry, req, rsp),
    LAYOUT(ALL, netif_rx_sring_entry, union netif_rx_sring_entry, req, rsp),
    FIELDS(X86, netif_extra_info, struct netif_extra_info, u.hash.type, u.hash.algorithm,
        u.hash.value),
    LAYOUT(X86, xen_netif_ctrl_request, struct xen_netif_ctrl_request, id, type, data),
    LAYOUT(X86, xen_netif_ctrl_response, struct xen_netif_ctrl_response, id, type, status, data),
    LAYOUT(X86, xen_netif_ctrl_sring_entry, union xen_netif_ctrl_sring_entry, req, rsp),
    LAYOUT(X86, xen_netif_gref, struct xen_netif_gref, ref, flags, status),

    /* io/vscsiif.h */
    LAYOUT(ALL, scsiif_request_segment, struct pv_vscsiif_segment, gref, offset, length),
    LAYOUT(ALL, vscsiif_request, struct vscsiif_request, rqid, act, cmd_len, cmnd,
        timeout_per_command, channel, id, lun, sc_data_direction, nr_segments, seg, reserved),
    LAYOUT(ALL, vscsiif_response, struct vscsiif_response, rqid, sense_len, sense_buffer, rslt,
        residual_len, reserved),
    FIELD(X86, vscsiif_request, struct vscsiif_request, ref_rqid),
    FIELD(X86, vscsiif_response, struct vscsiif_response, act),

    /* grant_table.h */
    LAYOUT(ALL, grant_entry_v1, struct grant_entry_v1, flags, domid, frame),
    LAYOUT(ALL, grant_entry_header, struct grant_entry_header, flags, domid),
    LAYOUT(ALL, grant_entry_v2, union grant_entry_v2, hdr, full_page.hdr.flags,
        full_page.hdr.domid, full_page.pad0, full_page.frame, sub_page.page_off, sub_page.length,
        sub_page.frame, transitive.trans_domid, transitive.pad0, transitive.gref),
    LAYOUT(ALL, gnttab_map_grant_ref, struct gnttab_map_grant_ref, host_addr, flags, ref, dom,
        status, handle, dev_bus_addr),
    LAYOUT(ALL, gnttab_unmap_grant_ref, struct gnttab_unmap_grant_ref, host_addr, dev_bus_addr,
        handle, status),
    LAYOUT(ALL, gnttab_unmap_and_replace, struct gnttab_unmap_and_replace, host_addr, new_addr,
        handle, status),
    LAYOUT(ALL, gnttab_dump_table, struct gnttab_dump_table, dom, status),
    LAYOUT(ALL, gnttab_query_size, struct gnttab_query_size, dom, nr_frames, max_nr_frames, status),
    LAYOUT(ALL, gnttab_set_version, struct gnttab_set_version, version),
    LAYOUT(ALL, gnttab_get_version, struct gnttab_get_version, dom, pad, version),
    LAYOUT(ALL, gnttab_swap_grant_ref, struct gnttab_swap_grant_ref, ref_a, ref_b, status),
    LAYOUT(ALL, gnttab_cache_flush, struct gnttab_cache_flush, a.dev_bus_addr, a.ref, offset,
        length, op),
    PER_WORD(struct, gnttab_setup_table, dom, nr_frames, status, frame_list),
    PER_WORD(struct, gnttab_transfer, mfn, domid, ref, status),
    PER_WORD(struct, gnttab_copy, source.u.ref, source.u.gmfn, source.domid, source.offset,
        dest.u.ref, dest.u.gmfn, dest.domid, dest.offset, len, flags, status),
    PER_WORD(struct, gnttab_get_status_frames, nr_frames, dom, status, frame_list),

    /* event_channel.h; ia64 never had the FIFO ABI */
    LAYOUT(ALL, evtchn_alloc_unbound, struct evtchn_alloc_unbound, dom, remote_dom, port),
    LAYOUT(ALL, evtchn_bind_interdomain, struct evtchn_bind_interdomain, remote_dom,
        remote_port, local_port),
    LAYOUT(ALL, evtchn_bind_virq, struct evtchn_bind_virq, virq, vcpu, port),
    LAYOUT(ALL, evtchn_bind_pirq, struct evtchn_bind_pirq, pirq, flags, port),
    LAYOUT(ALL, evtchn_bind_ipi, struct evtchn_bind_ipi, vcpu, port),
    LAYOUT(ALL, evtchn_close, struct evtchn_close, port),
    LAYOUT(ALL, evtchn_send, struct evtchn_send, port),
    LAYOUT(ALL, evtchn_status, struct evtchn_status, dom, port, status, vcpu, u.unbound.dom,
        u.interdomain.dom, u.interdomain.port, u.pirq, u.virq),
    LAYOUT(ALL, evtchn_bind_vcpu, struct evtchn_bind_vcpu, port, vcpu),
    LAYOUT(ALL, evtchn_unmask, struct evtchn_unmask, port),
    LAYOUT(ALL, evtchn_reset, struct evtchn_reset, dom),
    LAYOUT(X86, evtchn_init_control, struct evtchn_init_control, control_gfn, offset, vcpu,
        link_bits, _pad),
    LAYOUT(X86, evtchn_expand_array, struct evtchn_expand_array, array_gfn),
    LAYOUT(X86, evtchn_set_priority, struct evtchn_set_priority, port, priority),
    LAYOUT(X86, evtchn_fifo_control_block, struct evtchn_fifo_control_block, ready, _rsvd, head),

    /* vcpu.h, sched.h */
    LAYOUT(ALL, vcpu_set_periodic_timer, struct vcpu_set_periodic_timer, period_ns),
    LAYOUT(ALL, vcpu_register_vcpu_info, struct vcpu_register_vcpu_info, mfn, offset, rsvd),
    LAYOUT(ALL, sched_shutdown, struct sched_shutdown, reason),
    LAYOUT(ALL, sched_remote_shutdown, struct sched_remote_shutdown, domain_id, reason),
    LAYOUT(ALL, sched_watchdog, struct sched_watchdog, id, timeout),
    PER_WORD(struct, sched_poll, ports, nr_ports, timeout),

    /* xen.h, arch-x86/xen.h, arch-ia64.h */
    LAYOUT(ALL, vcpu_time_info, struct vcpu_time_info, version, pad0, tsc_timestamp,
        system_time, tsc_to_system_mul, tsc_shift),
    FIELD(X86, vcpu_time_info, struct vcpu_time_info, flags),
    FIELD(X86, vcpu_time_info, struct vcpu_time_info, pad1),
    LAYOUT(X86_64, vcpu_info, struct vcpu_info_x86_64, evtchn_upcall_pending,
        evtchn_upcall_mask, evtchn_pending_sel, arch, arch.cr2, time),
    LAYOUT(X86_32, vcpu_info, struct vcpu_info_x86_32, evtchn_upcall_pending,
        evtchn_upcall_mask, evtchn_pending_sel, arch, arch.cr2, time),
    LAYOUT(IA64, vcpu_info, struct vcpu_info_ia64, evtchn_upcall_pending, evtchn_upcall_mask,
        evtchn_pending_sel, time),
    LAYOUT(X86_64, shared_info, struct shared_info_x86_64, vcpu_info, evtchn_pending,
        evtchn_mask, wc_version, wc_sec, wc_nsec, wc_sec_hi, arch),
    LAYOUT(X86_32, shared_info, struct shared_info_x86_32, vcpu_info, evtchn_pending,
        evtchn_mask, wc_version, wc_sec, wc_nsec, arch, arch.wc_sec_hi),
    LAYOUT(IA64, shared_info, struct shared_info_ia64, vcpu_info, evtchn_pending, evtchn_mask,
        wc_version, wc_sec, wc_nsec, arch),
    LAYOUT(X86_64, arch_shared_info, struct arch_shared_info_x86_64, max_pfn,
        pfn_to_mfn_frame_list_list, nmi_reason, p2m_cr3, p2m_vaddr, p2m_generation),
    LAYOUT(X86_32, arch_shared_info, struct arch_shared_info_x86_32, max_pfn,
        pfn_to_mfn_frame_list_list, nmi_reason, p2m_cr3, p2m_vaddr, p2m_generation, wc_sec_hi),
    LAYOUT(IA64, arch_shared_info, struct arch_shared_info_ia64, start_info_pfn, evtchn_vector,
        memmap_info_num_pages, memmap_info_pfn, pad),
    PER_WORD(struct, start_info, magic, nr_pages, shared_info, flags, store_mfn, store_evtchn,
        console, console.domU.mfn, console.domU.evtchn, console.dom0.info_off,
        console.dom0.info_size, pt_base, nr_pt_frames, mfn_list, mod_start, mod_len, cmd_line,
        first_p2m_pfn, nr_p2m_frames),

    /* arch-ia64.h */
    LAYOUT(IA64, xencomm_desc, struct xencomm_desc, magic, nr_addrs),
    LAYOUT(IA64, efi_memory_desc, struct efi_memory_desc, type, pad, phys_addr, virt_addr,
        num_pages, attribute),
    LAYOUT(IA64, xen_ia64_memmap_info, struct xen_ia64_memmap_info, efi_memmap_size,
        efi_memdesc_size, efi_memdesc_version, pad),
    LAYOUT(IA64, xen_ia64_boot_param, struct xen_ia64_boot_param, command_line, efi_systab,
        efi_memmap, efi_memmap_size, efi_memdesc_size, efi_memdesc_version, console_info, pad,
        fpswa, initrd_start, initrd_size, domain_start, domain_size),
    LAYOUT(IA64, vcpu_cr_regs, union vcpu_cr_regs, cr, dcr, itm, iva, rsv1, pta, rsv2, ipsr,
        isr, rsv3, iip, ifa, itir, iipa, ifs, iim, iha, rsv4, lid, ivr, tpr, eoi, irr, itv, pmv),
    FIELDS(IA64, vcpu_cr_regs, union vcpu_cr_regs, cmcv, rsv5, lrr0, lrr1, rsv6),
    LAYOUT(IA64, vcpu_ar_regs, union vcpu_ar_regs, ar, kr, rsv1, rsc, bsp, bspstore, rnat, rsv2,
        fcr, rsv3, eflag, csd, ssd, cflg, fsr, fir, fdr, rsv4, ccv, rsv5, unat, rsv6, fpsr, rsv7,
        itc, rsv8),
    FIELDS(IA64, vcpu_ar_regs, union vcpu_ar_regs, ign1, pfs, lc, ec, rsv9, ign2),
    LAYOUT(IA64, mapped_regs, struct mapped_regs, vac, vdc, virt_env_vaddr, reserved1, vhpi,
        reserved2, vgr, vbgr, vnat, vbnat, vcpuid, reserved3, vpsr, vpr, reserved4, vcr),
    FIELDS(IA64, mapped_regs, struct mapped_regs, precover_ifs, unat,
        interrupt_collection_enabled, pad0, interrupt_mask_addr, pending_interruption, vpsr_pp,
        vpsr_dfh, hpsr_dfh, hpsr_mfh, reserved5_1, metaphysical_mode, banknum, rrs, krs, tmp,
        itc_offset, itc_last, reserved5),
    LAYOUT(IA64, ia64_tr_entry, struct ia64_tr_entry, pte, itir, vadr, rid),
    LAYOUT(IA64, vcpu_guest_context_regs, struct vcpu_guest_context_regs, r, b, bank, ip, psr,
        cfm, pr, nats, bnats, ar, cr, pad0, f, dbr, ibr, rr, pkr, xip, xpsr, xfs, xr, tr),
    FIELDS(IA64, vcpu_guest_context_regs, struct vcpu_guest_context_regs, excp_iipa, excp_ifa,
        excp_isr, excp_vector, rbs_voff, rbs, rbs_rnat, num_phys_stacked, pad1),
    LAYOUT(IA64, vcpu_guest_context, struct vcpu_guest_context_ia64, flags, pad, regs,
        event_callback_ip, privregs_pfn),

    /* io/xs_wire.h; in ia64's time the page ended at rsp_prod */
    LAYOUT(ALL, xsd_sockmsg, struct xsd_sockmsg, type, req_id, tx_id, len),
    LAYOUT(X86, xenstore_domain_interface, struct xenstore_domain_interface, req, rsp, req_cons,
        req_prod, rsp_cons, rsp_prod, server_features, connection, error, evtchn_port),
    {IA64, "xenstore_domain_interface", "", 0,
        offsetof(struct xenstore_domain_interface, server_features)},
    FIELDS(IA64, xenstore_domain_interface, struct xenstore_domain_interface, req, rsp,
        req_cons, req_prod, rsp_cons, rsp_prod),
};
/* clang-format on */

const struct pv_abi_field *pv_abi_fields(unsigned *count)
{
    *count = sizeof(fields) / sizeof(fields[0]);
    return fields;
}

static const struct {
    uint32_t page_size;
    const char *protocol;
} abis[PV_ABI_COUNT] = {
    [PV_ABI_X86_64] = {4096, "x86_64-abi"},
    [PV_ABI_X86_32] = {4096, "x86_32-abi"},
    [PV_ABI_IA64] = {16384, "ia64-abi"},
};

uint32_t pv_abi_page_size(enum pv_abi abi)
{
    return abis[abi].page_size;
}

const char *pv_abi_protocol(enum pv_abi abi)
{
    return abis[abi].protocol;
}
