"""What a guest sends reaches the kernel, and what the kernel sends reaches the guest: scapy is the
guest, and a TAP's other end is the kernel of a network namespace."""

import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pvdrivers.vnif.packet import GsoType, Packet
from tests.until import wait_until

scapy = pytest.importorskip("scapy.all")

OURS, GUEST = "02:00:00:00:00:01", "02:00:00:00:00:02"
HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
PEER = {4: "192.0.2.2", 6: "2001:db8::2"}


@pytest.fixture
def guest(namespace: Any, open_tap: Any, connect_guest: Any) -> Iterator[Any]:
    """One that takes all offloads, on a TAP with addresses."""
    with connect_guest(open_tap(namespace)) as guest:
        # It is up after that: the kernel learns of a carrier a while after.
        namespace.run(f"ip link set tap0 address {OURS} up")
        for version, length in ((4, 24), (6, 64)):
            nodad = "nodad" if version == 6 else ""
            namespace.run(f"ip addr add {HOST[version]}/{length} dev tap0 {nodad}")
            namespace.run(f"ip neigh add {PEER[version]} lladdr {GUEST} dev tap0")
        yield guest


def to_host(version: int, payload: Any) -> Any:
    ip = scapy.IP if version == 4 else scapy.IPv6
    return scapy.Ether(src=GUEST, dst=OURS) / ip(src=PEER[version], dst=HOST[version]) / payload


