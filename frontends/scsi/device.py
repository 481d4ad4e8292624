"""The SCSI frontend: commands for the LUNs of one virtual host, and what it reads and publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from pvdrivers._core import ffi
from pvdrivers.frontends.device import DRAIN_TIMEOUT, Frontend
from pvdrivers.frontends.scsi.command import CommandResult, Issued, Submitted
from pvdrivers.frontends.scsi.luns import LunTable
from pvdrivers.frontends.scsi.queue import ScsiQueue
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.features import Agreement, FrontendFeatures, negotiate
from pvdrivers.scsi.keys import (
    FRONTEND_KEYS,
    LUNS,
    SG_GRANT_KEY,
    FrontendRing,
    LunKeys,
    lun_key_names,
    lun_state_key,
    read_backend,
    read_luns,
)
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.xenbus.states import HOTPLUG_FRONTEND, XenbusState
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.operations import ABSENT

LUNS_AT_ONCE = 100  # whose states are written in one transaction
_ENDED_BY_US = (HostByte.ABORT, HostByte.RESET)


class ScsiFrontend(Frontend[ScsiQueue]):
    """One virtual host of this guest.

    A command is given to a backend once. One that a lost backend has taken ends with the host byte
    RESET, since it may have been carried out, and not every command may be carried out twice; one
    that waits goes to the next backend. When there will be none, commands end with NO_CONNECT.
    """

    table = HOTPLUG_FRONTEND

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        features: FrontendFeatures | None = None,
        drain_timeout: float = DRAIN_TIMEOUT,
    ) -> None:
        super().__init__(client, path, hypervisor, drain_timeout)
        protocol = hypervisor.abi.protocol
        self.features = features or FrontendFeatures(protocol=protocol)
        if self.features.protocol not in (None, protocol):
            raise UsageError(f"a domain of {protocol} cannot speak {self.features.protocol}")
        self.buffer_pages = 0  # of the queue's own granted memory, `pv_scsifront_buffers`
        self.agreement: Agreement | None = None
        self._luns = LunTable()
        self.on_handed_out: set[Callable[[], None]] = set()  # see `ring`
        self._commands: dict[int, Issued] = {}  # given to a queue, and not returned by it
        self._waiting: list[Issued] = []  # for a connection
        self._next_key = 1

    # ---- what its user calls ---------------------------------------------------------------

    async def connected(self) -> list[ScsiAddress]:
        """Where the LUNs are, once they can be used. PeerError when that will not be."""
        await self.wait_for(XenbusState.CONNECTED)
        return self.luns

    @property
    def luns(self) -> list[ScsiAddress]:
        """Those that are there now."""
        return self._luns.addresses

    @property
    def on_luns_changed(self) -> Callable[[], None] | None:
        """Called when a LUN has come or gone."""
        return self._luns.changed

    @on_luns_changed.setter
    def on_luns_changed(self, call: Callable[[], None] | None) -> None:
        self._luns.changed = call

    async def wait_for_lun(self, address: ScsiAddress, present: bool = True) -> None:
        """Until a LUN is there, or is not. PeerError: the device is gone."""
        await self._luns.wait(lambda: (address in self.luns) is present or self.is_gone)
        if (address in self.luns) is not present:
            raise PeerError(f"{self.path} was removed")

    async def execute(
        self,
        address: ScsiAddress,
        cdb: bytes,
        data_out: bytes = b"",
        room: int = 0,
        patience: float | None = None,
    ) -> CommandResult:
        """Carries out one command: with `data_out` for the device, or with `room` for so many bytes
        from it. The host of `address` is this one, whatever it says. `patience` is `result_of`'s.
        UsageError: it is no command that a ring can carry, or the device is closed.
        """
        return await self.result_of(self.submit(address, cdb, data_out, room), patience)

    def submit(
        self, address: ScsiAddress, cdb: bytes, data_out: bytes = b"", room: int = 0
    ) -> Issued:
        """Begins a command as `execute` does; its `result` is there when its `done` is."""
        issued = Issued.command(address, cdb, data_out, room)
        self._submit(issued)
        return issued

    async def result_of(self, issued: Issued, patience: float | None = None) -> CommandResult:
        """Waits for the end of what `submit` has begun.

        A command that takes longer than `patience` seconds is aborted, and its logical unit is
        reset if that fails within as many seconds; then the host byte is TIME_OUT.
        """
        if await issued.ends_within(patience):
            return issued.result
        await self._end_command(issued, patience)
        if not issued.done.done() or issued.result.host in _ENDED_BY_US:
            length = int(issued.cdata.length)
            return CommandResult(Status.GOOD, HostByte.TIME_OUT, residual=length)
        return issued.result

    async def abort_task(self, issued: Submitted) -> bool:
        """ABORT TASK. True: the command has ended, with the host byte ABORT if it was not answered
        before. False: it has not been aborted, and its answer may still come."""
        if issued in self._waiting:
            self._waiting.remove(issued)
            issued.fail(HostByte.ABORT)
            return True
        return await self._manage(Issued.abort(issued))

    async def reset_lun(self, address: ScsiAddress) -> bool:
        """LOGICAL UNIT RESET. True: it is done, and the unit's commands have ended, those without
        an answer with the host byte RESET."""
        return await self._manage(Issued.reset(address))

    @property
    def ring(self) -> Any:
        """A `struct pv_scsifront_queue *`, to which C code may now submit commands that have a
        `finished` of their own, as long as nothing is awaited; NULL: none is taken. Call
        `ring_used` after that. When some of them have ended, `on_handed_out` are called; `close`
        does not wait for them."""
        return self._queues[0].pointer if self.accepts else ffi.NULL

    def ring_used(self) -> None:
        """C code has submitted commands."""
        if self._queues[0].has_news:
            self.wake(self._queues[0])

    async def close(self) -> None:
        """Waits for what is under way, then closes the device in order."""
        under_way = [*self._commands.values(), *self._waiting]
        await asyncio.gather(*(issued.done for issued in under_way), return_exceptions=True)
        await super().close()

    @property
    def outstanding(self) -> int:
        """Commands submitted and not ended."""
        return len(self._commands) + len(self._waiting)

    def describe(self) -> str:
        line = super().describe()
        if self.agreement and self.fsm.connected:
            line += f", {self.agreement.describe()}"
        return f"{line}, {len(self.luns)} LUNs, {self.outstanding} outstanding"

    # ---- hooks -----------------------------------------------------------------------------

    def open_queues(self, channels: EventChannels) -> Iterator[ScsiQueue]:
        config = {
            "hypervisor": self.hypervisor.cdata,
            "evtchn": channels.cdata,
            "backend": self.peer_domid,
            "buffer_pages": self.buffer_pages,
        }
        yield ScsiQueue(config, self._finish, self._handed_out)

    async def publish(self) -> None:
        ring = FrontendRing(self.features.protocol, self._queues[0].keys)
        await self.write_keys(ring.keys(), without=(*FRONTEND_KEYS, LUNS))

    async def negotiate(self) -> None:
        offer = read_backend(await self.read_peer_keys([SG_GRANT_KEY]))
        agreement = negotiate(self.features, offer)
        self._queues[0].connect(agreement)
        self.agreement = agreement

    async def attach(self) -> None:
        await super().attach()
        if self._queues[0].has_news:  # what the last connection left unanswered has ended
            self.wake(self._queues[0])
        await self._publish_luns(await self._luns.connect(await self._read_luns()))

    async def reconfigure(self) -> None:
        await self._publish_luns(await self._luns.update(await self._read_luns()))

    def issue_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        most = self._queues[0].max_length
        for issued in waiting:
            if issued.cdata.length > most:  # too long for this backend
                issued.fail(HostByte.ERROR)
        if fitting := [issued for issued in waiting if issued.cdata.length <= most]:
            self._issue(fitting)

    def fail_requests(self) -> None:
        super().fail_requests()
        waiting, self._waiting = self._waiting, []
        for issued in waiting:
            issued.fail(HostByte.NO_CONNECT)

    async def failed(self) -> None:
        await super().failed()
        await self._luns.clear()

    async def removed(self) -> None:
        await super().removed()
        await self._luns.clear()

    # ---- LUNs ------------------------------------------------------------------------------

    async def _read_luns(self) -> list[LunKeys]:
        """Not in one transaction, which xenstore allows to touch a thousand nodes."""
        try:
            names = await self.client.directory(f"{self.peer_path}/{LUNS}")
        except XenstoreError as error:
            if error.name not in ABSENT:
                raise
            return []
        keys = await self.client.read_keys(self.peer_path, lun_key_names(names))
        return read_luns(keys, names)

    async def _publish_luns(self, states: dict[str, XenbusState]) -> None:
        keys = [(lun_state_key(name), str(int(state))) for name, state in states.items()]
        for first in range(0, len(keys), LUNS_AT_ONCE):
            await self.write_keys(dict(keys[first : first + LUNS_AT_ONCE]))

    # ---- commands --------------------------------------------------------------------------

    def _submit(self, issued: Issued) -> None:
        try:
            self.check_open()
        except OSError:  # it has failed
            issued.fail(HostByte.NO_CONNECT)
            return
        if not self.accepts:
            self._waiting.append(issued)
            return
        length, most = issued.cdata.length, self._queues[0].max_length
        if length > most:
            raise UsageError(f"a command's data have {length} bytes, at most {most}")
        self._issue([issued])

    def _issue(self, several: Sequence[Issued]) -> None:
        queue = self._queues[0]
        first = self._next_key
        self._next_key += len(several)
        for key, issued in enumerate(several, first):
            issued.cdata.user = ffi.cast("void *", key)
            self._commands[key] = issued
        if not queue.submit([issued.cdata for issued in several]):
            self._waiting += (self._commands.pop(key) for key in range(first, self._next_key))
        self.ring_used()

    def _finish(self, cdata: Any) -> None:
        issued = self._commands.pop(int(ffi.cast("uintptr_t", cdata.user)), None)
        if issued is not None:  # else other code drives the queue and issues
            issued.finish()

    def _handed_out(self) -> None:
        for call in tuple(self.on_handed_out):
            call()

    async def _manage(self, issued: Issued) -> bool:
        self._submit(issued)
        await issued.ends_within(None)
        return issued.succeeded

    async def _end_command(self, issued: Issued, patience: float | None) -> None:
        """Has a command end, as Linux' error handling does; each step may take so long."""
        for manage in (partial(self.abort_task, issued), partial(self.reset_lun, issued.address)):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await manage()
            if issued.done.done():
                return
