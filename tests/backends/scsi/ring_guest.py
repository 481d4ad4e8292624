"""A guest made by hand: a ring in its own pages, a page of data for each request, and no frontend.

And units to be served to it: `Disk` on a RamStore, whose READ and WRITE may go past it.
"""

from __future__ import annotations

import struct
import threading
from typing import Any, NamedTuple

from pvdrivers._core import ffi, lib
from pvdrivers.backends.stores.store import BlockStore, RamStore
from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
from pvdrivers.backends.targets.logical_unit import Done
from pvdrivers.backends.targets.operations import operation
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.rings import FrontRing
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.result import Result
from tests.until import until

PATIENCE = 20.0
SLOT = int(lib.VSCSIIF_SLOT_SIZE)
BLOCK = 512
LUN_0 = ScsiAddress(0, 0, 0, 0)

READY = bytes(6)
INQUIRY = bytes([0x12, 0, 0, 0, 36, 0])


def read_10(block: int, blocks: int = 1) -> bytes:
    return struct.pack(">BxIxHx", 0x28, block, blocks)


def write_10(block: int, blocks: int = 1) -> bytes:
    return b"\x2a" + read_10(block, blocks)[1:]


class Response(NamedTuple):
    word: int
    sense: bytes
    residual: int
    data: bytes  # of the page, as much as was asked for

    @property
    def result(self) -> Result:
        return Result.of(self.word)


class RingGuest:
    """One page of the ring and one for each slot's data."""

    def __init__(self, hypervisor: Hypervisor, backend_domid: int = 0) -> None:
        self.hypervisor = hypervisor
        size = hypervisor.page_size
        slots = int(lib.pv_ring_entries(size, SLOT))
        self._pages = hypervisor.allocate_pages(1 + slots)
        memory = memoryview(ffi.buffer(self._pages.address, (1 + slots) * size)).cast("B")
        self.ring = FrontRing.create(memory[:size], SLOT)
        self._data = [memory[i * size : (i + 1) * size] for i in range(1, 1 + slots)]
        self.ring_ref, *self._refs = hypervisor.grant_pages(backend_domid, self._pages)
        self._free = list(range(slots))
        self._sent: dict[int, tuple[int, int]] = {}  # by rqid: page, bytes
        self._answered: dict[int, Response] = {}
        self._next_rqid = 0
        self.channels = hypervisor.open_event_channels()
        self.port = int(self.channels.bind_unbound_port(backend_domid))

    def put(
        self,
        cdb: bytes = READY,
        data_out: bytes = b"",
        room: int = 0,
        *,
        at: ScsiAddress = LUN_0,
        act: int = lib.VSCSIIF_ACT_SCSI_CDB,
        ref_rqid: int = 0,
    ) -> int:
        """Publishes a request and notifies; returns its rqid."""
        self._next_rqid = rqid = self._next_rqid % 0xFFFF + 1
        page = self._free.pop()
        size = max(len(data_out), room)
        self._data[page][: len(data_out)] = data_out
        request = ffi.new("struct pv_vscsiif_request *")
        request.rqid, request.act, request.ref_rqid = rqid, act, ref_rqid
        request.cmd_len = len(cdb)
        ffi.memmove(request.cmnd, cdb, len(cdb))
        request.channel, request.id, request.lun = at.channel, at.target, at.lun
        request.sc_data_direction = 1 if data_out else 2 if room else 3
        if size:
            request.nr_segments = 1
            request.seg[0] = {"gref": self._refs[page], "length": size}
        slot = ffi.new("uint8_t[]", SLOT)
        lib.pv_vscsiif_encode_request(request, slot)
        self.ring.add_request(bytes(ffi.buffer(slot)))
        if self.ring.push_requests():
            self.channels.notify(self.port)
        self._sent[rqid] = page, room
        return rqid

    def take(self) -> dict[int, Response]:
        """All answers that have come and were not asked for by `answer`, by rqid."""
        for slot in self.ring.take_responses():
            response = ffi.new("struct pv_vscsiif_response *")
            lib.pv_vscsiif_decode_response(slot, response)
            page, room = self._sent.pop(int(response.rqid))
            self._free.append(page)
            self._answered[int(response.rqid)] = Response(
                int(response.rslt),
                bytes(ffi.buffer(response.sense, response.sense_len)),
                int(response.residual_len),
                bytes(self._data[page][:room]),
            )
        return self._answered

    async def answer(self, rqid: int) -> Response:
        await until(lambda: rqid in self.take())
        return self._answered.pop(rqid)

    async def run(self, cdb: bytes, data_out: bytes = b"", room: int = 0, **keys: Any) -> Response:
        return await self.answer(self.put(cdb, data_out, room, **keys))


def _range_of(cdb: bytes) -> tuple[int, int]:
    block, blocks = struct.unpack(">2xIxHx", cdb[:10])
    return block, blocks


class Disk(EmulatedUnit):
    """Notes what it is asked. Commands with a first byte of 0xC0 wait for `go`."""

    device_type = 0
    may_block = False

    def __init__(self, store: BlockStore | None = None) -> None:
        super().__init__()
        self.store: BlockStore | None = store or RamStore(1 << 16)
        self.calls: list[str] = []
        self.go = threading.Event()
        self.is_open = True
        self.read_only = False
        self.held: list[tuple[Command, Done]] = []

    def attach(self, nexus: Nexus) -> None:
        super().attach(nexus)
        self.calls.append(f"attach {nexus.name}")

    def detach(self, nexus: Nexus) -> None:
        super().detach(nexus)
        self.calls.append(f"detach {nexus.name}")

    def reset(self, nexus: Nexus) -> None:
        super().reset(nexus)
        self.calls.append("reset")

    def start(self, command: Command, done: Done) -> None:
        if command.cdb[:1] == b"\xc1":  # until the test gives its answer
            self.held.append((command, done))
        else:
            super().start(command, done)

    def abort(self, command: Command) -> bool:
        self.calls.append("abort")
        return command.cdb[1] == 0

    def direct_access(self, nexus: Nexus) -> tuple[bool, bool]:
        free = not self.has_attention(nexus)
        return free, free and not self.read_only

    def close(self) -> None:
        assert self.store
        self.store.check_unused()
        self.is_open = False

    @operation(0x00, "TEST UNIT READY", "00 00 00 00 00 07")
    def test_unit_ready(self, command: Command) -> None:
        self.calls.append("ready")

    @operation(0x12, "INQUIRY", "12 01 ff ff ff 07", despite_attention=True, is_query=True)
    def inquiry(self, command: Command) -> bytes:
        return f"{command.nexus.name} {command.nexus.luns}".encode()

    @operation(0x28, "READ (10)", "28 fa ff ff ff ff ff ff ff 07")
    def read(self, command: Command) -> bytes:
        self.calls.append("read")
        assert self.store
        return self.store.read(*_range_of(command.cdb))

    @operation(0x2A, "WRITE (10)", "2a fa ff ff ff ff ff ff ff 07")
    def write(self, command: Command) -> None:
        self.calls.append("write")
        assert self.store
        self.store.write(_range_of(command.cdb)[0], bytes(command.data_out))

    @operation(0xC0, "WAIT", "c0 ff 00 00 00 07", excludes_direct_access=True)
    def wait(self, command: Command) -> bytes:
        self.calls.append("wait")
        assert self.go.wait(PATIENCE)
        self.read_only = bool(command.cdb[1])
        return threading.current_thread().name.encode()

    @operation(0xC2, "FAIL", "c2 00 00 00 00 07")
    def fail(self, command: Command) -> Answer:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        return "<Disk>"
