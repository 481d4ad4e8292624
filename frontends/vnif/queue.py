"""A network frontend's queue: the data plane's in C, as `pvdrivers.frontends.device` has it."""

import errno
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import PeerError
from pvdrivers.vnif.features import Agreement
from pvdrivers.vnif.keys import QueueRings
from pvdrivers.vnif.packet import Packet

BUDGET = 256  # packets taken at once
VIOLATIONS = {
    number: name.removeprefix("PV_NETFRONT_").lower().replace("_", " ")
    for number, name in ffi.typeof("enum pv_netfront_violation").elements.items()
}


class Outgoing(Protocol):
    """What waits for room on a tx ring."""

    def push(self, pointer: Any) -> int:
        """Puts what it can on the ring of a `struct pv_netfront_queue *`; how much is left, or a
        negative errno."""

    def is_for_the_next(self) -> bool:
        """Its connection is lost: whether it is to be sent on the next one."""

    def fail(self, error: Exception) -> None:
        """It will not be sent."""


class VnifQueue:
    """Holds a `struct pv_netfront_queue *`. `received` is called with the packets that come."""

    def __init__(
        self, config: Mapping[str, Any], index: int, received: Callable[[list[Packet]], None]
    ) -> None:
        """`config`: fields of `struct pv_netfront_config`. OSError: there is no room for it."""
        self.pointer = lib.pv_netfront_create(ffi.new("struct pv_netfront_config *", config))
        if self.pointer == ffi.NULL:
            raise OSError(ffi.errno, f"no rings: {os.strerror(ffi.errno)}")
        self.index = index
        self.flushing = False  # somebody waits for the answers to what is sent
        self._received = received
        self._packets = ffi.new("struct pv_packet *[]", BUDGET)
        self._waiting: deque[Outgoing] = deque()

    @property
    def rings(self) -> QueueRings:
        """What the backend has to know of it."""
        return QueueRings(
            self.index,
            int(lib.pv_netfront_tx_ring_ref(self.pointer)),
            int(lib.pv_netfront_rx_ring_ref(self.pointer)),
            self.port,
            self.second_port or self.port,
        )

    @property
    def port(self) -> int:
        return int(lib.pv_netfront_tx_port(self.pointer))

    @property
    def second_port(self) -> int:
        rx = int(lib.pv_netfront_rx_port(self.pointer))
        return 0 if rx == self.port else rx

    @property
    def outstanding(self) -> int:
        return int(lib.pv_netfront_outstanding(self.pointer)) + len(self._waiting)

    def statistics(self) -> dict[str, int]:
        stats = ffi.new("struct pv_netfront_stats *")
        lib.pv_netfront_get_stats(self.pointer, stats)
        counters = {}
        for name, field in ffi.typeof("struct pv_netfront_stats").fields:
            value = getattr(stats, name)
            counters[name] = sum(value) if field.type.kind == "array" else int(value)
        return counters

    def connect(self, agreement: Agreement) -> None:
        """Begins to carry packets, by what both ends agreed on. PeerError: that cannot be."""
        offloads = agreement.offloads
        features = {
            "sg": offloads.sg,
            "gso_tcpv4": offloads.gso_tcpv4,
            "gso_tcpv6": offloads.gso_tcpv6,
            "csum_ipv4": offloads.csum_ipv4,
            "csum_ipv6": offloads.csum_ipv6,
            "hash": agreement.control_ring,
        }
        agreed = ffi.new("struct pv_netfront_features *", features)
        if (error := lib.pv_netfront_connect(self.pointer, agreed)) < 0:
            raise PeerError(f"the rings cannot be used: {os.strerror(-error)}")

    def list_grants(self, most: int) -> bytes:
        """Entries (`struct xen_netif_gref`) of the pages that stay granted until `disconnect`."""
        grants = ffi.new("struct xen_netif_gref[]", most)
        count = lib.pv_netfront_list_grants(self.pointer, grants, most)
        return bytes(ffi.buffer(grants))[: count * ffi.sizeof("struct xen_netif_gref")]

    def issue(self, *outgoing: Outgoing) -> bool:
        """Sends it as soon as there is room, in order; true when all of it is on the ring."""
        self._waiting.extend(outgoing)
        self._push()
        return not self._waiting

    def _push(self) -> None:
        while self._waiting:
            left = self._waiting[0].push(self.pointer)
            if left > 0 or left == -errno.EAGAIN or left == -errno.EPROTO:
                return  # what broke the ring is for `poll` to say
            outgoing = self._waiting.popleft()
            if left < 0:
                outgoing.fail(OSError(-left, os.strerror(-left)))

    def poll(self, budget: int) -> int:
        most = min(budget, BUDGET)
        count = int(lib.pv_netfront_receive(self.pointer, self._packets, most))
        if count < 0:
            what = VIOLATIONS[lib.pv_netfront_broken(self.pointer)]
            raise PeerError(f"the backend broke the ring protocol ({what})")
        if count:
            packets = [Packet.from_pointer(self._packets[index]) for index in range(count)]
            lib.pv_packet_release(ffi.NULL, self._packets, count)
            self._received(packets)
        self._push()
        return count

    def arm(self) -> bool:
        if lib.pv_netfront_broken(self.pointer):
            return False
        want_room = bool(self._waiting) or self.flushing
        return bool(lib.pv_netfront_arm(self.pointer, want_room))

    def disconnect(self) -> None:
        lib.pv_netfront_disconnect(self.pointer)

    def requeue(self, successor: "VnifQueue") -> int:
        """What waits for room goes to the successor. What is on the rings is lost, as on a wire."""
        waiting, self._waiting = self._waiting, deque()
        successor.issue(*(outgoing for outgoing in waiting if outgoing.is_for_the_next()))
        return 0

    def give_up(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for outgoing in waiting:
            outgoing.fail(OSError(errno.EIO, os.strerror(errno.EIO)))

    def close(self) -> None:
        lib.pv_netfront_destroy(self.pointer)

    def __repr__(self) -> str:
        line = ffi.new("char[]", 256)
        lib.pv_netfront_describe(self.pointer, line, len(line))
        return f"<VnifQueue {ffi.string(line).decode()}>"
