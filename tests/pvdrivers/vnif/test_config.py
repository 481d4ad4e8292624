"""What a toolstack writes for a network device, and xl's words for addresses and rates."""

import pytest

from pvdrivers.vnif.config import vif_config
from pvdrivers.vnif.mac import default_mac, format_mac, parse_group, parse_mac
from pvdrivers.vnif.rate import Rate


def test_the_least() -> None:
    config = vif_config(0, 7)
    assert config.backend_path == "/local/domain/0/backend/vif/7/0"
    assert config.frontend_path == "/local/domain/7/device/vif/0"
    assert config.frontend_keys == {"handle": "0", "mac": "00:16:3e:00:07:00", "trusted": "1"}
    assert config.backend_keys == {
        "handle": "0", "mac": "00:16:3e:00:07:00", "type": "vif", "bridge": ""
    }  # fmt: skip


def test_all_keys_as_libxl_writes_them() -> None:
    config = vif_config(
        2, 7, 1,
        mac="00:16:3E:00:00:0A", bridge="xenbr0", script="vif-bridge", ip="10.0.0.2",
        rate="1MB/s@20ms", mtu=9000, vifname="guest", trusted=False, domain_name="web",
        uuid="9e9b5c1e-95cb-4f3b-a54a-0bdd7de7dcd4",
    )  # fmt: skip
    assert config.backend_path == "/local/domain/1/backend/vif/7/2"
    assert config.backend_keys == {
        "handle": "2",
        "mac": "00:16:3e:00:00:0a",
        "type": "vif",
        "bridge": "xenbr0",
        "script": "/etc/xen/scripts/vif-bridge",
        "hotplug-status": "",
        "rate": "20000,20000",
        "mtu": "9000",
        "ip": "10.0.0.2",
        "vifname": "guest",
        "domain": "web",
        "uuid": "9e9b5c1e-95cb-4f3b-a54a-0bdd7de7dcd4",
    }
    assert config.frontend_keys == {
        "handle": "2", "mac": "00:16:3e:00:00:0a", "trusted": "0", "mtu": "9000"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"mac": "xenbr0"}, "MAC address"),
        ({"mac": "01:16:3e:00:00:0a"}, "group"),
        ({"rate": "fast"}, "rate"),
        ({"mtu": 67}, "mtu"),
        ({"mtu": 65522}, "mtu"),
    ],
)
def test_what_cannot_be(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        vif_config(0, 1, **wrong)


def test_default_addresses_differ_and_are_xens() -> None:
    found = {default_mac(domid, devid) for domid in (0, 1, 256, 0x7FEF) for devid in (0, 1, 255)}
    assert len(found) == 12
    assert all(format_mac(parse_mac(mac)) == mac for mac in found)
    assert all(mac.startswith("00:16:3e:") for mac in found)
    with pytest.raises(ValueError, match="256"):
        default_mac(1, 256)


def test_groups() -> None:
    assert parse_group("01:00:5e:00:00:FB") == b"\x01\x00\x5e\x00\x00\xfb"
    for wrong in ("00:16:3e:00:00:0a", "", "01-00-5e-00-00-fb", "1:0:5e:0:0:fb"):
        with pytest.raises(ValueError, match="multicast"):
            parse_group(wrong)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("1MB/s@20ms", "20000,20000"),  # the example of xl-network-configuration
        ("10Mb/s", "62500,50000"),
        ("250KB/s", "12500,50000"),
        ("1GB/s@1s", "1000000000,1000000"),
        ("1GB/s@1000us", "1000000,1000"),
        ("800b/s@1s", "100,1000000"),
        ("100B/s@1s", "100,1000000"),
        ("010KB/s", "400,50000"),  # octal
        ("1MB/s@2", "2000000,2000000"),  # seconds
        ("1MB/s@20m", "20000,20000"),
        ("4294967295KB/s", "214748364750,50000"),
    ],
)
def test_xls_rates(text: str, key: str) -> None:
    rate = Rate.parse(text)
    assert rate.key == key
    assert Rate.read(key) == rate


@pytest.mark.parametrize(
    "text", ["", "1MB", "1MB/s@", "1MB/s@0ms", "0MB/s", "1TB/s", "-1MB/s", "1B/s@1us", "٣MB/s",
             "1MB/s@5000000s", "08MB/s", "4294967296B/s", "4294967295GB/s", "1MB/s@m"]
)  # fmt: skip
def test_xsa_68_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.parse(text)


@pytest.mark.parametrize("key", ["", "x", "5", "5,", ",5", "5,5,5", "5;5", "-5,5", "0,5", "5,0"])
def test_xsa_68_a_garbled_rate_key_limits_nothing(key: str) -> None:
    assert Rate.read(key) is None


def test_no_rate_key_limits_nothing() -> None:
    assert Rate.read(None) == Rate(0, 0)
