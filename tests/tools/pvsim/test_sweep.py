"""One scenario with several numbers of guests, and the page that shows any outcome."""

import json
import re
from pathlib import Path

import pytest

from tests.tools.pvsim.scenarios import run_pvsim

SWEEP = """\
machine.cpus = 2
run.time = "500ms"
sweep = {guest = "web", counts = [1, 4, 12]}

[[guest]]
name = "web"
workload = {kind = "open", interval = "2ms", work = "400us"}

[[guest]]
name = "batch"
workload = {kind = "compute"}
"""
DISK = """\
machine.cpus = 2
run.time = "200ms"

[[guest]]
name = "db"
workload = {kind = "disk", rate_iops = 100}
"""


def test_a_row_for_each_count(tmp_path: Path) -> None:
    done = run_pvsim(tmp_path, SWEEP)
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines = done.stdout.splitlines()
    assert title.split() == "web, 2 CPUs, 500 ms each".split()
    rows = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [row[:2] for row in rows] == [["1", "0.5"], ["4", "2"], ["12", "6"]]


def test_more_guests_than_the_cpus_can_bear_wait(tmp_path: Path) -> None:
    done = run_pvsim(tmp_path, SWEEP, "--output-format=json")
    report = json.loads(done.stdout)
    assert report["sweep"] == "web"
    assert [run["count"] for run in report["runs"]] == [1, 4, 12]
    worst = [
        max(guest["latency"]["p99"] for guest in run["guests"] if guest["name"].startswith("web"))
        for run in report["runs"]
    ]
    assert worst[0] < worst[2]
    assert worst[2] > 20_000_000  # 12 guests want 2.4 of 2 CPUs


@pytest.mark.parametrize(
    ("text", "plots"),
    [
        (SWEEP, ["Latency", "CPU and steal"]),
        (DISK, ["CPU", "Latency"]),
        (DISK.replace("disk", "compute").replace(", rate_iops = 100", ""), ["CPU"]),
    ],
    ids=["sweep", "disk", "compute"],
)
def test_the_page_stands_alone(tmp_path: Path, text: str, plots: list[str]) -> None:
    pages = []
    for name in ("first.html", "again.html"):
        done = run_pvsim(tmp_path, text, "--html", str(tmp_path / name))
        assert (done.returncode, done.stderr) == (0, "")
        pages.append((tmp_path / name).read_text())
    first, again = pages
    assert first == again
    assert re.findall("<h2>(.*?)</h2>", first) == [*plots, "Scenario"]
    assert first.count("<svg") == len(plots)
    fetched = re.findall(r'(?:src|href)="([^"]*)"', first)
    assert all(place.startswith("#") for place in fetched)
    assert "&lt;scenario&gt;.toml" in first
    assert "<scenario>" not in first


def test_a_page_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    done = run_pvsim(tmp_path, SWEEP, "--html", str(tmp_path / "none" / "page.html"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"pvsim: .*page\.html cannot be written: No such file.*\n", done.stderr)
