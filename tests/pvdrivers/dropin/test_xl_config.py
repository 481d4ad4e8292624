"""A configuration file is for us what it is for Debian's xl, which prints it as JSON."""

from pathlib import Path

import pytest

from .xl_facts import BASE, check_alike, ours

CORPUS = Path(__file__).parents[2] / "fuzz/corpus/xl_config"
CONFIGS = [path for path in sorted(CORPUS.glob("*.cfg")) if path.stem != "scsi"]  # xl has no vscsi


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_whole_files(dry_run_xl, path):
    check_alike(dry_run_xl, path.read_text())


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
def test_what_both_take(dry_run_xl, text):
    check_alike(dry_run_xl, BASE + text)


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
def test_what_both_refuse(dry_run_xl, text):
    assert ours(BASE + text) is None
    assert dry_run_xl.create(BASE + text) is None


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
def test_values_that_both_take(dry_run_xl, text):
    check_alike(dry_run_xl, BASE + text)


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
def test_values_that_both_refuse(dry_run_xl, text):
    assert ours(BASE + text) is None
    assert dry_run_xl.create(BASE + text) is None


def test_what_a_domain_needs(dry_run_xl):
    for text in ('kernel="k"\n', 'name="a"\n', 'name="a"\ntype="pvh"\n'):
        assert ours(text) is None
        assert dry_run_xl.create(text) is None
    check_alike(dry_run_xl, 'name="a"\ntype="hvm"\n')
    check_alike(dry_run_xl, 'name="a"\nbootloader="pygrub"\n')


def test_xl_drops_what_we_refuse(dry_run_xl):
    """It prints a line about it, and goes on without the key."""
    for line in ("memory='x'", "memory=''", "memory+=1", "memory=['1']", "disk='/a,raw,xvda'"):
        assert ours(BASE + line) is None
        assert dry_run_xl.create(BASE + line) is not None


def test_xl_drops_numeric_escapes(dry_run_xl):
    text = BASE + r'cmdline="a\101b"'
    assert ours(text) is None
    theirs = dry_run_xl.create(text)
    assert theirs
    assert theirs["b_info"]["cmdline"] == "ab"
