"""Runs the guests of a simulated host: whose domain is unpaused gets a process."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from pvdrivers._core import lib
from pvdrivers.guest.boot import is_for_us
from pvdrivers.guest.launcher import Launch
from pvdrivers.guest.launching import Launching
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.sim import Domain, DomainState, Machine, MachineError
from pvdrivers.toolstack.domain_builder import read_start_info

log = logging.getLogger(__name__)


class GuestRunner:
    """Entered in a running loop, it looks at each domain that is unpaused, and starts the program
    that the command line in its memory names. A domain whose process ends without having shut down
    has crashed."""

    def __init__(self, machine: Machine, socket: Path, logs: Path, dom0: Hypervisor) -> None:
        self._machine = machine
        self._socket = socket
        self._logs = logs
        self._dom0 = dom0
        self._seen: dict[int, int] = {}  # the generation of each domain that was looked at
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._launching = await self._running.enter_async_context(Launching(self._ended))
        self._unpaused = self._dom0.open_event_channels()
        self._running.callback(self._unpaused.close)
        self._unpaused.bind_virq(lib.PV_VIRQ_UNPAUSED)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._unpaused.fileno(), self._look)
        self._running.callback(loop.remove_reader, self._unpaused.fileno())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._running.aclose()

    def _look(self) -> None:
        while (port := self._unpaused.pending()) is not None:
            self._unpaused.unmask(port)
        for domain in self._machine.domains():
            try:
                self._look_at(domain)
            except OSError as error:  # it is gone, or has no start_info: not built by a toolstack
                log.debug("domain %d is not run: %s", domain.domid, error)

    def _look_at(self, domain: Domain) -> None:
        info = domain.info
        if info.state is not DomainState.RUNNING or info.privileged:
            return
        if self._seen.get(domain.domid) == info.generation:
            return
        self._seen[domain.domid] = info.generation
        if is_for_us(read_start_info(domain, self._dom0).command_line):
            log_file = self._logs / f"{domain.domid}.log"
            self._launching.start(
                Launch(str(self._socket), domain.domid, info.generation, str(log_file))
            )

    def _ended(self, domid: int, generation: int, status: int) -> None:
        try:
            domain = self._machine.domain(domid)
            info = domain.info
            if info.generation != generation:
                return
            if info.state in (DomainState.RUNNING, DomainState.PAUSED):
                log.warning("domain %d has crashed: its process ended with %d", domid, status)
                domain.crash()
        except MachineError:
            log.debug("domain %d is gone", domid)
