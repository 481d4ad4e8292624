"""pvxl's commands for domains, in xl's words."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from cyclopts import App, Parameter

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, DomainState, MachineError, ShutdownReason
from pvdrivers.sim.domain import DomainInfo
from pvdrivers.tools.pvxl.connection import HostOption, on_host
from pvdrivers.tools.pvxl.creation import destroy_guest
from pvdrivers.tools.pvxl.host import Connection
from pvdrivers.toolstack.domains import domain_names, rename_domain, request_shutdown

HEADING = f"{'Name':<40} {'ID':>5} {'Mem':>5} {'VCPUs':>5}\tState\tTime(s)"
ByName = Annotated[str, Parameter(help="Its name or domid.")]
Wait = Annotated[
    bool, Parameter(name=("--wait", "-w"), negative=(), help="Until the domain has ended.")
]


def add_commands(app: App) -> None:
    """Gives `app` the commands."""
    for command in (list_, domid, domname, pause, unpause, shutdown, reboot, destroy, rename):
        app.command(command, name=command.__name__.rstrip("_"))


def list_(domain: str | None = None, /, *, host: HostOption = None) -> int:
    """Lists the domains.

    Parameters
    ----------
    domain
        Only this one: its name or domid.
    """

    async def work(connection: Connection) -> None:
        only = None if domain is None else await connection.domid(domain)
        names = await domain_names(connection.xenstore)
        print(HEADING)
        for each in connection.machine.domains():
            if only in (None, each.domid):
                with suppress(MachineError):  # it has gone meanwhile
                    print(_line(each, names.get(each.domid, "")))

    on_host(host, work)
    return 0


def _line(domain: Domain, name: str) -> str:
    info, states = domain.info, domain.machine.scheduler
    seconds = sum(states.run_state(info.domid, vcpu).running for vcpu in range(info.vcpus)) / 1e9
    mib = info.pages * info.page_size >> 20
    online = sum(domain.vcpu(number).is_up for number in range(info.vcpus))
    return f"{name:<40} {info.domid:>5} {mib:>5} {online:>5}     {_letters(info)}  {seconds:>8.1f}"


def _letters(info: DomainInfo) -> str:
    """xl's: running or blocked, paused, shut down, crashed, dying."""
    state, crashed = info.state, info.shutdown_reason is ShutdownReason.CRASH
    flags = (
        ("r", False),
        ("b", state is DomainState.RUNNING),
        ("p", state is DomainState.PAUSED),
        ("s", info.has_ended),
        ("c", info.has_ended and crashed),
        ("d", state is DomainState.DYING),
    )
    return "".join(letter if is_set else "-" for letter, is_set in flags)


def domid(name: str, /, *, host: HostOption = None) -> int:
    """Prints the domid of a domain.

    Parameters
    ----------
    name
        Its name.
    """
    print(on_host(host, lambda connection: connection.domid(name)))
    return 0


def domname(domid: int, /, *, host: HostOption = None) -> int:
    """Prints the name of a domain.

    Parameters
    ----------
    domid
        Its domid.
    """

    async def work(connection: Connection) -> str:
        names = await domain_names(connection.xenstore)
        if domid not in names:
            raise UsageError(f"there is no domain {domid}")
        return names[domid]

    print(on_host(host, work))
    return 0


def pause(domain: ByName, /, *, host: HostOption = None) -> int:
    """Pauses a domain."""

    async def work(connection: Connection) -> None:
        (await connection.guest(domain)).pause()

    on_host(host, work)
    return 0


def unpause(domain: ByName, /, *, host: HostOption = None) -> int:
    """Lets a paused domain run."""

    async def work(connection: Connection) -> None:
        (await connection.guest(domain)).unpause()

    on_host(host, work)
    return 0


def shutdown(domain: ByName, /, *, wait: Wait = False, host: HostOption = None) -> int:
    """Asks a guest to power off."""
    return _ask(domain, "poweroff", wait, host)


def reboot(domain: ByName, /, *, wait: Wait = False, host: HostOption = None) -> int:
    """Asks a guest to reboot."""
    return _ask(domain, "reboot", wait, host)


def _ask(domain: str, what: str, wait: bool, host: HostOption) -> int:
    async def work(connection: Connection) -> None:
        asked = await connection.guest(domain)
        generation = asked.info.generation
        async with await connection.xenstore.watch("@releaseDomain") as ends:
            await request_shutdown(connection.xenstore, asked.domid, what)
            async for _ in ends:
                if not wait or connection.has_ended(asked.domid, generation):
                    break

    on_host(host, work)
    return 0


def destroy(domain: ByName, /, *, host: HostOption = None) -> int:
    """Ends a domain at once, as by pulling its plug."""

    async def work(connection: Connection) -> None:
        await destroy_guest(connection, await connection.guest(domain))

    on_host(host, work)
    return 0


def rename(domain: ByName, name: str, /, *, host: HostOption = None) -> int:
    """Gives a domain another name.

    Parameters
    ----------
    name
        The new one.
    """

    async def work(connection: Connection) -> None:
        guest = await connection.guest(domain)
        await rename_domain(connection.xenstore, guest.domid, name)

    on_host(host, work)
    return 0
