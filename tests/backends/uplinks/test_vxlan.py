"""One Ethernet over two hosts: each has a bridge with a guest's TAP on it and a VXLAN tunnel to the
other. The hosts are network namespaces, and the guests are scapy."""

import asyncio
from typing import Any

import pytest

from pvdrivers.backends.uplinks import netlink
from pvdrivers.ring.errors import UsageError

scapy = pytest.importorskip("scapy.all")

GUESTS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
HEADERS = {4: 50, 6: 70}  # bytes


@pytest.fixture(params=[4, 6])
def version(request: pytest.FixtureRequest) -> int:
    """Of the IP that the tunnel is in."""
    return int(request.param)


@pytest.fixture
def hosts(make_namespace: Any, version: int) -> list[Any]:
    """Two, with a cable between them."""
    first, second = make_namespace(), make_namespace()
    first.run(f"ip link add eth0 type veth peer name eth0 netns {second.name}")
    for host, address in zip((first, second), ADDRESSES[version], strict=True):
        host.run("ip link set eth0 up")
        host.run(f"ip addr add {address}/{24 if version == 4 else 64} dev eth0 nodad")
    return [first, second]


def join(host: Any, local: str, remote: str, **options: Any) -> str:
    making = netlink.create_vxlan_bridge(
        "xenbr0", 5, local=local, remote=remote, device="eth0", namespace=host.name, **options
    )
    return asyncio.run(making)


def test_guests_of_two_hosts(
    hosts: list[Any], version: int, open_tap: Any, connect_guest: Any
) -> None:
    local, remote = ADDRESSES[version]
    assert join(hosts[0], local, remote) == "vxlan5"
    assert join(hosts[1], remote, local) == "vxlan5"
    taps = [open_tap(host, "vif1.0") for host in hosts]
    with connect_guest(taps[0]) as first, connect_guest(taps[1]) as second:
        for host in hosts:
            host.run("ip link set vif1.0 master xenbr0 up")  # with a carrier already
        for number, (sender, receiver) in enumerate([(first, second), (second, first)]):
            source, target = GUESTS[number], GUESTS[1 - number]
            data = bytes([number] * (1500 - HEADERS[version]))
            frame = bytes(scapy.Ether(src=source, dst=target, type=0x88B5) / data)
            sender.send([frame])
            got = receiver.wait_for(lambda packet: packet.data[12:14] == b"\x88\xb5")
            assert got.data == frame


def test_room_for_the_tunnels_headers(hosts: list[Any], version: int) -> None:
    join(hosts[0], *ADDRESSES[version])
    for name in ("xenbr0", "vxlan5"):
        link = asyncio.run(netlink.find_link(name, namespace=hosts[0].name))
        assert link is not None
        assert link.mtu == 1500 - HEADERS[version]


@pytest.mark.parametrize("version", [4], indirect=True)
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "eth1"}, "VXLAN vxlan5: there is no interface eth1"),
        ({"number": 1 << 24}, "VXLAN vxlan16777216: number 16777216 is not 1 to 16777215"),
        ({"bridge": "lo"}, "bridge lo: there is one already"),
        ({"remote": "2001:db8::2"}, "VXLAN vxlan5: 192.0.2.1 and 2001:db8::2 are not of the same"),
        (
            {"remote": "host2"},
            "VXLAN vxlan5: 'host2' does not appear to be an IPv4 or IPv6 address",
        ),
    ],
)
def test_cannot_be(hosts: list[Any], options: dict[str, Any], reason: str) -> None:
    local, remote = ADDRESSES[4]
    arguments = {"bridge": "xenbr0", "number": 5, "local": local, "remote": remote}
    arguments |= {"device": "eth0", "namespace": hosts[0].name} | options
    with pytest.raises(UsageError, match=reason):
        asyncio.run(netlink.create_vxlan_bridge(**arguments))
    for name in ("xenbr0", "vxlan5"):  # nothing is left
        assert asyncio.run(netlink.find_link(name, namespace=hosts[0].name)) is None
