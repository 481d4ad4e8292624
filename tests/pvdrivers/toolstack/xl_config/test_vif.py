"""Network devices: what is wrong with one, and what a toolstack writes for it."""

import pytest

from pvdrivers.toolstack.xl_config.text import Atom, ConfigError, Note
from pvdrivers.toolstack.xl_config.vif import VifSpec, parse_vif
from pvdrivers.vnif.config import vif_config


def vif(text: str) -> VifSpec:
    return parse_vif(Atom.of(text), VifSpec(4), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mac=x", "1:5: mac is 'x', a device's address such as 00:16:3e:01:02:03 can be"),
        ("bridge=a, mac=01:16:3e:00:00:01", "1:15: mac is '01:16:3e:00:00:01', a device's address"),
        ("type=pv", "1:6: type is 'pv', vif, ioemu can be"),
        ("mtu=67", "1:5: mtu is '67', a number from 68 to 65521 can be"),
        ("devid=-1", "1:7: devid is '-1', a number from 0 to 255 can be"),
        ("rate=10", "1:6: rate '10' is not like 10Mb/s or 1MB/s@20ms"),
        ("rate=1B/s@1us", "1:6: rate 1B/s@1us is less than a byte, or one of its numbers"),
        ("bridge=a,speed=3", "1:10: a vif has no key 'speed': there are type, mac, rate, devid"),
        ("fast", "1:1: found 'fast': there are KEY=VALUE, trusted and untrusted"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        vif(text)
    assert str(error.value).startswith(f"command line:{message}")


def test_what_is_not_used_is_told() -> None:
    notes: list[Note] = []
    found = parse_vif(Atom.of("vlan=3, script=x,bridge=a", "f"), VifSpec(0), notes)
    assert found == VifSpec(0, bridge="a", script="x")
    assert list(map(str, notes)) == [
        "f:1:1: vlan of a vif is not used here",
        "f:1:9: script of a vif is not used here",
    ]


def test_what_a_toolstack_writes() -> None:
    assert vif("").device(3) == vif_config(4, 3, bridge="xenbr0")
    text = "mac=0:16:3E:1:2:3,bridge=b,gatewaydev=eth0,ip=10.0.0.1,rate=1MB/s@20ms,mtu=9000"
    expected = vif_config(
        1,
        3,
        2,
        mac="00:16:3e:01:02:03",
        bridge="b",
        gatewaydev="eth0",
        ip="10.0.0.1",
        rate="1MB/s@20ms",
        mtu=9000,
        vifname="v",
        trusted=False,
        domain_name="web",
    )
    found = vif(f"{text},vifname=v,untrusted,devid=1").device(3, 2, domain_name="web")
    assert found == expected
    assert found.backend_keys["rate"] == "20000,20000"
    assert found.backend_keys["gatewaydev"] == "eth0"
