"""What service managers, Prometheus and logs get from the daemon."""

import asyncio
import http.client
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pvdrivers.testing.vbd.loopback import VbdLoopback

from .conftest import PATIENCE, until

pytestmark = pytest.mark.slow

Disk = Callable[..., VbdLoopback]


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)

    async def receive(self, wanted: str) -> str:
        """The next message that begins so; WATCHDOG=1 may come at any time."""
        while True:
            message = (await asyncio.to_thread(self.socket.recv, 4096)).decode()
            if message.startswith(wanted):
                return message
            assert message == "WATCHDOG=1"


def test_service_manager_is_told(
    pvbackd_disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    # One a second: what the manager's socket has room for lasts while this test does other things.
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    loopback = pvbackd_disk()

    async def scenario(frontend: Any) -> None:
        await manager.receive("READY=1")
        for _ in range(2):
            await manager.receive("WATCHDOG=1")
        loopback.daemon.send_signal(signal.SIGHUP)
        message = await manager.receive("RELOADING=1")
        assert int(message.partition("MONOTONIC_USEC=")[2]) > 0
        await manager.receive("READY=1")
        await frontend.connected()
        loopback.daemon.send_signal(signal.SIGTERM)
        await manager.receive("STOPPING=1")
        assert await asyncio.to_thread(loopback.daemon.wait, PATIENCE) == 0

    loopback.run(scenario)
    manager.socket.close()


def scrape(address: str | tuple[str, int]) -> dict[str, float]:
    """Every sample, as name and label values, sorted by the labels' names."""
    connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connection.sock = socket.socket(family)
    connection.sock.connect(address)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family_ in text_string_to_metric_families(text)
        for sample in family_.samples
    }


def test_metrics_count_what_the_guest_did(pvbackd_disk: Disk, tmp_path: Path) -> None:
    config = tmp_path / "pvbackd.toml"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config.write_text(f'[metrics]\nlisten = "127.0.0.1:{port}"\nsocket = "{tmp_path}/metrics"\n')
    loopback = pvbackd_disk("--config", config)

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        for _ in range(5):
            await frontend.read(8, 16)
        for _ in range(3):
            await frontend.write(8, bytes(512))
        await frontend.flush()
        await frontend.discard(0, 8)
        first = await asyncio.to_thread(scrape, f"{tmp_path}/metrics")
        # The same counters; the last answer's notification is counted behind the answer.
        assert first.keys() == (await asyncio.to_thread(scrape, ("127.0.0.1", port))).keys()
        device = f"{loopback.config.devid} {loopback.config.frontend_domid}"
        for operation, count in {"read": 5, "write": 3, "flush": 1, "discard": 1}.items():
            assert first[f"pv_vbd_requests_total {device} {operation}"] == count
        for name, count in {"rd_req": 5, "wr_req": 3, "f_req": 1, "ds_req": 1, "rd_sect": 80,
                            "wr_sect": 3, "oo_req": 0}.items():  # fmt: skip
            assert first[f"pv_vbd_{name}_total {device}"] == count
        assert first[f"pv_ring_overruns_total {device} vbd"] == 0
        answered = sum(
            first[f"pv_notifications_total {device} vbd {how}"] for how in ("sent", "suppressed")
        )
        assert 1 <= answered <= 10
        mapped = first[f"pv_grant_ops_total {device} vbd map"]
        assert 1 <= mapped <= loopback.dom0.accounts["grants_mapped"]
        assert first["pv_vbd_devices"] == 1

    loopback.run(scenario)


async def read_anything(path: str) -> None:
    """Sends garbage to a socket."""
    for noise in (b"\n", b"GET", b"\xff" * 100_000, b""):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(noise)
        writer.close()


def test_a_guest_cannot_fill_the_log(
    pvbackd_disk: Disk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Connecting wrongly again and again, each time with another complaint to be logged."""
    rounds, burst = 40, 4
    config, sockets = tmp_path / "pvbackd.toml", [f"{tmp_path}/control", f"{tmp_path}/metrics"]
    config.write_text(
        f'control = "{sockets[0]}"\n[metrics]\nsocket = "{sockets[1]}"\n[log]\nburst = {burst}\n'
    )
    loopback = pvbackd_disk("--config", config)
    path, guest = loopback.config.backend_path, loopback.config.frontend_path

    async def set_state(state: str, answer: str) -> None:
        await loopback.toolstack.write(f"{guest}/state", state)

        async def answered() -> bool:
            return await loopback.toolstack.read_optional(f"{path}/state") == answer

        await until(answered)

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        await loopback.stop_guest()
        await set_state("6", "6")
        for index in range(rounds):
            await loopback.toolstack.write(f"{guest}/protocol", f"nonsense {index}\n")
            await set_state("1", "2")
            await set_state("3", "5")
            await set_state("6", "6")
        for address in sockets:
            await read_anything(address)
        suppressed = (await asyncio.to_thread(scrape, sockets[1]))["pv_log_suppressed_total"]
        assert suppressed >= rounds - burst

    loopback.run(scenario)
    loopback.kill_backend(signal.SIGTERM)
    lines = [line for line in capfd.readouterr().err.splitlines() if "timestamp=" in line]
    about_guest = [line for line in lines if "nonsense" in line]
    assert len(about_guest) == burst
    assert len(lines) < burst + 10
