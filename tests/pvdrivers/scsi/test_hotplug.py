"""LUNs plugged in and unplugged by a toolstack, before a backend that the test plays."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.scsi.hotplug import add_lun, remove_lun
from pvdrivers.scsi.keys import lun_key_names, read_luns
from pvdrivers.toolstack.devices import add_device
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore

CONFIG = scsi_config(0, 7, luns=[LunConfig("disk", ScsiAddress(0, 0, 0, 0))])
BACK = CONFIG.backend_path
TAPE = LunConfig("tape", ScsiAddress(0, 0, 1, 0))


def with_host(state: int, scenario: Callable[[XenstoreClient], Awaitable[None]]) -> None:
    async def body() -> None:
        client = XenstoreClient.in_process(XenStore())
        await add_device(client, CONFIG)
        await client.write(f"{BACK}/state", str(state))
        await client.write(f"{BACK}/vscsi-devs/dev-0/state", "4")
        async with asyncio.timeout(20):
            await scenario(client)

    asyncio.run(body())


async def play_backend(client: XenstoreClient, name: str, lun_state: int) -> None:
    """Answers one reconfiguration."""
    async with await client.watch(f"{BACK}/state") as watch:
        async for _ in watch:
            if await client.read(f"{BACK}/state") == b"7":
                break
    await client.write(f"{BACK}/vscsi-devs/{name}/state", str(lun_state))
    await client.write(f"{BACK}/state", "4")


def test_a_lun_is_plugged_in_when_the_backend_says_connected() -> None:
    async def scenario(client: XenstoreClient) -> None:
        backend = asyncio.create_task(play_backend(client, "dev-3", 4))
        assert await add_lun(client, BACK, "dev-3", TAPE)
        await backend
        keys = await client.read_keys(BACK, lun_key_names(["dev-3"]))
        [lun] = read_luns(keys, ["dev-3"])
        assert (lun.p_dev, lun.v_dev) == ("tape", TAPE.v_dev)

    with_host(4, scenario)


def test_a_lun_that_the_backend_refuses() -> None:
    async def scenario(client: XenstoreClient) -> None:
        backend = asyncio.create_task(play_backend(client, "dev-3", 6))
        assert not await add_lun(client, BACK, "dev-3", TAPE)
        await backend

    with_host(4, scenario)


def test_an_unplugged_lun_has_no_directory() -> None:
    async def scenario(client: XenstoreClient) -> None:
        backend = asyncio.create_task(play_backend(client, "dev-0", 6))
        await remove_lun(client, BACK, "dev-0")
        await backend
        assert not await client.exists(f"{BACK}/vscsi-devs/dev-0")

    with_host(4, scenario)


def test_a_host_that_connects_is_not_asked() -> None:
    """It reads all LUNs when it connects; a state of 7 would take it away from that."""

    async def scenario(client: XenstoreClient) -> None:
        adding = asyncio.create_task(add_lun(client, BACK, "dev-3", TAPE))
        async with await client.watch(f"{BACK}/vscsi-devs/dev-3/v-dev") as watch:
            async for _ in watch:
                if await client.exists(f"{BACK}/vscsi-devs/dev-3/v-dev"):
                    break
        assert await client.read(f"{BACK}/state") == b"2"
        await client.write(f"{BACK}/vscsi-devs/dev-3/state", "4")
        await client.write(f"{BACK}/state", "4")
        assert await adding

    with_host(2, scenario)


def test_a_name_that_is_taken_or_unknown() -> None:
    async def scenario(client: XenstoreClient) -> None:
        with pytest.raises(FileExistsError, match="has a LUN dev-0 already"):
            await add_lun(client, BACK, "dev-0", TAPE)
        with pytest.raises(FileNotFoundError, match="has no LUN dev-9"):
            await remove_lun(client, BACK, "dev-9")
        assert await client.read(f"{BACK}/state") == b"4"

    with_host(4, scenario)


def test_a_backend_that_does_not_answer() -> None:
    async def scenario(client: XenstoreClient) -> None:
        with pytest.raises(TimeoutError):
            await add_lun(client, BACK, "dev-3", TAPE, patience=0.01)

    with_host(4, scenario)
