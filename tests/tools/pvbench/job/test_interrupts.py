"""What a run answers while it runs: Ctrl-C, a reader that goes away, reports in between."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "pvdrivers.tools.pvbench", "vbd"]
SOME = re.compile(rb"[1-9][\d,]*(\x1b\[[\d;]*m)* IOPS")
ENDLESS = ["--rw=randread", "--size=1m", "--runtime=600", "--time_based"]


@pytest.mark.parametrize("arguments", [[], ["--processes"]], ids=["threads", "processes"])
def test_ctrl_c_shows_the_results_so_far(arguments):
    """What a terminal does: SIGINT to every process of the foreground group."""
    ours, terminal = os.openpty()
    with subprocess.Popen(
        [*COMMAND, *ENDLESS, "--output-format=json", *arguments],
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(terminal)
        shown = b""
        while not SOME.search(shown):
            shown += os.read(ours, 4096)
        os.killpg(process.pid, signal.SIGINT)
        with suppress(OSError):  # until no process has the terminal any more
            while more := os.read(ours, 4096):
                shown += more
        (job,) = json.loads(process.stdout.read())["jobs"]
        assert process.wait() == 130
    assert job["read"]["total_ios"] > 0
    assert 0 < job["job_runtime"] < 600_000
    assert b"Traceback" not in shown
    assert b"Task" not in shown
    os.close(ours)


def test_jobs_behind_a_stonewall_are_not_begun_after_ctrl_c(tmp_path):
    jobs = [*ENDLESS, "--stonewall", "--name=first", "--name=second"]
    with subprocess.Popen(
        [*COMMAND, *jobs, "--output-format=terse", "--status-interval=100ms"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.readline()  # it runs
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait() == 130
    assert {line.split(";")[2] for line in rest.splitlines()} == {"first"}


def test_reports_in_between_grow():
    with subprocess.Popen(
        [*COMMAND, *ENDLESS, "--numjobs=2", "--output-format=terse", "--status-interval=50ms"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        clones = [], []
        while not all(seen and seen[0] < seen[-1] for seen in clones):
            for seen in clones:
                seen.append(int(process.stdout.readline().split(";")[5]))
                assert seen == sorted(seen)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait() == 130


@pytest.mark.parametrize("output", ["normal", "json"])
def test_a_reader_that_goes_away_hears_nothing(output):
    command = [*COMMAND, "--rw=read", "--size=1m", f"--output-format={output}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE
