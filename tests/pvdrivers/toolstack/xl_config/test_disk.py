"""Disks: what is wrong with one, and what a toolstack writes for it."""

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.toolstack.xl_config.disk import DiskSpec
from pvdrivers.toolstack.xl_config.disk_spec import LONGEST, parse_disk
from pvdrivers.toolstack.xl_config.text import Atom, ConfigError, Note
from pvdrivers.vbd.config import disk_config


def disk(text: str) -> DiskSpec:
    return parse_disk(Atom.of(text), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a,ext4,xvda", "1:4: format is 'ext4', raw, qcow, qcow2, vhd, qed, empty can be"),
        ("/a,raw,xvda,x", "1:13: access is 'x', r, ro, rw, w can be"),
        ("access=z,vdev=xvda", "1:8: access is 'z', r, ro, rw, w can be"),
        ("/a,,xvda,w,devtype=tape", "1:20: devtype is 'tape', cdrom, disk can be"),
        ("/a,,xvda:tape", "1:10: devtype is 'tape', cdrom, disk can be"),
        ("/a,,xvda,w,backendtype=x", "1:24: backendtype is 'x', phy, qdisk, tap, stand"),
        ("format=raw,format=vhd", "1:19: format is raw and vhd in this disk"),
        ("vdev=xvda,vdev=xvdb", "1:16: vdev is given twice in this disk"),
        ("/a,raw,xvda,w,x", "1:15: found 'x', which is one too many"),
        ("/a,raw,xvda,w, size=3G", "1:16: found 'size', which is no key of a disk: write TARGET,"),
        ("http:/a,raw,xvda", "1:1: found the prefix 'http:', which xl does not know"),
        ("/a", "1:1: this disk has no vdev, such as xvda"),
        ("vdev=xvda", "1:1: this disk has no target, which only a cdrom need not have"),
        ("/a,,xvdaaaaaaa", "1:5: vdev is 'xvdaaaaaaa', names such as xvda, sda1, hdc, d0p1 can be"),
        ("/a,,99", "1:5: vdev is '99', names such as"),
        ("vdev=09,/a", "1:6: vdev is '09', names such as"),
        ("/a" * LONGEST, f"1:1: a disk has at most {LONGEST} characters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        disk(text)
    assert str(error.value).startswith(f"command line:{message}")


def test_defaults() -> None:
    assert disk("/a,,xvda") == DiskSpec("/a", "xvda")
    assert disk("/a,,xvda,r") == DiskSpec("/a", "xvda", writable=False, discard=False)
    assert disk("vdev=hdc,cdrom") == DiskSpec(
        "", "hdc", "empty", writable=False, cdrom=True, discard=False
    )


def test_trust() -> None:
    """Debian's xl 4.17 has not the flags that its manual has."""
    assert not disk("/a,,xvda,w,untrusted").trusted
    assert disk("/a,,xvda,w,untrusted,trusted").trusted


def test_what_is_not_used_is_told() -> None:
    notes: list[Note] = []
    parse_disk(Atom.of("/a,,xvda,w,colo,colo-port=8,active-disk=/b", "f"), notes)
    assert list(map(str, notes)) == [
        "f:1:12: colo of a disk is not used here",
        "f:1:17: colo-port of a disk is not used here",
        "f:1:29: active-disk of a disk is not used here",
    ]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("/srv/a.img,,xvda", {"name": "xvda", "params": "/srv/a.img"}),
        ("vg/a,,sdb1,r", {"name": "sdb1", "params": "/dev/vg/a", "kind": "phy", "writable": False,
                          "discard": False}),
        ("/dev/a,,51712,w,untrusted", {"name": "xvda", "params": "/dev/a", "kind": "phy",
                                       "trusted": False}),
        ("/a,,d3,w,backendtype=phy", {"name": "d3", "params": "/a", "kind": "phy"}),
        ("/a,,xvda,w,backendtype=qdisk,direct-io-safe", {"name": "xvda", "params": "/a",
                                                         "kind": "qdisk", "direct_io_safe": True}),
        ("vdev=hdc,cdrom", {"name": "hdc", "cdrom": True, "writable": False, "discard": False}),
    ],
)  # fmt: skip
def test_what_a_toolstack_writes(text: str, arguments: dict[str, object]) -> None:
    name = arguments.pop("name")
    expected = disk_config(name, 3, 1, domain_name="web", **arguments)  # type: ignore[arg-type]
    assert disk(text).device(3, 1, domain_name="web") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a,qcow2,xvda", "disk xvda has format qcow2, raw images can be served: convert it"),
        ("nbd:a,xvda", "disk xvda needs the script 'block-nbd', none are run here"),
        ("/a,,xvda,w,specification=virtio", "disk xvda is for virtio, specification=xen can be"),
    ],
)
def test_what_cannot_be_served(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        disk(text).device(3)
