"""What a run of the lab says about the time it took."""

import os
import runpy
from pathlib import Path

module = runpy.run_path(str(Path(__file__).parent / "durations.py"))
Durations, processor_seconds = module["Durations"], module["processor_seconds"]


def test_what_costs_most_stands_first() -> None:
    durations = Durations()
    for line, used in (
        ("### 40.1 running the payload", 30.0),
        ("### first: It does this.", 50.0),  # what came before is not its own
        ("[guest] ### first passed after 1.0 s", 51.0),
        ("### first passed after 25.0 s", 60.0),
        ("### second: It does that.", 60.5),
        ("### second FAILED after 30.5 s", 75.0),
        ("### 90.0 LAB FAILED", 76.0),
    ):
        durations.see(line, used)
    assert [line.split() for line in str(durations).splitlines()[1:]] == [
        ["15.0", "30.5", "second"],
        ["10.0", "25.0", "first"],
        ["25.0", "55.5", "all", "steps"],
    ]


def test_a_run_that_ends_before_its_first_step() -> None:
    assert len(str(Durations()).splitlines()) == 1


def test_processor_seconds_of_a_process() -> None:
    before = processor_seconds(os.getpid())
    while processor_seconds(os.getpid()) == before:
        pass
    assert processor_seconds(os.getpid()) > before
