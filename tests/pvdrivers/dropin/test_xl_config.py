"""A configuration file is for us what it is for Debian's xl, which prints it as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine, MemoryExtent
from pvdrivers.toolstack.xl_config.disk_spec import parse_disk
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.toolstack.xl_config.libxl_json import to_libxl
from pvdrivers.toolstack.xl_config.reader import parse_config
from pvdrivers.toolstack.xl_config.text import Atom
from pvdrivers.toolstack.xl_config.vif import VifSpec, parse_vif

from .conftest import World, xenstore_at

XL = Path("/usr/lib/xen-4.17/bin/xl")
CONFIGS = sorted((Path(__file__).parent / "configs").glob("*.cfg"))
NODES = [(0, 1), (2, 3)]
pytestmark = pytest.mark.skipif(not XL.exists(), reason="needs xl (Debian package xen-utils-4.17)")

# What libxl fills in when it creates the domain, but not yet for `xl -N create`.
DISK = {"removable": 0, "readwrite": 0, "is_cdrom": 0, "direct_io_safe": False}
DISK |= {"specification": "xen", "trusted": "True"}
COLO = ("colo_enable", "colo_host", "colo_port", "colo_export", "active_disk", "hidden_disk")
NIC = {"mtu": 1500, "model": "rtl8139", "bridge": "xenbr0", "script": "vif-bridge"}
NIC |= {"trusted": "True"}
BUILD = {"max_vcpus": 1, "avail_vcpus": [0], "max_memkb": 32 << 10, "target_memkb": 32 << 10}
ACTIONS = ("on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset")
# What the file does not say, and what no simulated host has.
LEFT_OUT = ("run_hotplug_scripts", "claim_mode", "numa_placement", "arch_arm", "arch_x86")


class Xl:
    def __init__(self, world: World) -> None:
        self._world = world
        self._file = world.folder / "domain.cfg"

    def create(self, text: str) -> dict[str, Any] | None:
        """What xl takes the file for; None: it refuses it."""
        self._file.write_text(text, newline="")
        process = self._world.start(0, XL, "-N", "create", self._file)
        output, errors = process.communicate(timeout=60)
        assert process.returncode in (0, 1), errors
        return None if process.returncode else json.loads(output)


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xl")
    memory = [MemoryExtent(0, 64 << 20, 0), MemoryExtent(1 << 32, 32 << 20, 1)]
    with Machine(memory, cpus=4, virtual_time=True) as machine, xenstore_at(folder / "xenstored"):
        machine.serve(folder / "machine")
        yield Xl(World(machine, folder))


def without_empty(theirs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in theirs.items() if value not in ("", [])}


def disk_facts(theirs: dict[str, Any]) -> dict[str, Any]:
    discard = str(bool(theirs.get("readwrite", 0)))
    known = {key: value for key, value in theirs.items() if key not in COLO}
    return without_empty(DISK | {"discard_enable": discard} | known)


def nic_facts(theirs: dict[str, Any], kind: str) -> dict[str, Any]:
    nictype = "vif_ioemu" if kind == "hvm" else "vif"
    known = {key: value for key, value in theirs.items() if "colo" not in key}
    if known.get("mac") == "00:00:00:00:00:00":
        del known["mac"]
    return without_empty(NIC | {"nictype": nictype} | known)


def facts(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """xl's JSON as ours has to be."""
    create = {"driver_domain": "False"} | theirs["c_info"]
    if "uuid" not in ours["c_info"]:
        del create["uuid"]  # made by xl
    kind = create["type"]
    union = f"type.{kind}"
    build = BUILD | theirs["b_info"]
    build["sched_params"] = {"weight": 256, "cap": 0} | build["sched_params"]
    build[union] = {k: v for k, v in build[union].items() if k in ("serial", "serial_list")}
    build["max_memkb"] = build["max_memkb"] or build["target_memkb"]
    build = {key: value for key, value in build.items() if key in ours["b_info"]}
    for key in ("vcpu_hard_affinity", "vcpu_soft_affinity"):
        if key in build:
            build[key] = [[cpu for cpu in cpus if cpu < 4] for cpus in build[key]]
    result = {
        "c_info": {key: value for key, value in create.items() if key not in LEFT_OUT},
        "b_info": build,
        "disks": [disk_facts(disk) for disk in theirs.get("disks", ())],
        "nics": [nic_facts(nic, kind) for nic in theirs.get("nics", ())],
        **{key: theirs.get(key, "destroy") for key in ACTIONS},
    }
    return without_empty(result)


