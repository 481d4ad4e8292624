"""Disks and network devices of a configuration file are for us what they are for Debian's xl."""

import pytest

from pvdrivers.ring.errors import UsageError

from .xl_facts import check_disks, nic_facts, our_disk, our_vif, with_list

DISKS = [
    # As xl-disk-configuration writes them.
    "/dev/vg/guest-volume,,hda",
    "/dev/vg/guest-volume,raw,hda,rw",
    "format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume",
    "raw:/dev/vg/guest-volume,hda,w",
    "/root/image.iso,,hdc,cdrom",
    "/root/image.iso,,hdc,,cdrom",
    "/root/image.iso,raw,hdc,devtype=cdrom",
    "format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso",
    "raw:/root/image.iso,hdc:cdrom,ro",
    # Positions and what may be left empty.
    "/a,,xvda",
    "/a,raw,xvda",
    "/a,raw,xvda,",
    "/a,raw,xvda,r,",
    "/a,qcow2,xvda,ro",
    "/a,qcow,xvda,w",
    "/a,vhd,xvda,rw",
    "/a,qed,xvda",
    "  /a, raw:cdrom".replace("raw:cdrom", "raw, xvda, r"),
    "a,raw,sda1",
    "/a:b,raw,d0p1",
    "/a,raw,hdb:disk,w",
    ",hdc:cdrom",
    ",hdc:cdrom,r",
    ",,hdc:cdrom",
    ",,hdc,r,cdrom",
    # Keys between positions, in any order.
    "vdev=xvda,target=/a",
    "vdev=xvda,target=/a,b=c,,",
    "vdev=xvda,target= /a ",
    "/a,vdev=xvda",
    "format=vhd,/a,vdev=xvda,access=r",
    "cdrom,vdev=hdc",
    "vdev=hdc,devtype=cdrom,access=w",
    "vdev=hdc,devtype=cdrom,devtype=disk,target=/a",
    "access=r,access=w,vdev=xvda,target=/a",
    "format=,vdev=xvda,target=/a",
    "format=raw,format=raw,vdev=xvda,target=/a",
    ",vdev=xvda,target=/a",
    "/a,,xvda,w,backend=storage",
    "/a,,xvda,w,backendtype=phy",
    "/a,,xvda,w,backendtype=qdisk",
    "/a,,xvda,w,backendtype=standalone,specification=virtio",
    "/a,,xvda,w,specification=xen",
    "/a,,xvda,w,script=block-lvm",
    "/a,,xvda,w,direct-io-safe",
    "/a,,xvda,r,discard",
    "/a,,xvda,w,no-discard",
    "/a,,xvda,w,colo,colo-host=h,colo-port=80,colo-export=e,active-disk=x,hidden-disk=y",
    "/a,,xvda,w,no-colo",
    "/a,,51712",
    "/a,,0xca00",
    # Prefixes that one should not write any more.
    "phy:/dev/vg/a,xvda,w",
    "phy:vg/a,xvda,w",
    "file:/a,xvda,r",
    "tap:/a,xvda",
    "tap2:aio:/a,xvda,w",
    "tap:qcow2:/a,xvda,w",
    "tapdisk:vhd:/a,xvda:disk,w",
    "ioemu:/a,hda,w",
    "qcow:/a,hda,w",
    "nbd:host:8000,xvda,w",
    "enbd:x,xvda",
    "iscsi:iqn.2001-05.com.example:disk,xvda,w",
    "drbd:r0,xvda,w",
    "drbd:r0,format=vhd,xvda,w",
]


@pytest.mark.parametrize("spec", DISKS)
def test_disks_that_both_take(dry_run_xl, spec):
    check_disks(dry_run_xl, [spec])


NO_DISKS = [
    "",
    " ",
    "/a",
    "/a,raw",
    "vdev=xvda",
    "target=/a",
    "target=/a,vdev=xvda",
    "/a,ext4,xvda",
    "/a,raw,xvda,x",
    "/a,raw,xvda,w,more",
    "/a,raw,xvda,w,key=value",
    "/a,raw,xvda,w,k=v",
    "/a,raw,xvda,=x",
    "vdev=xvda,vdev=xvdb,target=/a",
    "/b,vdev=xvda,target=/a",
    "/a,raw,xvda,format=vhd",
    "/a,raw,xvda,vdev=xvdb",
    "/a,,xvda,w,backendtype=loop",
    "/a,,xvda,w,backendtype=phy,backendtype=qdisk",
    "/a,,xvda,w,specification=nvme",
    "/a,,xvda,w,devtype=floppy",
    "/a,,xvda,w,access=execute",
    "/a,,xvda,w,backend=a,backend=b",
    "/a,,xvda,w,colo-port=none",
    "/a,,xvda:tape,w",
    "http://x,raw,xvda",
    "foo:,raw,xvda",
    "vhd:/a,raw,xvda,w,x",
    "nbd:a,script=b,xvda",
]


@pytest.mark.parametrize("spec", NO_DISKS)
def test_disks_that_both_refuse(dry_run_xl, spec):
    with pytest.raises(UsageError):
        our_disk(spec)
    assert dry_run_xl.create(with_list("disk", [spec])) is None


VIFS = [
    "",
    "mac=00:16:3e:12:34:56",
    "mac=0:16:3E:1:2:3",
    "bridge=br0,script=vif-route,ip=10.0.0.1,vifname=v0,backend=net",
    "  bridge=br0,  mtu=9000",
    "gatewaydev=eth0",
    "netdev=eth0",
    "type=vif,model=e1000",
    "bridge=a,bridge=b",
    "bridge=",
    "bridge=a=b",
    ",bridge=a,,",
    "devid=5",
    "mtu=1500,trusted",
    "trusted,untrusted",
    "accel=solarflare",
    "rate=10Mb/s",
    "rate=250KB/s",
    "rate=1MB/s@20ms",
    "rate=1GB/s@1s",
    "rate=8b/s@1000000us",
    "rate=1000B/s",
    "rate=010KB/s",
    "rate=1MB/s@20m",
    "rate=1MB/s@20u",
    "rate=1MB/s@2",
    "rate=4294967295KB/s",
]


def test_vifs_that_both_take(dry_run_xl):
    theirs = dry_run_xl.create(with_list("vif", VIFS))
    assert theirs is not None
    for devid, (spec, nic) in enumerate(zip(VIFS, theirs["nics"], strict=True)):
        assert our_vif(spec, devid) == nic_facts(nic, "pv"), spec


@pytest.mark.parametrize(
    "rate",
    ["", "@20ms", "1MB", "MB/s", "1MB/s@", "1MB/s@0ms", "0MB/s", "1TB/s", "1M/s", "-1MB/s",
     "1MB/s@5000s", "4294967296B/s", "4294967295GB/s", "08MB/s", "1 MB/s"],
)  # fmt: skip
def test_rates_that_both_refuse(dry_run_xl, rate):
    with pytest.raises(UsageError):
        our_vif(f"rate={rate}", 0)
    assert dry_run_xl.create(with_list("vif", [f"rate={rate}"])) is None


def test_xl_drops_what_we_refuse_of_a_vif(dry_run_xl):
    """It prints a line about it, and makes the device without."""
    for spec in ("mac=x", "type=pv", "frobnicate=1", "frobnicate"):
        with pytest.raises(UsageError):
            our_vif(spec, 0)
        assert dry_run_xl.create(with_list("vif", [spec])) is not None
