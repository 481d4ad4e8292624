"""The control ring of a network frontend: which hash the backend chooses a packet's queue by, and
which grants it keeps mapped."""

import asyncio
import errno
import os
import struct
from dataclasses import dataclass, replace

import pvdrivers.frontends.python_queue as python_queue
from pvdrivers._core import ffi, lib
from pvdrivers.frontends.vnif.queue import VnifQueue
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vnif.keys import ControlRing

SLOT = 16
PAGE = -1  # in a request's data: the gref of its page
GREF_SIZE = int(ffi.sizeof("struct xen_netif_gref"))
MAX_KEY = 40  # bytes of a Toeplitz key
MAX_MAPPING = 128  # what Linux' netback and ours take
REQUEST = struct.Struct("<HHIII")  # id, type, data[3]
RESPONSE = struct.Struct("<HHII")  # id, type, status, data
ERRNO = {
    int(lib.XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED): errno.EOPNOTSUPP,
    int(lib.XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER): errno.EINVAL,
    int(lib.XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW): errno.EOVERFLOW,
}
IPV4 = int(lib.XEN_NETIF_CTRL_HASH_TYPE_IPV4)
IPV4_TCP = int(lib.XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP)
IPV6 = int(lib.XEN_NETIF_CTRL_HASH_TYPE_IPV6)
IPV6_TCP = int(lib.XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP)


@dataclass(frozen=True, slots=True)
class HashSettings:
    """Receive side scaling by a Toeplitz hash: a packet goes to queue `mapping[hash % its length]`,
    or without a mapping to queue `hash % queues`."""

    key: bytes
    types: int = IPV4 | IPV4_TCP | IPV6 | IPV6_TCP
    mapping: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.key) <= MAX_KEY:
            raise UsageError(f"a hash key of {len(self.key)} bytes is not 1 to {MAX_KEY} long")
        if not 0 < self.types <= IPV4 | IPV4_TCP | IPV6 | IPV6_TCP:
            raise UsageError(f"hash types {self.types:#x} are none, or others than there are")
        if len(self.mapping) > MAX_MAPPING:
            raise UsageError(f"a mapping of {len(self.mapping)} is longer than {MAX_MAPPING}")

    def for_queues(self, queues: int) -> "HashSettings":
        """The same on a connection with so many queues: a backend refuses a mapping that names
        others (Xen's io/netif.h), so their share goes to those that are there."""
        return replace(self, mapping=tuple(queue % queues for queue in self.mapping))


class ControlRequest(python_queue.Request):
    """One request, and the page that it refers to, if any."""

    def __init__(
        self, hypervisor: Hypervisor, kind: int, data: tuple[int, ...], page: bytes = b""
    ) -> None:
        """`page`: what lies in the page whose gref `data` has as PAGE."""
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._kind = kind
        self._data = data
        self._page = python_queue.DataPage(hypervisor) if page else None
        if self._page:
            self._page.view[: len(page)] = page

    @property
    def lists_grants(self) -> bool:
        """It is about grants of this connection."""
        return self._kind in (
            lib.XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING,
            lib.XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING,
        )

    def encode(self, number: int, backend: int) -> bytes:
        data = list(self._data)
        if self._page:
            readonly = not self.lists_grants  # the backend writes what became of each
            data[data.index(PAGE)] = self._page.grant(backend, readonly)
        return REQUEST.pack(number, self._kind, *data, *[0] * (3 - len(data)))

    def revoke(self) -> None:
        if self._page:
            self._page.revoke()

    def finish(self, response: bytes) -> None:
        _, kind, status, data = RESPONSE.unpack(response[: RESPONSE.size])
        if kind != self._kind:
            raise PeerError(f"the backend answered control request {self._kind} as {kind}")
        if status:
            number = ERRNO.get(status, errno.EIO)
            self.fail(OSError(number, f"control request {self._kind}: status {status}"))
            return
        self._free()
        if not self.done.done():  # else the caller has stopped waiting
            self.done.set_result(data)

    def fail(self, error: OSError) -> None:
        self._free()
        if not self.done.done():
            self.done.set_exception(error)

    def _free(self) -> None:
        if self._page:
            self._page.free()


class ControlQueue(python_queue.PythonQueue):
    """The control ring; its requests are few, so that Python is fast enough."""

    def __init__(self, hypervisor: Hypervisor, channels: EventChannels, backend: int) -> None:
        super().__init__(hypervisor, channels, backend, SLOT, _number_of)
        self._ended = False

    @property
    def ring(self) -> ControlRing:
        """What the backend has to know of it."""
        return ControlRing(self.keys.ring_refs[0], self.port)

    def statistics(self) -> dict[str, int]:
        return {f"control_{name}": count for name, count in super().statistics().items()}

    def disconnect(self) -> None:
        super().disconnect()
        self._ended = True

    def requeue(self, successor: python_queue.PythonQueue) -> int:
        """The next connection has other grants, and nothing of what this one was told before."""
        for request in self._take_all():
            request.fail(_connection_ended())
        return 0

    async def ask(self, kind: int, data: tuple[int, ...] = (), page: bytes = b"") -> int:
        """What the backend answers. OSError: it refuses; ConnectionResetError: the connection has
        ended first."""
        if self._ended:
            raise _connection_ended()
        request = ControlRequest(self._hypervisor, kind, data, page)
        self.issue(request)
        return await request.done

    async def set_hash(self, settings: HashSettings | None) -> None:
        """None: no hash. OSError as `ask` has it."""
        algorithm = lib.XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ
        if settings is None:
            algorithm = lib.XEN_NETIF_CTRL_HASH_ALGORITHM_NONE
        await self.ask(lib.XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, (algorithm,))
        if settings is None:
            return
        key, mapping = settings.key, settings.mapping
        await self.ask(lib.XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, (PAGE, len(key)), key)
        await self.ask(lib.XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, (len(mapping),))
        if mapping:
            table = struct.pack(f"<{len(mapping)}I", *mapping)
            data = (PAGE, len(mapping), 0)
            await self.ask(lib.XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, data, table)
        await self.ask(lib.XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, (settings.types,))

    async def add_static_grants(self, queue: VnifQueue) -> int:
        """Has the backend map as many of a queue's pages as it keeps. OSError: it refuses."""
        most = await self.ask(lib.XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, (queue.index,))
        grants = queue.list_grants(min(most, self._hypervisor.page_size // GREF_SIZE))
        count = len(grants) // GREF_SIZE
        if count:
            data = (queue.index, PAGE, count)
            await self.ask(lib.XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, data, grants)
        return count


def _connection_ended() -> OSError:
    return OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _number_of(response: bytes) -> int:
    return int(RESPONSE.unpack(response[: RESPONSE.size])[0])
