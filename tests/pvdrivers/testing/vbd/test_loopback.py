"""The loopback kit: one disk, every mode, and runs that a seed repeats."""

import asyncio
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pvdrivers.testing.loopback
from pvdrivers.backends.stores.store import FileStore, RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.testing.loopback import MODES
from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.xenbus.device import FrontendDevice
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient

MIB = 1 << 20
make_store = partial(RamStore, MIB)


async def write_and_read(frontend: Any) -> None:
    info = await frontend.connected()
    assert info.sectors == MIB // 512
    pattern = bytes(range(256)) * 64
    await frontend.write(100, pattern)
    await frontend.flush()
    assert await frontend.read(100, 32) == pattern
    assert await frontend.read(99, 1) == bytes(512)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(mode: str) -> None:
    with VbdLoopback(make_store, mode=mode) as loopback:
        loopback.run(write_and_read)


@pytest.mark.parametrize("abi", list(Abi))
def test_every_abi(abi: Abi) -> None:
    with VbdLoopback(make_store, abi=abi) as loopback:
        loopback.run(write_and_read)


def test_unknown_mode() -> None:
    with pytest.raises(UsageError, match="fibres"):
        VbdLoopback(make_store, mode="fibres")


def test_a_guest_without_memory_for_a_ring_is_told() -> None:
    no_memory = pytest.raises(PeerError, match="no ring: Cannot allocate memory")
    with VbdLoopback(make_store, guest_memory="64K") as loopback, no_memory:
        loopback.run(write_and_read)


async def whole_life(loopback: VbdLoopback, frontend: Any) -> None:
    """Connect, I/O, disconnect."""
    await frontend.connected()
    for index in range(8):
        await frontend.write(index * 8, bytes([index + 1]) * 4096)
    reads = await asyncio.gather(*(frontend.read(index * 8, 8) for index in range(8)))
    for index, data in enumerate(reads):
        assert data == bytes([index + 1]) * 4096
    assert await loopback.unplug()


def trace_of(seed: int) -> str:
    """The machine's trace of a whole life of a device, as text."""
    options = VbdBackendOptions(persistent=False)
    with VbdLoopback(
        make_store, mode="deterministic", seed=seed, trace=True, backend_options=options
    ) as loopback:
        loopback.run(lambda frontend: whole_life(loopback, frontend))
        records = loopback.machine.read_trace()
        assert loopback.machine.trace_lost == 0
    return "\n".join(map(str, records))


def test_same_seed_same_trace_other_seed_another() -> None:
    first = trace_of(11)
    assert len(first.splitlines()) > 100
    assert {"evtchn_send", "evtchn_deliver", "gnttab_map", "gnttab_copy"} <= {
        line.split()[2] for line in first.splitlines()
    }
    assert trace_of(11) == first
    assert trace_of(12) != first


@pytest.mark.slow
def test_same_trace_in_another_process() -> None:
    """Nothing of the process decides: not its hash seed, nor its file numbers."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import test_loopback; sys.stdout.write(test_loopback.trace_of(11))"
    )
    folder = __file__.rsplit("/", 1)[0]
    command = [sys.executable, "-c", program, folder]
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            command, env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        assert run.stdout == trace_of(11)


@pytest.mark.parametrize("seed", range(20))
def test_many_seeds(seed: int) -> None:
    trace_of(seed)


@pytest.mark.slow
def test_backend_killed_under_io_loses_nothing() -> None:
    """SIGKILL in the middle: what was in flight is issued again to the next backend."""

    async def scenario(loopback: VbdLoopback, frontend: Any) -> None:
        await frontend.connected()
        expected = {}
        for round_ in range(4):
            for index in range(16):
                expected[index] = bytes([round_ * 16 + index + 1]) * 4096
                await frontend.write(index * 8, expected[index])
            loopback.kill_backend()
            loopback.restart_backend()
            for index, data in expected.items():
                assert await frontend.read(index * 8, 8) == data

    # A RAM store would die with its process: the content is in a file.
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(MIB)
        with VbdLoopback(partial(FileStore, image.name), mode="processes") as loopback:
            loopback.run(lambda frontend: scenario(loopback, frontend))


SCRIPT = """
from functools import partial

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.testing.vbd.loopback import VbdLoopback


async def scenario(frontend):
    await frontend.write(0, b"hello".ljust(512))
    print((await frontend.read(0, 1)).rstrip().decode())


{guard}
    with VbdLoopback(partial(RamStore, 1 << 20), mode="processes") as loopback:
        loopback.run(scenario)
"""


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, False])
def test_a_script_in_mode_processes_needs_the_guard_and_is_told(
    guarded: bool, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    guard = 'if __name__ == "__main__":' if guarded else "if True:"
    script.write_text(SCRIPT.format(guard=guard))
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    if guarded:
        assert (run.returncode, run.stdout, run.stderr) == (0, "hello\n", "")
    else:
        assert run.stderr.count("Traceback") == 1
        assert '`if __name__ == "__main__":`' in run.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_driver_that_frees_its_grants_at_once_is_taken_down_in_order(
    mode: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol has the backend unmap first; a frontend that ends before that gets EBUSY."""
    monkeypatch.setattr(pvdrivers.testing.loopback, "CLOSE_PATIENCE", 60.0)
    with VbdLoopback(make_store, mode=mode, frontend=Granting) as loopback:
        loopback.run(lambda frontend: frontend.wait_for(XenbusState.CONNECTED))
    assert not caplog.messages


class Granting(FrontendDevice):
    """Connects, and at the end frees without asking whether the backend has unmapped."""

    def __init__(self, client: XenstoreClient, path: str, hypervisor: Hypervisor) -> None:
        super().__init__(client, path)
        self.hypervisor = hypervisor

    async def connect(self) -> None:
        self.channels = self.hypervisor.open_event_channels()
        self.page = self.hypervisor.allocate_pages(1)
        (self.ref,) = self.hypervisor.grant_pages(self.peer_domid, self.page)
        keys = {"ring-ref": self.ref, "event-channel": self.channels.bind_unbound_port(0)}
        await self.write_keys({name: str(key) for name, key in keys.items()})

    async def disconnect(self) -> None:
        self.channels.close()
        self.hypervisor.end_access(self.ref)
        self.hypervisor.free_pages(self.page)
