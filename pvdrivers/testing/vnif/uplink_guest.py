"""A guest at an uplink, without rings: for tests of uplinks."""

from collections.abc import Iterable

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import Owned
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.poll.group import NEVER
from pvdrivers.vnif.packet import Packet

BATCH = 64


class UplinkGuest(Owned):
    """Sends to an uplink and receives from it as a backend's queues do, at a time of its own.

    `now` is virtual, ns; an operation that is called with a time sets it.
    """

    def __init__(self, uplink: Uplink, queues: int = 1, *, now: int = 0) -> None:
        self.uplink = uplink
        self.now = now
        self._pointer = uplink.pointer
        self._cache = lib.pv_packet_cache_create(self._pointer.pool)
        self.set_carrier(queues)

    def set_carrier(self, queues: int) -> None:
        """The guest is there with so many queues; 0: it is gone."""
        self.uplink.set_carrier(queues)

    def send(
        self, packets: Iterable[Packet | bytes], *, queue: int = 0, now: int | None = None
    ) -> None:
        pointers = [
            (Packet(packet) if isinstance(packet, bytes) else packet).to_pointer(self._cache)
            for packet in packets
        ]
        array = ffi.new("struct pv_packet *[]", pointers)
        self._pointer.ops.send(
            self._pointer, queue, self._cache, array, len(pointers), self._time(now)
        )

    def receive(
        self, maximum: int = 1024, *, queue: int = 0, now: int | None = None
    ) -> list[Packet]:
        """What there is by now, at most `maximum` packets."""
        time = self._time(now)
        received: list[Packet] = []
        array = ffi.new("struct pv_packet *[]", BATCH)
        while True:
            asked = min(BATCH, maximum - len(received))
            count = self._pointer.ops.receive(self._pointer, queue, self._cache, array, asked, time)
            received += [Packet.from_pointer(array[i]) for i in range(count)]
            lib.pv_packet_release(self._cache, array, count)
            if count == 0:
                return received

    def arm(self, queue: int = 0) -> bool:
        """Whether there is something to receive; if not, the fd will be readable."""
        return bool(self._pointer.ops.arm and self._pointer.ops.arm(self._pointer, queue))

    def fileno(self, queue: int = 0) -> int:
        return int(self._pointer.ops.fd(self._pointer, queue))

    def deadline(self, queue: int = 0) -> int:
        """When to call `receive` though nothing happens, ns, or NEVER."""
        deadline = self._pointer.ops.deadline
        return int(deadline(self._pointer, queue)) if deadline else NEVER

    def close(self) -> None:
        """The guest goes; the uplink stays. A second call does nothing."""
        if self._cache is not None:
            self.set_carrier(0)
            lib.pv_packet_cache_destroy(self._cache)
            self._cache = None

    def _time(self, now: int | None) -> int:
        self.now = self.now if now is None else now
        return self.now

    def __repr__(self) -> str:
        return f"<UplinkGuest at {self.uplink!r}>"
