"""The comparisons that come with the command, and each kind of contender once, for a moment."""

import os
import shutil
from contextlib import suppress
from dataclasses import replace

import pytest

from pvdrivers.testing.qemu import PROGRAM
from pvdrivers.tools.pvbench.compare import needs, scratch
from pvdrivers.tools.pvbench.compare.competitors import fio_log
from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.runner import catalogue
from pvdrivers.tools.pvbench.errors import BenchError

# What is promised; a row that comes new has its target in its own file alone.
TARGETS = {
    "disk-io-uring": (">=", 1.0),
    "guests-connect": ("<=", 1.1),
    "guests-fair": ("<=", 0.05),
    "guests-idle": (">=", 0.9),
    "guests-start": ("<=", 30),
    "idle-memory": ("<=", 65536),
    "latency-event": ("<=", 1.3),
    "latency-poll": ("<=", 1.5),
    "machine-frames": ("<=", 0.01),
    "machine-guest": ("<=", 1),
    "machine-memory": ("<=", 1.2),
    "machine-time": ("<=", 1.2),
    "net-dpdk-memif": (">=", 1.0),
    "net-dpdk-vhost": (">=", 0.5),
    "net-guests-idle": (">=", 0.9),
    "net-idle-memory": ("<=", 65536),
    "net-large": (">=", 0.6),
    "net-notifications": ("<=", 0.05),
    "net-ping-taps": ("<=", 2),
    "net-ping-veth": ("<=", 2),
    "net-small": (">=", 0.6),
    "net-tcp-taps": (">=", 0.8),
    "net-tx-ring": (">=", 0.5),
    "notifications": ("<=", 0.05),
    "null-ring": (">=", 0.5),
    "pvsim-time": ("<=", 1),
    "python-null": (">=", 0.1),
    "ram-mmap": (">=", 0.9),
    "ram-nbd": (">=", 12),
    "ram-qemu": (">=", 8),
    "scheduler-decisions": (">=", 1_000_000),
    "scsi-emulated": (">=", 20_000),
    "scsi-iscsi": (">=", 1.0),
    "scsi-memcpy": (">=", 0.7),
    "scsi-ring": (">=", 0.5),
    "scsi-vbd": (">=", 0.7),
    "sequential-memcpy": (">=", 0.8),
    "tmpfs-io-uring": (">=", 1.0),
    "two-queues": (">=", 1.6),
}


def measure(contender, setting):
    """For as long as a busy machine needs to do anything at all."""
    while True:
        with suppress(BenchError):
            measured = contender.measure(setting)
            if measured.value:
                return measured
        if setting.seconds > 10:
            pytest.fail(f"{contender.name} does nothing")
        setting = replace(setting, seconds=2 * setting.seconds)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    with scratch.setting(0.03, tmp_path_factory.mktemp("disk")) as made:
        yield made


def test_targets():
    rows = catalogue()
    assert {name: (rows[name].sense, rows[name].target) for name in TARGETS} == TARGETS
    assert rows["python-null"].floor == 400_000


def test_a_guest_of_a_tebibyte(setting):
    rows = catalogue()
    assert rows["machine-guest"].ours.measure(setting).value > 0
    frames = rows["machine-frames"]
    ours, dense = (contender.measure(setting) for contender in (frames.ours, frames.baseline))
    assert 0 < ours.value <= frames.target * dense.value


