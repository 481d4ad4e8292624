"""SIGHUP counts whenever it comes, also while nothing is served."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from pvdrivers.backends.vbd.service import VbdService
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.sim import Machine
from pvdrivers.tools.pvbackd import daemon as pvbackd
from pvdrivers.toolstack.devices import add_device
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore

from .conftest import until

IGNORED = 'unlisted = "ignore"\n'
SERVED = '[[disk]]\nstore = {kind = "ram", size = 65536}\n'


@dataclass(frozen=True, kw_only=True)
class Here(pvbackd.Target):
    """A machine and a xenstore in this process."""

    store: XenStore
    served: Hypervisor
    clients: list[XenstoreClient]

    async def connect(self) -> XenstoreClient:
        self.clients.append(XenstoreClient.in_process(self.store))
        return self.clients[-1]

    async def hypervisor(self, client: XenstoreClient) -> Hypervisor:
        return self.served

    def lock(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()


class Reloaded:
    """A daemon in this process, with one disk that its configuration ignores so far."""

    def __init__(self, place: Here, config: Path) -> None:
        config.write_text(IGNORED)
        self.place = place
        self.config = config
        self.daemon = pvbackd.Daemon(place, config)

    async def hang_up(self) -> None:
        """With a configuration that serves the disk; returns when that has been read."""
        before = self.daemon.config
        self.config.write_text(SERVED)
        signal.raise_signal(signal.SIGHUP)

        async def is_read() -> bool:
            return self.daemon.config is not before

        await until(is_read)

    async def is_up(self) -> bool:
        return bool(self.daemon.services)

    async def serves(self) -> bool:
        return bool(self.daemon.devices)

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Runs the daemon beside the scenario."""

        async def main() -> None:
            toolstack = XenstoreClient.in_process(self.place.store)
            await add_device(toolstack, disk_config("xvda", 1, kind="ram", params="65536"))
            run = asyncio.ensure_future(self.daemon.run())
            await scenario()
            signal.raise_signal(signal.SIGTERM)
            assert await run == 0

        asyncio.run(main())


@pytest.fixture
def reloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reloaded]:
    monkeypatch.setattr(pvbackd.logs, "set_up", lambda log: None)  # the logs stay pytest's
    with Machine() as machine:
        dom0 = machine.create_domain(privileged=True)
        place = Here(store=XenStore(), served=dom0.hypervisor, clients=[])
        yield Reloaded(place, tmp_path / "pvbackd.toml")


def test_while_a_service_enters(reloaded: Reloaded, monkeypatch: pytest.MonkeyPatch) -> None:
    enter = VbdService.__aenter__

    async def hang_up_and_enter(service: VbdService) -> VbdService:
        await reloaded.hang_up()
        return await enter(service)

    monkeypatch.setattr(VbdService, "__aenter__", hang_up_and_enter)
    reloaded.run(lambda: until(reloaded.serves))


@pytest.mark.slow
def test_while_xenstore_is_gone(reloaded: Reloaded, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        await until(reloaded.is_up)
        client = reloaded.place.clients[-1]
        client.close()
        await reloaded.hang_up()
        await until(reloaded.serves)
        assert reloaded.place.clients[-1] is not client

    reloaded.run(scenario)
    assert "xenstore is gone" in caplog.text
    assert "failed" not in caplog.text
