"""An emulated peer: a SCSI backend of plain Python, for tests of a frontend.

    peer = partial(EmulatedBackend, behaviour=Behaviour(answers_aborted=False))
    async with ScsiPair(dom0.hypervisor, guest.hypervisor, {"disk": unit}, backend=peer) as host:
        await host.frontend.execute(address, cdb)

It carries out one command after the other, in the order in which they come. `Behaviour` says what
real backends differ in, and what a test wants to hold back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pvdrivers._core import ffi, lib
from pvdrivers.backends.device import Backend, DeviceContext, QueueContext
from pvdrivers.backends.inflight import LogMemory
from pvdrivers.backends.python_queue import GrantedRing, PythonQueue, Request
from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.hypervisor import HypervisorError
from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.features import SG_GRANT, BackendFeatures
from pvdrivers.scsi.keys import (
    FRONTEND_KEYS,
    LUNS,
    FrontendRing,
    LunKeys,
    backend_keys,
    lun_key_names,
    lun_state_key,
    read_luns,
)
from pvdrivers.scsi.result import (
    TASK_MANAGEMENT_FAILURE,
    TASK_MANAGEMENT_SUCCESS,
    HostByte,
    Result,
    Status,
)
from pvdrivers.testing.scsi.unit_initiator import answer_of
from pvdrivers.xenbus.states import XenbusState

SLOT = int(lib.VSCSIIF_SLOT_SIZE)
_LISTED = int(lib.VSCSIIF_SG_GRANT)


class Place(NamedTuple):
    """Where a guest sees a LUN."""

    channel: int
    target: int
    lun: int


@dataclass(slots=True)
class Behaviour:
    """`holds`: whether a CDB is taken and not carried out, until ABORT, RESET or `release`.

    `answers_aborted`: what an ABORT or RESET has ended is answered too, which Linux' backend does
    not. `sg_grant`: segments of a list; 0: none is offered.
    """

    sg_grant: int = SG_GRANT
    holds: Callable[[bytes], bool] = field(default=lambda cdb: False)
    answers_aborted: bool = True


class EmulatedQueue(PythonQueue):
    """`units`: those that are there, which may change."""

    def __init__(
        self,
        ring: GrantedRing,
        context: QueueContext,
        units: Mapping[Place, LogicalUnit],
        nexus: Nexus,
        behaviour: Behaviour,
    ) -> None:
        self._units, self._nexus, self._behaviour = units, nexus, behaviour
        self.held: dict[int, tuple[Request, Any]] = {}  # by rqid
        self._released = False
        self._never_answered = 0
        super().__init__(ring, context)

    def begin(self, request: Request) -> None:
        decoded = ffi.new("struct pv_vscsiif_request *")
        lib.pv_vscsiif_decode_request(request.slot, decoded)
        match decoded.act:
            case lib.VSCSIIF_ACT_SCSI_CDB:
                if self._behaviour.holds(bytes(decoded.cmnd)[: decoded.cmd_len]):
                    self.held[decoded.rqid] = request, decoded
                else:
                    self._carry_out(request, decoded)
            case lib.VSCSIIF_ACT_SCSI_ABORT:
                found = decoded.ref_rqid in self.held
                if found:
                    self._abort(decoded.ref_rqid, HostByte.ABORT)
                word = TASK_MANAGEMENT_SUCCESS if found else TASK_MANAGEMENT_FAILURE
                self._respond(request, decoded, word)
            case lib.VSCSIIF_ACT_SCSI_RESET:
                for rqid, (_, held) in list(self.held.items()):
                    if _place(held) == _place(decoded):
                        self._abort(rqid, HostByte.RESET)
                self._respond(request, decoded, TASK_MANAGEMENT_SUCCESS)
            case _:
                self._respond(request, decoded, Result(host=HostByte.ERROR).word)

    def work(self) -> None:
        if self._released:
            self._released = False
            while self.held:
                self._carry_out(*self.held.pop(next(iter(self.held))))

    def quiesce(self, now: int) -> bool:
        self._released = True
        return super().quiesce(now) or self._ring.unanswered == self._never_answered

    def release(self) -> None:
        """Carries out what is held."""
        self._released = True
        self.wake()

    def forget(self) -> None:
        """Never answers what is held, as a backend that is lost."""
        self._never_answered += len(self.held)
        self.held.clear()

    def _abort(self, rqid: int, host: int) -> None:
        request, decoded = self.held.pop(rqid)
        if self._behaviour.answers_aborted:
            self._respond(request, decoded, Result(Status.TASK_ABORTED, host).word)
        else:
            self._never_answered += 1

    def _carry_out(self, request: Request, decoded: Any) -> None:
        unit = self._units.get(_place(decoded))
        if unit is None:
            self._respond(request, decoded, Result(host=HostByte.NO_CONNECT).word)
            return
        try:
            answer, residual = self._execute(unit, decoded)
        except HypervisorError:  # not what it has granted
            self._respond(request, decoded, Result(host=HostByte.ERROR).word)
            return
        word = Result(answer.status, answer.host).word
        self._respond(request, decoded, word, bytes(answer.sense), residual)

    def _execute(self, unit: LogicalUnit, decoded: Any) -> tuple[Answer, int]:
        """The answer, and how many bytes of the data were not transferred."""
        segments = self._segments(decoded)
        length = sum(size for _, _, size in segments)
        reads = decoded.sc_data_direction == lib.VSCSIIF_FROM_DEVICE
        data_out = b"" if reads else b"".join(self._copy(*segment) for segment in segments)
        cdb = bytes(decoded.cmnd)[: decoded.cmd_len]
        command = Command(self._nexus, cdb, data_out, length if reads else 0)
        answer = answer_of(unit, command)
        if not reads:
            return answer, answer.unused
        data = bytes(answer.data)[:length]
        done = 0
        for ref, offset, size in segments:
            if part := data[done : done + size]:
                self.granted.hypervisor.copy_to_grant(self.granted.frontend, ref, offset, part)
            done += size
        return answer, length - len(data)

    def _segments(self, decoded: Any) -> list[tuple[int, int, int]]:
        """gref, offset and bytes of each."""
        count = decoded.nr_segments & ~_LISTED
        direct = [(s.gref, s.offset, s.length) for s in decoded.seg[0:count]]
        if not decoded.nr_segments & _LISTED:
            return direct
        raw = b"".join(self._copy(*segment) for segment in direct)
        listed = ffi.from_buffer("struct pv_vscsiif_segment[]", raw)
        return [(s.gref, s.offset, s.length) for s in listed]

    def _copy(self, ref: int, offset: int, size: int) -> bytes:
        return self.granted.hypervisor.copy_from_grant(self.granted.frontend, ref, offset, size)

    def _respond(
        self, request: Request, decoded: Any, word: int, sense: bytes = b"", residual: int = 0
    ) -> None:
        response = ffi.new("struct pv_vscsiif_response *")
        response.rqid, response.act = decoded.rqid, decoded.act
        response.rslt, response.residual_len = word, residual
        response.sense_len = len(sense)
        ffi.memmove(response.sense, sense, len(sense))
        slot = ffi.new("uint8_t[]", SLOT)
        lib.pv_vscsiif_encode_response(response, slot)
        self.answer(request, bytes(slot))


class EmulatedBackend(Backend[GrantedRing, EmulatedQueue]):
    """`units`: by what the toolstack writes as `p-dev`."""

    def __init__(
        self,
        context: DeviceContext,
        units: Mapping[str, LogicalUnit],
        behaviour: Behaviour | None = None,
    ) -> None:
        super().__init__(context)
        self.behaviour = behaviour or Behaviour()
        self._offered = units
        self._units: dict[Place, LogicalUnit] = {}
        self._names: dict[str, Place] = {}
        self._nexus = Nexus("")

    async def offer(self) -> None:
        await self.write_keys(backend_keys(BackendFeatures(sg_grant=self.behaviour.sg_grant)))

    async def read_rings(self) -> list[GrantedRing]:
        ring = FrontendRing.read(await self.read_peer_keys(FRONTEND_KEYS))
        abi = Abi.from_protocol(ring.protocol) if ring.protocol else Abi.X86_64
        return [GrantedRing(self.hypervisor, self.peer_domid, abi, ring.queue, SLOT)]

    def open_queue(self, ring: GrantedRing, context: QueueContext) -> EmulatedQueue:
        return EmulatedQueue(ring, context, self._units, self._nexus, self.behaviour)

    def inflight_size(self, ring: GrantedRing) -> int:
        return ring.inflight_size

    def is_resumable(self, ring: GrantedRing, inflight: LogMemory) -> bool:
        return ring.is_resumable(inflight)

    async def publish(self) -> None:
        self._units.clear()
        self._names.clear()
        self._nexus = Nexus(f"domain {self.peer_domid}")
        states = {}
        for lun in await self._read_luns():
            if lun.state in (XenbusState.INITIALISED, XenbusState.CONNECTED):
                self._add(lun)
            elif lun.state is XenbusState.INITIALISING:
                states[lun.name] = self._add(lun)
        await self._write_luns(states)

    async def reread(self) -> None:
        await self._acknowledge()

    async def reconfigure(self) -> None:
        if self.peer_state is XenbusState.CONNECTED:
            await self._acknowledge()
            return
        states = {}
        for lun in await self._read_luns():
            if lun.state is XenbusState.INITIALISING:
                states[lun.name] = self._add(lun)
            elif lun.state is XenbusState.CLOSING:
                self._remove(lun.name)
                states[lun.name] = XenbusState.CLOSED
        await self._write_luns(states)

    async def disconnect(self) -> None:
        await super().disconnect()
        for name in list(self._names):
            self._remove(name)

    async def _acknowledge(self) -> None:
        """The frontend has seen the LUNs that this end has set up."""
        luns = [lun for lun in await self._read_luns() if lun.name in self._names]
        ready = [lun.name for lun in luns if lun.state is XenbusState.INITIALISED]
        await self._write_luns(dict.fromkeys(ready, XenbusState.CONNECTED))

    def _add(self, lun: LunKeys) -> XenbusState:
        unit = self._offered.get(lun.p_dev)
        place = lun.v_dev and Place(*lun.v_dev[1:])
        if unit is None or place is None or place in self._units:
            return XenbusState.CLOSED
        self._units[place], self._names[lun.name] = unit, place
        unit.attach(self._nexus)
        return XenbusState.INITIALISED

    def _remove(self, name: str) -> None:
        if place := self._names.pop(name, None):
            self._units.pop(place).detach(self._nexus)

    async def _read_luns(self) -> list[LunKeys]:
        names = await self.client.directory(f"{self.path}/{LUNS}")
        return read_luns(await self.client.read_keys(self.path, lun_key_names(names)), names)

    async def _write_luns(self, states: Mapping[str, XenbusState]) -> None:
        if states:
            keys = {lun_state_key(name): str(int(state)) for name, state in states.items()}
            await self.write_keys(keys)


def _place(decoded: Any) -> Place:
    return Place(decoded.channel, decoded.id, decoded.lun)
