"""The daemon serves SCSI hosts: what guests, a toolstack and an administrator see of it."""

import asyncio
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.config import LunConfig
from pvdrivers.scsi.hotplug import add_lun
from pvdrivers.scsi.result import Status
from pvdrivers.xenbus.states import XenbusState

from .conftest import PATIENCE, PVBACKD, SIZE, Devices, Hosts, until
from .scsi_guest import FIRST, SECOND, code, good, until_refused

pytestmark = pytest.mark.slow

BLOCK = 512
INQUIRY = bytes.fromhex("12 00 00 00 ff 00")
READ, WRITE, COMPARE_AND_WRITE = 0x28, 0x2A, 0x89
RESERVE = bytes.fromhex("16 00 00 00 00 00")
FORMAT_UNIT = bytes.fromhex("04 00 00 00 00 00")


async def count(frontend: Any, at: ScsiAddress, block: int, first: int, times: int) -> None:
    """Adds 1 to a number on the disk, again and again. It must be there exactly as often: a
    command that was lost or done twice makes the next comparison fail."""
    for number in range(first, first + times):
        old, new = (n.to_bytes(4).ljust(BLOCK) for n in (number, number + 1))
        await good(frontend, at, BlockRange(block, 1).cdb(COMPARE_AND_WRITE), old + new)


