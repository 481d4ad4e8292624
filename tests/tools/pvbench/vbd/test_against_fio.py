"""The same options and job files through fio and pvbench: what comes out has the same shape, and
what can be counted is the same."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from pvdrivers.tools.pvbench.__main__ import VBD, run
from pvdrivers.tools.pvbench.fio.absent import WHY_IGNORED, WHY_REFUSED
from pvdrivers.tools.pvbench.units import parse_size

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("fio"), reason="needs fio (Debian package fio)"),
]

KINDS = ("bw", "iops", "lat", "clat", "slat")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where logs are written


def fio(*arguments):
    command = ["fio", "--ioengine=null", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


@pytest.fixture
def ours(capsys):
    def run_ours(*arguments):
        assert run(["vbd", *arguments]) == 0
        return capsys.readouterr().out

    return run_ours


@pytest.fixture
def both(ours):
    """The JSON jobs of fio and of pvbench."""

    def run_both(*arguments, output="json"):
        words = [f"--output-format={output}", *arguments]
        return json.loads(fio(*words))["jobs"], json.loads(ours(*words))["jobs"]

    return run_both


def keys(value, path=""):
    """Paths of all keys, but for those that are measured values themselves."""
    if not isinstance(value, dict):
        return {path}
    below = {} if path.endswith(("/bins", " options")) else value
    return {path}.union(*(keys(inner, f"{path}/{key}") for key, inner in below.items()))


JOBS = """
[global]
size=1m          ; of each clone
bs=4k
group_reporting
percentile_list=99.9:50:10
lat_percentiles=1
[first]
rw=read
numjobs=2
[second]
rw=write
[behind]
stonewall
rw=randrw
group_reporting=0
numjobs=2
bs=4k,16k
[apart]
new_group
rw=randwrite
bssplit=4k/50:8k/50
"""


def test_a_job_file(both, tmp_path):
    path = tmp_path / "jobs.fio"
    path.write_text(JOBS)
    theirs, mine = both(str(path), output="json+")
    for name in ("jobname", "groupid"):
        assert [job[name] for job in mine] == [job[name] for job in theirs]
    for their, my in zip(theirs, mine, strict=True):
        assert keys(their) <= keys(my)
        if their["groupid"]:  # of a group, fio shows the options of its last job
            assert their["job options"].items() <= my["job options"].items()
        for direction in ("read", "write"):
            assert bool(my[direction]["total_ios"]) == bool(their[direction]["total_ios"])
    for jobs in (theirs, mine):
        assert [jobs[0][direction]["total_ios"] for direction in ("read", "write")] == [512, 256]


def test_percentiles_only_where_they_are_wanted(both):
    options = ["--name=x", "--rw=read", "--bs=4k", "--size=1m", "--clat_percentiles=0"]
    theirs, mine = both(*options, "--slat_percentiles=1", "--lat_percentiles=1")
    for job in (theirs[0], mine[0]):
        assert "percentile" not in job["read"]["clat_ns"]
        assert "percentile" in job["read"]["lat_ns"]
    # fio's null engine submits nothing that could be timed.
    assert "percentile" in mine[0]["read"]["slat_ns"]


def test_histograms_add_up(ours):
    report = json.loads(ours("--rw=read", "--size=1m", "--output-format=json+"))
    clat = report["jobs"][0]["read"]["clat_ns"]
    bins = {int(value): count for value, count in clat["bins"].items()}
    assert sum(bins.values()) == clat["N"] == 256
    mean = sum(value * count for value, count in bins.items()) / 256
    assert mean == pytest.approx(clat["mean"], rel=0.005)


def without_numbers(line):
    """Each field of a terse line as what kind of thing it is."""
    return [re.sub(r"\d+(\.\d+)?(?!.*=)", "0", field) for field in line.split(";")]


@pytest.mark.parametrize("rw", ["read", "randrw"])
def test_terse(ours, rw):
    options = ["--name=x", f"--rw={rw}", "--bs=4k", "--size=1m", "--output-format=terse"]
    options += ["--percentile_list=50:99.99"]
    (their,) = fio(*options, "--disk_util=0").splitlines()
    (my,) = ours(*options).splitlines()
    assert without_numbers(my) == without_numbers(their)
    fields = my.split(";")
    assert fields[:5] == ["3", "fio-3.33", "x", "0", "0"]
    assert int(fields[5]) + int(fields[46]) == 1024  # KiB read and written


def log_lines(name, clone=1):
    with open(f"{name}.{clone}.log") as file:
        return [line.rstrip("\n") for line in file]


def shape_of(line):
    return re.sub(r"\d+", "0", line)


LOGS = [f"--write_{kind}_log=x" for kind in ("bw", "iops", "lat")]


@pytest.mark.parametrize("window", [[], ["--log_avg_msec=20"]], ids=["each", "windows"])
@pytest.mark.parametrize("offset", [[], ["--log_offset=1"]], ids=["plain", "offsets"])
def test_log_lines(ours, window, offset):
    options = ["--name=x", "--rw=randrw", "--bs=4k", "--size=1m", "--rate_iops=1000", *LOGS]
    options += [*window, *offset]
    fio(*options)
    theirs = {kind: log_lines(f"x_{kind}") for kind in KINDS}
    ours(*options)
    for kind in KINDS:
        mine = log_lines(f"x_{kind}")
        expected = theirs[kind] or theirs["lat"]  # fio's null engine has no submission latencies
        assert {shape_of(line) for line in mine} == {shape_of(line) for line in expected}
        if not window:
            # time, value, direction, size, and the rest: all but the first two are fio's own.
            assert len(mine) == 256
            sizes = {line.split(", ")[3] for line in mine}
            assert sizes == {line.split(", ")[3] for line in expected} == {"4096"}


def test_log_values(ours):
    ours("--name=x", "--rw=write", "--bs=8k", "--size=1m", "--log_offset=1", *LOGS)
    logs = {
        kind: [list(map(int, line.split(", "))) for line in log_lines(f"x_{kind}")]
        for kind in KINDS
    }
    for bw, iops, lat, clat, slat in zip(*logs.values(), strict=True):
        assert bw[2:] == iops[2:] == lat[2:] == clat[2:] == slat[2:]
        assert iops[1] == 1
        assert lat[1] == pytest.approx(clat[1] + slat[1], abs=1)
        assert bw[1] == pytest.approx(8 * 1e9 / clat[1], rel=0.01, abs=1)
    assert [line[4] for line in logs["lat"]] == list(range(0, 1 << 20, 8192))
    assert {line[2] for line in logs["lat"]} == {1}


def test_a_log_for_each_clone(ours):
    options = ["--rw=read", "--bs=4k", "--size=64k"]
    fio(*options, "--name=a", "--write_iops_log=a", "--numjobs=2", "--name=b", "--write_iops_log=b")
    their_names = {path.name for path in Path().glob("*.log")}
    ours(
        *options, "--name=a", "--write_iops_log=a", "--numjobs=2", "--name=b", "--write_iops_log=b"
    )
    assert {path.name for path in Path().glob("*.log")} == their_names == {
        "a_iops.1.log", "a_iops.2.log", "b_iops.3.log"
    }  # fmt: skip


# ---- what operations there are


def operations(options, runner):
    """Direction, size and offset of each."""
    runner("--name=x", *options, "--write_lat_log=x", "--log_offset=1")
    lines = [line.split(", ") for line in log_lines("x_lat")]
    return [(int(line[2]), int(line[3]), int(line[4])) for line in lines]


@pytest.mark.parametrize(
    "options",
    [
        ["--rw=read", "--bs=4k", "--size=1m"],
        ["--rw=write", "--bs=4k", "--size=256k", "--loops=3"],
        ["--rw=read", "--bs=4k", "--size=64k", "--io_size=160k"],
        ["--rw=write", "--bs=3k", "--size=30k", "--offset=6k"],
        ["--rw=read", "--bs=4k", "--size=64kib"],
        ["--kb_base=1000", "--rw=read", "--bs=1kib", "--size=64kib"],
    ],
    ids=" ".join,
)
def test_sequential_operations_are_the_same(ours, options):
    assert operations(options, ours) == operations(options, fio)


@pytest.mark.parametrize("rw", ["randread", "randrw"])
def test_random_operations_cover_the_same(ours, rw):
    options = [f"--rw={rw}", "--bs=4k", "--size=1m", "--loops=2"]
    mine, theirs = (
        Counter(offset for _, _, offset in operations(options, who)) for who in (ours, fio)
    )
    assert mine == theirs
    assert set(mine.values()) == {2}


def test_without_a_map_some_blocks_are_missed_as_often(ours):
    options = ["--rw=randread", "--bs=4k", "--size=8m", "--norandommap"]
    mine, theirs = (
        len({offset for _, _, offset in operations(options, who)}) for who in (ours, fio)
    )
    assert mine == pytest.approx(2048 * 0.632, rel=0.05)
    assert theirs == pytest.approx(2048 * 0.632, rel=0.05)


@pytest.mark.parametrize(
    "options",
    [
        ["--bssplit=4k/60:64k/30:8k/10"],
        ["--bssplit=4k/10:8k:16k"],
        ["--bsrange=4k-16k"],
        ["--bsrange=4k-10k"],
    ],
    ids=" ".join,
)
def test_sizes_have_the_same_shares(ours, options):
    options = ["--rw=randread", "--size=100m", "--norandommap", *options]
    counts = []
    for who in (ours, fio):
        sizes = Counter(size for _, size, _ in operations(options, who))
        counts.append({size: count / sizes.total() for size, count in sizes.items()})
    assert counts[0].keys() == counts[1].keys()
    for size, share in counts[0].items():
        assert share == pytest.approx(counts[1][size], abs=0.03)


def genzipf(kind, number, rows):
    """The share of operations that each tenth of the blocks has, busiest first."""
    command = ["fio-genzipf", "-t", kind, "-i", number, "-b", "4096", "-g", "1", "-o", str(rows)]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return [float(share) for share in re.findall(r"%\s+([\d.]+)%\s+[\d.]+%\s+\d+", shown)]


@pytest.mark.parametrize(("kind", "number"), [("zipf", "1.2"), ("zipf", "0.8"), ("pareto", "0.2")])
def test_distributions_are_those_of_genzipf(ours, kind, number):
    """As many operations as blocks, over 1 GiB: what genzipf draws."""
    options = ["--rw=randread", "--bs=4k", "--size=1g", "--iodepth=32", "--store=null"]
    options += [f"--random_distribution={kind}:{number}"]
    blocks = 262144
    hits = Counter(offset for _, _, offset in operations(options, ours))
    assert hits.total() == blocks
    # genzipf counts places by blocks that were hit.
    counts = sorted(hits.values(), reverse=True)
    rows = genzipf(kind, number, 10)
    tenth = len(counts) / 10
    mine = [
        100 * sum(counts[round(i * tenth) : round((i + 1) * tenth)]) / blocks for i in range(10)
    ]
    assert len(rows) == 10
    for my, their in zip(mine, rows, strict=True):
        assert my == pytest.approx(their, abs=1.5)


def test_rates_are_the_same(both):
    options = ["--name=x", "--rw=randrw", "--bs=4k", "--size=1g", "--time_based", "--runtime=2"]
    theirs, mine = both(*options, "--rate_iops=200,100")
    for job in (theirs[0], mine[0]):
        # Never more; that a busy machine keeps up with so little is all that is asked for.
        assert 0 < job["read"]["total_ios"] <= 2 * 200 + 40
        assert 0 < job["write"]["total_ios"] <= 2 * 100 + 40


@pytest.mark.parametrize("suffix", ["", "b", "k", "K", "ki", "kb", "kib", "KiB", "m", "mib"])
@pytest.mark.parametrize("kb_base", [1000, 1024])
def test_suffixes_of_sizes(suffix, kb_base):
    parsed = subprocess.run(
        ["fio", "--ioengine=null", "--name=x", "--rw=read", "--bs=1", f"--kb_base={kb_base}",
         f"--size=3{suffix}", "--output-format=json"],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    assert json.loads(parsed)["jobs"][0]["read"]["io_bytes"] == parse_size(
        "x", f"3{suffix}", kb_base
    )


# ---- options


def test_every_option_of_fio_is_known():
    """Here, ignored or refused, and only one of these."""
    listed = subprocess.run(["fio", "--cmdhelp=all"], capture_output=True, check=True, text=True)
    names = {line.partition(":")[0].strip() for line in listed.stdout.splitlines() if ":" in line}
    names = {name.replace("-", "_") for name in names}
    assert len(names) > 200
    here = VBD.options.of_a_job | set(VBD.options.aliases)
    assert names - here - WHY_IGNORED.keys() - WHY_REFUSED.keys() == set()
    assert not WHY_IGNORED.keys() & WHY_REFUSED.keys()
    assert not (here | VBD.options.of_a_run) & (WHY_IGNORED.keys() | WHY_REFUSED.keys())


def test_every_option_of_fio_s_command_line_is_known():
    listed = subprocess.run(["fio", "--help"], capture_output=True, check=True, text=True).stdout
    names = {name.replace("-", "_") for name in re.findall(r"^\s+--([a-z-]+)", listed, re.M)}
    assert len(names) > 30
    known = VBD.options.of_a_run | WHY_IGNORED.keys() | WHY_REFUSED.keys() | {"version", "help"}
    assert names - known == set()


@pytest.mark.parametrize("alias", VBD.options.aliases)
def test_aliases_are_fio_s(alias):
    said = subprocess.run(["fio", f"--cmdhelp={alias}"], capture_output=True, check=True, text=True)
    assert re.search(rf"^\s*{VBD.options.aliases[alias]}\s*:", said.stdout, re.M)
