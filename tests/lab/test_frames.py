"""The frames of the lab's host in userspace, as scapy understands them."""

import ipaddress
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

scapy = pytest.importorskip("scapy.all")
PAYLOAD = Path(__file__).parent / "payload"
OWN = bytes.fromhex("00163e000001")
PEER = bytes.fromhex("feffffffffff")
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def frames() -> dict[str, Any]:
    sys.path.insert(0, str(PAYLOAD))
    try:
        return runpy.run_path(str(PAYLOAD / "frames.py"))
    finally:
        sys.path.remove(str(PAYLOAD))


@pytest.fixture
def station(frames: dict[str, Any]) -> Any:
    station = frames["Station"](OWN)
    station.peer = PEER
    return station


def reply(question: bytes, version: int) -> Any:
    """Ethernet and IP of what comes back."""
    asked = scapy.Ether(question)
    layer = scapy.IP if version == 4 else scapy.IPv6
    back = layer(src=asked[layer].dst, dst=asked[layer].src)
    return scapy.Ether(src=asked.dst, dst=asked.src) / back


@VERSIONS
def test_a_datagram_and_its_answer(station: Any, version: int) -> None:
    question = station.udp(version, 5000, b"hello")
    asked = scapy.Ether(question)
    assert bytes(asked[scapy.UDP].payload) == b"hello"
    ports = scapy.UDP(sport=asked.dport, dport=asked.sport)
    answer = scapy.raw(reply(question, version) / ports / b"hello")
    assert station.is_answer(answer, question)
    assert not station.is_answer(answer, station.udp(version, 5001, b"hello"))
    assert station.payload(answer) == b"hello"


@VERSIONS
def test_a_reset_says_how_much_has_come(station: Any, version: int) -> None:
    question = station.tcp(version, 5000, bytes(3000))
    asked = scapy.Ether(question)[scapy.TCP]
    reset = scapy.TCP(sport=asked.dport, dport=asked.sport, flags="RA", ack=asked.seq + 3000)
    answer = scapy.raw(reply(question, version) / reset)
    assert station.is_answer(answer, question)
    assert station.acknowledged(answer) == 3000


def test_a_ping_is_answered_with_right_checksums(station: Any) -> None:
    ping = reply(station.udp(4, 1, b""), 4) / scapy.ICMP(id=5, seq=6) / b"abcdefg"
    answer = scapy.Ether(station.answer(scapy.raw(ping)))
    assert (answer.dst, answer[scapy.ICMP].type, answer[scapy.ICMP].seq) == (ping.src, 0, 6)
    again = scapy.Ether(scapy.raw(answer))
    del again[scapy.IP].chksum, again[scapy.ICMP].chksum
    assert scapy.raw(again) == scapy.raw(answer)


def test_arp(station: Any) -> None:
    asked = scapy.Ether(station.who_has())[scapy.ARP]
    question = scapy.Ether(src=PEER, dst=b"\xff" * 6) / scapy.ARP(
        op=1, hwsrc=PEER, psrc=asked.pdst, pdst=asked.psrc
    )
    answer = scapy.Ether(station.answer(scapy.raw(question)))[scapy.ARP]
    assert (answer.op, answer.psrc, answer.pdst) == (2, asked.psrc, asked.pdst)
    told = scapy.Ether() / scapy.ARP(op=2, hwsrc=PEER, psrc=asked.pdst, pdst=asked.psrc)
    assert station.is_answer(scapy.raw(told), station.who_has())


def test_microsofts_vector_of_the_hash(frames: dict[str, Any]) -> None:
    key = bytes.fromhex(
        "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
    )
    addresses = [ipaddress.ip_address(each) for each in ("66.9.149.187", "161.142.100.80")]
    assert frames["toeplitz"](key, b"".join(each.packed for each in addresses)) == 0x323E8FC2
