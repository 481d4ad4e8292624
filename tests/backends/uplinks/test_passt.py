"""A guest's frames to passt, which runs without privileges, and what it answers. scapy is the
guest. What is done with the socket itself is in c/test_passt.c."""

import contextlib
import logging
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.uplinks.passt import PasstUplink
from pvdrivers.ring.errors import UsageError

GUEST = "02:00:00:00:00:02"


@contextlib.contextmanager
def passt(namespace: Any, path: Path) -> Iterator[None]:
    """One that takes itself for 192.0.2.1, and lends the guest 192.0.2.2."""
    command = ["passt", "--foreground", "--quiet", "--socket", str(path), "--mtu", "1500"]
    command += ["--address", "192.0.2.2", "--netmask", "24", "--gateway", "192.0.2.1"]
    process = subprocess.Popen(namespace.command(*command), stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 20
        while not path.exists():
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.fail(process.stderr.read().decode())
            assert time.monotonic() < until
            time.sleep(0.01)
        yield
    finally:
        process.kill()
        process.communicate()
        path.unlink(missing_ok=True)


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a process without privileges may make a socket."""
    if shutil.which("passt") is None:
        pytest.skip("there is no `passt`: Debian's package has the same name")
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    folder.chmod(0o777)
    yield folder / "socket"
    shutil.rmtree(folder)


@pytest.fixture
def network(namespace: Any) -> Any:
    """Passt copies what it lends from an interface, and wants one with a route."""
    namespace.run("ip link add eth0 type veth peer name eth1")
    namespace.run("ip link set eth1 up")
    namespace.run("ip link set eth0 up")
    namespace.run("ip addr add 192.0.2.2/24 dev eth0")
    namespace.run("ip route add default via 192.0.2.1 dev eth0")
    return namespace


def discover(guest: Any) -> Any:
    scapy = pytest.importorskip("scapy.all")
    request = (
        scapy.Ether(src=GUEST, dst="ff:ff:ff:ff:ff:ff")
        / scapy.IP(src="0.0.0.0", dst="255.255.255.255")
        / scapy.UDP(sport=68, dport=67)
        / scapy.BOOTP(chaddr=bytes.fromhex(GUEST.replace(":", "")), xid=7)
        / scapy.DHCP(options=[("message-type", "discover"), "end"])
    )
    guest.send([bytes(request)])
    return scapy.Ether(guest.wait_for(lambda packet: scapy.DHCP in scapy.Ether(packet.data)).data)


def wait_until_connected(guest: Any) -> None:
    """Its uplink looks for passt again when the guest looks for packets; a socket's file may be
    there a moment before anybody listens."""
    until = time.monotonic() + 20
    while not guest.uplink.connected:
        guest.receive_now()
        assert time.monotonic() < until
        time.sleep(0.01)


def test_dhcp(network: Any, socket_path: Path, connect_guest: Any) -> None:
    with (
        passt(network, socket_path),
        PasstUplink(socket_path) as uplink,
        connect_guest(uplink) as guest,
    ):
        wait_until_connected(guest)
        assert repr(uplink) == f"<PasstUplink passt {socket_path}, 1 queue>"
        offer = discover(guest)
        assert offer["BOOTP"].yiaddr == "192.0.2.2"
        assert ("message-type", 2) in offer["DHCP"].options


def test_passt_is_started_again(network: Any, socket_path: Path, connect_guest: Any) -> None:
    with passt(network, socket_path):
        uplink = PasstUplink(socket_path)
        guest = connect_guest(uplink)
        wait_until_connected(guest)
        discover(guest)
    with uplink, guest, passt(network, socket_path):
        guest.receive_now()  # it learns that the first one has gone
        wait_until_connected(guest)
        assert discover(guest)["BOOTP"].yiaddr == "192.0.2.2"


def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), PasstUplink(tmp_path / "none") as uplink:
        assert not uplink.connected
    (record,) = caplog.records
    assert record.message.startswith(f"no passt listens at {tmp_path}/none yet: `passt --socket")


@pytest.mark.parametrize("path", ["", "/" + "a" * 107])
def test_no_path_of_a_socket(path: str) -> None:
    with pytest.raises(UsageError, match=f"a path of {len(path)} bytes, not 1 to 107"):
        PasstUplink(path)
