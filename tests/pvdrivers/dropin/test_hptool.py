"""Debian's own xen-hptool takes pages of the machine out of use, and brings them back; xen-mfndump
reads whose they are."""

import re

import pytest

from pvdrivers.sim import PageUse

from .conftest import XEN

HPTOOL = XEN / "xen-hptool"
pytestmark = pytest.mark.skipif(
    not HPTOOL.exists(), reason="needs xen-hptool (Debian package xen-utils-4.17)"
)
HOLE = (64 << 20) // 4096 + (1 << 30)


def hptool(world, command: str, mfn: int) -> str:
    return world.run(0, HPTOOL, command, f"{mfn:x}")


def test_a_free_page(world):
    pages, free = world.machine.pages, world.machine.free_memory
    mfn = next(mfn for mfn in range(9000, 16384) if pages.info(mfn).use is PageUse.FREE)
    assert "Memory Status 0: [ PAGE_ONLINED ]" in hptool(world, "mem-status", mfn)
    assert "current state is [PG_OFFLINE_OFFLINED]" in hptool(world, "mem-offline", mfn)
    assert pages.info(mfn).use is PageUse.OFFLINED
    assert world.machine.free_memory == free - 4096
    assert "Memory Status 2: [ PAGE_OFFLINED ]" in hptool(world, "mem-status", mfn)
    assert f"Memory mfn {mfn:x} onlined successfully" in hptool(world, "mem-online", mfn)
    assert "already onlined" in hptool(world, "mem-online", mfn)
    assert world.machine.free_memory == free


def test_a_broken_page(world):
    mfn = world.guest.gfn_to_mfn(100)
    world.machine.pages.offline(mfn, broken=True)
    output = hptool(world, "mem-status", mfn)
    assert "Memory Status 18: [ PAGE_OFFLINE_PENDING  PAGE_BROKEND   PAGE_ONLINED ]" in output


def test_a_page_in_use(world, xenstored):
    """Offlined when it is freed. The tool would have a guest that can be suspended exchange it."""
    mfn = world.guest.gfn_to_mfn(100)
    errors = world.run_failing(0, HPTOOL, "mem-offline", f"{mfn:x}")
    assert "DOM1: No suspend port, try live migration" in errors
    assert world.machine.pages.info(mfn).use is PageUse.OFFLINING
    assert "PAGE_OFFLINE_PENDING" in hptool(world, "mem-status", mfn)
    world.guest.destroy()
    assert "Memory Status 2: [ PAGE_OFFLINED ]" in hptool(world, "mem-status", mfn)


def test_the_m2p(world):
    """xen-mfndump maps the table as Xen's memory."""
    world.guest.reservation.decrease([77])
    lines = world.run(0, HPTOOL.with_name("xen-mfndump"), "dump-m2p").splitlines()
    found = dict(re.findall(r"mfn=0x([0-9a-f]+) ==> pfn=0x([0-9a-f]+)", "\n".join(lines)))
    pages = world.machine.pages
    assert len(found) == (64 << 20) // 4096 - 1  # it leaves the last one out
    for mfn, gfn in found.items():
        known = pages.gfn_of(int(mfn, 16))
        assert int(gfn, 16) == ((1 << 64) - 1 if known is None else known)


def test_what_is_no_memory(world):
    for command in ("mem-status", "mem-online", "mem-offline"):
        errors = world.run_failing(0, HPTOOL, command, f"{HOLE:x}")
        assert "failed, error 16" in errors  # EINVAL, in hexadecimal digits
