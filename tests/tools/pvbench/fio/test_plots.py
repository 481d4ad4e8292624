"""The programs people draw fio's results with, on ours."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pvdrivers.tools.pvbench.__main__ import run

pytestmark = pytest.mark.slow

NAME = "randread-iodepth-4-numjobs-1"  # as fio-plot expects it


@pytest.fixture
def results(tmp_path, monkeypatch, capsys):
    """A folder with logs and a report of 256 operations, however busy the machine is: gnuplot draws
    no curve through less than three points."""
    monkeypatch.chdir(tmp_path)
    options = ["--name=randread", "--rw=randread", "--iodepth=4", "--size=1m", "--rate_iops=200"]
    options += [f"--write_{kind}_log={NAME}" for kind in ("bw", "iops", "lat")]
    options += ["--output-format=json", "--output=randread-4-1.json"]
    assert run(["vbd", *options]) == 0
    return tmp_path


def test_fio2gnuplot(results):
    program = shutil.which("fio2gnuplot")
    if not program or not shutil.which("gnuplot"):
        pytest.skip("needs fio2gnuplot and gnuplot (Debian packages fio and gnuplot-nox)")
    for kind in ("-b", "-i"):
        command = [sys.executable, program, kind, "-g", "-o", f"drawn{kind}"]
        done = subprocess.run(command, capture_output=True, check=True, text=True, cwd=results)
        assert f"{NAME}_" in done.stdout
    assert all(path.stat().st_size > 0 for path in results.glob("*.png"))
    for kind in ("bw", "iops"):
        assert (results / f"{NAME}_{kind}.1-2Draw.png").exists()


@pytest.mark.parametrize(
    "graph",
    [["-g", "-t", "bw", "iops", "lat", "-d", "4", "-n", "1"], ["-l"], ["-H", "-d", "4", "-n", "1"]],
    ids=["logs", "bars", "histogram"],
)
def test_fio_plot(results, graph):
    program = Path(sys.executable).with_name("fio-plot")
    command = [program, "-i", ".", "-T", "title", "-r", "randread", "-o", "drawn.png", *graph]
    subprocess.run(command, capture_output=True, check=True, text=True, cwd=results)
    assert (results / "drawn.png").stat().st_size > 10_000
