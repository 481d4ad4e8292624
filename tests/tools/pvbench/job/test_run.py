"""Whole benchmarks: two halves on a simulated machine, with every byte checked."""

import os
import shutil
import signal
import subprocess

import pytest

from pvdrivers.ring.abi import Abi
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.fio.image import copy_start, image_size, make_image
from pvdrivers.tools.pvbench.fio.job import StoreSpec
from pvdrivers.tools.pvbench.fio.suite import suite
from pvdrivers.tools.pvbench.job import run as bench
from pvdrivers.tools.pvbench.vbd import halves
from pvdrivers.tools.pvbench.vbd.job import VbdJob
from pvdrivers.tools.pvbench.vbd.options import VbdOptions

MIB = 1 << 20


def ram_job(**options) -> VbdJob:
    values = {"name": "test", "rw": "randrw", "options": {}, "iodepth": 16, "verify": True}
    return VbdJob(store=StoreSpec("ram", 4 * MIB), **(values | options))


def check(job: VbdJob, processes: bool = False):
    (result,) = bench.run_together(halves.open_halves, [job], processes)
    front = result.front
    assert front.failure is None
    assert front.verify_errors == 0
    assert front.front["violations"] == front.front["errors"] == 0
    assert not result.back.errors
    if job.verify and not job.trims:
        assert front.verified > 0
    return result


@pytest.mark.slow
@pytest.mark.parametrize("abi", Abi)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"persistent": False, "indirect": 0, "mode": "event"},
        {"trusted": False, "ring_page_order": 2, "iodepth": 64, "mode": "poll"},
        {"bs": 256 * 1024, "indirect": 0, "queues": 2},
        {"bs": 512 * 1024, "queues": 3, "numjobs": 2, "persistent": False},
        {"granted_memory": True, "bs": 64 * 1024},
        {"rw": "randwrite", "fsync": 4},
    ],
    ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items()) or "default",
)
def test_content_is_right(abi, options):
    check(ram_job(abi=abi, **options))


def test_front_and_back_in_processes():
    result = check(ram_job(numjobs=2, queues=2), processes=True)
    assert sum(d.ios for d in result.front.directions) == 2 * 4 * MIB // 4096
    assert result.back.stats["responses"] >= result.front.front["responses"]


def test_null_and_trim():
    store = StoreSpec("null", 1 << 40)
    sizes = {"bs": 512, "iodepth": 32, "size": 8 * MIB}
    result = check(VbdJob(name="null", rw="read", store=store, options={}, **sizes))
    assert result.front.directions[0].ios == 8 * MIB // 512
    result = check(ram_job(rw="trim", bs=64 * 1024, verify=False))
    assert result.front.directions[2].ios == 64
    assert result.front.front["ds_sect"] == 4 * MIB // 512


def test_a_run_takes_its_time():
    job = ram_job(rw="randread", time_based=True, runtime_ns=100_000_000, ramp_ns=10_000_000)
    assert check(job).front.elapsed_ns >= job.runtime_ns


def test_samples(monkeypatch):
    """One at every look but the first, until reads are seen in the run."""
    monkeypatch.setattr(bench, "SAMPLE_INTERVAL", 0)
    job = ram_job(rw="randread", time_based=True, runtime_ns=60 * 10**9)
    reads = []
    with halves.open_halves(job, processes=False) as (front, back):

        def watch(job, progress, seconds):
            if progress.phase == "run":
                reads.append(progress.ios[0])
                if reads[-1] > reads[0]:
                    front.stop()

        bench.connect(front, back)
        running = bench.Running(job, front, back)
        (result,) = bench.drive([running], bench.Observer(watch))
    assert sum(sample.iops[0][0] for sample in result.samples) > 0
    assert all(sample.iops[0][1] == 0 for sample in result.samples)


@pytest.mark.slow
def test_a_killed_backend_is_an_error():
    job = ram_job(time_based=True, runtime_ns=60 * 10**9)
    with halves.open_halves(job, processes=True) as (front, back):
        bench.connect(front, back)

        def kill(*_):
            os.kill(back.pid, signal.SIGKILL)

        with pytest.raises(BenchError, match="back process has died"):
            bench.drive([bench.Running(job, front, back)], bench.Observer(kill))


# ---- images


@pytest.fixture
def image(tmp_path):
    if not shutil.which("mke2fs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
        pytest.skip("needs mke2fs (Debian package e2fsprogs)")
    path = tmp_path / "image"
    assert make_image(path, 32 * MIB) == "ext4"
    return path


def fsck(path):
    command = ["/sbin/e2fsck", "-fn", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_reading_an_image(image):
    options = VbdOptions(rw="randread", filename=image, verify="crc32c", iodepth=8)
    result = check(options.job())
    assert result.front.verified == image_size(image, False) // 4096
    assert fsck(image) == 0


def test_a_wrong_image_is_found(image, monkeypatch):
    """The file the content is compared with is not the one behind the ring."""
    job = VbdOptions(rw="read", filename=image, verify="crc32c").job()
    other = image.with_name("other")
    shutil.copy(image, other)
    with other.open("r+b") as file:
        file.seek(3 * MIB + 5)
        file.write(b"\xff\x00\xff")
    opened = halves.Back

    def open_other(machine, domid, peer, job, xenstore):
        from msgspec.structs import replace

        changed = replace(job, store=replace(job.store, path=str(other)))
        return opened(machine, domid, peer, changed, xenstore)

    monkeypatch.setattr(halves, "Back", open_other)
    (result,) = bench.run_together(halves.open_halves, [job], processes=False)
    front = result.front
    assert front.verify_errors == 1
    assert f"offset {3 * MIB}" in front.mismatch


@pytest.mark.slow
def test_the_suite_leaves_the_user_s_image_alone(image):
    before = image.read_bytes()
    with suite(VbdOptions(filename=image, runtime="20ms"), image, made=False) as jobs:
        assert len(jobs) > 5
        for (job,) in jobs:
            assert job.store.read_only == (not job.writes and not job.trims) or not job.store.path
            check(job)
    assert image.read_bytes() == before


def test_an_image_without_mke2fs(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert make_image(tmp_path / "image", 2 * MIB) == "random bytes"
    data = (tmp_path / "image").read_bytes()
    assert len(data) == 2 * MIB
    assert len(set(data[:4096])) > 200
    copy_start(tmp_path / "image", tmp_path / "copy", MIB + 512)
    assert (tmp_path / "copy").read_bytes() == data[: MIB + 512]


def test_each_process_stays_on_its_processor():
    """With every thread it has, those of libraries too."""
    cpus = sorted(os.sched_getaffinity(0))
    job = ram_job(cpus=(cpus[-1], cpus[0]), verify=False, time_based=True, runtime_ns=60 * 10**9)
    with halves.open_halves(job, processes=True) as (front, back):
        bench.connect(front, back)
        front.start()
        front.go()
        for half, cpu in ((front, cpus[-1]), (back, cpus[0])):
            threads = [int(thread) for thread in os.listdir(f"/proc/{half.pid}/task")]
            assert len(threads) >= 3
            assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {
                frozenset({cpu})
            }
        front.stop()
