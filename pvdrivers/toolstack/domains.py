"""A domain's life as a toolstack has it: made with its devices, asked to end, taken away.

Nodes, their owners and their order are libxl's (libxl_create.c, libxl_dom.c), so that Xen's own
tools find such a domain as they find one of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine, MachineError
from pvdrivers.toolstack.devices import (
    DeviceConfig,
    add_device,
    destroy_device,
    wait_for_backend,
)
from pvdrivers.toolstack.domain_builder import StartInfo, build, introduce, register
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import Transaction, XenstoreClient
from pvdrivers.xenstore.operations import (
    Ask,
    asks_mkdir,
    asks_set_permissions,
    asks_write,
    raise_first,
)

DEVICE_TIMEOUT = 10.0  # seconds until a backend has a device's parameters: LIBXL_INIT_TIMEOUT
TAKEN_UP = frozenset(XenbusState) - {XenbusState.UNKNOWN, XenbusState.INITIALISING}
OWN_DIRECTORIES = (
    "control/shutdown",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/sysrq",
    "data",
    "drivers",
    "feature",
    "attr",
    "error",
)
"""Of a domain's directory, what it may write; the rest it only reads."""


async def create_domain(
    machine: Machine, client: XenstoreClient, spec: DomainSpec, command_line: str
) -> Domain:
    """Makes the domain, paused, with its devices; backends may not have found these yet.

    `command_line`: the kernel's. UsageError: a domain has this name, or there is no such backend
    domain. MachineError: the machine has not enough of something. After an error nothing of the
    domain is left.
    """
    names = await domain_names(client)
    if spec.name in names.values():
        raise UsageError(f"a domain has the name {spec.name} already; pvxl list shows all")
    domids = {name: domid for domid, name in names.items()}
    domain = machine.create_domain(
        memory=spec.memory << 20,
        max_memory=spec.maxmem << 20,
        vcpus=spec.maxvcpus,
        online_vcpus=spec.vcpus,
        max_event_channels=spec.limits.event_channels or 0,
        max_grant_frames=spec.limits.grant_frames or 0,
        max_maptrack_frames=spec.limits.maptrack_frames or 0,
        max_grant_version=spec.limits.grant_version or 0,
        paused=True,
        uuid=spec.uuid,
    )
    try:
        info = build(domain, command_line=command_line)
        await _write_nodes(client, domain.domid, spec, info)
        await register(client, domain, spec.name)
        await introduce(client, domain, info)
        for device in spec.devices:
            backend = _backend(device.backend, domids)
            await add_device(client, device.device(domain.domid, backend, domain_name=spec.name))
    except BaseException:
        await destroy_domain(machine, client, domain.domid)
        raise
    return domain


def _backend(name: str, domids: Mapping[str, int]) -> int:
    if name and name not in domids:
        raise UsageError(f"backend={name}: there is no domain of this name")
    return domids[name] if name else 0


async def _write_nodes(
    client: XenstoreClient, domid: int, spec: DomainSpec, info: StartInfo
) -> None:
    home, libxl = f"/local/domain/{domid}", f"/libxl/{domid}"
    readable, own = ["n0", f"r{domid}"], [f"n{domid}"]
    directories = [
        (home, readable),
        (libxl, ["n0"]),
        (f"{libxl}/device", ["n0"]),
        *((f"{home}/{name}", readable) for name in ("cpu", "memory", "device", "control")),
        *((f"{home}/{name}", own) for name in OWN_DIRECTORIES),
    ]
    nodes = {
        f"{home}/memory/static-max": str(spec.maxmem << 10),
        f"{home}/memory/target": str(spec.memory << 10),
        f"{home}/memory/videoram": "0",
        f"{home}/store/port": str(info.store_port),
        f"{home}/store/ring-ref": str(info.store_gfn),
        f"{libxl}/type": spec.type,
    }

    async def body(transaction: Transaction) -> None:
        for path in (home, libxl):  # what a domain before it with this domid has left
            if await transaction.exists(path):
                await transaction.remove(path)
        asked: list[Ask] = []
        for path, permissions in directories:
            asked += [asks_mkdir(path), asks_set_permissions(path, permissions)]
        asked += [asks_write(path, value) for path, value in nodes.items()]
        raise_first(await transaction.request_all(asked))

    await client.transact(body)


