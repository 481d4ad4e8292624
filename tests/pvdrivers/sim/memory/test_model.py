"""Random maps and random operations against a plain model: who owns which frame."""

import errno
import struct
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import HypervisorError, MappedPages
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import (
    Domain,
    Machine,
    MachineError,
    MemoryExtent,
    OfflineStatus,
    PageType,
    PageUse,
)
from pvdrivers.sim.reservation import Reservation
from tests.pvdrivers.sim.hypercalls.by_number import address_of, hypercall

FRAME = 4096
INVALID = (1 << 64) - 1
MEMORY_OP, MACHPHYS_MFN_LIST = 12, 5
MIB = 1 << 20
UNIT = 16384  # of addresses and sizes of extents


@st.composite
def maps(draw: st.DrawFn) -> list[MemoryExtent]:
    """Up to four extents with holes between them, below and above 4 GiB."""
    extents, end = [], draw(st.sampled_from([0, 3 * MIB, 4096 * MIB - 3 * MIB]))
    for _ in range(draw(st.integers(1, 4))):
        start = end + draw(st.integers(0, 300)) * UNIT
        size = draw(st.integers(1, 500)) * UNIT
        node, present = draw(st.integers(0, 3)), draw(st.booleans()) or not extents
        if not present:  # in whole superpages, and not on both sides of 4 GiB
            start, size = (start | 2 * MIB - 1) + 1, 2 * MIB * draw(st.integers(1, 3))
            present = start < 4096 * MIB < start + size
        extents.append(MemoryExtent(start, size, node, present))
        end = start + size
    return extents


