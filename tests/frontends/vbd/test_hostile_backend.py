"""The block frontend against a backend that answers whatever it likes, whenever it likes.

Hypothesis is the backend: it carries requests out in any order, and its answers have faults in
them: ids of no request, answers given twice, other operations, any status, indices that jump,
noise in the slots. A model reads the shared page as the frontend is about to and says what must
come of it: which operations end and how, and which violation stops the ring. Whatever the backend
does, each operation ends once; none succeeds unless the backend answered so, with the data that it
gave; a stopped ring is touched no more; a correct disk of the same guest goes on; and in the end
all grants and all memory have come back. What a backend says in xenstore is checked further down.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.backends.stores.store import RamStore
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Domain, Machine
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.xenbus.states import XenbusState

READ, WRITE = int(lib.BLKIF_OP_READ), int(lib.BLKIF_OP_WRITE)
FLUSH, DISCARD = int(lib.BLKIF_OP_FLUSH_DISKCACHE), int(lib.BLKIF_OP_DISCARD)
INDIRECT = int(lib.BLKIF_OP_INDIRECT)
HEADER = 64
SPACE = 1 << 12  # sectors between two operations

operations = st.tuples(
    st.sampled_from([READ, READ, WRITE, WRITE, FLUSH, DISCARD]),
    st.sampled_from([1, 7, 8, 9, 88, 89, 300]),
)
valid = st.just(("", 0))


def seldom(strategy: st.SearchStrategy[Any], one_in: int) -> st.SearchStrategy[Any]:
    """Mostly nothing, so that much happens before the ring is broken."""
    return st.integers(1, one_in).flatmap(lambda n: strategy if n == one_in else valid)


statuses = st.tuples(st.just("status"), st.sampled_from([-1, -1, -2, 1, -3, 32767, -32768]))
lies = st.one_of(
    st.tuples(st.just("id"), st.sampled_from([31, 32, 255, 2**31, 2**32, 2**64 - 1])),
    st.tuples(st.just("operation"), st.integers(0, 255)),
    st.just(("twice", 0)),
)
faults = st.integers(1, 4).flatmap(lambda n: statuses if n == 4 else seldom(lies, 12))
tricks = st.one_of(
    st.tuples(st.just("noise"), st.tuples(st.integers(0, 31), st.binary(min_size=16, max_size=64))),
    st.tuples(st.just("jump"), st.sampled_from([1, 2, 31, 33, 2**31, 2**32 - 1])),
    st.tuples(st.just("events"), st.integers(0, 2**32 - 1)),
)
rounds = st.lists(
    st.tuples(
        st.lists(operations, max_size=8),
        st.lists(st.tuples(st.integers(0, 40), faults), min_size=2, max_size=12),
        seldom(tricks, 8),
        st.sampled_from([1, 2, 64, 64]),  # the poll's budget
    ),
    min_size=4,
    max_size=12,
)


def content(sector: int, count: int) -> bytes:
    """What the backend's disk holds until it is written."""
    return b"".join(
        (s * 2654435761).to_bytes(8, "little") * 64 for s in range(sector, sector + count)
    )


@dataclass
class Io:
    """An operation as its submitter and the model see it."""

    number: int
    operation: int
    count: int
    cdata: Any
    buffer: Any
    unanswered: int  # sectors, 1 for a flush
    error: int = 0
    done: bool = False

    @property
    def sector(self) -> int:
        return self.number * SPACE


@dataclass
class Taken:
    """A request as the backend has read it off the ring."""

    io: Io
    operation: int
    sector: int
    segments: list[tuple[int, int]]  # grant, bytes
    sectors: int


@dataclass
class Verdict:
    """What the model says a poll must find."""

    violation: int = 0
    accepted: list[tuple[int, Taken, int]] = field(default_factory=list)  # id, request, status