async def wait_for_backends(
    client: XenstoreClient, domid: int, patience: float = DEVICE_TIMEOUT
) -> None:
    """Until the backend of each device of a domain has read its parameters. UsageError: one has
    not, and why."""
    for device in await devices_of(client, domid):
        await _wait_for_backend(client, device, patience)


async def _wait_for_backend(client: XenstoreClient, device: DeviceConfig, patience: float) -> None:
    path = device.backend_path
    state = await wait_for_backend(client, device, TAKEN_UP, patience)
    if state is None:
        raise UsageError(f"no backend has taken {path} up in {patience:g} s; does pvbackd run?")
    if state in (XenbusState.CLOSING, XenbusState.CLOSED):
        home = f"/local/domain/{device.backend_domid}"
        error = await client.read_optional(f"{home}/error{path.removeprefix(home)}/error")
        raise UsageError(f"the backend refuses {path}: {error or 'it does not say why'}")


async def find_domain(client: XenstoreClient, name: str) -> int | None:
    """The domid of the domain of this name; None: there is none."""
    for domid, known in (await domain_names(client)).items():
        if known == name:
            return domid
    return None


async def domain_names(client: XenstoreClient) -> dict[int, str]:
    """The names of all domains, by domid, ascending; of one without a name it is empty."""
    domids = sorted(map(int, await client.directory("/local/domain")))
    names = await client.read_present([f"/local/domain/{domid}/name" for domid in domids])
    return {domid: name or "" for domid, name in zip(domids, names, strict=True)}


async def request_shutdown(client: XenstoreClient, domid: int, what: str = "poweroff") -> None:
    """Asks the guest's kernel to end, by poweroff or reboot."""
    await client.write(f"/local/domain/{domid}/control/shutdown", what)


async def rename_domain(client: XenstoreClient, domid: int, name: str) -> None:
    """UsageError: another domain has this name."""
    other = await find_domain(client, name)
    if other is not None and other != domid:
        raise UsageError(f"domain {other} has the name {name} already")
    vm = await client.read_optional(f"/local/domain/{domid}/vm")
    await client.write(f"/local/domain/{domid}/name", name)
    if vm:
        await client.write(f"{vm}/name", name)


async def destroy_domain(machine: Machine, client: XenstoreClient, domid: int) -> None:
    """Takes the domain away, whatever it does, and all that xenstore has of it and its devices."""
    with suppress(MachineError):  # another process has
        machine.domain(domid).destroy()
    devices = await devices_of(client, domid)
    for device in devices:
        await destroy_device(client, device)
    vm = await client.read_optional(f"/local/domain/{domid}/vm")
    backends = {device.backend_path.rpartition("/")[0] for device in devices}

    async def body(transaction: Transaction) -> None:
        for path in (f"/local/domain/{domid}", f"/libxl/{domid}", vm, *backends):
            if path and await transaction.exists(path):
                await transaction.remove(path)

    await client.transact(body)


async def devices_of(client: XenstoreClient, domid: int) -> list[DeviceConfig]:
    """The domain's devices, from where no guest writes."""
    found, home = [], f"/libxl/{domid}/device"
    if not await client.exists(home):
        return []
    for kind in await client.directory(home):
        for devid in await client.directory(f"{home}/{kind}"):
            backend = await client.read_str(f"{home}/{kind}/{devid}/backend")
            _, _, _, backend_domid, _, backend_kind, *_ = backend.split("/")
            found.append(
                DeviceConfig(kind, int(devid), domid, int(backend_domid), backend_kind=backend_kind)
            )
    return found
