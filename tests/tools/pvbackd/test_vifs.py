"""The daemon serves network devices: what guests, a toolstack and an administrator see of it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.uplinks import netlink
from pvdrivers.testing.vnif.loopback import VnifLoopback
from pvdrivers.tools.pvbackd.config import Config
from pvdrivers.tools.pvbackd.uplinks import Tap
from pvdrivers.tools.pvbackd.vif import VIF
from pvdrivers.tools.pvbackd.vif_rules import VifRule
from pvdrivers.xenbus.states import XenbusState

from .conftest import PATIENCE, PVBACKD, until

pytestmark = pytest.mark.slow

MAC = "00:16:3e:0a:0b:0c"
Vif = Callable[..., VnifLoopback]
Devices = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def pvbackd_vif(tmp_path: Path) -> Iterator[Vif]:
    """Makes a guest with a vif, and a daemon with this configuration."""
    config = tmp_path / "pvbackd.toml"
    with ExitStack() as stack:

        def make(text: str, **vif: Any) -> VnifLoopback:
            config.write_text(text)
            options = ("--config", config, "--control", tmp_path / "control")
            daemon = [*PVBACKD, *map(str, options)]
            loopback = VnifLoopback(None, mode="processes", daemon=daemon, **vif)
            return stack.enter_context(loopback)

        yield make


def frame(source: str, destination: str, number: int) -> bytes:
    macs = bytes.fromhex(f"{destination}{source}".replace(":", ""))
    return macs + b"\x88\xb5" + number.to_bytes(4) + bytes(42)


PROBE = 1 << 31


async def reach(sender: Any, receiver: Any) -> None:
    """Sends until something arrives: what is sent while no daemon runs for the receiver is lost, as
    on a wire."""
    async with asyncio.timeout(PATIENCE):
        arrived = asyncio.ensure_future(receiver.receive())
        while not arrived.done():
            await sender.send([frame(sender.mac, receiver.mac, PROBE)])
            await asyncio.wait([arrived], timeout=0.05)


async def pass_frames(sender: Any, receiver: Any, first: int, count: int) -> None:
    """All of them arrive, in order."""
    sent = [frame(sender.mac, receiver.mac, first + n) for n in range(count)]
    await sender.send(sent)
    received: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        while len(received) < count:
            received += [packet.data for packet in await receiver.receive()]
            received = [data for data in received if data[14:18] != PROBE.to_bytes(4)]
    assert received == sent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_guests_on_a_switch_of_a_daemon_that_is_replaced(
    pvbackd_vif: Vif, number: signal.Signals
) -> None:
    """Both guests stay Connected, and their rings go on."""
    loopback = pvbackd_vif('[[vif]]\nuplink = {kind = "switch", name = "lan"}\n')

    async def scenario(first: Any) -> None:
        second = await (await loopback.add_guest()).frontend()
        both = (first, second)
        states: set[XenbusState] = set()
        for each in both:
            await each.connected()
        await reach(first, second)
        await reach(second, first)
        queues = [each.queues for each in both]
        for turn in range(3):
            await pass_frames(first, second, turn * 1000, 100)
            await pass_frames(second, first, turn * 1000, 100)
            loopback.kill_backend(number)
            loopback.restart_backend()
            await reach(first, second)
            await reach(second, first)
            states |= {each.state for each in both}
        await pass_frames(first, second, 9000, 100)
        assert [each.queues for each in both] == queues
        assert states == {XenbusState.CONNECTED}

    loopback.run(scenario)


def test_a_vif_without_a_rule_is_left_alone(pvbackd_vif: Vif, devices: Devices) -> None:
    loopback = pvbackd_vif('[[vif]]\nmac = "00:16:3e:ff:*"\nuplink = {kind = "null"}\n', mac=MAC)

    async def scenario(frontend: Any) -> None:
        assert await devices() == []
        keys = await loopback.toolstack.read_keys(loopback.config.backend_path, ["state"])
        assert keys["state"] == str(int(XenbusState.INITIALISING))

    loopback.run(scenario)


def test_what_the_daemon_tells_of_a_vif(pvbackd_vif: Vif, devices: Devices, tmp_path: Path) -> None:
    loopback = pvbackd_vif('[[vif]]\nuplink = {kind = "hairpin"}\n', mac=MAC, rate="8Mb/s")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        await frontend.send([frame(MAC, MAC, 1)] * 3)
        received = 0
        while received < 3:
            received += len(await frontend.receive())

        async def is_connected() -> bool:  # the daemon may learn of it after it has served frames
            return (await devices())[0]["state"] == "connected"

        await until(is_connected)
        (vif,) = await devices()
        assert (vif["kind"], vif["mac"]) == ("vif", MAC)
        assert (vif["counters"]["tx_packets"], vif["counters"]["rx_packets"]) == (3, 3)
        assert vif["name"] == f"vif{loopback.guest.domid}.0"
        command = [*PVBACKD, "status", "--control", str(tmp_path / "control")]
        table = await asyncio.to_thread(subprocess.check_output, command, text=True)
        assert MAC in table
        assert "HairpinUplink hairpin" in table

    loopback.run(scenario)


def test_a_reload_gives_a_connected_guest_another_uplink(
    pvbackd_vif: Vif, devices: Devices, tmp_path: Path
) -> None:
    loopback = pvbackd_vif('[[vif]]\nuplink = {kind = "null"}\n', mac=MAC)

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        queues = frontend.queues
        (tmp_path / "pvbackd.toml").write_text('[[vif]]\nuplink = {kind = "hairpin"}\n')
        loopback.daemon.send_signal(signal.SIGHUP)

        async def is_exchanged() -> bool:
            return "Hairpin" in str((await devices())[0]["uplink"])

        await until(is_exchanged)
        await pass_frames(frontend, frontend, 0, 10)
        assert frontend.queues == queues

    loopback.run(scenario)


def test_an_uplink_that_cannot_be_had_is_one_sentence(pvbackd_vif: Vif, devices: Devices) -> None:
    """The toolstack reads it as a hotplug script's."""
    loopback = pvbackd_vif(
        '[[vif]]\nuplink = {kind = "tap", interface = "much-too-long-a-name", bridge = ""}\n',
        mac=MAC,
    )

    async def scenario(frontend: Any) -> None:
        path = loopback.config.backend_path

        async def is_told() -> bool:
            return "hotplug-error" in await loopback.toolstack.read_keys(path, ["hotplug-error"])

        await until(is_told)
        keys = await loopback.toolstack.read_keys(path, ["hotplug-error"])
        assert "much-too-long-a-name" in keys["hotplug-error"]
        (vif,) = await devices()
        assert vif["last_error"] == keys["hotplug-error"]

    loopback.run(scenario)