async def overwrite(
    frontend: Any, at: ScsiAddress, block: int, times: int, answered: list[int]
) -> None:
    for number in range(times):
        data = bytes([block, number]) * (BLOCK // 2)
        await good(frontend, at, BlockRange(block, 1).cdb(WRITE), data)
        read = await good(frontend, at, BlockRange(block, 1).cdb(READ), room=BLOCK)
        assert read.data == data
        answered.append(block)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_is_replaced(
    pvbackd_scsi: Hosts, image: Path, number: signal.Signals
) -> None:
    """Under I/O of both kinds. The guest stays Connected, and what another has reserved stays
    so."""
    loopback = pvbackd_scsi("[[scsi]]\n", str(image), str(image.with_name("other")))
    image.with_name("other").write_bytes(bytes(SIZE))
    lives, times = 3, 60
    answered: list[int] = []

    async def scenario(first: Any) -> None:
        second = await (await loopback.add_guest()).frontend()
        await good(first, FIRST, BlockRange(0, 1).cdb(WRITE), bytes(4).ljust(BLOCK))
        await good(second, SECOND, RESERVE)
        queues = [each.queues for each in (first, second)]
        for life in range(lives):
            work = [
                count(first, FIRST, 0, life * times, times),
                *(overwrite(first, FIRST, block, times, answered) for block in range(1, 9)),
                overwrite(second, FIRST, 20, times, answered),
            ]
            using = [asyncio.create_task(each) for each in work]
            reached = len(answered) + 30 * life + 1
            async with asyncio.timeout(PATIENCE):
                while len(answered) < reached:  # the kill comes in the middle  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            loopback.kill_backend(number)
            loopback.restart_backend()
            await asyncio.gather(*using)
            result = await first.execute(SECOND, bytes(6))
            assert result.status == Status.RESERVATION_CONFLICT
            await good(second, SECOND, bytes(6))
            assert {first.state, second.state} == {XenbusState.CONNECTED}
        assert [each.queues for each in (first, second)] == queues
        assert (first.reissued, second.reissued) == (0, 0)

    loopback.run(scenario)
    assert image.read_bytes()[:4] == (lives * times).to_bytes(4)


def test_a_host_without_a_rule_is_left_alone(pvbackd_scsi: Hosts, devices: Devices) -> None:
    rules = '[[scsi]]\ndevice = "9/*"\n[[scsi]]\nignore = true\n[[scsi]]\n'
    loopback = pvbackd_scsi(rules, "disk")

    async def scenario(frontend: Any) -> None:
        assert await devices() == []
        keys = await loopback.toolstack.read_keys(loopback.config.backend_path, ["state"])
        assert keys["state"] == str(int(XenbusState.INITIALISING))

    loopback.run(scenario)


METRICS = """
[metrics]
socket = "{folder}/metrics"
[[scsi]]
unit = {{kind = "disk", store = {{kind = "ram", size = 1048576}}}}
"""


def test_what_the_daemon_tells_of_a_host(
    pvbackd_scsi: Hosts, devices: Devices, tmp_path: Path
) -> None:
    loopback = pvbackd_scsi(METRICS.format(folder=tmp_path), "lun-a", "lun-b")

    async def scenario(frontend: Any) -> None:
        for block in range(3):
            await good(frontend, FIRST, BlockRange(block, 2).cdb(WRITE), bytes(2 * BLOCK))
        await good(frontend, SECOND, INQUIRY, room=255)
        await frontend.execute(ScsiAddress(0, 0, 3, 3), INQUIRY, room=255)

        async def is_connected() -> bool:
            return (await devices())[0]["state"] == "connected"

        await until(is_connected)
        (host,) = await devices()
        assert host["kind"] == "vscsi"
        assert [lun["p_dev"] for lun in host["luns"]] == ["lun-a", "lun-b"]
        assert "RamStore" in host["luns"][0]["unit"]
        assert (host["counters"]["wr_req"], host["counters"]["no_lun"]) == (3, 1)
        command = [*PVBACKD, "status", "--control", str(tmp_path / "control")]
        table = await asyncio.to_thread(subprocess.check_output, command, text=True)
        assert f"0:0:0:0 lun-a, {SECOND} lun-b" in table
        reader, writer = await asyncio.open_unix_connection(tmp_path / "metrics")
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = (await reader.read()).decode()
        writer.close()
        domid = loopback.guest.domid
        where = f'devid="0",domid="{domid}"'
        assert f'pv_vscsi_requests_total{{{where},op="write"}} 3.0' in page
        assert f'pv_vscsi_sectors_total{{devid="0",direction="write",domid="{domid}"}} 6.0' in page
        assert f'pv_vscsi_errors_total{{{where},reason="no_lun"}} 1.0' in page
        assert "pv_vscsi_devices 1.0" in page
        assert f'pv_vscsi_luns{{devid="0",domid="{domid}",kind="disk"}} 2.0' in page
        where = f'devid="0",direction="read",domid="{domid}"'
        assert f"pv_vscsi_tape_bytes_total{{{where}}} 0.0" in page

    loopback.run(scenario)


def test_a_lun_that_cannot_be_had_closes_alone(
    pvbackd_scsi: Hosts, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And comes at a reload, when it can be had."""
    missing = tmp_path / "missing"
    loopback = pvbackd_scsi('[[scsi]]\nlun = "/*"\n', str(missing), str(image), "tape")

    async def scenario(frontend: Any) -> None:
        await good(frontend, SECOND, INQUIRY, room=255)
        folder = f"{loopback.config.backend_path}/vscsi-devs"
        names = [f"dev-{number}/state" for number in range(3)]

        async def are(*states: str) -> bool:
            keys = await loopback.toolstack.read_keys(folder, names)
            return [keys[name] for name in names] == [*states]

        await until(lambda: are("6", "4", "6"))
        missing.write_bytes(b"found".ljust(SIZE))
        loopback.daemon.send_signal(signal.SIGHUP)
        read = await good(frontend, FIRST, BlockRange(0, 1).cdb(READ), room=BLOCK)
        assert read.data.startswith(b"found")
        assert await code(frontend, SECOND, bytes(6)) == "06/3f/0e"
        await until(lambda: are("4", "4", "6"))

    loopback.run(scenario)
    lines = [line for line in capfd.readouterr().err.splitlines() if "dev-" in line]
    assert len(lines) == 3
    assert str(missing) in lines[0]
    for line in lines[1:]:
        assert "no rule of the configuration matches p-dev 'tape'" in line


def test_what_a_rule_gives_a_disk(pvbackd_scsi: Hosts, image: Path, tmp_path: Path) -> None:
    image.rename(tmp_path / "gold.img")
    unit = (
        f'kind = "disk", store = {{kind = "file", path = "{tmp_path}/{{lun}}.img"}}, '
        'read_only = true, vendor = "ACME", product = "GOLDEN", revision = "7", '
        'serial = "S-1", refuse = ["FORMAT UNIT"]'
    )
    loopback = pvbackd_scsi(f"[[scsi]]\nunit = {{{unit}}}\n", "gold")

    async def scenario(frontend: Any) -> None:
        told = (await good(frontend, FIRST, INQUIRY, room=255)).data
        assert told[8:36] == b"ACME    GOLDEN          7   "
        page = await good(frontend, FIRST, bytes.fromhex("12 01 80 00 ff 00"), room=255)
        assert page.data[4:].rstrip() == b"S-1"
        write = BlockRange(0, 1).cdb(WRITE)
        assert await code(frontend, FIRST, write, bytes(BLOCK)) == "07/27/00"
        assert await code(frontend, FIRST, FORMAT_UNIT) == "05/20/00"

    loopback.run(scenario)


RAM = (
    '[[scsi]]\nunit = {{kind = "disk", store = {{kind = "ram", size = 1048576}}, product = "{}"}}\n'
)


def test_a_reload_holds_for_luns_that_come(
    pvbackd_scsi: Hosts, devices: Devices, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The one that is there keeps its content, and is not opened otherwise for another guest."""
    loopback = pvbackd_scsi(RAM.format("OLD"), "old")
    block = BlockRange(0, 1)

    async def scenario(frontend: Any) -> None:
        await good(frontend, FIRST, block.cdb(WRITE), b"kept".ljust(BLOCK))
        (tmp_path / "pvbackd.toml").write_text(RAM.format("NEW"))
        loopback.daemon.send_signal(signal.SIGHUP)

        async def is_read() -> bool:
            return "configuration read again" in log()

        await until(is_read)
        path = loopback.config.backend_path
        assert await add_lun(loopback.toolstack, path, "dev-1", LunConfig("new", SECOND), PATIENCE)
        told = await good(frontend, SECOND, INQUIRY, room=255)
        assert told.data[16:32].rstrip() == b"NEW"
        told = await good(frontend, FIRST, INQUIRY, room=255)
        assert told.data[16:32].rstrip() == b"OLD"
        assert await code(frontend, FIRST, bytes(6)) == "06/3f/0e"  # there are other LUNs
        read = await good(frontend, FIRST, block.cdb(READ), room=BLOCK)
        assert read.data.startswith(b"kept")
        await (await loopback.add_guest()).frontend()

        async def is_refused() -> bool:
            return "cannot be disk product=NEW store=(ram size=1048576) as well" in log()

        await until(is_refused)

    seen: list[str] = []

    def log() -> str:
        seen.append(capfd.readouterr().err)
        return "".join(seen)

    loopback.run(scenario)
    assert "product=OLD" in log()


def test_guests_that_name_one_lun_share_it(pvbackd_scsi: Hosts) -> None:
    loopback = pvbackd_scsi(RAM.format("DISK"), "quorum")
    block = BlockRange(5, 1)

    async def scenario(first: Any) -> None:
        second = await (await loopback.add_guest()).frontend()
        await good(first, FIRST, block.cdb(WRITE), b"seen".ljust(BLOCK))
        read = await good(second, FIRST, block.cdb(READ), room=BLOCK)
        assert read.data.startswith(b"seen")
        await good(first, FIRST, RESERVE)
        result = await second.execute(FIRST, bytes(6))
        assert result.status == Status.RESERVATION_CONFLICT

    loopback.run(scenario)


def test_two_units_on_one_file(
    pvbackd_scsi: Hosts, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alias").symlink_to(image)
    loopback = pvbackd_scsi("[[scsi]]\n", str(image), str(tmp_path / "alias"))

    async def scenario(frontend: Any) -> None:
        await good(frontend, FIRST, bytes(6))
        await until_refused(loopback, "dev-1")
        assert frontend.luns == [FIRST]

    loopback.run(scenario)
    assert (
        f"{tmp_path}/alias: {image} is in use by {image}; hosts that are" in capfd.readouterr().err
    )


SNAPSHOT = """
[[scsi]]
device = "1/*"
lun = "db"
unit = {{kind = "disk", store = {{kind = "ram", size = 1048576}}, snapshots = ["{0}/snapshot"]}}
[[scsi]]
device = "2/*"
lun = "db@1"
unit = {{kind = "snapshot", disk = "db"}}
"""


def test_a_guest_that_may_read_a_snapshot_and_not_its_disk(
    pvbackd_scsi: Hosts, tmp_path: Path
) -> None:
    """The toolstack has given both LUNs to both guests."""
    loopback = pvbackd_scsi(SNAPSHOT.format(tmp_path), "db", "db@1")
    block = BlockRange(5, 1)

    async def scenario(first: Any) -> None:
        await good(first, FIRST, block.cdb(WRITE), b"before".ljust(BLOCK))
        second = await (await loopback.add_guest()).frontend()
        assert await code(second, SECOND, bytes(6)) == "02/3a/00"
        await good(first, FIRST, bytes.fromhex("a4 1f 00 00 00 00 00 01 00 00 00 00"))
        await good(first, FIRST, block.cdb(WRITE), b"after".ljust(BLOCK))
        assert await code(second, SECOND, bytes(6)) == "06/28/00"
        read = await good(second, SECOND, block.cdb(READ), room=BLOCK)
        assert read.data.startswith(b"before")
        assert await code(second, SECOND, block.cdb(WRITE), bytes(BLOCK)) == "07/27/00"
        assert (first.luns, second.luns) == ([FIRST], [SECOND])

    loopback.run(scenario)
