"""What a toolstack does for a device: creates it, unplugs it in order, or removes it by force.

Keys and order as libxl has them. What the toolstack must be able to trust later is kept where no
guest writes, below /libxl (XSA-175, XSA-178).
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pvdrivers.xenbus.states import XenbusState, parse_state
from pvdrivers.xenstore.client import Transaction, XenstoreClient
from pvdrivers.xenstore.operations import (
    asks_mkdir,
    asks_remove,
    asks_set_permissions,
    asks_write,
    raise_first,
)

UNPLUG_TIMEOUT = 10.0  # seconds; LIBXL_DESTROY_TIMEOUT


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """A device to create: its place, and the keys its type needs at each end."""

    kind: str  # vbd, vif, vscsi
    devid: int
    frontend_domid: int
    backend_domid: int = 0
    frontend_keys: Mapping[str, str] = field(default_factory=dict)
    backend_keys: Mapping[str, str] = field(default_factory=dict)
    backend_kind: str = ""  # where the backend's directory has another name: qdisk

    @property
    def frontend_path(self) -> str:
        return f"/local/domain/{self.frontend_domid}/device/{self.kind}/{self.devid}"

    @property
    def backend_path(self) -> str:
        home = f"/local/domain/{self.backend_domid}/backend/{self.backend_kind or self.kind}"
        return f"{home}/{self.frontend_domid}/{self.devid}"

    @property
    def private_path(self) -> str:
        return f"/libxl/{self.frontend_domid}/device/{self.kind}/{self.devid}"


async def create_domain_directory(client: XenstoreClient, domid: int) -> None:
    """A domain's directory, which is its own; nothing when it is there already."""
    home = f"/local/domain/{domid}"
    if not await client.exists(home):
        await client.mkdir(home)
        await client.set_permissions(home, [f"n{domid}"])


async def add_device(client: XenstoreClient, config: DeviceConfig) -> None:
    """Writes both directories in one transaction, both ends at Initialising.

    FileExistsError when the device is there already.
    """
    front, back = config.frontend_domid, config.backend_domid
    initialising = str(int(XenbusState.INITIALISING))
    frontend_keys = {
        "backend": config.backend_path,
        "backend-id": str(back),
        "state": initialising,
        **config.frontend_keys,
    }
    backend_keys = {
        "frontend": config.frontend_path,
        "frontend-id": str(front),
        "online": "1",
        "state": initialising,
        **config.backend_keys,
    }
    private_keys = {"frontend": config.frontend_path, "backend": config.backend_path}
    # New nodes take their directory's permissions, so the directory's are set first.
    directories = (
        (config.private_path, [f"n{back}", f"r{front}"], private_keys | backend_keys),
        (config.backend_path, [f"n{back}", f"r{front}"], backend_keys),
        (config.frontend_path, [f"n{front}", f"r{back}"], frontend_keys),
    )

    async def body(transaction: Transaction) -> None:
        paths = [path for path, _, _ in directories]
        state, *present = await transaction.read_present([f"{config.backend_path}/state", *paths])
        if state is not None:
            raise FileExistsError(f"{config.backend_path} is there already")
        asked = []
        for (path, permissions, keys), value in zip(directories, present, strict=True):
            if value is not None:
                asked.append(asks_remove(path))
            asked += [asks_mkdir(path), asks_set_permissions(path, permissions)]
            asked += [asks_write(f"{path}/{key}", value) for key, value in keys.items()]
        raise_first(await transaction.request_all(asked))

    await client.transact(body)


async def unplug_device(
    client: XenstoreClient,
    config: DeviceConfig,
    patience: float = UNPLUG_TIMEOUT,
    ends: Collection[XenbusState] = (XenbusState.UNKNOWN, XenbusState.CLOSED),
) -> bool:
    """Asks both ends to close, waits until the backend has, removes the device.

    `ends` are the states of the backend that end the waiting. A backend already in one of them is
    not asked, since Linux' xen-blkback does not answer once it is Closed. QEMU's goes on writing
    after Closed and then removes its directory itself, which makes its state UNKNOWN.

    False when the backend had not closed after `patience` seconds of the loop's time: the device
    is still there then, and only `destroy_device` removes it.
    """
    state = f"{config.backend_path}/state"

    async def body(transaction: Transaction) -> None:
        before = parse_state(await transaction.read_optional(state))
        if before is not XenbusState.UNKNOWN:
            await transaction.write(f"{config.backend_path}/online", "0")
        if before is not XenbusState.UNKNOWN and before not in ends:
            await transaction.write(state, str(int(XenbusState.CLOSING)))

    await client.transact(body)
    if await wait_for_backend(client, config, ends, patience) is None:
        return False
    await destroy_device(client, config)
    return True


async def wait_for_backend(
    client: XenstoreClient, config: DeviceConfig, states: Collection[XenbusState], patience: float
) -> XenbusState | None:
    """The backend's state once it is one of these; None: it was none in `patience` seconds of the
    loop's time."""
    path = f"{config.backend_path}/state"
    with suppress(TimeoutError):
        async with asyncio.timeout(patience), await client.watch(path) as watch:
            async for _ in watch:
                state = parse_state(await client.read_optional(path))
                if state in states:
                    return state
    return None


async def destroy_device(client: XenstoreClient, config: DeviceConfig) -> None:
    """Removes all directories of the device, whatever its ends are doing."""

    async def body(transaction: Transaction) -> None:
        for path in (config.frontend_path, config.backend_path, config.private_path):
            if await transaction.exists(path):
                await transaction.remove(path)

    await client.transact(body)
