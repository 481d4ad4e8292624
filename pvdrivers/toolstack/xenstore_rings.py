"""Both ends of the ring by which a guest reaches xenstore: the guest's and the server's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pvdrivers._core import lib
from pvdrivers.hypervisor import EventChannel, Hypervisor, MappedPages, check
from pvdrivers.sim import DomainState, Machine, MachineError
from pvdrivers.toolstack.domain_builder import START_INFO_GFN, StartInfo
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.server import RingConnection
from pvdrivers.xenstore.store import XenStore


class GuestXenstore:
    """A guest's connection to xenstore over its ring page; `client` speaks for the guest."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        """Must be called in a running event loop."""
        self._hypervisor = hypervisor
        gfn = START_INFO_GFN[hypervisor.abi]
        self._start_info = hypervisor.map_foreign(hypervisor.domid, [gfn])
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
    """An introduced domain: its generation, and what it shares with the server."""

    generation: int
    connection: RingConnection
    channel: EventChannel
    page: MappedPages


class GuestRings:
    """The server's side of every introduced domain's ring, in the store's domain.

    VIRQ_DOM_EXC tells when a domain shut down or died; the store then fires @releaseDomain, and the
    nodes, the page and the port of a dead domain are released. Must be made in a running event
    loop.
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
        """Tells the store when a domain has shut down or is gone."""
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
        elif info.has_ended:
            self._store.domain_shutdown(domid)

    def release(self, domid: int) -> None:
        """The domain is gone: releases its page and port."""
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
