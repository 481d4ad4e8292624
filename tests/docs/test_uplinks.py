"""The code of docs/uplinks.md, and the host that it makes."""

import re
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.testing.vnif.uplink_guest import UplinkGuest

PAGE = Path(__file__).parents[2] / "docs" / "uplinks.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's code defines, run as one program from its beginning."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    said = re.findall(r"print\(\w+\)  # (.*)", PAGE.read_text())
    assert len(said) == 2
    assert capsys.readouterr().out.splitlines() == said


def test_the_host_as_another_stack_sees_it(page: dict[str, Any]) -> None:
    scapy = pytest.importorskip("scapy.all")
    mac, ours = "02:00:00:00:00:01", "02:00:00:00:00:02"
    ping = (
        scapy.Ether(src=ours, dst=mac)
        / scapy.IP(src="10.0.0.2", dst="10.0.0.1", options=[scapy.IPOption_NOP()])
        / scapy.ICMP(id=7, seq=3)
    )
    payloads = [b"", b"x", b"\xf7\xff" * 28, bytes(range(256)) * 5]
    others = [
        ping.__class__(bytes(ping).replace(b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x03")),
        scapy.Ether(src=ours, dst=mac) / scapy.IP(dst="10.0.0.1") / scapy.UDP(),
        scapy.Ether(src=ours, dst=mac) / scapy.ARP(op=2, pdst="10.0.0.1"),
        scapy.Ether(src=ours, dst=mac) / scapy.IP(dst="10.0.0.1") / scapy.ICMP(type=0),
    ]
    host = page["Host"](bytes.fromhex("020000000001"), bytes([10, 0, 0, 1]))
    with host as uplink, UplinkGuest(uplink) as guest:
        guest.send([bytes(other) for other in others])
        assert guest.receive() == []
        guest.send([bytes(ping / scapy.Raw(payload)) for payload in payloads])
        answers = [scapy.Ether(packet.data) for packet in guest.receive()]
    assert len(answers) == len(payloads)
    for answer, payload in zip(answers, payloads, strict=True):
        assert (answer.src, answer.dst) == (mac, ours)
        assert (answer[scapy.IP].src, answer[scapy.IP].dst) == ("10.0.0.1", "10.0.0.2")
        icmp = answer[scapy.ICMP]
        assert (icmp.type, icmp.id, icmp.seq, bytes(icmp.payload)) == (0, 7, 3, payload)
        right = answer.copy()
        del right[scapy.IP].chksum, right[scapy.ICMP].chksum
        assert bytes(right) == bytes(answer)
