"""What `pvbench vnif` is asked for, and what it answers to what cannot be."""

import pytest

from pvdrivers.ring.abi import Abi
from pvdrivers.tools.pvbench.__main__ import VNIF, Parser, run
from pvdrivers.tools.pvbench.job.command_line import read_command_line
from pvdrivers.tools.pvbench.vnif.run_options import VnifRunOptions


def jobs_of(*words):
    line, _ = read_command_line(words, VNIF.options)
    with VNIF.batches(line, VnifRunOptions(), Parser(VNIF).options) as batches:
        return [job for batch in batches for job in batch]


def job_of(*words):
    (job,) = jobs_of(*words)
    return job


@pytest.mark.parametrize(
    ("words", "uplink", "guests"),
    [
        (["--direction=tx"], "null", 1),
        (["--direction=rx"], "null", 1),
        (["--direction=both"], "switch", 2),
        (["--requests=4"], "switch", 2),
        (["--requests=4", "--uplink=hairpin"], "hairpin", 1),
        (["--direction=tx", "--uplink=switch"], "switch", 2),
    ],
)
def test_uplinks_follow_from_what_is_done(words, uplink, guests):
    job = job_of(*words)
    assert job.uplink == uplink
    assert len(job.roles) == guests


def test_defaults():
    job = job_of("--direction=tx")
    assert (job.name, job.frame_size, job.runtime_ns) == ("tx 64", 64, 1_000_000_000)
    assert (job.queues, job.mode, job.abi, job.rate) == (1, "hybrid", Abi.X86_64, 0)


def test_a_profile_has_an_abi():
    assert job_of("--direction=tx", "--profile=ia64").abi == Abi.IA64
    assert job_of("--direction=tx", "--profile=ia64", "--abi=x86_64").abi == Abi.X86_64


def test_without_a_direction_a_set_of_workloads_runs():
    jobs = jobs_of("--queues=2", "--runtime=3")
    assert {(job.direction, job.uplink) for job in jobs} >= {
        ("tx", "null"),
        ("rx", "null"),
        ("tx", "switch"),
        ("both", "switch"),
    }
    assert any(job.requests for job in jobs)
    assert all((job.queues, job.runtime_ns) == (2, 3_000_000_000) for job in jobs)


def test_jobs_are_named():
    a, b = jobs_of("--frame-size=1k", "--name=a", "--direction=tx", "--name=b", "--direction=rx")
    assert (a.name, a.direction, a.frame_size) == ("a", "tx", 1024)
    assert (b.name, b.direction, b.frame_size) == ("b", "rx", 1024)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--frame-size=59", "--frame_size: 59 is not between 60 and 65535"),
        ("--frame-size=64k", "--frame_size: 65536 is not between 60 and 65535"),
        ("--batch=257", "--batch: 257 is not between 1 and 256"),
        ("--rate=-1", "--rate: -1 is not between 0 and"),
        ("--direction=up", "up"),
        ("--uplink=null --requests=1 --direction=both", "--requests needs answers: --direction"),
        ("--requests=1 --direction=tx", "--requests needs answers: --direction=both"),
        ("--uplink=hairpin", "a hairpin gives back what is sent; write both"),
        ("--rw=read", "--rw is no option"),
        ("--output-format=terse", "--output_format: 'terse' is none of normal, json"),
        ("--cpus=0,0", "--cpus needs --processes"),
    ],
)
def test_what_cannot_be_is_one_sentence(capfd, words, sentence):
    given = words.split()
    if not any(word.startswith("--direction") for word in given):
        given.append("--direction=rx")
    assert run(["vnif", *given]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


def test_what_the_set_chooses_needs_a_direction(capfd):
    assert run(["vnif", "--frame-size=1514"]) == 2
    assert "--frame_size needs --direction, which is one of tx, rx, both" in capfd.readouterr().err