def ours(text: str) -> dict[str, Any] | None:
    try:
        return to_libxl(parse_config(text.encode(), "domain.cfg"), NODES)
    except UsageError:
        return None


def check_alike(xl: Xl, text: str) -> None:
    """Taken by both, for the same."""
    mine = to_libxl(parse_config(text.encode(), "domain.cfg"), NODES)
    theirs = xl.create(text)
    assert theirs is not None, "xl refuses it"
    assert mine == facts(theirs, mine)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_whole_files(xl, path):
    check_alike(xl, path.read_text())


BASE = 'name="a"\nkernel="k"\n'

SYNTAX = [
    "",
    "\n\n;;;\n # nothing\n",
    "memory=64",
    "memory=64;vcpus=2",
    "memory=64;;vcpus=2;",
    "memory = 0x40\nvcpus\t=\t02",
    'memory = "64"',
    "memory = ' 0100'",
    'memory = "+64"',
    "memory = 64\nmemory = 128",
    "cmdline = 'single \"quotes\"'",
    "cmdline = \"double 'quotes'\"",
    r'cmdline = "\"\\\'\a\b\f\r\t\v|"',
    r"cmdline = '\"\\\'\n.'",
    'cmdline = "# ; [ = +="',
    'cmdline = "ünïcode"',
    'cmdline = ""',
    'cmdline = "a"\ncmdline += "b" ; cmdline += "c"',
    'cmdline += "a"',
    'cmdline = "a"\ncmdline += "b"\ncmdline = "c"',
    "disk = []",
    "disk = [ ]",
    "disk = [\n\n]",
    'disk = ["/a,raw,xvda,w"]',
    'disk = ["/a,raw,xvda,w",]',
    'disk = [\n# one\n"/a,raw,xvda,w"\n# two\n,\n"/b,raw,xvdb,r"\n,\n]',
    'disk = ["/a,raw,xvda,w"]\ndisk += ["/b,raw,xvdb,r", "/c,,xvdc"]\ndisk += []',
    'disk += ["/a,raw,xvda,w"]',
    'vnuma = [["pnode=0", ["nested"]]]\nvnuma = []',
    "frobnicate.x_1 = 3",
    'root="/dev/xvda"',
    'extra="quiet"',
    'root="/dev/xvda"\nextra="quiet"',
    'root="/dev/xvda"\nextra="quiet"\ncmdline="other"',
]


@pytest.mark.parametrize("text", SYNTAX)
def test_what_both_take(xl, text):
    check_alike(xl, BASE + text)


NO_SYNTAX = [
    "memory",
    "memory =",
    "= 64",
    "memory 64",
    "memory = 64 vcpus = 2",
    "memory = 64M\n",
    "memory = -1",
    "memory = 1.5",
    "Memory = 64",
    "memory =\n64",
    "memory\n= 64",
    "memory += = 64",
    "memory - = 64",
    "name = a",
    'name = "a',
    "name = 'a\n'",
    'name = "a" "b"',
    'name = "a\\',
    'name = "\\q"',
    'name = "\\x41"',
    'name = "\\1"',
    "disk = [",
    "disk = ]",
    "disk = [,]",
    'disk = ["/a,raw,xvda,w" "/b,raw,xvdb,w"]',
    'disk = ["/a,raw,xvda,w",,]',
    'disk = ["/a,raw,xvda,w";]',
    'disk = ["/a,raw,xvda,w"]]',
    'disk = ["/a,raw,xvda,w"]\ndisk += "x"',
    'cmdline = "x"\ncmdline += ["y"]',
    'cmdline = ["x"]\ncmdline += "y"',
    "memory = 64\r\n",
    "memory = 64\f\n",
    "memory = 64 # no newline",
    "import os",
    "def f():\n",
    "disk = [ % ]",
    "$memory = 64",
    "vcpus = (2)",
]


