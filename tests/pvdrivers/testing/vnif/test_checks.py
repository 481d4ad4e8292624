"""The network device passes what every device class should, for each guest profile."""

from typing import Any

import pytest

from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.testing.checks import CHECKS, Check
from pvdrivers.testing.vnif.loopback import vif_under_test

BROADCAST = b"\xff" * 6


def frame(number: int, length: int) -> bytes:
    """An Ethernet frame that differs from others in each byte's neighbourhood."""
    header = BROADCAST + b"\x00\x16\x3e\x00\x01\x00" + b"\x88\xb5"
    return header + number.to_bytes(4, "big") * (length // 4)


async def send_and_receive(frontend: Any) -> None:
    """What the guest sends comes back."""
    await frontend.connected()
    for number in range(3):
        sent = [frame(number * 10 + k, 60 + 300 * k) for k in range(5)]
        await frontend.send(sent)
        came: list[bytes] = []
        while len(came) < len(sent):
            came += [packet.data for packet in await frontend.receive()]
        assert sorted(came) == sorted(sent)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_checks(check: Check) -> None:
    check(vif_under_test(HairpinUplink), send_and_receive)
