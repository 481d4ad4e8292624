"""Whole benchmarks of SCSI disks, with every block checked, and of tapes."""

import json
import random

import pytest

from pvdrivers.backends.targets.tape.image import Position, TapeImage
from pvdrivers.ring.abi import Abi
from pvdrivers.tools.pvbench.__main__ import run
from pvdrivers.tools.pvbench.fio.costs import per_request
from pvdrivers.tools.pvbench.fio.job import StoreSpec
from pvdrivers.tools.pvbench.job.run import run_together
from pvdrivers.tools.pvbench.scsi.halves import open_halves
from pvdrivers.tools.pvbench.scsi.job import ScsiJob
from pvdrivers.tools.pvbench.scsi.options import ScsiOptions

MIB = 1 << 20


def ram_job(**options):
    values = {"name": "test", "rw": "randrw", "options": {}, "iodepth": 16, "verify": True}
    return ScsiJob(store=StoreSpec("ram", 4 * MIB), **(values | options))


def check(job, processes=False):
    (result,) = run_together(open_halves, [job], processes)
    front = result.front
    assert front.failure is None
    assert front.verify_errors == 0
    assert front.front["violations"] == 0
    assert not result.back.errors
    if job.verify:
        assert front.verified > 0
    return result


@pytest.mark.parametrize("mode", ["poll", "hybrid", "event"])
def test_content_is_right(mode):
    result = check(ram_job(mode=mode))
    assert sum(d.ios for d in result.front.directions) == 4 * MIB // 4096


@pytest.mark.parametrize(
    "options",
    [
        {"abi": Abi.IA64, "bs": 64 * 1024},
        {"bs": 512 * 1024},
        {"bs": 104 * 1024, "segments": 0, "iodepth": 64},
        {"bs": 64 * 1024, "granted_memory": True},
        {"numjobs": 3},
    ],
    ids=lambda options: ",".join(f"{name}={value}" for name, value in options.items()),
)
def test_devices_of_all_kinds(options):
    check(ram_job(**options))


def test_front_and_back_in_processes():
    result = check(ram_job(numjobs=2), processes=True)
    assert result.back.stats["responses"] >= result.front.front["responses"]


def test_reads_and_writes_pass_the_disk_s_thread_by():
    """Only what an initiator is told once, that the disk is new to it, comes from there."""
    result = check(ram_job(rw="randwrite", fsync=4, verify=False))
    writes = 4 * MIB // 4096
    assert result.front.directions[1].ios == writes
    assert result.front.syncs == writes // 4 - 1  # none after the last write
    assert result.back.stats["emulated"] <= 16
    assert result.back.stats["wr_req"] + result.back.stats["f_req"] >= writes + writes // 4 - 17
    assert per_request(result)["grant_copies"] >= 0.75


def test_trim_unmaps():
    result = check(ram_job(rw="trim", bs=64 * 1024, verify=False))
    assert result.front.directions[2].ios == 64
    assert result.back.stats["emulated"] >= 64


def test_commands_without_blocks():
    """TEST UNIT READY is answered by the ring's thread, MODE SENSE by the disk's."""
    result = check(ScsiOptions(rw="read", command="tur", store="null", size="1m").job())
    assert result.front.directions[0].ios == 256
    assert result.front.directions[0].bytes == 0
    assert result.back.stats["tur_req"] >= 256
    assert result.back.stats["rd_req"] == 0
    result = check(ScsiOptions(rw="read", command="mode-sense", store="null", size="1m").job())
    assert result.front.directions[0].ios == 256
    assert result.back.stats["emulated"] >= 256


def test_a_tape_is_written_from_its_start_again(tmp_path):
    """Twice as much as it has: what is there is of the second time."""
    path = tmp_path / "tape.tap"
    options = {"bs": "64k", "size": "512k", "io_size": "768k", "iodepth": 4}
    result = check(ScsiOptions(rw="write", unit="tape", filename=path, **options).job())
    assert result.front.directions[1].bytes == 768 << 10
    tape, position, lengths = TapeImage.open(path), Position(), []
    while found := tape.after(position):
        lengths.append(found.length)
        position = found.end
    assert lengths == [64 << 10] * 4
    tape.close()