@pytest.mark.parametrize("text", NO_SYNTAX)
def test_what_both_refuse(xl, text):
    assert ours(BASE + text) is None
    assert xl.create(BASE + text) is None


VALUES = [
    "memory=64\nmaxmem=128",
    "vcpus=2\nmaxvcpus=4",
    "maxvcpus=3",
    "vcpus=2\ncpus='0-3,^2'",
    "vcpus=2\ncpus='3'",
    "vcpus=2\ncpus='all'",
    "vcpus=2\ncpus='all,^1-2'",
    "vcpus=2\ncpus='node:1'",
    "vcpus=2\ncpus='nodes:0-1,^node:0,0'",
    "vcpus=2\ncpus='nodes:all,^ 3'",
    "vcpus=2\ncpus=', 1,, 3,'",
    "vcpus=2\ncpus='0-99'",
    "vcpus=2\ncpus=3",
    "vcpus=2\ncpus=[1,'2-3','0']",
    "vcpus=2\ncpus=['1']",
    "vcpus=2\ncpus_soft=[0,1]",
    "vcpus=4\ncpus='1,3'\ncpus_soft='^1,0,1'",
    "cpu_weight=1\ncap=100",
    "vcpus=2\ncap=200",
    "pool='Pool-0'",
    "type='pv'",
    "type='pvh'",
    "type='hvm'",
    "builder='generic'",
    "builder='hvm'",
    "builder='hvm'\ntype='hvm'",
    "type='hvm'\nserial='pty'",
    "type='hvm'\nserial=['pty','null']",
    "type='hvm'\nvif=['','type=vif','type=ioemu']",
    "type='hvm'\nkernel='/usr/lib/xen/boot/hvmloader'",
    "ramdisk='r'",
    "seclabel='a:b:c'",
    "init_seclabel='a:b:c'",
    "init_seclabel='a:b:c'\nseclabel='d:e:f'",
    "driver_domain=0",
    "driver_domain=2",
    "uuid='00112233-4455-6677-8899-aabbccddeeff'",
    "uuid='00112233-4455-6677-8899-AABBCCDDEEFF'",
    "max_grant_frames=0\nmax_maptrack_frames=7",
    "on_poweroff='preserve'\non_reboot='soft-reset'\non_watchdog='rename-restart'",
    "on_crash='coredump-destroy'\non_soft_reset='coredump-restart'",
    "bootloader='pygrub'\nvnc=1\nvfb=['vnc=1']",
]


@pytest.mark.parametrize("text", VALUES)
def test_values_that_both_take(xl, text):
    check_alike(xl, BASE + text)


NO_VALUES = [
    "type='xen'",
    "builder='linux'",
    "builder='hvm'\ntype='pv'",
    "uuid='1234'",
    "uuid='00112233445566778899aabbccddeeff'",
    "uuid='00112233-4455-6677-8899-aabbccddeefg'",
    "vcpus=4\nmaxvcpus=2",
    "vcpus=1\ncpus='x'",
    "vcpus=1\ncpus='^all'",
    "vcpus=1\ncpus='3-1'",
    "vcpus=1\ncpus='1-'",
    "vcpus=1\ncpus='1 '",
    "vcpus=1\ncpus=' ^1'",
    "vcpus=1\ncpus='node:'",
    "max_grant_frames=-1",
    "max_grant_frames='x'",
    "max_maptrack_frames=0x80000000",
    "on_poweroff='explode'",
    "on_crash='restart '",
    "on_reboot=''",
    "kernel=[]",
    "name=[]",
]


@pytest.mark.parametrize("text", NO_VALUES)
def test_values_that_both_refuse(xl, text):
    assert ours(BASE + text) is None
    assert xl.create(BASE + text) is None


