"""A backend's queue written in Python: one ring, its event channel and its in-flight log.

For device classes without a data plane in C, and for the first version of any. A class derives from
`PythonQueue` and says what a request does; the rest is the same for all of them: requests are
copied once, a successor takes up what a killed process had in flight, the frontend is notified once
a batch, and an overrun ring is never touched again.
"""

import os
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

from pvdrivers._core import ffi, lib
from pvdrivers.backends.device import QueueContext
from pvdrivers.backends.inflight import LogMemory
from pvdrivers.hypervisor import Hypervisor, HypervisorError, MappedPages
from pvdrivers.poll.pollable import PythonPollable
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError
from pvdrivers.ring.rings import BackRing
from pvdrivers.xenbus.keys import QueueKeys


@dataclass(frozen=True, slots=True)
class GrantedRing:
    """A ring as its frontend has published it."""

    hypervisor: Hypervisor  # the backend's
    frontend: int  # domid
    abi: Abi  # the frontend's
    keys: QueueKeys
    slot_size: int  # bytes

    def map(self) -> MappedPages:
        """PeerError: the frontend has granted no such pages."""
        refs, size = list(self.keys.ring_refs), self.abi.page_size
        try:
            return self.hypervisor.map_grants(self.frontend, refs, page_size=size)
        except HypervisorError as error:
            raise PeerError(f"cannot map ring {refs}: {error}") from error

    @property
    def inflight_size(self) -> int:
        """Bytes of the ring's in-flight log."""
        area = len(self.keys.ring_refs) * self.abi.page_size
        entries = lib.pv_ring_entries(area, self.slot_size)
        return int(lib.pv_inflight_size(entries, self.slot_size))

    def is_resumable(self, inflight: LogMemory) -> bool:
        """Whether a queue would go on where an earlier one stopped, with no request lost."""
        try:
            pages = self.map()
        except PeerError:
            return False
        try:
            ring = BackRing(pages.view, self.slot_size)
            if inflight.address == ffi.NULL or not lib.pv_inflight_has_begun(_log(inflight)):
                return ring.unconsumed_requests() == 0  # the frontend waits for nothing
            return bool(lib.pv_inflight_check(_log(inflight), self.identity, ring.cdata) >= 0)
        except PeerError:
            return False
        finally:
            self.hypervisor.unmap_grants(pages)

    @property
    def identity(self) -> Any:
        """The `struct pv_inflight_identity *` of this connection."""
        return ffi.new(
            "struct pv_inflight_identity *",
            {
                "frontend": self.frontend,
                "abi": int(self.abi),
                "remote_port": self.keys.event_channel,
                "ring_pages": len(self.keys.ring_refs),
                "ring_refs": list(self.keys.ring_refs),
            },
        )


class Request(NamedTuple):
    """A request taken and not answered."""

    entry: int  # its number in the in-flight log
    slot: bytes  # the private copy of its slot