def test_the_disk_file_is_not_in_the_page_cache(tmp_path):
    with scratch.setting(1, tmp_path) as made:
        if not made.disk_file:
            pytest.skip("needs a folder on a disk")
        file = os.open(made.disk_file, os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                os.preadv(file, [bytearray(4096)], scratch.FILE_SIZE // 2, os.RWF_NOWAIT)
        finally:
            os.close(file)


@pytest.mark.parametrize("name", ["null-ring", "scsi-ring", "sequential-memcpy", "latency-poll"])
def test_bare_baselines(name, setting):
    measured = measure(catalogue()[name].baseline, setting)
    assert [ns for ns, _ in measured.latency] == sorted(ns for ns, _ in measured.latency)
    if name == "latency-poll":
        assert measured.value == {share: ns for ns, share in measured.latency}[50]


def test_bare_eventfd(setting):
    assert measure(catalogue()["latency-event"].baseline, setting).latency


@pytest.mark.parametrize("size", [0, 64, 1500])
def test_bare_network(size, setting):
    assert measure(bare("net", size), setting).value > 0
    assert measure(bare("net-tx", size), setting).value > 0
    measured = measure(bare("net-latency", size), setting)
    assert measured.value == {share: ns for ns, share in measured.latency}[50]


@pytest.mark.slow
def test_iscsi_targets(setting):
    comparison = catalogue()["scsi-iscsi"]
    if missing := needs.unmet(comparison, setting):
        pytest.skip(needs.sentence(*missing[0]))
    assert measure(comparison.ours, setting).value > 0
    assert measure(comparison.baseline, setting).value > 0


def test_a_tape(setting):
    assert measure(catalogue()["scsi-tape"].ours, setting).value > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ram-mmap", "tmpfs-io-uring", "disk-io-uring", "ram-nbd"])
def test_fio(name, setting):
    for program in ("fio", *(["nbdkit"] if name == "ram-nbd" else [])):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian package {program})")
    comparison = catalogue()[name]
    if missing := needs.unmet(comparison, setting):
        assert [need for need, _ in missing] == [needs.DISK]
        return
    measured = measure(comparison.baseline, setting)
    shares = [share for _, share in measured.latency]
    if name == "ram-mmap":  # one operation at a time, whose latency is no match for ours
        assert shares == []
    else:
        assert 50.0 in shares


def test_fio_flushes_behind_each_so_many_writes():
    lines = fio_log.operations(200, 4096, 64).splitlines()
    actions = [line.split()[1] for line in lines[3:-1]]
    assert actions == [*(["write"] * 64 + ["datasync"]) * 3, *["write"] * 8]
    places = [int(line.split()[2]) for line in lines if " write " in line]
    assert all(place % 4096 == 0 and 0 <= place < scratch.FILE_SIZE for place in places)
    assert len(set(places)) > 190


@pytest.mark.slow
def test_qemu(setting):
    if not PROGRAM.exists():
        pytest.skip(f"needs {PROGRAM.name} (Debian package qemu-system-xen)")
    assert measure(catalogue()["ram-qemu"].baseline, setting).latency


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["latency-event", "notifications", "python-null", "stages", "net-small", "net-latency"]
)
def test_ours(name, setting):
    ours = catalogue()[name].ours
    # No request need be notified of, ever.
    measured = ours.measure(setting) if name == "notifications" else measure(ours, setting)
    if name == "stages":
        assert sum(measured.stages.values()) == pytest.approx(measured.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net-tcp-taps", "net-ping-taps", "net-ping-veth"])
def test_both_ways_between_two_stacks(name, setting):
    comparison = catalogue()[name]
    if missing := needs.unmet(comparison, setting):
        pytest.skip(needs.sentence(*missing[0]))
    with comparison.around(setting):
        assert measure(comparison.ours, setting).value > 0
        assert measure(comparison.baseline, setting).value > 0


def test_absent_programs_are_named(setting, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(needs, "QEMU", tmp_path / "qemu")
    rows = catalogue()
    for name, packages in {
        "disk-io-uring": {"fio"},
        "net-dpdk-memif": {"dpdk-dev"},
        "net-tcp-veth": {"iperf3", "iputils-ping", "util-linux"},
        "null-ring": set(),
        "ram-mmap": {"fio"},
        "ram-nbd": {"fio", "nbdkit"},
        "ram-qemu": {"qemu-system-xen"},
        "tmpfs-io-uring": {"fio"},
    }.items():
        assert {need.package for need, _ in needs.unmet(rows[name], setting)} - {None} == packages


def test_rows_that_want_two_processors_are_not_measured_on_one(setting, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    apart = {"null-ring", "latency-poll", "latency-event", "two-queues", "net-small", "net-large"}
    apart |= {"net-notifications", "net-tx-ring", "net-guests-idle", "net-idle-memory"}
    apart |= {"net-dpdk-memif", "net-dpdk-vhost", "scsi-ring"}
    rows = catalogue()
    for name in TARGETS:
        unmet = [need for need, _ in needs.unmet(rows[name], setting)]
        wanted = name in apart or name.startswith("guests-")
        assert (needs.TWO_PROCESSORS in unmet) == wanted


MOUNTS = r"""/dev/vda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/vdb /tmp/my\040disk xfs rw 0 0
tmpfs /var tmpfs rw 0 0
/dev/vdc /var btrfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/tmpfile", "ext4"),
        ("/tmp/a", "tmpfs"),
        ("/tmp/my disk/a", "xfs"),
        ("/var/tmp", "btrfs"),
    ],
)
def test_what_holds_a_folder(folder, kind):
    assert scratch.file_system(scratch.Path(folder), MOUNTS) == kind
