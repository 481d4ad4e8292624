"""docs/device-class.md builds a device class that does what the page says, and bears what peers do.

The page's own tests run as a reader runs them. The others drive its code from here: unplugging, and
a hostile peer on each side.
"""

import asyncio
import importlib.util
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pvdrivers.backends.device import Backend
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.frontends.device import Frontend
from pvdrivers.poll.threads import PollThreads
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.loopback import MODES, Loopback
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.xenbus.states import XenbusState

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "device-class.md"
BLOCKS = re.findall(r"^```python (\S+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
FILES = {name: "".join(block for file, block in BLOCKS if file == name) for name, _ in BLOCKS}
RING_INDEX = struct.Struct("<I")  # req_prod, at the start of a ring's page


def test_it_takes_at_most_250_lines() -> None:
    assert sum(len(text.splitlines()) for text in FILES.values()) <= 250


@pytest.mark.slow
def test_the_page_runs(pytester: pytest.Pytester) -> None:
    for name, text in FILES.items():
        (pytester.path / name).write_text(text)
    run = pytester.runpytest_subprocess("test_entropy.py", "--timeout=120", "-rP")
    run.assert_outcomes(passed=len(MODES) + 1)
    run.stdout.no_fnmatch_line("*Captured log*")  # nothing goes wrong on the way


# ---- with the page's code, from here -----------------------------------------------------------


@pytest.fixture(scope="module")
def entropy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("page") / "entropy.py"
    path.write_text(FILES["entropy.py"])
    spec = importlib.util.spec_from_file_location("entropy", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["entropy"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["entropy"]


def config(domid: int) -> DeviceConfig:
    return DeviceConfig("entropy", 0, domid, backend_keys={"rate": str(1 << 30)})


def loopback(entropy: ModuleType, device_class: Any = None, driver: Any = None) -> Loopback:
    def serve(client: Any, hypervisor: Any, state: Path | None) -> Service[Any, Any]:
        return Service(
            device_class or entropy.ENTROPY,
            client,
            hypervisor,
            lambda rate: True,
            driver=driver,
            state_directory=state,
        )

    return Loopback(DeviceUnderTest(config, entropy.EntropyFrontend, serve))


def test_many_reads_are_all_answered(entropy: ModuleType) -> None:
    """More than the ring has slots."""

    async def scenario(frontend: Any) -> int:
        return len(await asyncio.gather(*(frontend.read(length) for length in range(700))))

    with loopback(entropy) as machine:
        assert machine.run(scenario) == 700
        counters = machine.backend.statistics()
        assert counters["requests"] == counters["responses"] == 700
        assert counters["bytes"] == sum(range(700))


def test_poll_threads_drive_it(entropy: ModuleType) -> None:
    async def scenario(frontend: Any) -> bytes:
        return bytes(await frontend.read(64))

    with PollThreads(1) as threads, loopback(entropy, driver=threads) as machine:
        assert len(machine.run(scenario)) == 64


def test_unplugged_and_plugged_again(entropy: ModuleType) -> None:
    with loopback(entropy) as machine:

        async def scenario(frontend: Any) -> bytes:
            await frontend.read(16)
            assert await machine.unplug()
            with pytest.raises((OSError, ValueError)):  # it goes, or is gone already
                await frontend.read(16)
            await machine.plug()
            return bytes(await (await machine.next_frontend(frontend)).read(16))

        assert len(machine.run(scenario)) == 16
        assert machine.dom0.hypervisor.open_channels == 0


def test_what_a_frontend_asks_wrongly_is_answered(entropy: ModuleType) -> None:
    """Too much, and a grant that is none: errors, counted; the next request is served."""

    async def scenario(frontend: Any) -> None:
        with pytest.raises(OSError, match="Invalid argument"):
            await frontend.read(5000)
        honest, ended = entropy.REQUEST.pack, []

        class Liar(entropy.Read):
            def encode(self, number: int, backend: int) -> bytes:
                super().encode(number, backend)
                ended.append(number)
                return bytes(honest(number, 16, 0xFFFFFF))

        liar = Liar(16, frontend.hypervisor)
        frontend.queues[0].issue(liar)
        with pytest.raises(OSError, match="Input/output error"):
            await liar.done
        assert ended
        assert len(await frontend.read(16)) == 16

    with loopback(entropy) as machine:
        machine.run(scenario)
        assert machine.backend.statistics()["errors"] == 2
        assert machine.backend.peer_errors == 0


def test_a_frontend_that_overruns_its_ring_is_closed(entropy: ModuleType) -> None:
    """It alone: another guest's device is served on."""
    with loopback(entropy) as machine:

        async def scenario(frontend: Frontend[Any]) -> int:
            other = await (await machine.add_guest()).frontend()
            await other.wait_for(XenbusState.CONNECTED)
            await frontend.wait_for(XenbusState.CONNECTED)
            queue: Any = frontend.queues[0]
            queue._page.view[:4] = RING_INDEX.pack(100_000)
            frontend.channels.notify(queue.port)
            await machine.backend.wait_for(XenbusState.CLOSING, XenbusState.CLOSED)
            return len(await other.read(32))

        assert machine.run(scenario) == 32
        assert machine.backend.peer_errors == 1
        assert machine.backend.statistics()["ring_overruns"] == 1
        assert "more requests than there are slots" in machine.backend.last_error


def test_a_backend_that_answers_what_was_not_asked_is_left(entropy: ModuleType) -> None:
    """Its frontend fails what waits, and believes nothing more."""

    class Lying(entropy.Queue):
        def _serve(self, request: Any) -> int:
            self.answer(request, entropy.RESPONSE.pack(7, 0, 0))
            return 0

    class LyingBackend(entropy.EntropyBackend):
        def open_queue(self, ring: Any, context: Any) -> Any:
            return Lying(ring, context, 1)

    async def make(context: Any, rate: int, options: object) -> Backend[Any, Any]:
        return LyingBackend(context, rate)

    async def scenario(frontend: Any) -> None:
        with pytest.raises(OSError, match="Input/output error"):
            await frontend.read(16)
        assert frontend.peer_errors == 1
        assert "answered request 7" in frontend.last_error

    with loopback(entropy, DeviceClass("entropy", entropy.read_rate, make)) as machine:
        machine.run(scenario)


def test_a_mistake_in_the_class_closes_its_device_alone(
    entropy: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Any, request: Any) -> int:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(entropy.Queue, "_serve", broken)

    with loopback(entropy) as machine:

        async def scenario(frontend: Any) -> None:
            read = asyncio.ensure_future(frontend.read(16))
            await frontend.wait_for(XenbusState.CONNECTED)
            await machine.backend.wait_for(XenbusState.CLOSING, XenbusState.CLOSED)
            assert not read.done()  # a backend that is mended may come, and serve it
            read.cancel()

        machine.run(scenario)
        assert "ZeroDivisionError('a mistake')" in machine.backend.last_error
        assert machine.backend.peer_errors == 0
    assert "is pumped no more" in caplog.text


def test_a_mistake_in_the_frontend_s_class_closes_its_device(
    entropy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No caller waits forever, neither for the broken request nor for those behind it."""

    def broken(self: Any, response: bytes) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(entropy.Read, "finish", broken)

    async def scenario(frontend: Any) -> None:
        reads = (frontend.read(length) for length in range(700))
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert {type(result) for result in results} == {OSError}
        assert "ZeroDivisionError('a mistake')" in frontend.last_error

    with loopback(entropy) as machine:
        machine.run(scenario)
