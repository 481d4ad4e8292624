"""How a domain finds its xenstore: what the domain builder prepares, and both ends of the ring.

The builder writes start_info into the guest's first page, with the frame of the xenstore ring and
its event channel port, as Xen's builder does for a PV guest. The guest reads it there; the server
learns the same two numbers when the domain is introduced.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import EventChannel, Hypervisor, MappedPages, check
from pvdrivers.ring.abi import Abi, layout
from pvdrivers.sim.machine import Domain, DomainState, Machine, MachineError
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.server import RingConnection
from pvdrivers.xenstore.store import XenStore

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


@dataclass(frozen=True, slots=True)
class _GuestRing:
    """An introduced domain: which of the domid's lives it is, and what it shares with us."""

    generation: int
    connection: RingConnection
    channel: EventChannel
    page: MappedPages


class GuestRings:
    """The server's side of every introduced domain's ring, in the store's domain.

    VIRQ_DOM_EXC tells when a domain shut down or died; the store then fires @releaseDomain, and a
    dead domain's nodes, page and port are let go. Must be made in a running event loop.
    """

    def __init__(self, store: XenStore, machine: Machine, domid: int = 0) -> None:
        self._store = store
        self._machine = machine
        self._hypervisor = machine.open_hypervisor(domid)
        self._rings: dict[int, _GuestRing] = {}
        self._loop = asyncio.get_running_loop()
        self._deaths = self._hypervisor.open_event_channels()
        self._deaths.bind_virq(lib.VIRQ_DOM_EXC)
        self._loop.add_reader(self._deaths.fileno(), self._look_for_deaths)
        store.on_introduce = self._introduce
        store.on_release = self.release

    def _introduce(self, domid: int, gfn: int, port: int) -> None:
        self._look_at(domid)
        if domid in self._rings:
            return  # a second INTRODUCE only fires @introduceDomain again
        channels = self._hypervisor.open_event_channels()
        try:
            generation = self._machine.domain(domid).info.generation
            page = self._hypervisor.map_foreign(domid, [gfn])
            channel = EventChannel(channels, channels.bind_interdomain(domid, port))
        except OSError as error:
            channels.close()
            raise XenstoreError("EINVAL", f"domain {domid}: {error}") from error
        connection = RingConnection(self._store, domid, page.view, channel)
        connection.serve()
        self._rings[domid] = _GuestRing(generation, connection, channel, page)

    def _look_for_deaths(self) -> None:
        while (port := self._deaths.pending()) is not None:
            self._deaths.unmask(port)
        for domid in list(self._rings):
            self._look_at(domid)

    def _look_at(self, domid: int) -> None:
        """Tells the store what has become of a domain it knows."""
        ring = self._rings.get(domid)
        if ring is None:
            return
        try:
            info = self._machine.domain(domid).info
        except MachineError:
            self._store.release(domid)
            return
        if info.generation != ring.generation or info.state is DomainState.DYING:
            self._store.release(domid)
        elif info.state in (DomainState.SHUTDOWN, DomainState.CRASHED):
            self._store.domain_shutdown(domid)

    def release(self, domid: int) -> None:
        """The domain is gone: lets go of its page and port."""
        ring = self._rings.pop(domid, None)
        if ring is None:
            return
        ring.connection.close()
        ring.channel.close()
        self._hypervisor.unmap_foreign(domid, ring.page)

    def close(self) -> None:
        self._loop.remove_reader(self._deaths.fileno())
        self._deaths.close()
        for domid in list(self._rings):
            self.release(domid)
        self._hypervisor.close()
