"""What becomes of guests that have ended, by the on_… of their configurations (xl.cfg(5))."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, MachineError, ShutdownReason
from pvdrivers.tools.pvxl.creation import create_guest, destroy_guest
from pvdrivers.tools.pvxl.host import Connection
from pvdrivers.toolstack.domains import rename_domain
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.toolstack.xl_config.reader import parse_config

log = logging.getLogger(__name__)

RESTART_DELAY = 1.0  # seconds: a guest that ends at once is not restarted all the time


class LifeCycle:
    """Looks at the host's guests whenever a domain has ended. One without a configuration in the
    host's folder is another toolstack's, which does this itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._done: set[tuple[int, int]] = set()  # domid and generation of guests that are kept

    async def run(self) -> None:
        """Until it is cancelled."""
        ends = await self._connection.xenstore.watch("@releaseDomain")
        async with ends, asyncio.TaskGroup() as looks:
            async for _ in ends:
                for domain in self._connection.machine.domains():
                    looks.create_task(self._look_at(domain))

    async def _look_at(self, domain: Domain) -> None:
        try:
            await self._end(domain)
        except (MachineError, UsageError, OSError) as error:
            log.error(
                "domain %d has ended, and what its configuration asks for fails: %s",
                domain.domid,
                error,
            )

    async def _end(self, domain: Domain) -> None:
        info = domain.info
        life = domain.domid, info.generation
        if not info.has_ended or life in self._done:
            return
        config = self._connection.folder.config_of(info.uuid)
        if info.shutdown_reason is ShutdownReason.SUSPEND or not config.exists():
            return
        self._done.add(life)
        text = config.read_bytes()
        spec = await self._as_it_was(domain, parse_config(text, str(config)))
        action = action_for(spec, info.shutdown_reason)
        log.info(
            "%s, domain %d, has ended by %s: %s",
            spec.name,
            domain.domid,
            info.shutdown_reason.name.lower(),
            action,
        )
        await self._act(domain, action, spec, text)

    async def _as_it_was(self, domain: Domain, spec: DomainSpec) -> DomainSpec:
        """With the name that it had at its end."""
        path = f"/local/domain/{domain.domid}/name"
        name = await self._connection.xenstore.read_optional(path) or spec.name
        return replace(spec, name=name, uuid=domain.uuid)

    async def _act(self, domain: Domain, action: str, spec: DomainSpec, text: bytes) -> None:
        connection = self._connection
        if action == "preserve":
            return
        if action == "rename-restart":
            kept = f"{spec.name}-{domain.domid}"
            await rename_domain(connection.xenstore, domain.domid, kept)
            spec = replace(spec, uuid=None)
        else:
            await destroy_guest(connection, domain)
        if action in ("restart", "rename-restart"):
            await asyncio.sleep(RESTART_DELAY)
            guest = await create_guest(connection, spec, text)
            guest.unpause()


def action_for(spec: DomainSpec, reason: ShutdownReason) -> str:
    """What the configuration says of such an end, dumps aside."""
    actions = {
        ShutdownReason.POWEROFF: spec.on.poweroff,
        ShutdownReason.REBOOT: spec.on.reboot,
        ShutdownReason.CRASH: spec.on.crash,
        ShutdownReason.WATCHDOG: spec.on.watchdog,
        ShutdownReason.SOFT_RESET: spec.on.soft_reset,
    }
    return actions[reason].removeprefix("coredump-")
