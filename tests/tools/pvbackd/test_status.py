"""What an administrator and a program learn from `pvbackd status`."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.tools.pvbackd.status import show
from pvdrivers.toolstack.devices import add_device
from pvdrivers.vbd.config import disk_config

from .conftest import PVBACKD, until

Disk = Callable[..., VbdLoopback]
Devices = Callable[[], Awaitable[list[dict[str, Any]]]]


async def run_status(*options: object) -> str:
    command = [*PVBACKD, "status", *map(str, options)]
    return await asyncio.to_thread(subprocess.check_output, command, text=True)


@pytest.mark.slow
def test_counters_store_engine_and_errors(
    pvbackd_disk: Disk, devices: Devices, image: Path, tmp_path: Path
) -> None:
    control, config = tmp_path / "control", tmp_path / "pvbackd.toml"
    config.write_text(
        """
        [[disk]]
        store = {kind = "file", engine = "threads"}
        filters = [{kind = "error", seed = 1, after = 3, operations = ["read"]}]
        """
    )
    loopback = pvbackd_disk("--control", control, "--config", config)
    missing = tmp_path / "missing.img"

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        for _ in range(3):
            await frontend.read(0, 8)
        await frontend.write(0, bytes(512))
        for _ in range(2):
            with pytest.raises(OSError, match="error"):
                await frontend.read(0, 1)
        refused = disk_config("xvdb", loopback.guest.domid, params=str(missing), kind="phy")
        await add_device(loopback.toolstack, refused)

        async def both_are_listed() -> bool:
            told = await devices()
            return len(told) == 2 and told[0]["peer_state"] == "connected"

        await until(both_are_listed)
        served, not_served = json.loads(await run_status("--control", control, "--json"))
        assert served["path"] == loopback.config.backend_path
        assert (served["domid"], served["devid"]) == (str(loopback.guest.domid), "51712")
        assert (served["state"], served["peer_state"]) == ("connected", "connected")
        assert (served["params"], served["type"], served["name"]) == (str(image), "phy", "xvda")
        assert served["engine"] == "threads"
        assert "error" in served["store"]  # the filter on top
        assert (served["size"], served["sector_size"], served["read_only"]) == (1 << 20, 512, False)
        assert served["in_flight_log"] == "kept"
        assert served["counters"]["rd_req"] == 5
        assert served["counters"]["wr_req"] == 1
        assert served["counters"]["errors"] == 2
        assert served["last_store_error"] == "read of 1 sectors at 0: EIO"
        assert str(image) in served["store"]
        assert f"{missing}: no such file" in not_served["last_error"]

        head, first, second = (await run_status("--control", control)).splitlines()
        titles = "DEVICE STATE STORE SIZE READS WRITES FLUSHES DISCARDS ERRORS LAST ERROR"
        assert head.split() == titles.split()
        domid = loopback.guest.domid
        row = f"{domid}/51712 xvda connected threads {image} 1M 5 1 0 0 2"
        assert first.split()[: len(row.split())] == row.split()
        assert first.rstrip().endswith("read of 1 sectors at 0: EIO")
        assert second.startswith(f"{domid}/51728 ")
        assert str(missing) in second

    loopback.run(scenario)


def test_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing that rich takes for its own markup."""
    device = {
        "kind": "vbd",
        "domid": "1",
        "devid": "2",
        "state": "connected",
        "peer_state": "closed",
        "params": "/a/[bold]b[/]\x1b[2J",
        "last_error": "one\ntwo\x9b",
    }
    show([device])
    (_, row) = capsys.readouterr().out.splitlines()
    assert "/a/[bold]b[/]?[2J" in row
    assert "one?two?" in row
    assert "connected, peer closed" in row
