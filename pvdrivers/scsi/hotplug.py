"""LUNs that a toolstack plugs into a virtual host that is connected, and unplugs.

The toolstack writes the LUN's state and asks the backend for a reconfiguration (state 7). Both ends
then go to 7, 8 and 4 in turn, and the LUN's own two states say how far it has come.
"""

import asyncio
from collections.abc import Mapping

from pvdrivers.scsi.config import LunConfig
from pvdrivers.scsi.keys import LUNS, lun_state_key
from pvdrivers.xenbus.states import XenbusState, parse_state
from pvdrivers.xenstore.client import Transaction, XenstoreClient

PATIENCE = 10.0  # seconds that a toolstack waits for both ends


async def add_lun(
    client: XenstoreClient, backend_path: str, name: str, lun: LunConfig, patience: float = PATIENCE
) -> bool:
    """Plugs a LUN in as directory `name`, such as dev-3. False: the backend has refused it.

    FileExistsError: there is a LUN of that name. TimeoutError: the ends have not come to an end.
    """
    await _reconfigure(client, backend_path, name, lun.keys(name), is_new=True)
    state = await _settled(client, backend_path, name, patience)
    return state is XenbusState.CONNECTED


async def remove_lun(
    client: XenstoreClient, backend_path: str, name: str, patience: float = PATIENCE
) -> None:
    """Unplugs it, and removes its directory when the backend has let it go.

    FileNotFoundError: there is none. TimeoutError: the ends have not come to an end.
    """
    closing = {lun_state_key(name): str(int(XenbusState.CLOSING))}
    await _reconfigure(client, backend_path, name, closing, is_new=False)
    await _settled(client, backend_path, name, patience)
    await client.remove(f"{backend_path}/{LUNS}/{name}")


async def _reconfigure(
    client: XenstoreClient, path: str, name: str, keys: Mapping[str, str], *, is_new: bool
) -> None:
    async def body(transaction: Transaction) -> None:
        there = await transaction.read_optional(f"{path}/{lun_state_key(name)}")
        if is_new and there is not None:
            raise FileExistsError(f"{path} has a LUN {name} already")
        if not is_new and there is None:
            raise FileNotFoundError(f"{path} has no LUN {name}")
        for key, value in keys.items():
            await transaction.write(f"{path}/{key}", value)
        state = parse_state(await transaction.read_optional(f"{path}/state"))
        if state is XenbusState.CONNECTED:  # else it is taken up when the ends connect
            await transaction.write(f"{path}/state", str(int(XenbusState.RECONFIGURING)))

    await client.transact(body)


async def _settled(client: XenstoreClient, path: str, name: str, patience: float) -> XenbusState:
    """The LUN's state, once the backend is Connected and has decided about the LUN."""
    both = [f"{path}/state", f"{path}/{lun_state_key(name)}"]
    ends = (XenbusState.CONNECTED, XenbusState.CLOSED)
    async with asyncio.timeout(patience), await client.watch(path) as watch:
        async for _ in watch:
            backend, lun = map(parse_state, await client.read_present(both))
            if backend is XenbusState.CONNECTED and lun in ends:
                return lun
    raise TimeoutError(f"{path}: xenstore is gone")
