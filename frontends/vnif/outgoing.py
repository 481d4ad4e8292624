"""What a network frontend sends: packets, queue by queue, and changes of the multicast filter."""

import asyncio
import errno
from collections.abc import Iterable
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.packet import Packet, packet_pool


class PacketCache:
    """Packets of this process's pool, for the one thread of a device."""

    def __init__(self) -> None:
        cache = lib.pv_packet_cache_create(packet_pool())
        if cache == ffi.NULL:
            raise OSError(ffi.errno, "no packet cache")
        self.pointer = ffi.gc(cache, lib.pv_packet_cache_destroy)

    def release(self, pointers: list[Any]) -> None:
        array = ffi.new("struct pv_packet *[]", pointers)
        lib.pv_packet_release(self.pointer, array, len(pointers))


class Sending:
    """The packets of one `send`, in the data plane's memory; `done` when all are on a ring."""

    def __init__(self, packets: Iterable[Packet], cache: PacketCache) -> None:
        """UsageError: one of them is none that a ring can carry."""
        self.cache = cache
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pointers: list[Any] = []
        self._left = 0  # shares
        try:
            for packet in packets:
                self._pointers.append(packet.to_pointer(cache.pointer))
        except BaseException:
            cache.release(self._pointers)
            raise

    def split(self, queues: int) -> "dict[int, Share]":
        """A share for each queue that has one of its flows."""
        flows: dict[int, list[Any]] = {}
        for pointer in self._pointers:
            queue = int(lib.pv_packet_flow_hash(pointer)) % queues if queues > 1 else 0
            flows.setdefault(queue, []).append(pointer)
        self._pointers, self._left = [], len(flows)
        return {queue: Share(self, pointers) for queue, pointers in flows.items()}

    def share_done(self, error: Exception | None = None) -> None:
        self._left -= 1
        if self.done.done():  # the caller has stopped waiting, or another share has failed
            return
        if error:
            self.done.set_exception(error)
        elif not self._left:
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Before it is split: none of it will be sent."""
        self.cache.release(self._pointers)
        self._pointers = []
        if not self.done.done():
            self.done.set_exception(error)


class Share:
    """The packets of one `send` that go to one queue."""

    def __init__(self, sending: Sending, pointers: list[Any]) -> None:
        self._sending = sending
        self._pointers = pointers

    def push(self, pointer: Any) -> int:
        array = ffi.new("struct pv_packet *[]", self._pointers)
        count = int(lib.pv_netfront_send(pointer, array, len(self._pointers)))
        if count < 0:
            return count
        self._sending.cache.release(self._pointers[:count])
        del self._pointers[:count]
        if not self._pointers:
            self._sending.share_done()
        return len(self._pointers)

    def is_for_the_next(self) -> bool:
        return True

    def fail(self, error: Exception) -> None:
        self._sending.cache.release(self._pointers)
        self._pointers = []
        if isinstance(error, OSError) and error.errno == errno.EINVAL:
            error = UsageError("a packet is too long, or needs an offload that the backend lacks")
        self._sending.share_done(error)


class GroupChange:
    """An address to be added to the backend's multicast filter, or taken away."""

    def __init__(self, group: bytes, add: bool) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._group = group
        self._add = add

    def push(self, pointer: Any) -> int:
        result = int(lib.pv_netfront_multicast(pointer, self._group, self._add))
        if result == 0 and not self.done.done():
            self.done.set_result(None)
        return result

    def is_for_the_next(self) -> bool:
        if not self.done.done():
            self.done.set_result(None)  # the next begins with all groups
        return False

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
