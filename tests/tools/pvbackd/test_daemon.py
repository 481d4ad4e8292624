"""The daemon from outside: what a guest, a toolstack and an administrator see of it."""

import asyncio
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.toolstack.devices import add_device
from pvdrivers.vbd.config import disk_config

from .conftest import PATIENCE, PVBACKD, until

Disk = Callable[..., VbdLoopback]
Status = Callable[[], Awaitable[list[str]]]
HELD = '[[disk]]\nfilters = [{{kind = "delay", delay_us = 3_600_000_000, operations = ["{}"]}}]\n'
NO_READS = '[[disk]]\nfilters = [{kind = "error", seed = 1, operations = ["read"]}]\n'


def hang_up(loopback: VbdLoopback) -> None:
    loopback.daemon.send_signal(signal.SIGHUP)


@pytest.mark.slow
def test_drained_daemon_is_followed_without_a_word(pvbackd_disk: Disk, tmp_path: Path) -> None:
    """The frontend keeps its rings and its state, and nothing has to be issued again."""
    loopback = pvbackd_disk("--state-directory", tmp_path / "state")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        queues, states = frontend.queues, set()

        async def write(start: int) -> None:
            for index in range(400):
                data = bytes([index % 255 + 1]) * 4096
                await frontend.write(start + index % 16 * 8, data)
                states.add(frontend.state.name)
                assert await frontend.read(start + index % 16 * 8, 8) == data

        writers = [asyncio.ensure_future(write(start * 128)) for start in range(8)]
        for _ in range(3):
            await asyncio.sleep(0.05)
            loopback.kill_backend(signal.SIGTERM)
            loopback.restart_backend()
            await asyncio.wait_for(frontend.read(1024, 1), PATIENCE)
        await asyncio.gather(*writers)
        assert frontend.queues == queues
        assert states == {"CONNECTED"}
        assert frontend.reissued == 0

    loopback.run(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("logged", [True, False])
def test_killed_while_idle_it_is_followed_without_a_word(
    pvbackd_disk: Disk, status: Status, tmp_path: Path, logged: bool
) -> None:
    """The successor also rings: the predecessor may have died before it did."""
    loopback = pvbackd_disk("--control", tmp_path / "control")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        await frontend.write(0, b"q" * 512)
        queues = frontend.queues
        for _ in range(2):
            loopback.kill_backend()
            if not logged:
                shutil.rmtree(tmp_path / "control.state")
            sent = loopback.dom0.accounts["evtchn_send"]
            loopback.restart_backend()

            async def adopted(before: int = sent) -> bool:
                rang = loopback.dom0.accounts["evtchn_send"] > before
                return rang and any("queues of" in line for line in await status())

            await until(adopted)
            assert frontend.queues == queues
            assert await frontend.read(0, 1) == b"q" * 512
        assert frontend.reissued == 0

    loopback.run(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("log", ["intact", "damaged", "none"])
def test_killed_with_a_request_in_flight(pvbackd_disk: Disk, tmp_path: Path, log: str) -> None:
    """With a valid log the requests are done again; without one the frontend issues them again, and
    from then on there is a valid log."""
    config, state = tmp_path / "pvbackd.toml", tmp_path / "state"
    config.write_text(HELD.format("read"))
    loopback = pvbackd_disk("--config", config, "--state-directory", state)
    file = state / "-".join(["vbd", *loopback.config.backend_path.split("/")[-2:]])

    def taken() -> int:
        return int.from_bytes(file.read_bytes()[4:8], sys.byteorder)  # the log's req_cons

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        assert file.stat().st_mode & 0o777 == 0o600
        assert state.stat().st_mode & 0o777 == 0o700
        reads = [partial(frontend.read, sector, 1) for sector in range(4)]
        writes = [partial(frontend.write, sector, b"w" * 512) for sector in range(4)]
        for requests, held_next in ((reads, "write"), (writes, "flush")):
            again = requests is writes
            queues, expected = frontend.queues, taken() + len(requests)

            async def all_taken(expected: int = expected) -> bool:
                return taken() == expected

            answers = asyncio.gather(*(request() for request in requests))
            await until(all_taken)
            loopback.kill_backend()
            if log == "damaged" and not again:
                with file.open("r+b") as damaged:
                    damaged.seek(4)
                    damaged.write(b"\xff")
            if log == "none" and not again:
                file.unlink()
            config.write_text(HELD.format(held_next))
            loopback.restart_backend()
            assert await answers == [None if again else bytes(512)] * 4
            assert (frontend.queues == queues) is (log == "intact" or again)
        assert frontend.reissued == (0 if log == "intact" else 4)
        assert await frontend.read(0, 4) == b"w" * 2048

    loopback.run(scenario)


@pytest.mark.slow
def test_state_is_kept_no_longer_than_the_device(pvbackd_disk: Disk, tmp_path: Path) -> None:
    state = tmp_path / "state"
    loopback = pvbackd_disk("--state-directory", state)

    async def gone() -> bool:
        return not any(state.glob("vbd-*"))

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        (state / "vbd-77-51712").touch()
        loopback.kill_backend(signal.SIGTERM)
        assert len(list(state.glob("vbd-*"))) == 2
        loopback.restart_backend()
        assert await frontend.read(0, 1) == bytes(512)
        assert len(list(state.glob("vbd-*"))) == 1
        assert await loopback.unplug()
        await until(gone)

    loopback.run(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["poll", "hybrid", "event"])
def test_every_mode_of_pumping_serves_and_drains(
    pvbackd_disk: Disk, tmp_path: Path, mode: str
) -> None:
    loopback = pvbackd_disk("--mode", mode, "--state-directory", tmp_path / "state")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        queues = frontend.queues
        for round_number in range(3):
            data = [bytes([round_number + 1 + i]) * 4096 for i in range(64)]
            await asyncio.gather(*(frontend.write(i * 8, data[i]) for i in range(64)))
            assert await asyncio.gather(*(frontend.read(i * 8, 8) for i in range(64))) == data
            loopback.kill_backend(signal.SIGTERM)
            loopback.restart_backend()
        assert await frontend.read(0, 1) == data[0][:512]
        assert frontend.queues == queues
        assert await loopback.unplug()

    loopback.run(scenario)


@pytest.mark.slow
def test_an_idle_device_leaves_its_thread_asleep(pvbackd_disk: Disk) -> None:
    """The thread does not run at all in a second, once its poll window is over."""
    loopback = pvbackd_disk()

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        await frontend.read(0, 1)
        (thread,) = threads_named(loopback.daemon.pid, "poll thread")

        async def sleeps() -> bool:
            before = switches(thread)
            await asyncio.sleep(1)
            return switches(thread) == before

        await until(sleeps)
        before = switches(thread)
        await frontend.read(0, 1)

        async def sleeps_again() -> bool:
            return switches(thread) > before

        await until(sleeps_again)

    loopback.run(scenario)


def threads_named(pid: int, name: str) -> list[Path]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [task for task in tasks if (task / "comm").read_text().strip() == name]


def switches(thread: Path) -> int:
    """How often the thread has been put to sleep."""
    (count,) = re.findall(
        r"^voluntary_ctxt_switches:\t(\d+)", (thread / "status").read_text(), re.M
    )
    return int(count)


@pytest.mark.slow
def test_it_needs_no_privileges(image: Path) -> None:
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    daemon = [*(() if os.geteuid() else drop), *PVBACKD]

    async def scenario(frontend: Any) -> None:
        await frontend.write(3, b"unprivileged".ljust(512))
        assert await frontend.read(3, 1) == b"unprivileged".ljust(512)
        status = await asyncio.to_thread(Path(f"/proc/{loopback.daemon.pid}/status").read_text)
        assert f"CapEff:\t{0:016x}\n" in status

    disk = {"kind": "phy", "params": str(image)}
    with VbdLoopback(None, mode="processes", daemon=daemon, **disk) as loopback:
        loopback.run(scenario)


@pytest.mark.slow
def test_read_only_stays_so_when_adopted(pvbackd_disk: Disk) -> None:
    loopback = pvbackd_disk(writable=False)

    async def scenario(frontend: Any) -> None:
        info = await frontend.connected()
        assert info.read_only
        loopback.kill_backend(signal.SIGTERM)
        loopback.restart_backend()
        assert await frontend.read(0, 1) == bytes(512)
        object.__setattr__(frontend.info, "read_only", False)  # a guest that does not care
        with pytest.raises(OSError, match=r"error|permitted"):
            await frontend.write(0, b"x" * 512)

    loopback.run(scenario)


def test_status_has_a_line_for_each_device(
    pvbackd_disk: Disk, status: Status, tmp_path: Path
) -> None:
    control = tmp_path / "control"
    loopback = pvbackd_disk("--control", control)

    async def scenario(frontend: Any) -> None:
        await frontend.connected()

        async def both_connected() -> bool:  # the daemon may learn of it after it has served I/O
            (line,) = await status()
            return line.startswith(f"{loopback.config.backend_path} connected, peer connected")

        await until(both_connected)
        (line,) = await status()
        assert "2048 sectors" in line
        assert control.stat().st_mode & 0o077 == 0

        loopback.kill_backend()  # the socket stays behind
        loopback.restart_backend()
        await frontend.read(0, 1)
        assert len(await status()) == 1

    loopback.run(scenario)


@pytest.mark.slow
def test_a_disk_that_cannot_be_served_says_why_and_harms_no_other(
    pvbackd_disk: Disk, status: Status, tmp_path: Path
) -> None:
    loopback = pvbackd_disk("--control", tmp_path / "control")
    missing = tmp_path / "missing.img"

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        config = disk_config("xvdb", loopback.guest.domid, params=str(missing), kind="phy")
        await add_device(loopback.toolstack, config)
        home = config.backend_path.removeprefix("/local/domain/0/")
        node = f"/local/domain/0/error/{home}/error"

        async def reported() -> bool:
            return await loopback.toolstack.read_optional(node) is not None

        await until(reported)
        assert f"{missing}: no such file" in await loopback.toolstack.read_str(node)
        error = await loopback.toolstack.read_str(f"{config.backend_path}/hotplug-error")
        assert error.startswith(str(missing))
        await frontend.write(0, b"y" * 512)
        assert len(await status()) == 2

        # As soon as there is a file, reloading is enough.
        missing.write_bytes(bytes(4096))
        hang_up(loopback)

        async def served() -> bool:
            return any("8 sectors" in line for line in await status())

        await until(served)

    loopback.run(scenario)


def test_hotplug_keys(pvbackd_disk: Disk, image: Path) -> None:
    loopback = pvbackd_disk("--loop", "asyncio", params=f"aio:{image}")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        path = loopback.config.backend_path
        assert await loopback.toolstack.read_str(f"{path}/physical-device-path") == str(image)
        assert await loopback.toolstack.read_str(f"{path}/hotplug-status") == "connected"

    loopback.run(scenario)


@pytest.mark.slow
def test_hotplug_script_finds_nothing_done(pvbackd_disk: Disk, image: Path, tmp_path: Path) -> None:
    """Xen's script `block` leaves a disk alone that has a `physical-device` already."""
    config = tmp_path / "pvbackd.toml"
    config.write_text("limits.wait_for_hotplug = true")
    loopback = pvbackd_disk("--config", config, params=f"aio:{image}")

    async def scenario(frontend: Any) -> None:
        path = loopback.config.backend_path

        async def offered() -> bool:
            return await loopback.toolstack.read_str(f"{path}/state") == "2"

        await until(offered)
        for key in ("physical-device", "physical-device-path", "hotplug-status"):
            assert await loopback.toolstack.read_optional(f"{path}/{key}") is None
        await loopback.toolstack.write(f"{path}/hotplug-status", "connected")
        await frontend.connected()

    loopback.run(scenario)


@pytest.mark.slow
def test_reload_under_io(pvbackd_disk: Disk, status: Status, tmp_path: Path) -> None:
    """Filters come and go while the guest's I/O goes on; a bad file changes nothing."""
    config = tmp_path / "pvbackd.toml"
    config.write_text("")
    loopback = pvbackd_disk("--config", config, "--control", tmp_path / "control")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        queues = frontend.queues

        async def fails() -> bool:
            try:
                await frontend.read(0, 1)
            except OSError as error:
                assert error.errno == errno.EIO
                return True
            return False

        async def works() -> bool:
            return not await fails()

        async def write() -> None:
            for index in range(3000):
                await frontend.write(index % 256 * 8, bytes([index % 256]) * 4096)

        writer = asyncio.ensure_future(write())
        assert not await fails()
        config.write_text(NO_READS)
        hang_up(loopback)
        await until(fails)
        config.write_text("nonsense = ")
        hang_up(loopback)
        await status()
        assert await fails()
        config.write_text("")
        hang_up(loopback)
        await until(works)
        await writer
        assert frontend.queues == queues
        assert frontend.reissued == 0

    loopback.run(scenario)


@pytest.mark.slow
def test_what_the_configuration_ignores_is_left_alone(
    pvbackd_disk: Disk, status: Status, tmp_path: Path
) -> None:
    config = tmp_path / "pvbackd.toml"
    config.write_text('unlisted = "ignore"\n')
    loopback = pvbackd_disk("--config", config, "--control", tmp_path / "control")

    async def scenario(frontend: Any) -> None:
        assert await status() == []
        state = f"{loopback.config.backend_path}/state"
        assert await loopback.toolstack.read_str(state) == "1"
        config.write_text('[[disk]]\ntype = "phy"\nstore = {kind = "ram", size = 65536}\n')
        hang_up(loopback)
        assert (await frontend.connected()).sectors == 128

    loopback.run(scenario)


@pytest.mark.slow
def test_unplug_drops_the_device(pvbackd_disk: Disk, status: Status, tmp_path: Path) -> None:
    loopback = pvbackd_disk("--control", tmp_path / "control")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        assert await loopback.unplug()

        async def gone() -> bool:
            return await status() == []

        await until(gone)
        await loopback.plug()
        again = await loopback.frontend()
        await again.connected()
        assert await again.read(0, 1) == bytes(512)

    loopback.run(scenario)


def test_no_xen_is_one_sentence(tmp_path: Path) -> None:
    environment = os.environ | {"XENSTORED_PATH": str(tmp_path / "nothing")}
    run = subprocess.run(
        PVBACKD, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("pvbackd: there is no xenstore on this machine")
    assert run.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nonsense"], "nonsense"),
        (["--machine", "{tmp}/none", "--xenstore", "{tmp}/none"], "{tmp}/none"),
        (["--config", "{tmp}/none"], "{tmp}/none: No such file"),
        (["--domid", "seven"], "seven"),
        (["--mode", "idle"], "idle"),
        (["status", "--control", "{tmp}/none"], "no daemon answers at {tmp}/none"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    command = [*PVBACKD, *(argument.format(tmp=tmp_path) for argument in arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert run.returncode == 2
    assert run.stderr.startswith("pvbackd: ")
    assert sentence.format(tmp=tmp_path) in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.slow
def test_captive_daemon_ends_with_its_command(pvbackd_disk: Disk, tmp_path: Path) -> None:
    loopback = pvbackd_disk("--run", f"while ! test -e {tmp_path}/go; do sleep 0.01; done; exit 7")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()

    loopback.run(scenario)
    (tmp_path / "go").touch()
    assert loopback.daemon.wait(PATIENCE) == 7
