"""An uplink whose other side is Python code: batches of packets in, packets out."""

import errno
import logging
from abc import abstractmethod
from collections.abc import Iterable
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.uplinks.uplink import Uplink, UplinkOffloads, check_queues
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.packet import Packet, packet_pool

log = logging.getLogger("pvdrivers.uplinks")


NO_OFFLOADS = UplinkOffloads()


class PythonUplink(Uplink):
    """An uplink whose subclass takes what the guest sends, and delivers what it receives.

    With the `offloads` as they are, packets come complete. What is delivered may need any.
    """

    def __init__(self, queues: int = 1, *, offloads: UplinkOffloads = NO_OFFLOADS) -> None:
        name = type(self).__name__
        check_queues(queues, name)
        self._lock = Lock()  # the cache is one thread's at a time, and none delivers once closed
        self._raised = False
        self._cache = ffi.gc(
            created(lib.pv_packet_cache_create(packet_pool()), name), lib.pv_packet_cache_destroy
        )
        pointer = lib.pv_external_uplink_create(
            packet_pool(), queues, offloads.cdata, lib.pv_python_sent
        )
        super().__init__(created(pointer, name))
        self._external = pointer  # still the same when a filter has taken the uplink over
        _alive[pointer] = self

    @abstractmethod
    def send(self, packets: list[Packet]) -> None:
        """Takes what a queue of the guest has sent, without waiting. Called by the thread that
        drives the queue, which holds the interpreter meanwhile: queues are served one after the
        other, and so are all guests of that thread.

        When it raises, the batch counts as dropped; the first exception is logged.
        """

    def deliver(self, packets: Iterable[Packet]) -> int:
        """Gives the guest packets; from any thread, also from within `send`. Returns how many
        there was room for: none while there is no guest. Packets of a flow stay in order."""
        packets = list(packets)
        with self._lock:
            if self._external is None:
                raise UsageError("the uplink is closed")
            pointers = [packet.to_pointer(self._cache) for packet in packets]
            return int(
                lib.pv_external_uplink_deliver(self._external, self._cache, pointers, len(pointers))
            )

    def _sent(self, packets: list[Packet]) -> int:
        try:
            self.send(packets)
        except Exception:
            if not self._raised:
                self._raised = True
                log.exception("%r has raised; later exceptions are counted alone", self)
            return -errno.EIO
        return 0

    def _forget(self) -> None:
        super()._forget()
        with self._lock:
            self._external = None


_alive: WeakValueDictionary[Any, PythonUplink] = WeakValueDictionary()  # by pointer


@ffi.def_extern(name="pv_python_sent", error=-errno.EIO)  # type: ignore[untyped-decorator]
def _sent(pointer: Any, queue: int, packets: Any, count: int) -> int:
    return _alive[pointer]._sent([Packet.from_pointer(packets[i]) for i in range(count)])
