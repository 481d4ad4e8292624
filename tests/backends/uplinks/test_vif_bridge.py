"""Xen's own hotplug script, unmodified, with a TAP in the place of netback's interface."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.uplinks import netlink

pytestmark = pytest.mark.slow

SCRIPT = Path("/etc/xen/scripts/vif-bridge")
BACKEND = "/local/domain/0/backend/vif/1/0"


@pytest.fixture
def xenstore(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A xenstore; the value is the environment that its clients need."""
    if not SCRIPT.exists() or not shutil.which("xenstore-write"):
        pytest.skip("needs Xen's scripts (Debian's xen-utils-common and xenstore-utils)")
    socket = tmp_path / "socket"
    command = [sys.executable, "-m", "pvdrivers.tools.pvstored", "--socket", str(socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "listening" in server.stdout.readline()
        yield {**os.environ, "XENSTORED_PATH": str(socket)}
        server.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("vifname", ["", "web"])
def test_online_and_offline(
    namespace: Any, open_tap: Any, xenstore: dict[str, str], vifname: str
) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(
            namespace.command(*command), env=xenstore, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def find(name: str) -> netlink.Link:
        link = asyncio.run(netlink.find_link(name, namespace=namespace.name))
        assert link is not None
        return link

    asyncio.run(netlink.create_bridge("xenbr0", mtu=4000, namespace=namespace.name))
    run("xenstore-write", f"{BACKEND}/bridge", "xenbr0")
    if vifname:
        run("xenstore-write", f"{BACKEND}/vifname", vifname)
    script = ["env", f"XENBUS_PATH={BACKEND}", "vif=vif1.0", str(SCRIPT)]
    with open_tap(namespace, "vif1.0"):
        run(*script, "online", "type_if=vif")
        assert run("xenstore-read", f"{BACKEND}/hotplug-status") == "connected"
        link = find(vifname or "vif1.0")
        assert (link.bridge, link.state) == (find("xenbr0").index, "up")
        assert (link.mac, link.mtu) == ("fe:ff:ff:ff:ff:ff", 4000)
        run(*script, "offline", "type_if=vif")
        link = find(vifname or "vif1.0")
        assert (link.bridge, link.state) == (0, "down")