class PythonQueue(PythonPollable):
    """Serves the requests of one ring; a `Queue` of `pvdrivers.backends.device`."""

    second_port = 0

    def __init__(self, ring: GrantedRing, context: QueueContext) -> None:
        """PeerError: the ring, its port or its in-flight log cannot be used. OSError: there is no
        room for a queue."""
        self.granted = ring
        self.now = 0  # ns, of the present pump
        self._counters = dict.fromkeys(
            ("requests", "responses", "resumed", "ring_overruns", "notifications_sent"), 0
        )
        self._stopped = False
        self._fault_fd = context.fault_fd
        self._channels = context.channels
        self._pages = ring.map()
        try:
            self._ring = BackRing(self._pages.view, ring.slot_size)
            self._log = self._attach(context.inflight)
            self.port = self._bind(ring)
            super().__init__(context.channels, self.port)
        except BaseException:
            ring.hypervisor.unmap_grants(self._pages)
            raise

    # ---- what a class fills in -------------------------------------------------------------

    @abstractmethod
    def begin(self, request: Request) -> None:
        """Carries a request out, and answers it with `answer`: now or in a later `work`.

        After a kill it is called again for requests that were not answered: what it does then must
        be the same as doing it once.
        """

    def work(self) -> None:
        """Goes on with requests that have begun. Called by each pump, before new requests."""

    # ---- what it calls ---------------------------------------------------------------------

    def answer(self, request: Request, response: bytes) -> None:
        """Writes a response; the frontend sees it at the end of the pump."""
        index = self._ring.add_response(response)
        entry = self._entry(request.entry)
        lib.pv_inflight_answer(entry, index)
        self._answered.append(request.entry)
        self._counters["responses"] += 1

    def count(self, name: str, number: int = 1) -> None:
        """Adds to a counter of `statistics`."""
        self._counters[name] = self._counters.get(name, 0) + number

    # ---- Queue -----------------------------------------------------------------------------

    def statistics(self) -> dict[str, int]:
        return dict(self._counters)

    def stop(self) -> None:
        self._stopped = True

    def quiesce(self, now: int) -> bool:
        self.stop()
        if self.broken is None:
            self._guard(self.pump, 0, 0, now)
        return self.broken is not None or self._ring.unanswered == 0

    def close(self) -> None:
        super().close()
        self._channels.unbind(self.port)
        self.granted.hypervisor.unmap_grants(self._pages)

    # ---- pollable --------------------------------------------------------------------------

    def pump(self, budget: int, now: int) -> int:
        self.now = now
        before = self._ring.rsp_prod_pvt
        for request in self._resumed:
            self.begin(request)
        self._resumed.clear()
        self.work()
        taken = 0 if self._stopped else self._take(budget)
        self._publish()
        return taken + (self._ring.rsp_prod_pvt - before & 0xFFFFFFFF)

    def arm(self) -> bool:
        return not self._stopped and self._ring.final_check()

    def failed(self, error: BaseException) -> None:
        if isinstance(error, PeerError):
            self._counters["ring_overruns"] += 1  # the backend logs it, once for the device
        else:
            super().failed(error)
        os.eventfd_write(self._fault_fd, 1)

    # ---- inside ----------------------------------------------------------------------------

    def _attach(self, inflight: LogMemory) -> Any:
        """The in-flight log, with what an earlier queue left in it in `_resumed`."""
        if inflight.address == ffi.NULL:
            inflight = _own_memory(self.granted.inflight_size)
        self._memory = inflight
        log, ring = _log(inflight), self._ring.cdata
        count = lib.pv_inflight_attach(log, self.granted.identity, ring)
        if count < 0:
            raise PeerError(f"the in-flight log does not fit the ring: {os.strerror(-count)}")
        taken, number = [], -1
        while (number := lib.pv_inflight_next(log, ring, number)) >= 0:
            slot = lib.pv_inflight_entry(log, ring, number).slot
            taken.append(Request(number, bytes(ffi.buffer(slot, self._ring.slot_size))))
        self._resumed = taken
        self._free = sorted(set(range(self._ring.nr_ents)) - {r.entry for r in taken})
        self._answered: list[int] = []  # entries whose responses are not published yet
        self._counters["requests"] = self._counters["resumed"] = count
        return log

    def _bind(self, ring: GrantedRing) -> int:
        try:
            return self._channels.bind_interdomain(ring.frontend, ring.keys.event_channel)
        except HypervisorError as error:
            raise PeerError(str(error)) from error

    def _entry(self, number: int) -> Any:
        return lib.pv_inflight_entry(self._log, self._ring.cdata, number)

    def _take(self, budget: int) -> int:
        # An entry is free once its answer is published; a hostile frontend asks for more before.
        count = min(budget, self._ring.unconsumed_requests(), len(self._free))
        for _ in range(count):
            number = self._free.pop()
            entry = self._entry(number)
            slot = self._ring.copy_request(self._ring.req_cons)
            ffi.memmove(entry.slot, slot, len(slot))
            lib.pv_inflight_take(self._log, entry, self._ring.cdata)
            self._counters["requests"] += 1
            self.begin(Request(number, slot))
        return count

    def _publish(self) -> None:
        if not self._answered:
            return
        if self._ring.push_responses():
            self._channels.notify(self.port)
            self._counters["notifications_sent"] += 1
        for number in self._answered:
            lib.pv_inflight_forget(self._entry(number))
        self._free += self._answered
        self._answered.clear()


def _log(memory: LogMemory) -> Any:
    return ffi.cast("struct pv_inflight_log *", memory.address)


def _own_memory(size: int) -> LogMemory:
    """Zeroed memory that lives as long as what refers to it."""
    area = ffi.new("uint8_t[]", size + lib.PV_INFLIGHT_ALIGNMENT)
    misaligned = int(ffi.cast("uintptr_t", area)) % lib.PV_INFLIGHT_ALIGNMENT
    start = ffi.addressof(area, lib.PV_INFLIGHT_ALIGNMENT - misaligned)
    return LogMemory(ffi.gc(start, lambda _: area), size)
