"""A whole file: defaults, what is wrong, what is told. What xl takes: tests/pvdrivers/dropin."""

from pathlib import Path
from uuid import UUID

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.toolstack.xl_config.domain import ActionSpec, CpuSpec, DomainSpec, LimitSpec
from pvdrivers.toolstack.xl_config.reader import MAX_SIZE, parse_config, read_config
from pvdrivers.toolstack.xl_config.text import ConfigError

BASE = 'name = "a"\nkernel = "k"\n'


def spec(text: str, base: str = BASE) -> DomainSpec:
    return parse_config((base + text).encode(), "f")


def test_defaults() -> None:
    assert spec("") == DomainSpec("a", kernel="k")
    found = spec("memory = 64\nvcpus = 2\n")
    assert (found.maxmem, found.maxvcpus) == (64, 2)
    assert (found.cpu.weight, found.cpu.cap) == (256, 0)
    assert found.on == ActionSpec("destroy", "restart", "destroy", "destroy", "soft-reset")


def test_values() -> None:
    found = spec(
        'uuid = "6f0a2f1c-3b1d-4f7e-9a52-0d2b5c8e4a10"; type = "pvh"\n'
        "memory = 0x40; maxmem = 0200; vcpus = 1; maxvcpus = 3\n"
        "cpu_weight = 512; cap = 150; pool = 'fast'\n"
        "on_crash = 'preserve'; seclabel = 'x:y:z'; driver_domain = 1\n"
        "max_event_channels = 100; max_grant_version = 1\n"
    )
    assert found == DomainSpec(
        "a",
        UUID("6f0a2f1c-3b1d-4f7e-9a52-0d2b5c8e4a10"),
        "pvh",
        64,
        128,
        1,
        3,
        CpuSpec(512, 150, "fast"),
        kernel="k",
        on=ActionSpec(crash="preserve"),
        seclabel="x:y:z",
        init_seclabel="x:y:z",
        driver_domain=True,
        limits=LimitSpec(grant_version=1, event_channels=100),
    )


def test_cpus_of_each_vcpu() -> None:
    found = spec("vcpus = 2\ncpus = '1'\ncpus_soft = [2, 3, 4]").cpu
    assert [cpus.on([range(8)]) for cpus in found.hard] == [(1,), (1,)]
    assert [cpus.on([range(8)]) for cpus in found.soft] == [(2,), (3,)]


def test_devices() -> None:
    found = spec("type='hvm'\ndisk = ['/a,,xvda', ',hdc:cdrom']\nvif = ['', 'devid=5']")
    assert [disk.vdev for disk in found.disks] == ["xvda", "hdc"]
    assert [(vif.devid, vif.kind) for vif in found.vifs] == [(0, "ioemu"), (5, "ioemu")]
    (host,) = spec("vscsi = ['1:0:0:0,0:0:0:0']").scsi_hosts
    assert host.devid == 0


def test_what_is_not_used_or_not_known_is_told_in_order() -> None:
    found = spec(
        "bootloader = 'pygrub'\ncmdline = 'x'\nroot = '/dev/xvda'\nmemroy = 3\nxyzzy = 1\n"
        "serial = 'pty'\ndisk = ['/a,,xvda,w,colo']\n"
    )
    assert found.notes == (
        "f:3:1: bootloader is not used here",
        "f:5:1: root has no effect beside cmdline",
        "f:6:1: memroy is no key that xl knows, and has no effect: did you mean memory?",
        "f:7:1: xyzzy is no key that xl knows, and has no effect",
        "f:8:1: serial has no effect for a guest of type pv, whose console is a PV one",
        "f:9:21: colo of a disk is not used here",
    )
    assert found.memory == 32
    hvm = spec("type = 'hvm'\nkernel = '/usr/lib/xen/boot/hvmloader'\n")
    assert not hvm.kernel
    assert hvm.notes == (
        "f:4:1: kernel is hvmloader, which an HVM guest has anyhow, and has no effect",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ''", "3:9: a domain's name has at least one character, no control characters"),
        ("name = 'a/b'", "3:9: a domain's name has at least one character, no control characters"),
        ("uuid = 'x'", "3:9: uuid is 'x', one such as 6f0a2f1c-3b1d-4f7e-9a52-0d2b5c8e4a10 can be"),
        ("type = 'xen'", "3:9: type is 'xen', pv, pvh, hvm can be"),
        ("builder = 'x'", "3:12: builder is 'x', generic, hvm can be"),
        ("builder = 'hvm'; type = 'pv'", "3:12: builder is hvm and type is pv: leave builder out"),
        ("memory = 0", "3:10: memory is '0', a number from 1 to 67108864 can be"),
        ("memory = '64M'", "3:11: memory is '64M', a number from 1 to"),
        ("memory = 1x", "3:10: memory is '1x', a number from 1 to"),
        ("memory += 1", "3:1: memory is a number, to which += cannot add"),
        ("memory = [1]", "3:10: memory is a list, one string or number can be"),
        ("memory = 8; maxmem = 4", "3:22: maxmem is 4, memory, which is 8, or more can be"),
        ("vcpus = 129", "3:9: vcpus is '129', a number from 1 to 128 can be"),
        ("vcpus = 3; maxvcpus = 2", "3:23: maxvcpus is 2, vcpus, which is 3, or more can be"),
        ("cpu_weight = 65536", "3:14: cpu_weight is '65536', a number from 1 to 65535 can be"),
        ("vcpus = 2; cap = 201", "3:18: cap is '201', a number from 0 to 200 can be"),
        ("cpus = '0,x'", "3:11: found 'x': there are CPUs"),
        ("on_crash = 'explode'", "3:13: on_crash is 'explode', destroy, restart, rename-restart, "
                                 "preserve, coredump-destroy, coredump-restart, soft-reset can be"),
        ("disk = '/a,,xvda'", "3:9: disk is one value, a list in [] can be"),
        ("disk = [['/a,,xvda']]", "3:9: disk has a list in it, strings can be"),
        ("disk = ['/a,,xvda', '/b,,d0']", "3:22: two disks are xvda: each needs a vdev of its own"),
        ("vif = ['devid=1', '']", "3:20: two vifs have devid 1"),
        ("vif = ['type=ioemu']", "3:9: type is ioemu, which a guest of type pv cannot have"),
        ("type = 'hvm'; kernel = 'hvmloader'; extra = 'x'", "3:46: extra of an HVM guest needs a"),
        ("driver_domain = 'yes'", "3:18: driver_domain is 'yes', a number from -"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec(text)
    assert str(error.value).startswith(f"f:{message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kernel = 'k'", 'f:1:1: the domain has no name: add a line name = "NAME"'),
        ("name = 'a'", 'f:1:1: a guest of type pv needs a line kernel = "FILE"'),
    ],
)
def test_what_is_missing_is_said(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec(text, "")
    assert str(error.value) == message


def test_a_file_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    path.write_text(BASE + "memory = x\n")
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert str(error.value).startswith(f"{path}:3:10: found the name x, expected")


def test_a_file_that_is_no_configuration_is_not_read_to_its_end() -> None:
    with pytest.raises(
        UsageError, match=f"/dev/zero: a configuration has at most {MAX_SIZE} bytes"
    ):
        read_config(Path("/dev/zero"))
