"""What a scenario may say, and what a mistake in it is answered with."""

from pathlib import Path

import pytest

from pvdrivers.tools.pvsim.scenario import Closed, Compute, Open, ScenarioError, load, parse

SCENARIO = """\
[machine]
cpus = 2

[run]
time = "5s"

[[guest]]
name = "batch"
count = 3
workload = {kind = "compute"}

[[guest]]
name = "web"
cpus = [1]

[guest.workload]
kind = "open"
interval = "2ms"
work = "100us"
"""


def test_a_scenario_says_what_guests_do() -> None:
    scenario = parse(SCENARIO.encode(), "x.toml")
    batch, web = scenario.guest
    assert batch.names == ["batch-1", "batch-2", "batch-3"]
    assert batch.workload == Compute()
    assert (web.names, web.weight, web.cap) == (["web"], 256, 0)
    assert web.workload == Open("2ms", "100us", "poisson")
    assert scenario.ns == 5_000_000_000


def test_the_manual_s_scenario_is_one() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "pvsim.md").read_text()
    example = manual.partition("```toml\n")[2].partition("```")[0]
    assert [section.name for section in parse(example.encode(), "x").guest] == [
        "batch",
        "web",
        "db",
    ]


def test_a_closed_loop_has_work_and_thought() -> None:
    text = SCENARIO.replace('kind = "compute"', 'kind = "closed", work = "1ms", think = "1.5s"')
    assert parse(text.encode(), "x.toml").guest[0].workload == Closed("1ms", "1.5s")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "cpus = 2",
            "cpus = 0",
            "line 2: machine.cpus: Expected `int` >= 1",
        ),
        (
            "cpus = 2",
            "cpu = 2",
            "line 2: machine: there is no key 'cpu': did you mean cpus?",
        ),
        (
            '"5s"',
            "5",
            "line 5: run.time: Expected `str`, got `int`",
        ),
        (
            '"5s"',
            '"5"',
            "line 4: run: time is a time such as 100us, 2ms or 1.5s, not '5'",
        ),
        (
            '"compute"',
            '"cook"',
            "line 10: guest[0].workload.kind: 'cook' is none of compute, open, closed",
        ),
        (
            "count = 3",
            "cap = 101",
            "line 7: guest[0]: cap is percent of one CPU, 100 at most for 1 vcpus, not 101",
        ),
        (
            "count = 3",
            "weight = 0",
            "line 9: guest[0].weight: Expected `int` >= 1",
        ),
        (
            'work = "100us"',
            "",
            "line 16: guest[1].workload: the key 'work' is missing",
        ),
        (
            'work = "100us"',
            'work = "0us"',
            "line 16: guest[1].workload: work is a time such as 100us, 2ms or 1.5s, not '0us'",
        ),
        (
            'work = "100us"',
            'work = "1us"\nwrok = 1',
            "line 20: guest[1].workload: there is no key 'wrok': did you mean work?",
        ),
        (
            "cpus = [1]",
            "cpus = [2]",
            "guest 'web': CPU 2 is none of 0 to 1",
        ),
        (
            '"web"',
            '"batch-2"',
            "two guests are named 'batch-2'",
        ),
        (
            "[run]",
            "[run",
            "Expected ']' at the end of a table declaration (at line 4, column 5)",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, message: str) -> None:
    text = SCENARIO.replace(old, new, 1)
    with pytest.raises(ScenarioError) as error:
        parse(text.encode(), "x.toml")
    assert str(error.value) == f"x.toml: {message}"


def test_a_scenario_without_guests_is_none() -> None:
    with pytest.raises(ScenarioError, match="there is no guest"):
        parse(b"guest = []", "x.toml")


def test_there_are_not_too_many_guests() -> None:
    text = SCENARIO.replace("count = 3", "count = 1000")
    with pytest.raises(ScenarioError, match="there are 1001 guests, more than 1000"):
        parse(text.encode(), "x.toml")


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("ratelimit_us = 50", "ratelimit_us is 0, or from 100 to the slice of 30 ms, not 50"),
        ("tslice_ms = 1\nratelimit_us = 2000", "to the slice of 1 ms, not 2000"),
    ],
)
def test_a_rate_limit_is_within_the_slice(scheduler: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        parse(f"[scheduler]\n{scheduler}\n{SCENARIO}".encode(), "x.toml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml: No such file or directory"):
        load(tmp_path / "none.toml")