class Disk:
    """A frontend's queue in a guest of its own, and the hostile backend's end of its ring."""

    def __init__(
        self, machine: Machine, dom0: Domain, abi: Abi, *, persistent: bool, indirect: int
    ) -> None:
        self.abi = abi
        self.back = dom0.hypervisor
        self.domain = machine.create_domain(abi=abi, memory="8M")
        guest = self.domain.hypervisor
        self.channels = guest.open_event_channels()
        config = {
            "hypervisor": guest.cdata,
            "evtchn": self.channels.cdata,
            "ring_pages": 1,
            "max_indirect_segments": indirect,
            "persistent": persistent,
            "trusted": persistent,
            "pool_pages": 200,
        }
        self.queue = lib.pv_blkfront_create(ffi.new("struct pv_blkfront_config *", config))
        assert self.queue != ffi.NULL
        offered = {
            "flush": True,
            "discard": True,
            "transient_grants": not persistent,
            "sector_size": 512,
        }
        features = ffi.new("struct pv_blkfront_features *", offered)
        assert lib.pv_blkfront_connect(self.queue, features) == 0
        refs = ffi.new("grant_ref_t **")
        assert lib.pv_blkfront_ring_refs(self.queue, ffi.cast("const grant_ref_t **", refs)) == 1
        self.page = self.back.map_grants(self.domain.domid, [refs[0][0]])
        self.base = ffi.cast("uint8_t *", self.page.address)
        self.ring = ffi.cast("struct pv_sring *", self.base)
        self.slot_size = int(lib.pv_blkif_slot_size(abi))
        self.entries = int(lib.pv_ring_entries(guest.page_size, self.slot_size))
        self.done = ffi.new("struct pv_blkfront_io *[]", 64)
        self.ios: list[Io] = []
        self.requests = 0  # seen on the ring
        self.consumed = 0  # responses the frontend has taken
        self.answers = 0  # responses published
        self.in_flight: dict[int, Taken] = {}  # as the frontend has it
        self.open: list[int] = []  # ids the backend has not answered
        self.flushed = False
        self.no_flush = False
        self.violation = 0

    # ---- the submitter

    def submit(self, listed: list[tuple[int, int]]) -> None:
        batch = []
        for operation, wanted in listed:
            count = 0 if operation == FLUSH else wanted
            io = ffi.new("struct pv_blkfront_io *")
            number = len(self.ios) + 1
            data = ffi.new("uint8_t[]", max(1, count * 512))
            if operation == WRITE:
                ffi.memmove(data, content(number * SPACE + 77, count), count * 512)
            io.operation, io.sector, io.nr_sectors = operation, number * SPACE, count
            if operation == FLUSH:
                io.sector = 0
            io.data, io.user = data, ffi.cast("void *", number)
            self.ios.append(Io(number, operation, count, io, data, count or 1))
            batch.append(self.ios[-1])
        pointers = ffi.new("struct pv_blkfront_io *[]", [io.cdata for io in batch])
        result = lib.pv_blkfront_submit(self.queue, pointers, len(batch))
        if self.violation:
            assert result == -errno.EPROTO
            del self.ios[-len(batch) :]
        else:
            assert result == 0
            self.take()

    # ---- the backend

    def slot(self, index: int) -> Any:
        return self.base + HEADER + index % self.entries * self.slot_size

    def take(self) -> None:
        """Reads every new request, before anybody writes over it."""
        while self.requests % 2**32 != self.ring.req_prod:
            request = ffi.new("struct pv_blkif_request *")
            lib.pv_blkif_decode_request(int(self.abi), self.slot(self.requests), request)
            self.requests += 1
            assert request.id < self.entries
            assert request.id not in self.in_flight
            self.in_flight[request.id] = self.parse(request)
            self.open.append(int(request.id))

    def parse(self, request: Any) -> Taken:
        operation, segments = int(request.operation), []
        if operation == INDIRECT:
            operation = int(request.indirect_op)
            size = request.nr_segments * 8
            raw = b"".join(
                self.back.copy_from_grant(self.domain.domid, request.indirect_grefs[i], 0, 4096)
                for i in range(-(-size // 4096))
            )
            array = ffi.from_buffer("struct pv_blkif_segment[]", raw[:size])
        else:
            array = request.seg
        if operation in (READ, WRITE):
            for i in range(request.nr_segments):
                assert array[i].first_sect == 0
                segments.append((int(array[i].gref), (array[i].last_sect + 1) * 512))
        if operation == FLUSH:
            waiting = [t.io for t in self.in_flight.values()]
            io = next(
                io
                for io in self.ios
                if io.operation == FLUSH and not io.done and io not in waiting and io.unanswered
            )
            return Taken(io, operation, 0, segments, 1)
        io = self.ios[request.sector_number // SPACE - 1]
        sectors = sum(size for _, size in segments) // 512 or int(request.nr_sectors)
        return Taken(io, operation, int(request.sector_number), segments, sectors)

    def carry_out(self, request: Taken) -> None:
        """What a correct backend does before it answers."""
        if request.operation not in (READ, WRITE):
            return
        sector = request.sector
        for ref, size in request.segments:
            if request.operation == READ:
                data = content(sector, size // 512)
                self.back.copy_to_grant(self.domain.domid, ref, 0, data)
            else:
                written = self.back.copy_from_grant(self.domain.domid, ref, 0, size)
                assert written == content(sector + 77, size // 512)
            sector += size // 512

    def respond(self, identity: int, operation: int, status: int) -> None:
        response = {"id": identity, "operation": operation, "status": status}
        raw = ffi.new("struct pv_blkif_response *", response)
        lib.pv_blkif_encode_response(int(self.abi), raw, self.slot(self.answers))
        self.answers += 1
        self.ring.rsp_prod = self.answers % 2**32

    def answer(self, which: int, fault: tuple[str, int]) -> None:
        """Answers an open request; nothing when there is none or it would wrap around the ring."""
        if not self.open or self.violation or self.answers - self.consumed >= self.entries:
            return
        identity = self.open.pop(which % len(self.open))
        request = self.in_flight[identity]
        kind, value = fault
        operation, status = request.operation, 0
        self.carry_out(request)
        match kind:
            case "id":
                identity = value
            case "operation":
                operation = value
            case "status":
                status = value
            case "twice":
                self.respond(identity, operation, status)
        self.respond(identity, operation, status)

    # ---- the model

    def judge(self, budget: int) -> Verdict:
        """What is on the shared page now, in the frontend's eyes."""
        verdict = Verdict()
        ready = (self.ring.rsp_prod - self.consumed) % 2**32
        if ready > self.requests - self.consumed:
            verdict.violation = int(lib.PV_BLKFRONT_RESPONSE_OVERFLOW)
            return verdict
        seen: set[int] = set()
        for index in range(min(ready, budget)):
            response = ffi.new("struct pv_blkif_response *")
            lib.pv_blkif_decode_response(int(self.abi), self.slot(self.consumed + index), response)
            request = self.in_flight.get(response.id)
            if response.id >= self.entries:
                verdict.violation = int(lib.PV_BLKFRONT_BAD_ID)
            elif request is None or response.id in seen:
                verdict.violation = int(lib.PV_BLKFRONT_IDLE_ID)
            elif response.operation != request.operation:
                verdict.violation = int(lib.PV_BLKFRONT_WRONG_OPERATION)
            else:
                seen.add(int(response.id))
                verdict.accepted.append((int(response.id), request, int(response.status)))
                continue
            break
        return verdict

    def accept(self, verdict: Verdict) -> None:
        self.violation = verdict.violation
        for identity, request, status in verdict.accepted:
            self.consumed += 1
            del self.in_flight[identity]
            if identity in self.open:  # answered through noise, not by the backend's account
                self.open.remove(identity)
            request.io.unanswered -= request.sectors
            request.io.error = request.io.error or self.result(request.operation, status)

    def result(self, operation: int, status: int) -> int:
        """An operation's error, by the protocol."""
        if status == 0:
            self.flushed |= operation == FLUSH
            return 0
        if operation == FLUSH and (status == -2 or (status == -1 and not self.flushed)):
            self.no_flush = True  # an old backend, which has no cache to lose
            return 0
        return -errno.EOPNOTSUPP if operation == DISCARD and status == -2 else -errno.EIO

    def poll(self, budget: int = 64) -> int:
        broken = self.violation
        verdict = Verdict(broken) if broken else self.judge(budget)
        frozen = bytes(ffi.buffer(self.base, 4096)) if verdict.violation else b""
        count = int(lib.pv_blkfront_poll(self.queue, self.done, budget))
        assert count == -errno.EPROTO or 0 <= count <= budget
        assert lib.pv_blkfront_broken(self.queue) == verdict.violation
        if verdict.violation:
            assert bytes(ffi.buffer(self.base, 4096)) == frozen
            assert broken == 0 or count == -errno.EPROTO
        if not broken:
            self.accept(verdict)
            for index in range(max(0, count)):
                self.finish(self.done[index])
            if not verdict.violation:
                self.take()
        lib.pv_blkfront_arm(self.queue)
        return count

    def finish(self, cdata: Any) -> None:
        io = self.ios[int(ffi.cast("uintptr_t", cdata.user)) - 1]
        assert not io.done
        io.done = True
        if io.operation == DISCARD and cdata.status == -errno.EOPNOTSUPP:
            return  # refused now, or known to be since an earlier one was
        assert cdata.status == io.error
        if cdata.status:
            return
        assert io.unanswered == 0 or (io.operation == FLUSH and self.no_flush)
        if io.operation == READ:
            assert bytes(ffi.buffer(io.buffer, io.count * 512)) == content(io.sector, io.count)

    # ---- the end

    def drain(self) -> None:
        """A correct backend answers the rest."""
        while self.open and not self.violation:
            while self.open and self.answers - self.consumed < self.entries:
                self.answer(0, ("", 0))
            self.poll()
        if not self.violation:
            self.poll()

    def close(self) -> None:
        lib.pv_blkfront_stop(self.queue)
        left = [io for io in self.ios if not io.done]
        assert lib.pv_blkfront_outstanding(self.queue) == len(left)
        while (count := lib.pv_blkfront_give_up(self.queue, self.done, 64)) > 0:
            for index in range(count):
                io = self.ios[int(ffi.cast("uintptr_t", self.done[index].user)) - 1]
                assert not io.done
                io.done = True
                if self.done[index].status == 0:  # it had been answered before the violation
                    assert io.unanswered == 0 or io.operation == FLUSH
        assert all(io.done for io in self.ios)
        self.back.unmap_grants(self.page)
        lib.pv_blkfront_disconnect(self.queue)
        stats = ffi.new("struct pv_blkfront_stats *")
        lib.pv_blkfront_get_stats(self.queue, stats)
        assert stats.grants_leaked == 0
        assert stats.violations == bool(self.violation)
        lib.pv_blkfront_destroy(self.queue)
        self.channels.close()
        self.domain.destroy()


def play(disk: Disk, kind: str, argument: Any) -> None:
    """A trick on the shared page."""
    if kind == "noise" and not disk.violation:
        index, written = argument
        ffi.memmove(disk.slot(index), written, len(written))
    elif kind == "jump" and not disk.violation:
        disk.ring.rsp_prod = (disk.ring.rsp_prod + argument) % 2**32
    elif kind == "events":
        disk.ring.rsp_event = disk.ring.req_event = argument
        disk.ring.pad[0] = argument & 255


def neighbour_round(disk: Disk) -> None:
    """A correct backend's disk: everything is answered and right."""
    disk.submit([(WRITE, 8), (READ, 8)])
    disk.drain()
    assert all(io.done and io.cdata.status == 0 for io in disk.ios)


@pytest.mark.slow
@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.X86_32])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("indirect", [0, 32])
def test_whatever_a_backend_answers(abi: Abi, persistent: bool, indirect: int) -> None:
    @settings(max_examples=25)
    @given(rounds)
    def check(taken: list[tuple[Any, Any, Any, int]]) -> None:
        with Machine("64M") as machine:
            dom0 = machine.create_domain(privileged=True, memory="4M")
            free = machine.free_memory
            options = {"persistent": persistent, "indirect": indirect}
            hostile = Disk(machine, dom0, abi, **options)
            neighbour = Disk(machine, dom0, Abi.X86_64, **options)
            for submitted, answers, trick, budget in taken:
                if submitted:
                    hostile.submit(submitted)
                for which, fault in answers:
                    hostile.answer(which, fault)
                play(hostile, *trick)
                hostile.poll(budget)
                neighbour_round(neighbour)
            hostile.close()
            neighbour.close()
            assert machine.free_memory == free

    check()


@pytest.mark.slow
@pytest.mark.parametrize("abi", list(Abi)[:2])
def test_any_order_and_any_status_end_every_operation(abi: Abi) -> None:
    """A backend whose only fault is what it says of requests it has been given."""
    only = st.one_of(valid, st.tuples(st.just("status"), st.integers(-32768, 32767)))
    answers = st.lists(st.tuples(st.integers(0, 40), only), max_size=40)
    sound_rounds = st.lists(
        st.tuples(st.lists(operations, min_size=1, max_size=20), answers), max_size=6
    )

    @settings(max_examples=40)
    @given(sound_rounds)
    def check(taken: list[tuple[Any, Any]]) -> None:
        with Machine("64M") as machine:
            dom0 = machine.create_domain(privileged=True, memory="4M")
            disk = Disk(machine, dom0, abi, persistent=False, indirect=32)
            for submitted, answered in taken:
                disk.submit(submitted)
                for which, fault in answered:
                    disk.answer(which, fault)
                disk.poll()
            disk.drain()
            assert disk.violation == 0
            assert all(io.done for io in disk.ios)
            disk.close()

    check()


# ---- xenstore ----------------------------------------------------------------------------------

words = st.one_of(
    st.integers(-2, 70).map(str),
    st.sampled_from(["", "0", "1", "4", "512", "4096", "2048", "1e9", " 7\n", "0x10", "٤", "-1",
                     str(2**31), str(2**32), str(2**64), "9" * 2000, "\x00", "512\x00", "yes"]),
    st.text(max_size=8),
)  # fmt: skip
KEYS = (
    "feature-max-indirect-segments", "max-ring-page-order", "max-ring-pages",
    "multi-queue-max-queues", "feature-barrier", "feature-flush-cache", "feature-discard",
    "discard-granularity", "discard-alignment", "discard-secure", "feature-persistent",
    "sectors", "sector-size", "physical-sector-size", "info",
)  # fmt: skip
tables = st.dictionaries(st.sampled_from(KEYS), words, max_size=6)
states = st.lists(st.integers(0, 9).map(str) | st.sampled_from(["", "x", "4 "]), max_size=4)


async def hostile_store(disk: VbdPair, keys: dict[str, str], states: list[str]) -> None:
    """A backend that writes garbage, and in the end closes so that the device can be closed."""
    path, client, front = disk.config.backend_path, disk.toolstack, disk.frontend

    async def put(table: dict[str, str]) -> None:
        for key, value in table.items():
            await client.write(f"{path}/{key}", value.encode())

    front.start()
    await put({"sectors": "2048", **keys, "state": "2"})
    for state in ("", "4", *states):
        await asyncio.sleep(0.001)
        if state:
            await put({"state": state})
    await asyncio.sleep(0.001)
    assert not front.finished
    failed = front.last_error or ""
    assert not failed.startswith(("connect failed", "attach failed")), failed  # never a bug's
    if info := front.info:
        assert info.sector_size in (512, 1024, 2048, 4096)
        assert info.sectors % (info.sector_size // 512) == 0
    closing = asyncio.create_task(front.close())
    await asyncio.sleep(0.001)
    await put({"state": "6"})
    await closing
    assert front.state is XenbusState.CLOSED


@pytest.mark.slow
def test_whatever_a_backend_writes() -> None:
    with Machine("256M") as machine, RamStore(1 << 20) as store:
        dom0 = machine.create_domain(privileged=True, memory="32M")
        guest = machine.create_domain(memory="64M")

        ends = (dom0.hypervisor, guest.hypervisor, store)
        neighbour = VbdPair(*ends, name="xvdb")

        async def one(keys: dict[str, str], states: list[str]) -> None:
            bad = VbdPair(*ends, xenstore=neighbour.xenstore, connect=False)
            async with asyncio.timeout(20), bad as disk:
                await hostile_store(disk, keys, states)
            await neighbour.frontend.write(0, b"unharmed" * 64)
            assert await neighbour.frontend.read(0, 1) == b"unharmed" * 64

        with asyncio.Runner() as runner:

            @settings(max_examples=100)
            @given(tables, states)
            @example({"max-ring-page-order": "4", "multi-queue-max-queues": "64"}, [])
            @example({}, ["1", "2", "4"])
            def check(keys: dict[str, str], states: list[str]) -> None:
                runner.run(one(keys, states))

            runner.run(neighbour.__aenter__())
            check()
            runner.run(neighbour.__aexit__())
