"""URLs of LUNs, and the names of initiators."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.passthrough.iscsi import Initiators
from pvdrivers.backends.targets.passthrough.iscsi_lun import IscsiLun
from pvdrivers.ring.errors import UsageError

LUN = IscsiLun("san", 3260, "iqn.2004-10.com.example:a", 1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("iscsi://san/iqn.2004-10.com.example:a/1", LUN),
        ("iscsi://san:3260/iqn.2004-10.com.example:a/1", LUN),
        ("iscsi://san/iqn.2004-10.com.example%3Aa/1", LUN),
        ("iscsi://[::1]:99/naa.1/16383", IscsiLun("::1", 99, "naa.1", 16383)),
    ],
)
def test_a_url(url: str, expected: IscsiLun) -> None:
    assert IscsiLun.parse(url) == expected
    assert IscsiLun.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "is not iscsi://HOST"),
        ("http://san/iqn.x/1", "is not iscsi://HOST"),
        ("iscsi://san/iqn.x", "is not iscsi://HOST"),
        ("iscsi://san/iqn.x/1/2", "is not iscsi://HOST"),
        ("iscsi:///iqn.x/1", "is not iscsi://HOST"),
        ("iscsi://san:port/iqn.x/1", "is not iscsi://HOST"),
        ("iscsi://san:66000/iqn.x/1", "is not iscsi://HOST"),
        ("iscsi://[::1/iqn.x/1", "is not iscsi://HOST"),
        ("iscsi://san/iqn.x/one", "is not iscsi://HOST"),
        ("iscsi://san/iqn.x/1?a", "is not iscsi://HOST"),
        ("iscsi://san/iqn.x/16384", "LUN 16384 is beyond 16383"),
        ("iscsi://user:secret@san/iqn.x/1", "a URL has no user and no secret"),
        ("iscsi://san/disk/1", "'disk' is no iSCSI name"),
        (f"iscsi://san/iqn.{'x' * 220}/1", "223 bytes"),
    ],
)
def test_a_url_that_is_none(url: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        IscsiLun.parse(url)
    assert "\n" not in str(caught.value)


def test_a_secret_is_not_shown() -> None:
    assert "hush" not in repr(IscsiLun.parse("iscsi://san/iqn.x/1", "user", "hush"))


def test_each_guest_is_an_initiator() -> None:
    initiators = Initiators(LUN, "iqn.2004-10.com.example:{initiator}")
    names = [initiators.name_of(name) for name in ("xen-a-0", "xen-a-1", "a/b", "a b", "a%b")]
    assert len(set(names)) == len(names)
    assert names[0] == "iqn.2004-10.com.example:xen-a-0"
    assert all(name.isascii() and "/" not in name and " " not in name for name in names)


def test_a_name_for_all_guests_is_refused() -> None:
    with pytest.raises(UsageError, match=r"lacks .initiator."):
        Initiators(LUN, "iqn.2004-10.com.example:all")
    with pytest.raises(UsageError, match="is no iSCSI name"):
        Initiators(LUN, "guest-{initiator}")


def test_a_guest_comes_by_the_same_port_each_time() -> None:
    """By which a target knows a persistent reservation's holder again; LUNs have sessions of their
    own, and so ports."""

    def port(lun: IscsiLun, nexus: Nexus) -> object:
        return Initiators(lun).session_of(nexus).args[1:]

    assert port(LUN, Nexus("a")) == port(LUN, Nexus("a"))
    others = [(LUN, Nexus("b")), (LUN, Nexus("a", 2)), (replace(LUN, lun=2), Nexus("a"))]
    assert len({port(LUN, Nexus("a")), *(port(*other) for other in others)}) == 4
