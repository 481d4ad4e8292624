"""Machine memory: extents with holes, what exists costs, what a domain had comes back."""

import errno
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine, MachineError, MemoryExtent, cells, parse_size

GIB = 1 << 30
FRAME = 4096


def primequest() -> list[MemoryExtent]:
    """2 TiB in eight cells of 256 GiB, 304 GiB of hole behind each: addresses beyond 4 TiB."""
    return cells(8, "256G", 560 * GIB)


def test_two_tebibytes_with_holes_cost_next_to_nothing() -> None:
    extents = primequest()
    assert extents[-1].start + extents[-1].size >= 4 * 1024 * GIB
    with Machine(extents) as machine:
        assert machine.total_memory == 2048 * GIB
        assert machine.free_memory == 2048 * GIB
        assert machine.resident_memory < 64 << 20


def test_frames_in_holes_do_not_exist() -> None:
    extents = primequest()
    with Machine(extents) as machine:
        for extent in extents:
            first, end = extent.start // FRAME, (extent.start + extent.size) // FRAME
            assert machine.has_frame(first)
            assert machine.has_frame(end - 1)
            if extent is not extents[-1]:
                assert not machine.has_frame(end)
            if first:
                assert not machine.has_frame(first - 1)
        assert not machine.has_frame(1 << 51)


def frames_of(domain: Domain) -> set[int]:
    info = domain.info
    step = info.page_size // FRAME
    return {
        frame
        for gfn in range(info.pages)
        for frame in range(domain.gfn_to_mfn(gfn), domain.gfn_to_mfn(gfn) + step)
    }


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").is_dir(),
    reason="needs a kernel with transparent huge pages",
)
def test_no_mapping_takes_large_pages() -> None:
    """Whatever the host does with other programs' memory: a domain's few pages lie far apart."""
    with Machine(primequest()) as machine:
        dom0 = machine.create_domain(memory="1M", privileged=True).hypervisor
        guest = machine.create_domain(memory="1M")
        pages = guest.hypervisor.allocate_pages(3)
        refs = guest.hypervisor.grant_pages(dom0.domid, pages)
        reverse = dom0.map_grants(guest.domid, refs[::-1])  # not side by side in the memory
        foreign = dom0.map_foreign(guest.domid, [5, 4])
        found = mappings_of_machines()
        # Both files; the domains' memory, which may be one mapping; each grant, each foreign page.
        assert len(found) >= 2 + 1 + 3 + 2
        assert all("nh" in flags for flags in found)
        dom0.unmap_foreign(guest.domid, foreign)
        dom0.unmap_grants(reverse)


def mappings_of_machines() -> list[list[str]]:
    """The kernel's flags of each mapping of a machine's files."""
    smaps = Path("/proc/self/smaps").read_text()
    texts = re.split(r"\n(?=[0-9a-f]+-)", smaps)
    return [
        re.findall(r"^VmFlags: (.*)", text, re.MULTILINE)[0].split()
        for text in texts
        if "/memfd:pvdrivers-" in text.partition("\n")[0]
    ]


def test_domain_memory_spans_a_hole() -> None:
    extents = [MemoryExtent(0, 1 << 20), MemoryExtent(64 << 20, 4 << 20)]
    with Machine(extents) as machine:
        domain = machine.create_domain(memory="3M")
        frames = frames_of(domain)
        assert len(frames) == (3 << 20) // FRAME
        assert all(machine.has_frame(mfn) for mfn in frames)
        assert min(frames) == 0
        assert max(frames) >= (64 << 20) // FRAME
        with pytest.raises(MachineError) as refused:
            domain.gfn_to_mfn(domain.info.max_pages)
        assert refused.value.errno == errno.EFAULT


def test_ia64_pages_are_aligned_blocks() -> None:
    with Machine("8M") as machine:
        machine.create_domain(memory="1M")
        domain = machine.create_domain(memory="2M", abi=Abi.IA64)
        assert domain.info.page_size == 16384
        assert domain.info.pages == 128
        assert all(domain.gfn_to_mfn(gfn) % 4 == 0 for gfn in range(128))


def test_memory_of_a_destroyed_domain_comes_back_empty() -> None:
    with Machine("2M") as machine:
        first = machine.create_domain(memory="2M")
        pages = first.hypervisor.allocate_pages(64)
        pages.view[:] = b"\xa5" * pages.size
        with pytest.raises(MachineError) as refused:
            machine.create_domain(memory=FRAME)
        assert refused.value.errno == errno.ENOMEM
        first.destroy()
        assert machine.free_memory == 2 << 20
        second = machine.create_domain(memory="2M")
        assert second.domid == first.domid
        assert second.info.generation > 1
        dom0 = machine.open_hypervisor(second.domid)
        assert not any(dom0.allocate_pages(400).view)


def test_pages_freed_singly_become_blocks_again() -> None:
    with Machine("1M") as machine:
        small = [machine.create_domain(memory=FRAME) for _ in range(256)]
        for domain in small[::2] + small[1::2]:
            domain.destroy()
        machine.create_domain(memory="1M", abi=Abi.IA64)
        assert machine.free_memory == 0


@pytest.mark.slow
@settings(max_examples=30)
@given(st.data())
def test_no_frame_has_two_owners(data: st.DataObject) -> None:
    total = 1 << 20
    with Machine([MemoryExtent(0, total // 2), MemoryExtent(4 << 20, total // 2)]) as machine:
        domains: dict[int, tuple[Domain, set[int]]] = {}
        for _ in range(data.draw(st.integers(1, 12), "steps")):
            if domains and data.draw(st.booleans(), "destroy"):
                domain, _ = domains.pop(data.draw(st.sampled_from(sorted(domains)), "which"))
                domain.destroy()
            else:
                abi = data.draw(st.sampled_from(list(Abi)), "abi")
                pages = data.draw(st.integers(1, 12), "pages")
                try:
                    domain = machine.create_domain(abi=abi, memory=pages * abi.page_size)
                except MachineError as error:
                    assert error.errno == errno.ENOMEM
                    continue
                domains[domain.domid] = domain, frames_of(domain)
            owned = [frames for _, frames in domains.values()]
            assert len(set().union(*owned)) == sum(map(len, owned))
            assert machine.free_memory == total - sum(map(len, owned)) * FRAME


@pytest.mark.parametrize(
    "extents",
    [
        [],
        [MemoryExtent(0, 0)],
        [MemoryExtent(100, 1 << 20)],
        [MemoryExtent(0, 1 << 20), MemoryExtent(1 << 19, 1 << 20)],
        [MemoryExtent(2 << 20, 1 << 20), MemoryExtent(0, 1 << 20)],
        [MemoryExtent((1 << 64) - (1 << 20), 1 << 20)],
    ],
)
def test_impossible_memory_is_refused(extents: list[MemoryExtent]) -> None:
    with pytest.raises(MachineError) as refused:
        Machine(extents)
    assert refused.value.errno == errno.EINVAL


def test_sizes() -> None:
    assert parse_size("64M") == 64 << 20
    assert parse_size("2TiB") == 2 << 40
    assert parse_size(17) == 17
    with pytest.raises(UsageError, match="lots"):
        parse_size("lots")
