"""The structs that only IA-64 has, against the DWARF of a compiled Xen/ia64 4.0.1."""

import pytest

from pvdrivers._core import ffi
from pvdrivers.ring import Abi, Layout, layout

COMPILED = {
    "xen_ia64_memmap_info": Layout(
        24,
        {
            "efi_memmap_size": (0, 8),
            "efi_memdesc_size": (8, 8),
            "efi_memdesc_version": (16, 4),
        },
    ),
    "mapped_regs": Layout(
        4096,
        {
            "vac": (0, 8),
            "vdc": (8, 8),
            "virt_env_vaddr": (16, 8),
            "vhpi": (256, 8),
            "vgr": (1024, 128),
            "vbgr": (1152, 128),
            "vnat": (1280, 8),
            "vbnat": (1288, 8),
            "vcpuid": (1296, 40),
            "vpsr": (1424, 8),
            "vpr": (1432, 8),
            "vcr": (2048, 1024),
            "dcr": (2048, 8),
            "itm": (2056, 8),
            "iva": (2064, 8),
            "pta": (2112, 8),
            "ipsr": (2176, 8),
            "isr": (2184, 8),
            "iip": (2200, 8),
            "ifa": (2208, 8),
            "itir": (2216, 8),
            "iipa": (2224, 8),
            "ifs": (2232, 8),
            "iim": (2240, 8),
            "iha": (2248, 8),
            "lid": (2560, 8),
            "ivr": (2568, 8),
            "tpr": (2576, 8),
            "eoi": (2584, 8),
            "irr": (2592, 32),
            "itv": (2624, 8),
            "pmv": (2632, 8),
            "cmcv": (2640, 8),
            "lrr0": (2688, 8),
            "lrr1": (2696, 8),
            "precover_ifs": (3072, 8),
            "unat": (3080, 8),
            "interrupt_collection_enabled": (3088, 4),
            "interrupt_mask_addr": (3096, 8),
            "pending_interruption": (3104, 4),
            "vpsr_pp": (3108, 1),
            "vpsr_dfh": (3109, 1),
            "hpsr_dfh": (3110, 1),
            "hpsr_mfh": (3111, 1),
            "metaphysical_mode": (3144, 4),
            "banknum": (3148, 4),
            "rrs": (3152, 64),
            "krs": (3216, 64),
            "tmp": (3280, 128),
            "itc_offset": (3408, 8),
            "itc_last": (3416, 8),
        },
    ),
    "vcpu_guest_context_regs": Layout(
        22176,
        {
            "r": (0, 256),
            "b": (256, 64),
            "bank": (320, 128),
            "ip": (448, 8),
            "psr": (456, 8),
            "cfm": (464, 8),
            "pr": (472, 8),
            "nats": (480, 4),
            "bnats": (484, 4),
            "ar": (488, 1024),
            "cr": (1512, 1024),
            "f": (2544, 2048),
            "dbr": (4592, 64),
            "ibr": (4656, 64),
            "rr": (4720, 64),
            "pkr": (4784, 128),
            "xip": (4912, 8),
            "xpsr": (4920, 8),
            "xfs": (4928, 8),
            "xr": (4936, 32),
            "tr": (4968, 768),
            "excp_iipa": (5736, 8),
            "excp_ifa": (5744, 8),
            "excp_isr": (5752, 8),
            "excp_vector": (5760, 4),
            "rbs_voff": (5764, 4),
            "rbs": (5768, 16384),
            "rbs_rnat": (22152, 8),
            "num_phys_stacked": (22160, 8),
        },
    ),
    "vcpu_guest_context": Layout(
        22208,
        {
            "flags": (0, 8),
            "regs": (16, 22176),
            "event_callback_ip": (22192, 8),
            "privregs_pfn": (22200, 8),
        },
    ),
    "vcpu_ar_regs": Layout(
        1024,
        {
            "kr": (0, 64),
            "rsc": (128, 8),
            "bsp": (136, 8),
            "bspstore": (144, 8),
            "rnat": (152, 8),
            "fcr": (168, 8),
            "eflag": (192, 8),
            "csd": (200, 8),
            "ssd": (208, 8),
            "cflg": (216, 8),
            "fsr": (224, 8),
            "fir": (232, 8),
            "fdr": (240, 8),
            "ccv": (256, 8),
            "unat": (288, 8),
            "fpsr": (320, 8),
            "itc": (352, 8),
            "pfs": (512, 8),
            "lc": (520, 8),
            "ec": (528, 8),
        },
    ),
    "ia64_tr_entry": Layout(
        32,
        {
            "pte": (0, 8),
            "itir": (8, 8),
            "vadr": (16, 8),
            "rid": (24, 8),
        },
    ),
    "xen_ia64_boot_param": Layout(
        96,
        {
            "command_line": (0, 8),
            "efi_systab": (8, 8),
            "efi_memmap": (16, 8),
            "efi_memmap_size": (24, 8),
            "efi_memdesc_size": (32, 8),
            "efi_memdesc_version": (40, 4),
            "console_info": (44, 8),
            "fpswa": (56, 8),
            "initrd_start": (64, 8),
            "initrd_size": (72, 8),
            "domain_start": (80, 8),
            "domain_size": (88, 8),
        },
    ),
}


@pytest.mark.parametrize("name", COMPILED)
def test_sizes_and_offsets_are_the_compiled_ones(name: str) -> None:
    found = layout(name, Abi.IA64)
    assert found.size == COMPILED[name].size
    control = layout("vcpu_cr_regs", Abi.IA64).fields
    for field, (offset, size) in COMPILED[name].fields.items():
        if name == "mapped_regs" and field in control:  # of its vcr
            at, length = control[field]
            assert (COMPILED[name].fields["vcr"][0] + at, length) == (offset, size), field
        else:
            assert found.fields[field] == (offset, size), field


def test_control_registers_are_alike_in_a_context_and_in_mapped_regs() -> None:
    context = ffi.new("struct vcpu_guest_context_ia64 *")
    regs = ffi.new("struct mapped_regs *")
    context.regs.cr.itv = regs.vcr.itv = 0xEF
    assert context.regs.cr.cr[72] == regs.vcr.cr[72] == 0xEF
    context.regs.ar.fpsr = 0x9804C0270033F
    assert context.regs.ar.ar[40] == 0x9804C0270033F


def test_an_efi_descriptor_is_40_bytes_and_a_xencomm_descriptor_8() -> None:
    assert layout("efi_memory_desc", Abi.IA64) == Layout(
        40,
        {
            "type": (0, 4),
            "pad": (4, 4),
            "phys_addr": (8, 8),
            "virt_addr": (16, 8),
            "num_pages": (24, 8),
            "attribute": (32, 8),
        },
    )
    assert layout("xencomm_desc", Abi.IA64).size == 8