def test_what_a_domain_needs(xl):
    for text in ('kernel="k"\n', 'name="a"\n', 'name="a"\ntype="pvh"\n'):
        assert ours(text) is None
        assert xl.create(text) is None
    check_alike(xl, 'name="a"\ntype="hvm"\n')
    check_alike(xl, 'name="a"\nbootloader="pygrub"\n')


# ---- Devices -----------------------------------------------------------------


def quote(text: str) -> str:
    letters = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
    return '"' + "".join(letters.get(letter, letter) for letter in text) + '"'


def with_list(key: str, specs: list[str]) -> str:
    return f"{BASE}{key}=[{','.join(map(quote, specs))}]\n"


def our_disk(spec: str) -> dict[str, Any]:
    return to_libxl(DomainSpec("a", disks=(parse_disk(Atom.of(spec), []),)), NODES)["disks"][0]


def our_vif(spec: str, devid: int) -> dict[str, Any]:
    vif = parse_vif(Atom.of(spec), VifSpec(devid), [])
    return to_libxl(DomainSpec("a", vifs=(vif,)), NODES)["nics"][0]


def check_disks(xl: Xl, specs: list[str]) -> None:
    theirs = xl.create(with_list("disk", specs))
    assert theirs is not None, specs
    for spec, disk in zip(specs, theirs["disks"], strict=True):
        assert our_disk(spec) == disk_facts(disk), spec


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
def test_disks_that_both_take(xl, spec):
    check_disks(xl, [spec])


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
def test_disks_that_both_refuse(xl, spec):
    with pytest.raises(UsageError):
        our_disk(spec)
    assert xl.create(with_list("disk", [spec])) is None


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


def test_vifs_that_both_take(xl):
    theirs = xl.create(with_list("vif", VIFS))
    assert theirs is not None
    for devid, (spec, nic) in enumerate(zip(VIFS, theirs["nics"], strict=True)):
        assert our_vif(spec, devid) == nic_facts(nic, "pv"), spec


@pytest.mark.parametrize(
    "rate",
    ["", "@20ms", "1MB", "MB/s", "1MB/s@", "1MB/s@0ms", "0MB/s", "1TB/s", "1M/s", "-1MB/s",
     "1MB/s@5000s", "4294967296B/s", "4294967295GB/s", "08MB/s", "1 MB/s"],
)  # fmt: skip
def test_rates_that_both_refuse(xl, rate):
    with pytest.raises(UsageError):
        our_vif(f"rate={rate}", 0)
    assert xl.create(with_list("vif", [f"rate={rate}"])) is None


def test_xl_drops_what_we_refuse(xl):
    """It prints a line about it and makes the device without."""
    for spec in ("mac=x", "type=pv", "frobnicate=1", "frobnicate"):
        with pytest.raises(UsageError):
            our_vif(spec, 0)
        assert xl.create(with_list("vif", [spec])) is not None
    for line in ("memory='x'", "memory=''", "memory+=1", "memory=['1']", "disk='/a,raw,xvda'"):
        assert ours(BASE + line) is None
        assert xl.create(BASE + line) is not None


def test_xl_drops_numeric_escapes(xl):
    text = BASE + r'cmdline="a\101b"'
    assert ours(text) is None
    theirs = xl.create(text)
    assert theirs
    assert theirs["b_info"]["cmdline"] == "ab"


# ---- Properties --------------------------------------------------------------

