"""The block backend's queue against a guest that writes whatever it likes, whenever it likes.

Hypothesis is the guest: slots of noise or of requests with a fault in them, indirect pages of both,
indices that jump, grants revoked and given again between two pumps, and a store that answers late.
Whatever it does: every request taken gets exactly one answer with its id; an overrun stops its own
ring and nothing else; no pump takes more than its budget; a correct guest of the same daemon keeps
its data; and in the end nothing is mapped and all memory has come back.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import EventChannels, Hypervisor, HypervisorError
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Domain, Machine

SECTORS = 256
PAGES = 6  # granted data pages; pages 4 and 5 are read-only
BUDGETS = (1, 3, 64)
ID_OFFSET = {Abi.X86_64: 8, Abi.X86_32: 4, Abi.IA64: 8}
HEADER = 64

# ---- What the guest may do ---------------------------------------------------------------------

pages = st.integers(0, PAGES)  # the last stands for a grant that never was
sectors = st.one_of(st.integers(0, SECTORS), st.sampled_from([2**64 - 1, 2**63, SECTORS - 8]))
ids = st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 1))
descriptors = st.tuples(pages, st.sampled_from([0, 0, 0, 3, 8, 31, 255]), st.integers(0, 40))


@dataclass(frozen=True)
class Request:
    operation: int
    inner: int  # indirect_op, or the discard's flags
    nr_segments: int
    id: int
    sector: int
    nr_sectors: int
    segments: tuple[tuple[int, int, int], ...]  # page, first_sect, last_sect
    indirect: tuple[int, ...]  # pages of descriptors


requests = st.builds(
    Request,
    operation=st.sampled_from([0, 0, 1, 1, 2, 3, 4, 5, 6, 6, 6, 7, 255]),
    inner=st.sampled_from([0, 1, 0, 1, 2, 6, 255]),
    nr_segments=st.one_of(st.integers(0, 13), st.sampled_from([32, 64, 65, 512, 65535])),
    id=ids,
    sector=sectors,
    nr_sectors=sectors,
    segments=st.lists(descriptors, max_size=11).map(tuple),
    indirect=st.lists(pages, max_size=8).map(tuple),
)
valid = requests.map(
    lambda r: replace(
        r, operation=r.id % 2, nr_segments=1, sector=r.id % 200, segments=((r.id % 4, 0, 7),)
    )
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.one_of(valid, requests), min_size=1, max_size=12)),
        st.tuples(st.just("noise"), st.lists(st.binary(min_size=112, max_size=112), max_size=4)),
        st.tuples(st.just("descriptors"), st.lists(descriptors, min_size=1, max_size=70)),
        st.tuples(st.just("pump"), st.sampled_from(BUDGETS)),
        st.tuples(st.just("revoke"), st.integers(0, PAGES - 1)),
        st.tuples(st.just("grant"), st.integers(0, PAGES - 1)),
        st.tuples(st.just("events"), st.integers(0, 2**32 - 1)),
        st.tuples(st.just("late"), st.integers(1, 5_000)),
        st.tuples(st.just("jump"), st.sampled_from([33, 200, 2**31, 2**32 - 1])),
    ),
    max_size=14,
)


# ---- Both ends of one ring ---------------------------------------------------------------------


class Disk:
    """A backend queue in dom0, its store, and the pages of the guest it serves."""

    def __init__(
        self, machine: Machine, dom0: Domain, abi: Abi, persistent: bool, delay: int
    ) -> None:
        self.abi = abi
        self.now = 1
        self.domain = machine.create_domain(abi=abi, memory="4M")
        self.guest: Hypervisor = self.domain.hypervisor
        self.channels = self.guest.open_event_channels()
        self.back_channels: EventChannels = dom0.hypervisor.open_event_channels()
        self.pages = self.guest.allocate_pages(1 + PAGES)
        self.base = ffi.cast("uint8_t *", self.pages.address)
        self.ring = ffi.cast("struct pv_sring *", self.base)
        self.ring.req_event = self.ring.rsp_event = 1
        self.ring_ref = self.guest.grant_access(0, self.base)
        self.refs: dict[int, int] = {}
        for page in range(PAGES):
            self.grant(page)
        self.slot_size = int(lib.pv_blkif_slot_size(abi))
        self.entries = int(lib.pv_ring_entries(self.guest.page_size, self.slot_size))
        self.store = lib.pv_ram_store_create(SECTORS, 512)
        self.memory = self.store.ops.memory(self.store, 0, SECTORS)
        if delay:
            self.store = lib.pv_delay_filter_create(self.store, 7, delay, delay, 0xF)
        config = {
            "hypervisor": dom0.hypervisor.cdata,
            "evtchn": self.back_channels.cdata,
            "frontend": self.domain.domid,
            "abi": int(abi),
            "ring_refs": ffi.new("grant_ref_t[]", [self.ring_ref]),
            "ring_pages": 1,
            "remote_port": self.channels.bind_unbound_port(0),
            "store": self.store,
            "flush": True,
            "barrier": True,
            "discard": True,
            "secure_discard": True,
            "persistent": persistent,
            "persistent_grants": 4,
            "max_indirect_segments": 64,
            "buffer_pages": 64,
        }
        self.queue = lib.pv_blkback_create(ffi.new("struct pv_blkback_config *", config))
        assert self.queue != ffi.NULL
        self.put = 0  # requests written, as the guest counts them
        self.taken = 0  # answers read
        self.expected: Counter[int] = Counter()
        self.overrun = False

    def page(self, number: int) -> Any:
        return self.base + (1 + number) * self.guest.page_size

    def grant(self, page: int) -> None:
        if page not in self.refs:
            self.refs[page] = self.guest.grant_access(0, self.page(page), readonly=page >= 4)

    def revoke(self, page: int) -> None:
        if page in self.refs:
            with suppress(HypervisorError):  # the backend keeps it mapped
                self.guest.end_access(self.refs[page])
                del self.refs[page]

    def ref(self, page: int) -> int:
        return self.refs.get(page, 4_000_000_000 if page == PAGES else 400)

    # ---- the ring

    def write_slot(self, content: bytes) -> None:
        """Puts a request where a correct frontend would; nothing when the ring is full."""
        if self.put - self.taken == self.entries or self.overrun:
            return
        slot = self.base + HEADER + self.put % self.entries * self.slot_size
        ffi.memmove(slot, content, self.slot_size)
        at = ID_OFFSET[self.abi]
        self.expected[int.from_bytes(content[at : at + 8], "little")] += 1
        self.put += 1
        self.ring.req_prod = self.put % 2**32

    def encode(self, request: Request) -> bytes:
        raw = ffi.new("struct pv_blkif_request *")
        raw.operation, raw.indirect_op = request.operation, request.inner
        raw.discard_flags, raw.nr_segments = request.inner, request.nr_segments
        raw.id, raw.sector_number, raw.nr_sectors = request.id, request.sector, request.nr_sectors
        for i, (page, first, last) in enumerate(request.segments):
            raw.seg[i] = {"gref": self.ref(page), "first_sect": first & 255, "last_sect": last}
        for i, page in enumerate(request.indirect):
            raw.indirect_grefs[i] = self.ref(page)
        slot = ffi.new("uint8_t[]", int(lib.BLKIF_MAX_SLOT_SIZE))
        lib.pv_blkif_encode_request(int(self.abi), raw, slot)
        return bytes(ffi.buffer(slot))

    def write_descriptors(self, listed: list[tuple[int, int, int]]) -> None:
        for number in range(PAGES):
            array = ffi.cast("struct pv_blkif_segment *", self.page(number))
            for i, (page, first, last) in enumerate(listed):
                array[i] = {"gref": self.ref(page), "first_sect": first & 255, "last_sect": last}

    def stats(self) -> Any:
        stats = ffi.new("struct pv_blkback_stats *")
        lib.pv_blkback_get_stats(self.queue, stats)
        return stats

    def pump(self, budget: int = 64) -> int:
        before = self.stats()
        frozen = bytes(ffi.buffer(self.base, self.guest.page_size)) if self.overrun else b""
        moved = int(lib.pv_blkback_pump(self.queue, budget, self.now))
        after = self.stats()
        assert after.requests - before.requests <= budget
        assert after.responses - before.responses <= self.entries + budget
        if self.overrun:
            assert moved < 0
            assert frozen == bytes(ffi.buffer(self.base, self.guest.page_size))
        else:
            assert moved >= 0
            self.take_answers()
        return moved

    def take_answers(self) -> None:
        while self.taken % 2**32 != self.ring.rsp_prod:
            slot = self.base + HEADER + self.taken % self.entries * self.slot_size
            response = ffi.new("struct pv_blkif_response *")
            lib.pv_blkif_decode_response(int(self.abi), slot, response)
            assert self.expected[response.id] > 0
            assert response.status in (0, -1, -2)
            self.expected[response.id] -= 1
            self.taken += 1
            assert self.taken <= self.put

    def finish(self) -> None:
        """Pumps until nothing moves, though the store is late."""
        idle = 0
        while idle < 2:
            idle = 0 if self.pump() > 0 else idle + 1
            deadline = int(lib.pv_blkback_deadline(self.queue))
            if deadline != 2**64 - 1:
                self.now, idle = max(self.now, deadline), 0

    def jump(self, distance: int) -> None:
        """Claims more requests than the ring holds; the backend sees it at its next look."""
        if not self.overrun:
            self.finish()
            self.ring.req_prod = (self.put + distance + self.entries) % 2**32
            if distance == 2**32 - 1 or distance + self.entries >= 2**32:
                self.ring.req_prod = (self.put - 1) % 2**32
            assert lib.pv_blkback_pump(self.queue, 64, self.now) < 0
            self.overrun = True
            assert lib.pv_blkback_broken(self.queue)

    def close(self) -> None:
        while not lib.pv_blkback_quiesce(self.queue, self.now):
            self.now += 1_000
        assert lib.pv_blkback_destroy(self.queue) == 0
        lib.pv_blk_store_close(self.store)
        for ref in (self.ring_ref, *self.refs.values()):
            self.guest.end_access(ref)  # EBUSY would say that something is still mapped
        self.guest.free_pages(self.pages)
        self.channels.close()
        self.back_channels.close()
        self.domain.destroy()


def carry_out(disk: Disk, what: str, argument: Any) -> None:
    match what:
        case "put":
            for request in argument:
                disk.write_slot(disk.encode(request))
        case "noise":
            for content in argument:
                disk.write_slot(content)
        case "descriptors":
            disk.write_descriptors(argument)
        case "pump":
            disk.pump(argument)
        case "revoke":
            disk.revoke(argument)
        case "grant":
            disk.grant(argument)
        case "events":
            disk.ring.rsp_event = argument  # the hostile guest's own loss
            disk.ring.pad[0] = argument & 255
        case "late":
            disk.now += argument
        case "jump":
            disk.jump(argument)


class Neighbour:
    """A correct guest: each round it writes a pattern, reads it back and compares."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.rounds = 0

    def round(self) -> None:
        disk, self.rounds = self.disk, self.rounds + 1
        content = self.rounds.to_bytes(8, "little") * 512
        ffi.memmove(disk.page(0), content, 4096)
        for operation in (lib.BLKIF_OP_WRITE, lib.BLKIF_OP_READ):
            page = int(operation == lib.BLKIF_OP_READ)
            request = Request(int(operation), 0, 1, self.rounds, 8, 0, ((page, 0, 7),), ())
            disk.write_slot(disk.encode(request))
            disk.finish()
        assert bytes(ffi.buffer(disk.page(1), 4096)) == content
        assert disk.put == disk.taken == 2 * self.rounds
        stats = disk.stats()
        assert not any(stats.errors)


@pytest.mark.slow
@pytest.mark.parametrize("abi", list(Abi))
@pytest.mark.parametrize("delay", [0, 1_000])
@pytest.mark.parametrize("persistent", [False, True])
def test_whatever_a_guest_does(abi: Abi, delay: int, persistent: bool) -> None:
    @settings(max_examples=15)
    @given(steps)
    def check(taken: list[tuple[str, Any]]) -> None:
        with Machine("64M") as machine:
            dom0 = machine.create_domain(privileged=True, memory="4M")
            free = machine.free_memory
            hostile = Disk(machine, dom0, abi, persistent, delay)
            neighbour = Neighbour(Disk(machine, dom0, Abi.X86_64, persistent, 0))
            for what, argument in taken:
                carry_out(hostile, what, argument)
                neighbour.round()
            if not hostile.overrun:
                hostile.finish()
                assert hostile.taken == hostile.put
                assert not +hostile.expected
            hostile.close()
            neighbour.round()
            neighbour.disk.close()
            accounts = dom0.accounts
            assert accounts["grants_mapped"] == accounts["grants_unmapped"]
            assert machine.free_memory == free

    check()
