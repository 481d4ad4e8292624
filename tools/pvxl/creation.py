"""Creates guests from configuration files, on a host that runs."""

from __future__ import annotations

import shlex

from pvdrivers.guest.boot import command_line
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain
from pvdrivers.sim.scheduler import SchedDomain
from pvdrivers.tools.pvxl.host import Connection
from pvdrivers.toolstack.domains import create_domain, destroy_domain, wait_for_backends
from pvdrivers.toolstack.xl_config.domain import DomainSpec


async def create_guest(connection: Connection, spec: DomainSpec, text: bytes) -> Domain:
    """A domain, paused, whose devices have their backends. The host keeps `text`, the
    configuration, for when it restarts the guest.

    UsageError: it cannot be created, and why. After an error nothing is left.
    """
    machine, xenstore = connection.machine, connection.xenstore
    line = command_line(spec.kernel, _words(spec.cmdline))
    domain = await create_domain(machine, xenstore, spec, line)
    try:
        connection.folder.config_of(domain.uuid).write_bytes(text)
        machine.scheduler.set_domain(domain.domid, SchedDomain(spec.cpu.weight, spec.cpu.cap))
        await wait_for_backends(xenstore, domain.domid)
    except BaseException:
        await destroy_guest(connection, domain)
        raise
    return domain


def _words(cmdline: str) -> list[str]:
    try:
        return shlex.split(cmdline)
    except ValueError as error:
        raise UsageError(
            f"extra is {cmdline[:60]!r}, whose words cannot be told: {error}"
        ) from None


async def destroy_guest(connection: Connection, domain: Domain) -> None:
    """Takes a guest away, at once."""
    connection.folder.config_of(domain.uuid).unlink(missing_ok=True)
    await destroy_domain(connection.machine, connection.xenstore, domain.domid)