def frames_of(domain: Domain) -> dict[int, int]:
    """The frames that the physmap names, and their gfns."""
    info, frames = domain.info, {}
    for gfn in range(info.physmap_pages):
        try:
            mfn = domain.gfn_to_mfn(gfn)
        except MachineError as error:
            assert error.errno == errno.EFAULT
            continue
        for frame in range(mfn, mfn + info.page_size // FRAME):
            assert frame not in frames
            frames[frame] = gfn
    return frames


def m2p_chunks(machine: Machine, caller: int) -> list[int]:
    """Of each 1 GiB of addresses, the first frame of its part of the M2P."""
    mfns = ffi.new("uint64_t[]", 16)
    argument = ffi.new("uint64_t[]", [16, address_of(mfns), 0])
    assert hypercall(machine, caller, MEMORY_OP, MACHPHYS_MFN_LIST, argument) == 0
    return list(mfns[0 : argument[2] & 0xFFFFFFFF])


class MemoryModel(RuleBasedStateMachine):
    """What the model knows of a domain is its number of pages, and which frames they are."""

    def __init__(self) -> None:
        super().__init__()
        self.machine: Machine | None = None
        self.guests: dict[int, tuple[Domain, dict[int, int]]] = {}
        self.loose: dict[int, set[int]] = {}  # frames that no gfn is of
        self.claims: dict[int, int] = {}  # pages that a domain is to have
        self.used: dict[int, list[tuple[MappedPages, bytes]]] = {}  # pages, and what is in them
        self.m2p: dict[int, MappedPages] = {}  # pages of the table that are mapped, by number
        self.offlined: set[int] = set()  # frames that are, or will be when their owner lets go

    @initialize(extents=maps())
    def make_machine(self, extents: list[MemoryExtent]) -> None:
        self.map = extents
        self.nodes = {
            frame: extent.node
            for extent in extents
            for frame in range(extent.start // FRAME, extent.end // FRAME)
        }
        self.absent = [extent for extent in extents if not extent.present]
        self.exists = self.nodes.keys() - self.frames_of_absent()
        self.machine = Machine(extents, max_domains=8, max_domain_memory="8M")

    def frames_of_absent(self) -> set[int]:
        return {
            frame
            for extent in self.absent
            for frame in range(extent.start // FRAME, extent.end // FRAME)
        }

    @precondition(lambda self: self.absent)
    @rule(data=st.data())
    def add_a_board(self, data: st.DataObject) -> None:
        assert self.machine
        extent = self.absent.pop(data.draw(st.integers(0, len(self.absent) - 1)))
        self.machine.add_memory(extent)
        self.exists = self.nodes.keys() - self.frames_of_absent()

    @rule(data=st.data())
    def add_what_is_no_board(self, data: st.DataObject) -> None:
        """Of another size, place or node, or there already."""
        assert self.machine
        extent = data.draw(st.sampled_from(self.map))
        moved, longer, node = (data.draw(st.sampled_from([-1, 0, 0, 1])) for _ in range(3))
        wrong = MemoryExtent(
            extent.start + moved * UNIT, extent.size + longer * UNIT, extent.node + node & 0xFF
        )
        if replace(wrong, present=False) in self.absent or wrong.start < 0 or wrong.size <= 0:
            return
        try:
            self.machine.add_memory(wrong)
        except MachineError as error:
            assert error.errno == errno.EINVAL
        else:
            raise AssertionError(f"{wrong} was added")

    def owned(self) -> int:
        loose = sum(len(frames) for frames in self.loose.values())
        return loose + sum(len(frames) for _, frames in self.guests.values())

    def pages(self, domid: int) -> int:
        domain, frames = self.guests[domid]
        every = len(frames) + len(self.loose.get(domid, ()))
        return every // (domain.info.page_size // FRAME)

    def outstanding(self) -> int:
        """Frames that domains have claimed."""
        return sum(
            (target - self.pages(domid)) * (self.guests[domid][0].info.page_size // FRAME)
            for domid, target in self.claims.items()
        )

    def settle(self, domid: int) -> None:
        if self.pages(domid) >= self.claims.get(domid, 1 << 60):
            del self.claims[domid]

    def owners(self) -> dict[int, tuple[Domain, int | None]]:
        """Of each frame that has one: the domain, and its gfn."""
        with_gfn = {
            frame: (domain, gfn)
            for domain, frames in self.guests.values()
            for frame, gfn in frames.items()
        }
        without = {
            frame: (self.guests[domid][0], None)
            for domid, frames in self.loose.items()
            for frame in frames
        }
        return with_gfn | without

    def free(self) -> set[int]:
        return self.exists - set(self.owners()) - self.offlined

    def draw_guest(self, data: st.DataObject) -> tuple[int, Domain, dict[int, int]]:
        """A domain, and which gfn each of its frames has."""
        domid = data.draw(st.sampled_from(sorted(self.guests)))
        return domid, *self.guests[domid]

    def page_of(self, frame: int) -> set[int]:
        """The frames that share what is said of one."""
        domain, _ = self.owners().get(frame, (None, None))
        frames = domain.info.page_size // FRAME if domain else 1
        return set(range(frame - frame % frames, frame - frame % frames + frames))

    @rule(data=st.data())
    def take_out_of_use(self, data: st.DataObject) -> None:
        """Frames of the same page that were offlined together come back together."""
        assert self.machine
        mfn = data.draw(st.sampled_from(sorted(self.exists)))
        if mfn in self.offlined:
            assert self.machine.pages.info(mfn).use in (PageUse.OFFLINED, PageUse.OFFLINING)
            return
        owner = self.owners().get(mfn)
        result = self.machine.pages.offline(mfn)
        assert result.owner == (owner[0].domid if owner else None)
        wanted = OfflineStatus.OWNED | OfflineStatus.PENDING if owner else OfflineStatus.OFFLINED
        assert result.status == wanted
        self.offlined |= self.page_of(mfn)

    @precondition(lambda self: self.offlined)
    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        assert self.machine
        mfn = data.draw(st.sampled_from(sorted(self.offlined)))
        assert self.machine.pages.online(mfn)
        self.offlined = {
            frame
            for frame in self.offlined
            if self.machine.pages.info(frame).use in (PageUse.OFFLINED, PageUse.OFFLINING)
        }
        assert mfn not in self.offlined

    @rule(data=st.data())
    def ask_of_a_frame(self, data: st.DataObject) -> None:
        assert self.machine
        mfn = data.draw(st.sampled_from(sorted(self.exists)))
        info, owner = self.machine.pages.info(mfn), self.owners().get(mfn)
        assert info.gfn == self.machine.pages.gfn_of(mfn) == (owner[1] if owner else None)
        assert info.owner == (owner[0].domid if owner else None)
        assert info.allocated is (owner is not None)
        assert info.count == (1 if owner else 0)
        assert info.type is PageType.NONE
        there, away = (
            (PageUse.INUSE, PageUse.OFFLINING) if owner else (PageUse.FREE, PageUse.OFFLINED)
        )
        assert info.use is (away if mfn in self.offlined else there)

    @precondition(lambda self: len(self.guests) < 8)
    @rule(abi=st.sampled_from(list(Abi)), size=st.integers(1, 8 * MIB // UNIT), grows=st.booleans())
    def create(self, abi: Abi, size: int, grows: bool) -> None:
        assert self.machine
        free = len(self.free()) - self.outstanding()
        try:
            domain = self.machine.create_domain(
                abi=abi,
                memory=size * UNIT,
                max_memory=8 * MIB if grows else 0,
                privileged=not self.guests,
            )
        except MachineError as error:
            assert error.errno == errno.ENOMEM
            assert abi is Abi.IA64 or free < size * UNIT // FRAME
            return
        assert free >= size * UNIT // FRAME
        frames = frames_of(domain)
        assert frames.keys() <= self.free()
        self.guests[domain.domid] = domain, frames

    @precondition(lambda self: self.guests)
    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        domid, domain, _ = self.draw_guest(data)
        for known in (self.guests, self.used, self.loose, self.claims):
            known.pop(domid, None)
        domain.destroy()

    @precondition(lambda self: self.guests)
    @rule(data=st.data(), content=st.binary(min_size=8, max_size=8))
    def use_a_page(self, data: st.DataObject, content: bytes) -> None:
        """By a grant to itself, which gives the page an entry of its own in the frame table."""
        domid, domain, _ = self.draw_guest(data)
        hypervisor = domain.hypervisor
        try:
            pages = hypervisor.allocate_pages(1)
        except HypervisorError as error:
            assert error.errno == errno.ENOMEM
            return
        assert not any(pages.view)
        pages.view[:8] = content
        refs = hypervisor.grant_pages(domid, pages)
        mapped = hypervisor.map_grants(domid, refs)
        assert mapped.view == pages.view
        hypervisor.unmap_grants(mapped)
        hypervisor.end_access(refs[0])
        self.used.setdefault(domid, []).append((pages, content))

    @precondition(lambda self: self.guests)
    @rule(data=st.data())
    def decrease(self, data: st.DataObject) -> None:
        domid, domain, frames = self.draw_guest(data)
        order = data.draw(st.sampled_from([0, 0, 1, 4, 9]))
        gfn = data.draw(st.integers(0, domain.info.physmap_pages))
        wanted = range(gfn, gfn + (1 << order))
        if self.in_use(domid).intersection(wanted):
            return
        per_page = domain.info.page_size // FRAME
        has = set(frames.values())
        there = next((page for page in wanted if page not in has), wanted.stop)
        # The whole is refused when it reaches beyond the physmap.
        taken = range(gfn, there if wanted.stop <= domain.info.physmap_pages else gfn)
        assert domain.reservation.decrease([gfn], order) == (len(taken) == 1 << order)
        left = {mfn: page for mfn, page in frames.items() if page not in taken}
        assert len(frames) - len(left) == len(taken) * per_page
        self.guests[domid] = domain, left

    @precondition(lambda self: self.guests)
    @rule(data=st.data())
    def populate(self, data: st.DataObject) -> None:
        domid, domain, frames = self.draw_guest(data)
        info = domain.info
        order = data.draw(st.sampled_from([0, 0, 1, 4, 9]))
        gfn = data.draw(st.integers(0, info.physmap_pages))
        bits = data.draw(st.sampled_from([0, 0, 32, 33]))
        node = data.draw(st.sampled_from([None, 0, 3]))
        done = domain.reservation.populate(
            [gfn], order, address_bits=bits, node=node, exact_node=node is not None
        )
        if not done:
            return
        per_page = info.page_size // FRAME
        new = {done[0] + frame: gfn + frame // per_page for frame in range(per_page << order)}
        assert gfn + (1 << order) <= info.physmap_pages
        assert not set(frames.values()).intersection(new.values())
        assert new.keys() <= self.free()
        assert bits == 0 or max(new) < 1 << bits - 12
        assert node is None or all(self.nodes[frame] == node for frame in new)
        self.guests[domid] = domain, frames | new
        self.settle(domid)

    @precondition(lambda self: self.guests)
    @rule(data=st.data())
    def increase(self, data: st.DataObject) -> None:
        domid, domain, _ = self.draw_guest(data)
        order = data.draw(st.sampled_from([0, 1, 4]))
        count = data.draw(st.integers(0, 5))
        done = domain.reservation.increase(count, order)
        size = domain.info.page_size // FRAME << order
        new = {first + frame for first in done for frame in range(size)}
        assert len(new) == len(done) * size
        assert new <= self.free()
        self.loose.setdefault(domid, set()).update(new)
        self.settle(domid)

    @precondition(lambda self: self.guests)
    @rule(data=st.data())
    def exchange(self, data: st.DataObject) -> None:
        domid, domain, frames = self.draw_guest(data)
        info = domain.info
        order, to_order = data.draw(st.sampled_from([(0, 0), (1, 0), (0, 1), (2, 2), (0, 4)]))
        size = 1 << max(order, to_order)
        starts = st.integers(0, info.physmap_pages)
        given = data.draw(st.lists(starts, min_size=size >> order, max_size=size >> order))
        same = data.draw(st.booleans()) and order == to_order
        count = size >> to_order
        to = given if same else data.draw(st.lists(starts, min_size=count, max_size=count))
        bits = data.draw(st.sampled_from([0, 0, 33]))
        gives = [gfn + i for gfn in given for i in range(1 << order)]
        takes = [gfn + i for gfn in to for i in range(1 << to_order)]
        if self.in_use(domid).intersection(gives):
            return
        there = set(frames.values())
        possible = (
            len(set(gives)) == len(set(takes)) == size
            and there.issuperset(gives)
            and not (there - set(gives)).intersection(takes)
            and max(takes) < info.physmap_pages
        )
        try:
            done = domain.reservation.exchange(given, order, to, to_order, address_bits=bits)
        except MachineError as error:
            assert error.errno == (errno.ENOMEM if possible else errno.EINVAL)
            return
        assert possible
        per_page = info.page_size // FRAME
        new = {
            mfn + frame: gfn + frame // per_page
            for mfn, gfn in zip(done, to, strict=True)
            for frame in range(per_page << to_order)
        }
        left = {mfn: gfn for mfn, gfn in frames.items() if gfn not in gives}
        assert new.keys() <= self.free()
        assert bits == 0 or max(new) < 1 << bits - 12
        self.guests[domid] = domain, left | new

    @precondition(lambda self: self.guests)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        domid, domain, _ = self.draw_guest(data)
        has, per_page = self.pages(domid), domain.info.page_size // FRAME
        pages = data.draw(st.just(0) | st.integers(0, 8 * MIB // domain.info.page_size + 9))
        free = len(self.free()) - self.outstanding()
        expected = 0
        if pages and (domid in self.claims or pages <= has or pages > domain.info.max_pages):
            expected = errno.EINVAL
        elif (pages - has) * per_page > free:
            expected = errno.ENOMEM
        caller = min(self.guests)
        if not self.guests[caller][0].info.privileged:
            expected = errno.EPERM
        try:
            Reservation(domain.machine, domid, caller).claim(pages)
        except MachineError as error:
            assert error.errno == expected
            return
        assert expected == 0
        self.claims.pop(domid, None)
        if pages:
            self.claims[domid] = pages

    @precondition(lambda self: self.machine)
    @rule(node=st.sampled_from([None, 0, 3]), widths=st.tuples(*[st.integers(0, 36)] * 2))
    def available(self, node: int | None, widths: tuple[int, int]) -> None:
        assert self.machine
        low = (1 << max(widths[0] - 13, 0)) if widths[0] > 12 else 0
        high = 1 << (widths[1] - 12 if widths[1] >= 12 else 64 if not widths[1] else 0)
        high = 0 if 0 < widths[1] < 12 else high
        expected = sum(
            low <= frame < high and node in (None, self.nodes[frame]) for frame in self.free()
        )
        found = self.machine.available_memory(node, min_width=widths[0], max_width=widths[1])
        assert found == expected * FRAME

    @precondition(lambda self: self.guests)
    @rule(data=st.data())
    def map_a_page_of_the_m2p(self, data: st.DataObject) -> None:
        assert self.machine
        frame = data.draw(st.sampled_from(sorted(self.exists)))
        domain, _ = self.guests[min(self.guests)]
        if frame >> 9 in self.m2p or not domain.info.privileged:
            return
        first = m2p_chunks(self.machine, domain.domid)[frame >> 18]
        self.m2p[frame >> 9] = domain.hypervisor.map_foreign(
            lib.DOMID_XEN, [first + (frame >> 9) % 512], readonly=True, page_size=FRAME
        )

    @invariant()
    def the_m2p_is_true(self) -> None:
        owners = self.owners()
        for number, page in self.m2p.items():
            entries = struct.unpack("<512Q", page.view)
            gfns = [
                owners.get(frame, (None, None))[1]
                for frame in range(number * 512, number * 512 + 512)
            ]
            assert [None if entry == INVALID else entry for entry in entries] == gfns

    def in_use(self, domid: int) -> set[int]:
        """The gfns of pages that something is written in."""
        hypervisor = self.guests[domid][0].hypervisor
        return {
            lib.pv_domain_page_to_gfn(hypervisor.cdata, pages.address)
            for pages, _ in self.used.get(domid, [])
        }

    @invariant()
    def what_was_written_is_there(self) -> None:
        for used in self.used.values():
            assert all(pages.view[:8] == content for pages, content in used)

    @invariant()
    def no_frame_is_a_hole_or_has_two_owners(self) -> None:
        if not self.machine:
            return
        owned = [frames for _, frames in self.guests.values()]
        owned += [dict.fromkeys(frames, 0) for frames in self.loose.values()]
        assert len(set().union(*owned)) == self.owned()
        assert set().union(*owned) <= self.exists
        for domid, (domain, _) in self.guests.items():
            assert domain.info.pages == self.pages(domid)
        assert self.machine.outstanding_claims == self.outstanding() * FRAME
        if not self.offlined:  # what is claimed may be offlined
            assert self.machine.outstanding_claims <= self.machine.free_memory
        assert self.machine.free_memory == len(self.free()) * FRAME
        assert self.machine.total_memory == len(self.exists) * FRAME
        assert len(self.machine.nodes) == 1 + max(self.nodes[frame] for frame in self.exists)
        assert sum(node.free for node in self.machine.nodes) == self.machine.free_memory
        away = len(self.offlined - set(self.owners()))
        assert sum(node.offlined for node in self.machine.nodes) == away * FRAME

    @invariant()
    def the_physmaps_are_as_they_were(self) -> None:
        for domain, frames in self.guests.values():
            for mfn, gfn in list(frames.items())[:: max(len(frames) // 8, 1)]:
                assert mfn - 3 <= domain.gfn_to_mfn(gfn) <= mfn

    def teardown(self) -> None:
        if self.machine:
            for domain, _ in self.guests.values():
                domain.destroy()
            self.guests, self.loose, self.claims = {}, {}, {}
            self.no_frame_is_a_hole_or_has_two_owners()
            self.machine.close()


TestMemoryModel = MemoryModel.TestCase
TestMemoryModel.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
