"""Uplinks as Python has them: names, statistics, readable errors."""

import pytest

from pvdrivers.backends.uplinks.filters import Direction, PacketDelay
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink, Uplink
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.vnif.uplink_guest import UplinkGuest


def test_one_line_about_each() -> None:
    with HairpinUplink(2) as uplink:
        assert repr(uplink) == "<HairpinUplink hairpin, 2 queues>"
    assert repr(uplink) == "<HairpinUplink closed>"
    with NullUplink(1) as uplink2:
        assert repr(uplink2) == "<NullUplink null, 1 queue>"


@pytest.mark.parametrize("kind", [NullUplink, HairpinUplink])
def test_closed(kind: type[NullUplink] | type[HairpinUplink]) -> None:
    uplink: Uplink = kind()
    assert uplink.statistics().tx_packets == 0
    uplink.close()
    uplink.close()
    with pytest.raises(UsageError, match="the uplink is closed"):
        uplink.statistics()


def test_nothing_that_waits_outlives_a_connection() -> None:
    with HairpinUplink(2) as uplink:
        guest = UplinkGuest(uplink, 2)
        guest.send([bytes(60)], queue=1)
        guest.set_carrier(0)
        guest.set_carrier(2)
        assert guest.receive(queue=1) == []
        guest.close()


def test_nothing_that_a_filter_holds_outlives_a_connection() -> None:
    with PacketDelay(HairpinUplink(), delay=1000, direction=Direction.RX) as uplink:
        guest = UplinkGuest(uplink)
        guest.send([bytes(60), bytes(61)])
        assert guest.receive(1) == []  # one is held now, and one waits below
        guest.set_carrier(0)
        guest.set_carrier(1)
        assert guest.receive(now=2000) == [] == guest.receive(now=4000)
        guest.close()


@pytest.mark.parametrize("queues", [0, -1, 65])
def test_numbers_of_queues(queues: int) -> None:
    with pytest.raises(UsageError, match=f"hairpin uplink: {queues} queues are not 1 to 64"):
        HairpinUplink(queues)


def test_a_switch_and_its_ports() -> None:
    with Switch("br0") as switch:
        assert repr(switch) == "<Switch br0, 0 ports, 0 MACs known>"
        with switch.port(2) as port, switch.port(isolated=True) as isolated:
            assert repr(port) == "<SwitchUplink port of br0, 2 queues>"
            assert repr(isolated) == "<SwitchUplink port of br0, isolated, 1 queue>"
            with pytest.raises(UsageError, match="br0 has 2 ports in use: close them first"):
                switch.close()
    assert repr(switch) == "<Switch br0, closed>"
    with pytest.raises(UsageError, match="br0 is closed"):
        switch.port()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queues": 0}, "port of br0: 0 queues are not 1 to 64"),
        ({"macs": 0}, "port of br0: 0 MACs are not 1 to 65536"),
        ({"waiting": 65537}, "port of br0: 65537 waiting packets are not 1 to 65536"),
    ],
)
def test_what_a_port_cannot_have(options: dict[str, int], message: str) -> None:
    with Switch("br0") as switch, pytest.raises(UsageError, match=message):
        switch.port(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("ageing", [0, -1, 2**63])
def test_what_ageing_cannot_be(ageing: int) -> None:
    with pytest.raises(UsageError, match=f"br0: an ageing time of {ageing} ns is not"):
        Switch("br0", ageing_ns=ageing)
