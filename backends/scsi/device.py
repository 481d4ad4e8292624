"""The SCSI backend on xenbus: what it offers, reads and publishes. Its data plane is in C.

LUNs have states of their own beside those of the device (`vscsi-devs/dev-N/state`). The toolstack
asks for a change by state 7 (Reconfiguring) of this end; the frontend lets go of LUNs that leave
and goes to 7, this end adds and removes and goes to 8, the frontend takes what is new and goes to
4, and so does this end. What one LUN lacks concerns that LUN alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from pvdrivers.backends.device import Backend, DeviceContext, QueueContext
from pvdrivers.backends.inflight import LogMemory
from pvdrivers.backends.scsi.host import HostConfig, ServeOptions
from pvdrivers.backends.scsi.luns import Lun, Luns
from pvdrivers.backends.scsi.queue import ScsiQueue
from pvdrivers.backends.scsi.units import Units
from pvdrivers.backends.service import traceback_of
from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.features import BackendFeatures
from pvdrivers.scsi.keys import (
    FRONTEND_KEYS,
    LUNS,
    SG_GRANT_KEY,
    FrontendRing,
    LunKeys,
    backend_keys,
    lun_key_names,
    lun_state_key,
    read_backend,
    read_luns,
)
from pvdrivers.xenbus.states import XenbusState

log = logging.getLogger("pvdrivers.backends.scsi")

LIVE = (XenbusState.CONNECTED, XenbusState.RECONFIGURING, XenbusState.RECONFIGURED)
INITIALISING, INITIALISED, CONNECTED = (
    XenbusState.INITIALISING,
    XenbusState.INITIALISED,
    XenbusState.CONNECTED,
)
CLOSING, CLOSED = XenbusState.CLOSING, XenbusState.CLOSED
LunStates = Mapping[str, XenbusState]  # by the LUN's directory


class ScsiBackend(Backend[FrontendRing, ScsiQueue]):
    """Serves one virtual host of one guest."""

    def __init__(
        self, context: DeviceContext, host: HostConfig, options: ServeOptions, units: Units
    ) -> None:
        """`units`: those of the whole service."""
        super().__init__(context)
        self.host = host
        self.serve_options = options
        self.features = BackendFeatures()
        self.luns = Luns(units, host, options)
        self._outcome: LunStates = {}  # of CONNECT, to be published
        self._refused: set[str] = set()  # directories of LUNs that could not be served

    # ---- what its user calls ---------------------------------------------------------------

    async def reload(self, options: ServeOptions) -> bool:
        """For LUNs that come, and for the next connection. LUNs that could not be served are tried
        again; the others stay as they are."""
        is_changed = options != self.serve_options
        if is_changed:
            log.info("%s: %s", self.path, self.serve_options.changes(options))
            self.serve_options = options
            self.luns.options = options
        await self._try_again()
        return is_changed

    def statistics(self) -> dict[str, int]:
        """Also how many LUNs there are, by their kinds, and what their units count."""
        counted = Counter(super().statistics())
        for lun in self.luns:
            status = lun.served.unit.status()
            counted.update({f"{status.kind}_luns": 1})
            counted.update(status.counts)
        return dict(counted)

    def status(self) -> dict[str, Any]:
        return super().status() | {
            "whole_host": self.host.whole_host,
            "luns": [_described(lun) for lun in self.luns],
        }

    def describe(self) -> str:
        count = len(self.luns.names)
        return f"{super().describe()}, {count} LUN{'' if count == 1 else 's'}"

    # ---- hooks -----------------------------------------------------------------------------

    async def offer(self) -> None:
        self.features = BackendFeatures(sg_grant=self.serve_options.limits.sg_grant)
        await self.write_keys(backend_keys(self.features), without=[SG_GRANT_KEY])

    async def read_own_offer(self) -> None:
        self.features = read_backend(await self.client.read_keys(self.path, (SG_GRANT_KEY,)))

    async def read_rings(self) -> Sequence[FrontendRing]:
        return [FrontendRing.read(await self.read_peer_keys(FRONTEND_KEYS))]

    async def connect(self) -> None:
        self._outcome = await self._add_and_remove((INITIALISING, INITIALISED, CONNECTED))
        if self._inherits:  # the frontend has them already, but for those that cannot be served
            self._outcome = {name: s for name, s in self._outcome.items() if s is CLOSED}
        self.luns.initiator = await self._initiator()
        self.luns.attach()
        await super().connect()

    async def publish(self) -> None:
        await self._write_lun_states(self._outcome)

    async def reread(self) -> None:
        await self._confirm_luns()

    async def reconfigure(self) -> None:
        if self.peer_state is XenbusState.CONNECTED:
            await self._confirm_luns()
        else:
            outcome = await self._add_and_remove((INITIALISING,))
            self.luns.attach()
            self._tell_queues()
            await self._write_lun_states(outcome)

    async def disconnect(self) -> None:
        # Without an end of the connection a successor of this process goes on with it.
        is_lost = self.state not in LIVE
        with self.luns.aborted_in_time() if is_lost else nullcontext():
            await super().disconnect()
        await self.luns.detach(is_lost)

    async def removed(self) -> None:
        await super().removed()
        await self.luns.close(for_good=await self._is_unplugged())

    # ---- queue -----------------------------------------------------------------------------

    def inflight_size(self, ring: FrontendRing) -> int:
        return ScsiQueue.log_size(self._abi(ring))

    def open_queue(self, ring: FrontendRing, context: QueueContext) -> ScsiQueue:
        fields = {"evtchn": context.channels.cdata, "fault_fd": context.fault_fd}
        queue = ScsiQueue(self._config(ring, context.inflight) | fields)
        try:
            queue.set_luns(self.luns.places)
        except BaseException:
            queue.close()
            raise
        return queue

    def is_resumable(self, ring: FrontendRing, inflight: LogMemory) -> bool:
        return ScsiQueue.is_resumable(self._config(ring, inflight))

    def _config(self, ring: FrontendRing, inflight: LogMemory) -> dict[str, Any]:
        [ring_ref] = ring.queue.ring_refs
        return {
            "hypervisor": self.hypervisor.cdata,
            "frontend": self.peer_domid,
            "abi": self._abi(ring),
            "ring_ref": ring_ref,
            "remote_port": ring.queue.event_channel,
            "max_segments": self.features.sg_grant,
            "inflight": inflight.address,
            "inflight_size": inflight.size,
        }

    def _abi(self, ring: FrontendRing) -> Abi:
        return Abi.from_protocol(ring.protocol) if ring.protocol else self.abi_of_pages()

    # ---- LUNs ------------------------------------------------------------------------------

    async def _read_luns(self) -> list[LunKeys]:
        async with self.client.transaction(commit=False) as snapshot:
            folder = f"{self.path}/{LUNS}"
            names = await snapshot.directory(folder) if await snapshot.exists(folder) else []
            return read_luns(await snapshot.read_keys(self.path, lun_key_names(names)), names)

    async def _add_and_remove(self, wanted: Collection[XenbusState]) -> LunStates:
        """Serves the LUNs in the states `wanted`, and none that leaves or is gone; the states that
        say how it ended."""
        found = await self._read_luns()
        known = {keys.name for keys in found}
        leaving = [keys.name for keys in found if keys.state is CLOSING]
        await self._remove([*leaving, *(name for name in self.luns.names if name not in known)])
        outcome = dict.fromkeys(leaving, CLOSED)
        for keys in found:
            if keys.state in wanted:
                outcome[keys.name] = INITIALISED if await self._add(keys) else CLOSED
        return outcome

    async def _add(self, keys: LunKeys) -> bool:
        if keys.name in self.luns and self.luns.is_changed(keys):
            await self._remove([keys.name])
        if keys.name in self.luns:
            return True
        self._refused.discard(keys.name)
        try:
            await self.luns.add(keys)
        except Exception as error:
            log.error("%s: %s: %s", self.path, keys.name, error, exc_info=traceback_of(error))
            self._refused.add(keys.name)
            return False
        return True

    async def _try_again(self) -> None:
        """As if the toolstack had just plugged in those that were refused, unless they are gone."""
        found = await self._read_luns() if self._refused else []
        waiting = {keys.name for keys in found if keys.state in (CLOSED, INITIALISING)}
        if refused := waiting & self._refused:
            keys = {lun_state_key(name): str(int(INITIALISING)) for name in refused}
            if self.state is CONNECTED:  # else they are taken up with the next change of states
                keys["state"] = str(int(XenbusState.RECONFIGURING))
            await self.write_keys(keys)

    async def _remove(self, names: Iterable[str]) -> None:
        if gone := [self.luns.take(name) for name in names if name in self.luns]:
            self._tell_queues()
            await self.luns.end(gone)

    def _tell_queues(self) -> None:
        for queue in self._queues:
            queue.set_luns(self.luns.places)

    async def _confirm_luns(self) -> None:
        """The frontend is Connected, so it has taken all that was offered."""
        found = await self._read_luns()
        await self._write_lun_states(
            {keys.name: CONNECTED for keys in found if keys.state is INITIALISED}
        )

    async def _write_lun_states(self, states: LunStates) -> None:
        if states:
            keys = {lun_state_key(name): str(int(state)) for name, state in states.items()}
            await self.write_keys(keys)

    async def _initiator(self) -> str:
        """A name that the guest keeps when it starts again, in a domain of another number."""
        vm = await self.client.read_optional(f"/local/domain/{self.peer_domid}/vm")
        guest = (vm or "").removeprefix("/vm/") or f"domain-{self.peer_domid}"
        return f"xen-{guest}-{self.host.devid}"


def _described(lun: Lun) -> dict[str, str]:
    status = lun.served.unit.status()
    return {
        "p_dev": lun.keys.p_dev,
        "v_dev": str(lun.address),
        "kind": status.kind,
        "medium": status.medium,
        "unit": repr(lun.served),
    }