def blanked(frame: Any, layer: Any) -> Packet:
    """A frame whose TCP or UDP checksum is left to the receiver: the sum of the pseudo header."""
    frame = frame.copy()
    raw = bytearray(bytes(frame))
    built = scapy.Ether(bytes(frame))
    transport = built[layer]
    length = len(bytes(transport))
    protocol = 6 if layer is scapy.TCP else 17
    if scapy.IP in built:
        pseudo = scapy.inet_aton(built[scapy.IP].src) + scapy.inet_aton(built[scapy.IP].dst)
    else:
        pseudo = socket.inet_pton(socket.AF_INET6, built[scapy.IPv6].src)
        pseudo += socket.inet_pton(socket.AF_INET6, built[scapy.IPv6].dst)
    pseudo += length.to_bytes(4, "big") + protocol.to_bytes(4, "big")
    total = sum(int.from_bytes(pseudo[at : at + 2], "big") for at in range(0, len(pseudo), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    at = len(raw) - length + (16 if layer is scapy.TCP else 6)
    raw[at : at + 2] = total.to_bytes(2, "big")
    return Packet(bytes(raw), csum_blank=True, data_validated=True)


def has(layer: Any, **fields: Any) -> Callable[[Packet], bool]:
    def check(packet: Packet) -> bool:
        frame = scapy.Ether(packet.data)
        return layer in frame and all(
            getattr(frame[layer], name) == value for name, value in fields.items()
        )

    return check


def test_arp(guest: Any) -> None:
    request = scapy.Ether(src=GUEST, dst="ff:ff:ff:ff:ff:ff") / scapy.ARP(
        hwsrc=GUEST, psrc=PEER[4], pdst=HOST[4]
    )
    guest.send([Packet(bytes(request))])
    answer = scapy.Ether(guest.wait_for(has(scapy.ARP, op=2)).data)
    assert (answer[scapy.ARP].hwsrc, answer[scapy.ARP].psrc) == (OURS, HOST[4])


@pytest.mark.parametrize("length", [0, 56, 1400])
@pytest.mark.parametrize("version", [4, 6])
def test_ping(guest: Any, version: int, length: int) -> None:
    data = bytes(range(256)) * 6
    echo, reply = (
        (scapy.ICMP(id=1, seq=2), scapy.ICMP)
        if version == 4
        else (scapy.ICMPv6EchoRequest(id=1, seq=2, data=data[:length]), scapy.ICMPv6EchoReply)
    )
    payload = echo / data[:length] if version == 4 else echo
    guest.send([Packet(bytes(to_host(version, payload)))])
    answer = scapy.Ether(guest.wait_for(has(reply, id=1, seq=2)).data)
    assert bytes(answer[reply]).endswith(data[:length])


@pytest.fixture
def listener(namespace: Any) -> Iterator[Callable[[int, int], subprocess.Popen[bytes]]]:
    """A program in the namespace that prints what a port gets."""
    programs = []

    def start(version: int, kind: int) -> subprocess.Popen[bytes]:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        code = (
            "import socket, sys\n"
            f"s = socket.socket({int(family)}, {kind})\n"
            f"s.bind(({HOST[version]!r}, 7000))\n"
            f"if {kind} == {int(socket.SOCK_STREAM)}: s.listen()\n"
            "print('ready', flush=True)\n"
            f"if {kind} == {int(socket.SOCK_STREAM)}: s, _ = s.accept()\n"
            "while data := s.recv(1 << 17): sys.stdout.buffer.write(data); sys.stdout.flush()\n"
        )
        program = subprocess.Popen(namespace.command("python3", "-c", code), stdout=subprocess.PIPE)
        programs.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        return program

    yield start
    for program in programs:
        program.kill()
        program.wait()


@pytest.mark.parametrize("version", [4, 6])
def test_kernel_completes_blank_checksum(guest: Any, listener: Any, version: int) -> None:
    program = listener(version, int(socket.SOCK_DGRAM))
    guest.send([blanked(to_host(version, scapy.UDP(sport=1, dport=7000) / b"checked"), scapy.UDP)])
    assert program.stdout.read(7) == b"checked"


def test_kernel_refuses_wrong_checksum(guest: Any, namespace: Any) -> None:
    frame = to_host(4, scapy.UDP(sport=1, dport=7000, chksum=0x1234) / b"wrong")
    before = namespace.counter("Udp", "InCsumErrors")
    guest.send([Packet(bytes(frame))])
    wait_until(lambda: namespace.counter("Udp", "InCsumErrors") == before + 1)


class Connection:
    """A TCP connection of the guest's, with only as much of TCP as a listener needs."""

    def __init__(self, guest: Any, version: int) -> None:
        self.guest, self.version = guest, version
        self.sequence, self.acknowledged = 1000, 0
        self.send("S", b"", options=[("MSS", 1440), ("WScale", 7)])
        answer = scapy.Ether(guest.wait_for(has(scapy.TCP, flags="SA")).data)[scapy.TCP]
        self.sequence += 1
        self.acknowledged = answer.seq + 1
        self.send("A", b"")

    def send(self, flags: str, data: bytes, mss: int = 0, options: Any = ()) -> None:
        segment = scapy.TCP(
            sport=7001,
            dport=7000,
            flags=flags,
            seq=self.sequence,
            ack=self.acknowledged,
            window=60000,
            options=list(options),
        )
        packet = blanked(to_host(self.version, segment / data), scapy.TCP)
        if mss:
            kind = GsoType.TCPV4 if self.version == 4 else GsoType.TCPV6
            packet = Packet(packet.data, True, True, kind, mss)
        self.guest.send([packet])
        self.sequence += len(data)


@pytest.mark.parametrize("version", [4, 6])
def test_long_segment_of_guest(guest: Any, listener: Any, namespace: Any, version: int) -> None:
    program = listener(version, int(socket.SOCK_STREAM))
    connection = Connection(guest, version)
    data = bytes(at * 7 % 251 for at in range(40000))  # the kernel's first window has 64 KB
    connection.send("PA", data, mss=1440)
    assert program.stdout.read(len(data)) == data
    assert namespace.counter("Tcp", "InCsumErrors") == 0
    assert namespace.device_counter("tap0", "rx_errors") == 0
    assert guest.uplink.statistics().tx_dropped == 0


def test_bad_packet_harms_no_other(guest: Any, listener: Any) -> None:
    program = listener(4, int(socket.SOCK_DGRAM))
    good = blanked(to_host(4, scapy.UDP(sport=1, dport=7000) / b"good"), scapy.UDP)
    no_tcp = Packet(good.data, True, True, GsoType.TCPV4, 1000)
    no_checksum = Packet(bytes(to_host(4, scapy.ICMP())), csum_blank=True)
    guest.send([good, no_tcp, good, no_checksum, good])
    assert program.stdout.read(12) == b"good" * 3
    statistics = guest.uplink.statistics()
    assert (statistics.tx_packets, statistics.tx_dropped) == (3, 2)
    assert statistics.tx_bytes == 3 * len(good.data)


def test_interface_down(guest: Any, namespace: Any, listener: Any) -> None:
    program = listener(4, int(socket.SOCK_DGRAM))
    packet = Packet(bytes(to_host(4, scapy.UDP(sport=1, dport=7000) / b"once")))
    namespace.run("ip link set tap0 down")
    guest.send([packet])
    assert guest.uplink.statistics().tx_dropped == 1
    guest.receive_now()
    assert guest.receive_now() == []
    assert guest.uplink.statistics().errors == 0
    namespace.run("ip link set tap0 up")
    guest.send([packet])
    assert program.stdout.read(4) == b"once"


def test_fd_is_readable_while_armed(guest: Any, namespace: Any) -> None:
    namespace.run("sysctl -qw net.ipv6.conf.tap0.disable_ipv6=1")
    guest.receive_now()
    assert not guest.arm()
    assert not is_readable(guest.fileno(), 0)
    start_ping(namespace)
    assert is_readable(guest.fileno(), 20)
    guest.receive_now(0)  # a guest without room is not woken by what waits
    assert not is_readable(guest.fileno(), 0)
    assert guest.arm()
    guest.wait_for(has(scapy.ICMP, type=8))


def test_purge(guest: Any, namespace: Any) -> None:
    namespace.run("sysctl -qw net.ipv6.conf.tap0.disable_ipv6=1")
    start_ping(namespace)
    wait_until(guest.arm)
    guest.close()
    assert guest.uplink.statistics().rx_dropped > 0


def start_ping(namespace: Any) -> None:
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n"
        f"s.sendto(bytes.fromhex('0800f7fd00010001'), ({PEER[4]!r}, 0))\n"
    )
    subprocess.run(namespace.command("python3", "-c", code), check=True)


def is_readable(fd: int, seconds: float) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])


def test_carrier(guest: Any, namespace: Any) -> None:
    def carrier() -> str:
        return str(namespace.run("cat /sys/class/net/tap0/carrier")).strip()

    assert carrier() == "1"
    guest.set_carrier(0)
    assert carrier() == "0"
    guest.set_carrier(1)
    assert carrier() == "1"
