"""The JSON report against fio's own."""

import json
import shutil
import subprocess

import pytest

from pvdrivers.tools.pvbench.__main__ import run

OPTIONS = ("--name=x", "--rw=randrw", "--bs=4k", "--size=1m", "--iodepth=4")


@pytest.fixture(scope="module")
def fio_report():
    if not shutil.which("fio"):
        pytest.skip("needs fio (Debian package fio)")
    command = ["fio", "--ioengine=null", "--output-format=json", *OPTIONS]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.fixture
def our_report(capsys):
    assert run(["vbd", *OPTIONS, "--output-format=json"]) == 0
    return json.loads(capsys.readouterr().out)


def shape(value, path=""):
    """(path, type) of every value; of a list, its first element's."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from shape(below, f"{path}/{key}")
    elif isinstance(value, list):
        for below in value[:1]:
            yield from shape(below, f"{path}[]")
    else:
        yield path, type(value)


def test_every_key_of_fio_is_there_with_its_type(fio_report, our_report):
    ours = dict(shape(our_report))
    # These two name what was on the command line, which is not the same.
    theirs = {path: kind for path, kind in shape(fio_report) if " options/" not in path}
    assert {path: ours.get(path) for path in theirs} == theirs


def test_the_numbers_fit_together(our_report):
    job = our_report["jobs"][0]
    for direction in (job["read"], job["write"]):
        assert direction["io_bytes"] == direction["total_ios"] * 4096
        assert direction["clat_ns"]["N"] == direction["total_ios"]
        clat = direction["clat_ns"]
        percentiles = list(clat["percentile"].values())
        assert percentiles == sorted(percentiles)
        assert clat["min"] <= percentiles[0] <= percentiles[-1] <= clat["max"]
        assert direction["lat_ns"]["mean"] >= clat["mean"]
    assert job["read"]["total_ios"] + job["write"]["total_ios"] == 256
    shares = [job["latency_ns"], job["latency_us"], job["latency_ms"]]
    assert sum(sum(table.values()) for table in shares) == pytest.approx(100)
    assert sum(job["iodepth_level"].values()) == pytest.approx(100)
    assert job["job options"]["rw"] == "randrw"
    cost = job["pvbench"]["per_request"]
    assert cost["front_bytes_copied"] == 4096
    published = cost["front_notifications_sent"] + cost["front_notifications_suppressed"]
    assert 0 < published <= 1
    assert cost["hypercalls"] < 3  # none when neither side has slept
