"""What a network backend's packets go to and come from, as objects (filters.py has the filters).

The work is done in C (`uplinks.h`); this gives it names, ownership and readable errors. An uplink
in pure Python is a subclass of `PythonUplink` (python_uplink.py).
"""

import os
from dataclasses import asdict, dataclass
from typing import Any, Self

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import Owned, created
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.features import Offloads
from pvdrivers.vnif.packet import packet_pool

MAX_QUEUES = int(lib.PV_UPLINK_MAX_QUEUES)


def check_queues(queues: int, what: str) -> None:
    if not 1 <= queues <= MAX_QUEUES:
        raise UsageError(f"{what}: {queues} queues are not 1 to {MAX_QUEUES}")


@dataclass(frozen=True, slots=True)
class UplinkStatistics:
    """tx is what the guest has sent, rx what it receives."""

    tx_packets: int
    tx_bytes: int
    tx_dropped: int  # packets that could not be passed on
    rx_packets: int
    rx_bytes: int
    rx_dropped: int  # packets that there was no room for
    errors: int  # of system calls, and of what is behind the uplink


@dataclass(frozen=True, slots=True)
class UplinkOffloads:
    """What of a packet may be left undone: checksums of TCP and UDP, and cutting TCP into
    segments."""

    csum_ipv4: bool = False
    csum_ipv6: bool = False
    gso_tcpv4: bool = False
    gso_tcpv6: bool = False

    @classmethod
    def of(cls, offloads: Offloads) -> Self:
        """Of what a guest takes, all but `sg`: a packet's slots are no uplink's business."""
        return cls(
            csum_ipv4=offloads.csum_ipv4,
            csum_ipv6=offloads.csum_ipv6,
            gso_tcpv4=offloads.gso_tcpv4,
            gso_tcpv6=offloads.gso_tcpv6,
        )

    @property
    def cdata(self) -> Any:
        """A `struct pv_uplink_offloads *`."""
        return ffi.new("struct pv_uplink_offloads *", asdict(self))


class Uplink(Owned):
    """An uplink in use. `pointer` is what C takes; it is valid until `close`."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        self.name = str(ffi.string(pointer.ops.name).decode())

    @property
    def pointer(self) -> Any:
        """`struct pv_uplink *`."""
        if self._pointer is None:
            raise UsageError("the uplink is closed, or a filter has taken it over")
        return self._pointer

    @property
    def queues(self) -> int:
        return int(self.pointer.queues)

    def statistics(self) -> UplinkStatistics:
        stats = ffi.new("struct pv_uplink_stats *")
        self.pointer.ops.get_stats(self.pointer, stats)
        return UplinkStatistics(*(int(getattr(stats, name)) for name in _STATISTICS))

    def set_rx_offloads(self, offloads: UplinkOffloads) -> None:
        """What the guest takes. OSError: the uplink cannot be told."""
        if self.pointer.ops.set_rx_offloads != ffi.NULL:
            self._check(self.pointer.ops.set_rx_offloads(self.pointer, offloads.cdata))

    def set_carrier(self, queues: int) -> None:
        """Whether a guest is there, with so many queues, or 0: none uses the uplink now, and what
        waits for it is dropped. OSError: as above."""
        if self.pointer.ops.set_carrier != ffi.NULL:
            self._check(self.pointer.ops.set_carrier(self.pointer, queues))
        if queues == 0 and self.pointer.ops.purge != ffi.NULL:
            self._purge()

    def _purge(self) -> None:
        pointer = self.pointer
        cache = created(lib.pv_packet_cache_create(pointer.pool), self.name)
        for queue in range(pointer.queues):
            pointer.ops.purge(pointer, queue, cache)
        lib.pv_packet_cache_destroy(cache)

    def _check(self, result: int) -> None:
        if result < 0:
            raise OSError(-result, f"{self!r}: {os.strerror(-result)}")

    def check_unused(self) -> None:
        """UsageError while it is a guest's."""
        if self._pointer is not None and self._pointer.users:
            raise UsageError(f"{self!r} is in use by a backend: end that first")

    def close(self) -> None:
        """Drops what waits. A second call does nothing. UsageError while it is a guest's."""
        self.check_unused()
        pointer = self._pointer
        if pointer is not None:
            self._forget()
            pointer.ops.close(pointer)

    def discard(self) -> None:
        """Closes it for good: what it has made outside this process, and left for a successor, goes
        too. UsageError as above."""
        self.check_unused()
        self._leave_nothing()
        self.close()

    def _leave_nothing(self) -> None:
        """What is outside this process shall end when the uplink is closed."""

    def _forget(self) -> None:
        """From now on nobody reaches it, who must not when it is closed."""
        self._pointer = None

    def where(self) -> str:
        """In a few words, what is behind it."""
        return self.name

    def __repr__(self) -> str:
        if self._pointer is None:
            return f"<{type(self).__name__} closed>"
        queues = f"{self.queues} queue" + ("s" if self.queues > 1 else "")
        return f"<{type(self).__name__} {self.where()}, {queues}>"


_STATISTICS = tuple(UplinkStatistics.__dataclass_fields__)


class NullUplink(Uplink):
    """What is sent goes nowhere, and nothing comes."""

    def __init__(self, queues: int = MAX_QUEUES) -> None:
        check_queues(queues, "null uplink")
        super().__init__(created(lib.pv_null_uplink_create(packet_pool(), queues), "null uplink"))


class HairpinUplink(Uplink):
    """What is sent comes back on the same queue, unless too much waits there."""

    def __init__(self, queues: int = 1) -> None:
        check_queues(queues, "hairpin uplink")
        pointer = lib.pv_hairpin_uplink_create(packet_pool(), queues)
        super().__init__(created(pointer, "hairpin uplink"))