VDEVS = st.sampled_from(["xvda", "hdc", "sdb1", "d2p3", "51728"])
WORDS = st.text("abrw/:.-_ 1", max_size=6)
ACCESS = st.sampled_from(["", "r", "ro", "rw", "w", "x"])
FORMAT = st.sampled_from(["", "raw", "qcow", "qcow2", "vhd", "qed", "empty", "ext4"])
PREFIX = st.sampled_from(
    ["", "", "phy:", "file:", "tap:aio:", "raw:", "vhd:", "nbd:", "iscsi:", "tap2:", "x:", " "]
)
PIECES = st.one_of(
    VDEVS,
    FORMAT,
    ACCESS,
    WORDS,
    VDEVS.map("vdev={}".format),
    FORMAT.map("format={}".format),
    ACCESS.map("access={}".format),
    WORDS.map("backend={}".format),
    WORDS.map("script={}".format),
    VDEVS.map("{}:cdrom".format),
    st.sampled_from(["phy", "qdisk", "tap", "loop"]).map("backendtype={}".format),
    st.sampled_from(
        [
            "cdrom",
            "devtype=cdrom",
            "devtype=disk",
            "discard",
            "no-discard",
            "direct-io-safe",
            "colo",
            "specification=xen",
            "specification=virtio",
            "k=v",
        ]
    ),
)
TARGET = st.one_of(st.just(""), st.text("ab,=/ ", max_size=8).map("target={}".format))
ANY_ORDER = st.tuples(PREFIX, st.lists(PIECES, max_size=6), TARGET).map(
    lambda parts: parts[0] + ",".join([*parts[1], *([parts[2]] if parts[2] else [])])
)
BY_POSITION = st.tuples(PREFIX, WORDS, FORMAT, VDEVS, ACCESS, st.lists(PIECES, max_size=2)).map(
    lambda parts: parts[0] + ",".join([*parts[1:5], *parts[5]])
)
# Where we are stricter, xl refuses the disk when it makes it.
STRICTER = ("this disk has no target", "vdev is")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(ANY_ORDER, BY_POSITION), min_size=1, max_size=30))
def test_any_disks(xl, specs):
    taken, refused = [], None
    for spec in specs:
        try:
            our_disk(spec)
        except UsageError as error:
            if not any(words in str(error) for words in STRICTER):
                refused = spec
        else:
            taken.append(spec)
    if taken:
        check_disks(xl, taken)
    if refused is not None:
        assert xl.create(with_list("disk", [refused])) is None, refused


NUMBERS = st.sampled_from(["1", "20", "010", "0", "250", "4294967295", "99999999999"])
RATES = st.builds(
    "rate={}{}/s{}".format,
    NUMBERS,
    st.sampled_from(["GB", "MB", "KB", "B", "Gb", "Mb", "Kb", "b", "K"]),
    st.one_of(
        st.just(""), st.builds("@{}{}".format, NUMBERS, st.sampled_from(["ms", "us", "s", "m", ""]))
    ),
)
NAMES = ["bridge", "gatewaydev", "netdev", "ip", "script", "backend", "vifname", "model"]
TEXTS = st.builds("{}={}".format, st.sampled_from(NAMES), st.text("ab=/.:- 1", max_size=8))
BYTES = st.integers(0, 255).flatmap(lambda n: st.sampled_from([f"{n:x}", f"{n:02x}", f"{n:02X}"]))
MACS = st.lists(BYTES, min_size=6, max_size=6).map(lambda six: "mac=" + ":".join(six))
OTHERS = st.sampled_from(
    ["trusted", "untrusted", "type=vif", "devid=7", "mtu=68", "mtu=65521", "accel=x", "vlan=3"]
)
VIF = st.lists(st.one_of(TEXTS, MACS, RATES, OTHERS), max_size=5).map(",".join)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VIF, min_size=1, max_size=30))
def test_any_vifs(xl, specs):
    taken = []
    for spec in specs:
        try:
            our_vif(spec, 0)
        except UsageError:
            continue
        taken.append(spec)
    theirs = xl.create(with_list("vif", taken))
    assert theirs is not None, taken
    for devid, (spec, nic) in enumerate(zip(taken, theirs.get("nics", []), strict=True)):
        assert our_vif(spec, devid) == nic_facts(nic, "pv"), spec


TOKENS = st.sampled_from(
    ["name", "memory", "=", "+=", "[", "]", ",", ";", "\n", "# c\n", '"a"', "'b'", "1", "0x2", " ",
     '"\\n"', "a1", "=1", "=[", "1,", '="a"\n', "='\\\\'\n"]
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TOKENS, max_size=12).map("".join))
def test_any_syntax(xl, text):
    """Behind settings that make a whole of it, whatever was set."""
    last = '\nname="a"\nkernel="k"\nmemory=1\n'
    assert (ours(text + last) is None) == (xl.create(text + last) is None)