def test_an_image_is_what_the_guest_reads(tmp_path):
    image, before = tmp_path / "image", random.Random(1).randbytes(4 * MIB)
    image.write_bytes(before)
    result = check(ScsiOptions(rw="randread", filename=image, verify="crc32c", iodepth=8).job())
    assert result.front.verified == 4 * MIB // 4096
    assert image.read_bytes() == before
    check(ScsiOptions(rw="randwrite", filename=image, verify="crc32c", size="1m").job())
    assert image.read_bytes()[MIB:] == before[MIB:]


def test_a_wrong_image_is_found(tmp_path, monkeypatch):
    """The file the content is compared with is not the one behind the ring."""
    image, other = tmp_path / "image", tmp_path / "other"
    image.write_bytes(bytes(4 * MIB))
    other.write_bytes(bytes(3 * MIB + 5) + b"\xff" + bytes(MIB - 6))
    monkeypatch.setattr(
        "pvdrivers.tools.pvbench.fio.workload.open", lambda _, mode: other.open(mode), raising=False
    )
    job = ScsiOptions(rw="read", filename=image, verify="crc32c").job()
    (result,) = run_together(open_halves, [job], False)
    assert result.front.verify_errors == 1
    assert f"offset {3 * MIB}" in result.front.mismatch


def test_a_report(capfd):
    words = "--rw=randrw --size=1m --iodepth=4 --fsync=8 --output-format=json,normal"
    assert run(["scsi", *words.split()]) == 0
    text, _, table = capfd.readouterr().out.partition("\n}\n")
    (job,) = json.loads(text + "}")["jobs"]
    assert job["read"]["total_ios"] + job["write"]["total_ios"] == 256
    assert job["sync"]["total_ios"] > 0
    assert job["pvbench"]["per_request"]["hypercalls"] > 0
    assert job["pvbench"]["segments"] == 128
    for part in ("Latency and throughput", "Per request", "flush"):
        assert part in table


@pytest.mark.slow
def test_the_set_of_workloads(tmp_path, capfd):
    words = f"--make-image={tmp_path / 'image'} --runtime=20ms --output-format=json"
    assert run(["scsi", *words.split()]) == 0
    jobs = json.loads(capfd.readouterr().out)["jobs"]
    names = [job["jobname"] for job in jobs]
    assert names[0] == "image randread 4k"
    assert names[-1] == "null randread 512"
    assert all(sum(job[d]["total_ios"] for d in ("read", "write", "trim")) for job in jobs)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--queues=2", "--queues: 2 is not between 1 and 1"),
        ("--segments=5", "--segments: 5: sg_grant is 0 or 26 to 4096"),
        ("--segments=4097", "--segments: 4097 is not between 0 and 4096"),
        ("--bs=1m", "a command transfers at most 524288 bytes with --segments=128, not 1048576"),
        ("--bs=128k --segments=0", "a command transfers at most 106496 bytes"),
        ("--store=python", "python"),
        ("--persistent", "--persistent is no option"),
        ("--store=null --verify=crc32c", "the null store keeps nothing"),
        ("--command=tur --verify=crc32c", "--command=tur goes with --rw=read, and without"),
        ("--unit=tape", "--unit=tape: its --rw is write, not read"),
    ],
)
def test_what_cannot_be_is_one_sentence(capfd, words, sentence):
    assert run(["scsi", "--rw=read", *words.split()]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "--unit=tape needs --filename"),
        ("--filename=/dev/null --store=ram", "--unit=tape: --store=ram is for disks"),
        ("--filename=/dev/null --verify=crc32c", "without --verify, --offset"),
        ("--filename=/dev/null", "not a regular file"),
        ("--filename=/nowhere/tape.tap", "No such file or directory"),
    ],
)
def test_what_no_tape_can_be_is_one_sentence(capfd, words, sentence):
    assert run(["scsi", "--unit=tape", "--rw=write", *words.split()]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err
