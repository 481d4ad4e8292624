"""Uplinks as Python has them: names, statistics, readable errors."""

import pytest

from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink, Uplink
from pvdrivers.ring.errors import UsageError


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


@pytest.mark.parametrize("queues", [0, -1, 65])
def test_numbers_of_queues(queues: int) -> None:
    with pytest.raises(UsageError, match=f"hairpin uplink: {queues} queues are not 1 to 64"):
        HairpinUplink(queues)
