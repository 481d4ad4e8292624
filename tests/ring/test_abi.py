"""Struct sizes and field offsets against Xen's own headers, and ia64's against its tables."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pvdrivers.ring import Abi, Layout, PeerError, UsageError, layout
from pvdrivers.ring.abi import layouts

PROGRAM = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/io/ring.h>
#include <xen/io/blkif.h>
#include <xen/io/netif.h>
#include <xen/io/vscsiif.h>
#include <xen/io/xs_wire.h>

int main(void)
{
%s
    return 0;
}
"""

OFFICIAL_TYPE = {
    "blkif_sring_entry": "union blkif_sring_entry",
    "grant_entry_v2": "union grant_entry_v2",
    "netif_rx_sring_entry": "union netif_rx_sring_entry",
    "netif_tx_sring_entry": "union netif_tx_sring_entry",
    "xen_netif_ctrl_sring_entry": "union xen_netif_ctrl_sring_entry",
    "sring": "struct blkif_sring",
}
"""Types that are not `struct NAME`."""

OFFICIAL_FIELD = {("sring", "pad"): "__pad"}
OFFICIAL_SIZE = {"sring": "offsetof(struct blkif_sring, ring)"}  # our sring is the header alone
NEWER = {("xenstore_domain_interface", "evtchn_port"), ("xenstore_domain_interface", "")}
"""What Debian's headers do not have yet."""

# The 2012 headers, compiled for LP64 (the ABI left Xen's tree then): what is not as on x86_64.
IA64_OWN = {
    "vcpu_time_info": Layout(
        32,
        {
            "version": (0, 4),
            "pad0": (4, 4),
            "tsc_timestamp": (8, 8),
            "system_time": (16, 8),
            "tsc_to_system_mul": (24, 4),
            "tsc_shift": (28, 1),
        },
    ),
    "vcpu_info": Layout(
        48,
        {
            "evtchn_upcall_pending": (0, 1),
            "evtchn_upcall_mask": (1, 1),
            "evtchn_pending_sel": (8, 8),
            "time": (16, 32),
        },
    ),
    "shared_info": Layout(
        4384,
        {
            "vcpu_info": (0, 3072),
            "evtchn_pending": (3072, 512),
            "evtchn_mask": (3584, 512),
            "wc_version": (4096, 4),
            "wc_sec": (4100, 4),
            "wc_nsec": (4104, 4),
            "arch": (4112, 272),
        },
    ),
    "arch_shared_info": Layout(
        272,
        {
            "start_info_pfn": (0, 8),
            "evtchn_vector": (8, 4),
            "memmap_info_num_pages": (12, 4),
            "memmap_info_pfn": (16, 8),
            "pad": (24, 248),
        },
    ),
    "xenstore_domain_interface": Layout(
        2064,
        {
            "req": (0, 1024),
            "rsp": (1024, 1024),
            "req_cons": (2048, 4),
            "req_prod": (2052, 4),
            "rsp_cons": (2056, 4),
            "rsp_prod": (2060, 4),
        },
    ),
}
NOT_ON_IA64 = {
    "evtchn_init_control",
    "evtchn_expand_array",
    "evtchn_set_priority",
    "evtchn_fifo_control_block",
    "xen_netif_ctrl_request",
    "xen_netif_ctrl_response",
    "xen_netif_ctrl_sring_entry",
    "xen_netif_gref",
}
ON_IA64_ALONE = {
    "xencomm_desc",
    "efi_memory_desc",
    "xen_ia64_memmap_info",
    "xen_ia64_boot_param",
    "vcpu_cr_regs",
    "vcpu_ar_regs",
    "mapped_regs",
    "ia64_tr_entry",
    "vcpu_guest_context_regs",
    "vcpu_guest_context",
}
"""test_abi_ia64.py has their tables."""


def expressions(name: str, field: str) -> tuple[str, str]:
    """C for a field's offset and size; for the struct's own size when the field is empty."""
    official = OFFICIAL_TYPE.get(name, f"struct {name}")
    if not field:
        return "(size_t)0", OFFICIAL_SIZE.get(name, f"sizeof({official})")
    field = OFFICIAL_FIELD.get((name, field), field)
    return f"offsetof({official}, {field})", f"sizeof((({official} *)0)->{field})"


def ours(abi: Abi) -> dict[tuple[str, str], tuple[int, int]]:
    flat = {}
    for name, of_struct in layouts(abi).items():
        flat[name, ""] = (0, of_struct.size)
        flat.update({(name, field): place for field, place in of_struct.fields.items()})
    return flat