def place(interface: str) -> tuple[str, str]:
    """Its bridge and its number; OSError: there is none."""
    folder = Path("/sys/class/net") / interface
    return (folder / "master").resolve(strict=True).name, (folder / "ifindex").read_text()


def test_an_interface_lives_as_long_as_its_vif(pvbackd_vif: Vif, tmp_path: Path) -> None:
    """It is on its bridge while no daemon runs, so the next one's guest has its place there."""
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip`: Debian's package is iproute2")
    bridge, tap = f"pvb{os.getpid()}", f"pvt{os.getpid()}"
    added = subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=False)
    if added.returncode:
        pytest.skip("no bridge can be made: it needs CAP_NET_ADMIN")
    try:
        loopback = pvbackd_vif("[[vif]]\n", mac=MAC, bridge=bridge, vifname=tap)

        async def scenario(frontend: Any) -> None:
            await frontend.connected()
            on, index = place(tap)
            assert on == bridge
            for number in (signal.SIGKILL, signal.SIGTERM):
                loopback.kill_backend(number)
                assert place(tap) == (bridge, index)
                loopback.restart_backend()
                await frontend.send([frame(MAC, "ff:ff:ff:ff:ff:ff", 0)])
                await frontend.flush()
            assert place(tap) == (bridge, index)
            assert await loopback.unplug()

            async def is_gone() -> bool:
                return tap not in os.listdir("/sys/class/net")

            await until(is_gone)

        loopback.run(scenario)
    finally:
        for name in (tap, bridge):
            subprocess.run(["ip", "link", "del", name], check=False, stderr=subprocess.DEVNULL)


def test_an_interface_that_a_script_renames_is_found_again(pvbackd_vif: Vif) -> None:
    """As Xen's vif-bridge does with a `vifname`, while the daemon puts it on no bridge."""
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip`: Debian's package is iproute2")
    if os.geteuid() != 0:
        pytest.skip("no interface can be made: it needs CAP_NET_ADMIN")
    name = f"pvr{os.getpid()}"
    loopback = pvbackd_vif('[[vif]]\nuplink = {kind = "tap", bridge = ""}\n', mac=MAC, vifname=name)

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        first = f"vif{loopback.guest.domid}.0"
        rename = ["ip", "link", "set", first, "name", name]
        await asyncio.to_thread(subprocess.run, rename, check=True)
        index = socket.if_nametoindex(name)
        loopback.kill_backend()
        loopback.restart_backend()
        await frontend.send([frame(MAC, "ff:ff:ff:ff:ff:ff", 0)])
        await frontend.flush()
        assert socket.if_nametoindex(name) == index
        assert first not in os.listdir("/sys/class/net")
        assert await loopback.unplug()

        async def is_gone() -> bool:
            return name not in os.listdir("/sys/class/net")

        await until(is_gone)

    loopback.run(scenario)


LOADING = """
import asyncio, sys
from pvdrivers.tools.pvbackd.config import Config
from pvdrivers.tools.pvbackd.uplinks import {kind}
from pvdrivers.tools.pvbackd.vif import VIF
from pvdrivers.tools.pvbackd.vif_rules import VifRule
asyncio.run(VIF.prepare(Config(vif=(VifRule(uplink={kind}()),))))
print("pyroute2" in sys.modules)
"""


@pytest.mark.parametrize(("kind", "loaded"), [("Tap", "True"), ("Null", "False")])
def test_what_an_interface_takes_is_loaded_before_a_guest_waits(kind: str, loaded: str) -> None:
    command = [sys.executable, "-c", LOADING.format(kind=kind)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == loaded, done.stderr


def test_what_a_reload_loads_does_not_block_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading ends only when the loop says so."""
    went_on = threading.Event()
    ended: list[bool] = []
    monkeypatch.setattr(netlink, "load", lambda: ended.append(went_on.wait(PATIENCE)))

    async def main() -> None:
        loading = asyncio.create_task(VIF.prepare(Config(vif=(VifRule(uplink=Tap()),))))
        asyncio.get_running_loop().call_later(0.01, went_on.set)
        await loading

    asyncio.run(main())
    assert ended == [True]
