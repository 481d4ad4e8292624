"""What a guest answers to its toolstack: a shutdown that it knows, and vcpus that come and go."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pvdrivers.frontends.control import ShutdownRequest, follow_vcpus, shutdown_request
from pvdrivers.toolstack.devices import create_domain_directory
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.client import XenstoreClient
from tests.until import until

HOME = "/local/domain/1"
PATIENCE = 30.0


def run(scenario: Callable[[XenstoreClient, XenstoreClient], Awaitable[None]]) -> None:
    """With the toolstack's client and the guest's."""

    async def whole() -> None:
        store = XenStore()
        toolstack = XenstoreClient.in_process(store, 0)
        await create_domain_directory(toolstack, 1)
        guest = XenstoreClient.in_process(store, 1)
        async with asyncio.timeout(PATIENCE):
            await scenario(toolstack, guest)
        guest.close()
        toolstack.close()

    asyncio.run(whole())


async def becomes(client: XenstoreClient, path: str, value: str) -> None:
    async with await client.watch(path) as watch:
        async for _ in watch:
            if await client.read_optional(path) == value:
                return


@pytest.mark.parametrize("request_", ["poweroff", "reboot", "halt"])
def test_a_request_is_taken_once(request_: str) -> None:
    async def scenario(toolstack: XenstoreClient, guest: XenstoreClient) -> None:
        waiting = asyncio.create_task(shutdown_request(guest))
        await becomes(toolstack, f"{HOME}/control/feature-reboot", "1")
        assert not await toolstack.exists(f"{HOME}/control/feature-suspend")
        await toolstack.write(f"{HOME}/control/shutdown", request_)
        assert await waiting is ShutdownRequest(request_)
        assert await toolstack.read_str(f"{HOME}/control/shutdown") == ""
        again = asyncio.create_task(shutdown_request(guest))
        await toolstack.write(f"{HOME}/control/shutdown", "reboot")
        assert await again is ShutdownRequest.REBOOT

    run(scenario)


def test_one_that_the_guest_does_not_know_stays(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(toolstack: XenstoreClient, guest: XenstoreClient) -> None:
        await toolstack.write(f"{HOME}/control/shutdown", "suspend")
        waiting = asyncio.create_task(shutdown_request(guest))
        await until(lambda: "this guest knows" in caplog.text)
        assert await toolstack.read_str(f"{HOME}/control/shutdown") == "suspend"
        await toolstack.write(f"{HOME}/control/shutdown", "poweroff")
        assert await waiting is ShutdownRequest.POWEROFF

    run(scenario)


def test_a_guest_that_knows_how_to_suspend_says_so() -> None:
    async def scenario(toolstack: XenstoreClient, guest: XenstoreClient) -> None:
        waiting = asyncio.create_task(shutdown_request(guest, [ShutdownRequest.SUSPEND]))
        await becomes(toolstack, f"{HOME}/control/feature-suspend", "1")
        await toolstack.write(f"{HOME}/control/shutdown", "suspend")
        assert await waiting is ShutdownRequest.SUSPEND

    run(scenario)


def test_vcpus_follow(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(toolstack: XenstoreClient, guest: XenstoreClient) -> None:
        changes: asyncio.Queue[tuple[int, bool]] = asyncio.Queue()

        async def say(vcpu: int, text: str) -> None:
            await toolstack.write(f"{HOME}/cpu/{vcpu}/availability", text)

        await say(0, "online")
        await say(1, "offline")
        task = asyncio.create_task(
            follow_vcpus(guest, 3, lambda vcpu, online: changes.put_nowait((vcpu, online)))
        )
        assert [await changes.get() for _ in range(2)] == [(0, True), (1, False)]
        await say(2, "perhaps")
        await say(3, "offline")  # it has no such vcpu
        await say(1, "online")
        assert await changes.get() == (1, True)
        await say(1, "online")
        await say(2, "offline")
        assert await changes.get() == (2, False)
        assert "cpu/2/availability is 'perhaps': neither online nor offline" in caplog.text
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert changes.empty()

    run(scenario)
