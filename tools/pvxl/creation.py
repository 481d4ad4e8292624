"""Creates guests from configuration files, on a host that runs."""

from __future__ import annotations

import shlex

from pvdrivers.guest.boot import command_line
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine
from pvdrivers.sim.scheduler import SchedDomain
from pvdrivers.tools.pvxl.host import HostFolder
from pvdrivers.toolstack.domains import create_domain, destroy_domain, wait_for_backends
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.xenstore.client import XenstoreClient


async def create_guest(
    machine: Machine, xenstore: XenstoreClient, folder: HostFolder, spec: DomainSpec, text: bytes
) -> Domain:
    """A domain, paused, whose devices have their backends. The host keeps `text`, the
    configuration, for when it restarts the guest.

    UsageError: it cannot be created, and why. After an error nothing is left.
    """
    line = command_line(spec.kernel, _words(spec.cmdline))
    domain = await create_domain(machine, xenstore, spec, line)
    try:
        (folder.configs / f"{domain.uuid}.cfg").write_bytes(text)
        set_scheduling(machine, domain, spec)
        await wait_for_backends(xenstore, domain.domid)
    except BaseException:
        await destroy_guest(machine, xenstore, folder, domain)
        raise
    return domain


def _words(cmdline: str) -> list[str]:
    try:
        return shlex.split(cmdline)
    except ValueError as error:
        raise UsageError(
            f"extra is {cmdline[:60]!r}, whose words cannot be told: {error}"
        ) from None


async def destroy_guest(
    machine: Machine, xenstore: XenstoreClient, folder: HostFolder, domain: Domain
) -> None:
    """Takes a guest away, at once."""
    (folder.configs / f"{domain.uuid}.cfg").unlink(missing_ok=True)
    await destroy_domain(machine, xenstore, domain.domid)


def set_scheduling(machine: Machine, domain: Domain, spec: DomainSpec) -> None:
    """Weight and cap, and on which CPUs each vcpu runs."""
    machine.scheduler.set_domain(domain.domid, SchedDomain(spec.cpu.weight, spec.cpu.cap))
