"""How a domain finds its xenstore: what the domain builder prepares, and both ends of the ring.

The builder writes start_info into the guest's first page, with the frame of the xenstore ring and
its event channel port, as Xen's builder does for a PV guest. The guest reads it there; the server
learns the same two numbers when the domain is introduced.
"""

from __future__ import annotations

from dataclasses import dataclass

from pvdrivers.hypervisor import EventChannel, Hypervisor, MappedPages, check
from pvdrivers.ring._core import ffi, lib
from pvdrivers.ring.abi import Abi, layout
from pvdrivers.sim.machine import Domain
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.server import RingConnection
from pvdrivers.xenstore.store import Store

START_INFO_GFN = 0
XENSTORE_GFN = 1
MAGIC = b"xen-3.0-%s"


@dataclass(frozen=True, slots=True)
class StartInfo:
    """The part of start_info (xen.h) that this machine fills."""

    nr_pages: int
    store_gfn: int
    store_port: int

    def write(self, page: memoryview, abi: Abi) -> None:
        fields = layout("start_info", abi).fields
        values = {
            "nr_pages": self.nr_pages,
            "store_mfn": self.store_gfn,
            "store_evtchn": self.store_port,
        }
        for name, value in values.items():
            offset, size = fields[name]
            page[offset : offset + size] = value.to_bytes(size, "little")
        magic = MAGIC % abi.protocol.removesuffix("-abi").encode()
        page[: len(magic) + 1] = magic + b"\0"

    @classmethod
    def read(cls, page: memoryview, abi: Abi) -> StartInfo:
        fields = layout("start_info", abi).fields

        def number(name: str) -> int:
            offset, size = fields[name]
            return int.from_bytes(page[offset : offset + size], "little")

        return cls(number("nr_pages"), number("store_mfn"), number("store_evtchn"))


def build(domain: Domain, store_domid: int = 0) -> StartInfo:
    """Prepares a new domain's start_info and its xenstore ring; `introduce` it afterwards."""
    port = ffi.new("evtchn_port_t *")
    machine = domain.machine.cdata
    check(
        lib.pv_evtchn_op_alloc_unbound(machine, domain.domid, domain.domid, store_domid, port),
        f"the xenstore port of domain {domain.domid}",
    )
    info = StartInfo(domain.info.pages, XENSTORE_GFN, port[0])
    hypervisor = domain.hypervisor
    page = hypervisor.map_foreign(domain.domid, [START_INFO_GFN])
    info.write(page.view, hypervisor.abi)
    hypervisor.unmap_foreign(domain.domid, page)
    return info


async def introduce(client: XenstoreClient, domain: Domain, info: StartInfo) -> None:
    """Lets xenstore know the domain, as xl does once it has built one."""
    await client.introduce(domain.domid, info.store_gfn, info.store_port)


class GuestXenstore:
    """A guest's connection to xenstore over its ring page; `client` speaks for the guest."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        """Must be called in a running event loop."""
        self._hypervisor = hypervisor
        self._start_info = hypervisor.map_foreign(hypervisor.domid, [START_INFO_GFN])
        info = StartInfo.read(self._start_info.view, hypervisor.abi)
        self._page = hypervisor.map_foreign(hypervisor.domid, [info.store_gfn])
        channels = hypervisor.open_event_channels()
        check(lib.pv_evtchn_bind_static(channels.cdata, info.store_port), "the xenstore port")
        self._channel = EventChannel(channels, info.store_port)
        self.client = XenstoreClient.over_ring(self._page.view, self._channel)

    def close(self) -> None:
        self.client.close()
        self._channel.close()
        for pages in (self._start_info, self._page):
            self._hypervisor.unmap_foreign(self._hypervisor.domid, pages)


class GuestRings:
    """The server's side of every introduced domain's ring; `hypervisor` is the store's domain."""

    def __init__(self, store: Store, hypervisor: Hypervisor) -> None:
        self._store = store
        self._hypervisor = hypervisor
        self._rings: dict[int, tuple[RingConnection, EventChannel, MappedPages]] = {}
        store.on_introduce = self._introduce
        store.on_release = self.release

    def _introduce(self, domid: int, gfn: int, port: int) -> None:
        if domid in self._rings:
            return  # a second INTRODUCE only fires @introduceDomain again
        channels = self._hypervisor.open_event_channels()
        try:
            page = self._hypervisor.map_foreign(domid, [gfn])
            channel = EventChannel(channels, channels.bind_interdomain(domid, port))
        except OSError as error:
            channels.close()
            raise XenstoreError("EINVAL", f"domain {domid}: {error}") from error
        ring = RingConnection(self._store, domid, page.view, channel)
        ring.serve()
        self._rings[domid] = ring, channel, page

    def release(self, domid: int) -> None:
        """The domain is gone: lets go of its page and port."""
        if domid not in self._rings:
            return
        ring, channel, page = self._rings.pop(domid)
        ring.close()
        channel.close()
        self._hypervisor.unmap_foreign(domid, page)

    def close(self) -> None:
        for domid in list(self._rings):
            self.release(domid)
