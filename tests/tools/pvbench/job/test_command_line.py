"""What the command line answers to mistakes, and what it prints."""

import json
import subprocess
import sys

import pytest

from pvdrivers.tools.pvbench.__main__ import run
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.units import parse_size, parse_time


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        "nope",
        "vbd --nonsense",
        "vbd stray",
        "vbd --rw=sideways",
        "vbd --iodepth=deep --rw=read",
        "vbd --iodepth=0 --rw=read",
        "vbd --rw=read --queues=65",
        "vbd --rw=read --ring-page-order=5",
        "vbd --rw=read --bs=1000",
        "vbd --rw=read --bs=0",
        "vbd --rw=read --bs=4x",
        "vbd --rw=read --size=1k --bs=4k",
        "vbd --rw=read --offset=1",
        "vbd --rw=read --runtime=soon",
        "vbd --rw=read --time_based",
        "vbd --rw=read --verify=md5",
        "vbd --rw=read --store=null --verify=crc32c",
        "vbd --rw=read --store=file",
        "vbd --rw=read --store=ram --filename=/dev/null",
        "vbd --rw=read --mem=granted --no-persistent",
        "vbd --rw=read --abi=sparc",
        "vbd --bs=4k",
        "vbd --rw=read --direct=1",
        "vbd --rw=read --runtime=1 --section=a",
        "vbd --rw=write --readonly",
        "vbd --rw=read --bs",
        "vbd --rw=read --bssplit=4k/60",
        "vbd --rw=read --bssplit=4k/60:8k/50",
        "vbd --rw=read --bssplit=4k/x",
        "vbd --rw=read --bsrange=8k-4k",
        "vbd --rw=read --bsrange=8k",
        "vbd --rw=read --bs=4k,8k --verify=crc32c",
        "vbd --rw=randread --random_distribution=zipf:1",
        "vbd --rw=randread --random_distribution=pareto:1",
        "vbd --rw=randread --random_distribution=normal:5",
        "vbd --rw=read --percentile_list=50:200",
        "vbd --rw=read --percentile_list=half",
        "vbd --rw=read --rate=fast",
        "vbd --rw=read --loops=0",
        "vbd --rw=read --kb_base=1001",
        "vbd --rw=read --status-interval=0",
        "vbd --rw=read --output-format=xml",
        "vbd --rw=read --buffered=1",
        "vbd nothing.fio",
        "vbd --rw=read --cpus=0,0",
        "vbd --rw=read --processes --cpus=0,99999",
        "compare --runs=0",
        "compare --runtime=0",
        "compare --rows nothing",
        "compare --rows notifications --html=/dev/null/page",
        "compare --rows notifications --history=/",
        "compare --rows notifications --disk=/dev/null/folder",
        "vbd --rw=read --backend=qemu",
        "vbd --rw=read --store=python --verify=crc32c",
        "vbd --filename=/nonexistent/image",
        "vbd --filename=/",
        "vbd --filename=/dev/null",
        "vbd --rw=read --filename=/dev/null",
        "vbd --make-image=/dev/null/image",
        "vbd --make-image=a --filename=b",
        "vbd --rw=read --size=4k --output=/dev/null/report",
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(arguments, capsys):
    assert run(arguments.split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("pvbench: ")
    assert output.err.count("\n") == 1


def test_an_unreadable_image(tmp_path, capsys):
    image = tmp_path / "small"
    image.write_bytes(bytes(4096))
    assert run(["vbd", "--rw=write", "--filename", str(image), "--size=1m"]) == 2
    assert "too few" in capsys.readouterr().err
    image.write_bytes(b"")
    assert run(["vbd", "--rw=read", "--filename", str(image)]) == 2
    assert "is empty" in capsys.readouterr().err
    image.write_bytes(bytes((1 << 20) + 100))
    assert run(["vbd", "--rw=read", "--filename", str(image)]) == 2
    assert "not a whole number of 512-byte sectors" in capsys.readouterr().err


def test_as_a_program():
    command = [sys.executable, "-m", "pvdrivers.tools.pvbench", "vbd", "--rw=wrong"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert process.stdout == ""
    assert len(process.stderr.splitlines()) == 1


def test_table(capsys):
    assert run("vbd --rw=randrw --size=1m --fsync=16 --iodepth=8 --verify=crc32c".split()) == 0
    output = capsys.readouterr().out
    for word in ("IOPS", "MB/s", "p50", "p90", "p99", "p99.9", "maps", "copies", "hypercalls"):
        assert word in output
    for row in ("randrw: read", "randrw: write", "randrw: flush", "blocks right"):
        assert row in output


def test_json_and_table(capsys, tmp_path):
    report = tmp_path / "report"
    arguments = f"vbd --rw=read --size=1m --output-format=json --output={report} --name=mine"
    assert run(arguments.split()) == 0
    assert capsys.readouterr().out == ""
    job = json.loads(report.read_text())["jobs"][0]
    assert job["jobname"] == "mine"
    assert job["read"]["io_bytes"] == 1 << 20
    assert run("vbd --rw=read --size=1m --output-format=json,normal".split()) == 0
    both = capsys.readouterr().out
    assert json.JSONDecoder().raw_decode(both)[0]["jobs"]
    assert "IOPS" in both


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4k", 4096),
        ("1M", 1 << 20),
        ("512", 512),
        ("0x200", 512),
        ("2Gi", 2 << 30),
        ("1tb", 1 << 40),
    ],
)
def test_sizes_are_fio_s(text, size):
    assert parse_size("--bs", text) == size


@pytest.mark.parametrize(
    ("text", "ns"),
    [("2", 2 * 10**9), ("1.5s", 15 * 10**8), ("20ms", 2 * 10**7), ("1m", 6 * 10**10)],
)
def test_times_are_fio_s(text, ns):
    assert parse_time("--runtime", text) == ns


@pytest.mark.parametrize("text", ["", "k", "-1", "1kk", "0x", "1 k", "1.5k", "4k/60"])
def test_wrong_units(text):
    with pytest.raises(OptionError, match="--bs"):
        parse_size("--bs", text)