def official(abi: Abi, folder: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """What the official headers say about everything we declare, by a program they compile into."""
    if not Path("/usr/include/xen/io/blkif.h").exists():
        pytest.skip("needs Xen's public headers (Debian package libxen-dev)")
    if not shutil.which("gcc"):
        pytest.skip("needs gcc (Debian package gcc)")
    wanted = [key for key in ours(abi) if key not in NEWER]
    lines = [
        f'    printf("%zu %zu\\n", {offset}, {size});'
        for offset, size in (expressions(*key) for key in wanted)
    ]
    source, program = folder / "layouts.c", folder / "layouts"
    source.write_text(PROGRAM % "\n".join(lines))
    word = {Abi.X86_64: "-m64", Abi.X86_32: "-m32"}[abi]
    empty = subprocess.run(
        ["gcc", word, "-x", "c", "-o", program, "-"],
        input=b"#include <stdio.h>\nint main(void) { return 0; }",
        capture_output=True,
    )
    if empty.returncode:
        pytest.skip(f"needs a compiler for {word} (Debian package gcc-multilib)")
    latest = "-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__"
    subprocess.run(["gcc", word, latest, "-Werror", "-o", program, source], check=True)
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    places = [tuple(int(number) for number in line.split()) for line in printed.splitlines()]
    return {key: (at, size) for key, (at, size) in zip(wanted, places, strict=True)}


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.X86_32])
def test_layouts_are_the_official_ones(abi: Abi, tmp_path: Path) -> None:
    mine, theirs = ours(abi), official(abi, tmp_path)
    assert {key: mine[key] for key in theirs} == theirs
    assert layout("xenstore_domain_interface", abi).size == 2080
    assert layout("xenstore_domain_interface", abi).fields["evtchn_port"] == (2076, 4)


def test_ia64_is_lp64_but_for_the_tables(tmp_path: Path) -> None:
    x86_64 = official(Abi.X86_64, tmp_path)
    on_ia64 = layouts(Abi.IA64)
    assert not NOT_ON_IA64 & on_ia64.keys()
    assert {name: on_ia64[name] for name in IA64_OWN} == IA64_OWN
    own = IA64_OWN.keys() | ON_IA64_ALONE
    alike = {key: place for key, place in ours(Abi.IA64).items() if key[0] not in own}
    assert alike == {key: x86_64[key] for key in alike}
    shared = set(layouts(Abi.X86_64)) - NOT_ON_IA64
    assert set(on_ia64) == shared | ON_IA64_ALONE


@pytest.mark.parametrize("abi", list(Abi))
def test_no_field_was_forgotten(abi: Abi) -> None:
    """Between the fields of a struct there is no more than alignment leaves."""
    for name, (size, fields) in layouts(abi).items():
        covered = bytearray(size)
        for offset, length in fields.values():
            covered[offset : offset + length] = b"\1" * length
        assert b"\0" * 8 not in bytes(covered), name


def test_blkif_slots_have_the_tables_sizes() -> None:
    slots = [layout("blkif_sring_entry", abi).size for abi in Abi]
    assert slots == [112, 108, 112]
    assert [layout("blkif_response", abi).size for abi in Abi] == [16, 12, 16]
    assert [layout("blkif_request_discard", abi).size for abi in Abi] == [32, 28, 32]


def test_netif_slots_have_the_tables_sizes() -> None:
    rings = ("netif_tx", "netif_rx")
    for abi in Abi:
        assert [layout(f"{ring}_sring_entry", abi).size for ring in rings] == [12, 8]
        assert layout("netif_extra_info", abi).size == 8  # fits either ring's slot
    assert layout("xen_netif_ctrl_sring_entry", Abi.X86_64).size == 16


def test_pages_and_protocols() -> None:
    assert [abi.page_size for abi in Abi] == [4096, 4096, 16384]
    assert [abi.sectors_per_page for abi in Abi] == [8, 8, 32]
    assert [abi.protocol for abi in Abi] == ["x86_64-abi", "x86_32-abi", "ia64-abi"]
    assert [Abi.from_protocol(abi.protocol) for abi in Abi] == list(Abi)


def test_unknown_names_are_refused_by_who_is_at_fault() -> None:
    with pytest.raises(PeerError, match="arm-abi"):
        Abi.from_protocol("arm-abi")
    with pytest.raises(UsageError, match="nothing"):
        layout("nothing", Abi.X86_64)
