"""What a scenario may say, and what a mistake in it is answered with."""

import re
from pathlib import Path

import pytest

from pvdrivers.sim.cost_model import CostModel
from pvdrivers.tools.pvsim.kinds import Closed, Compute, Open
from pvdrivers.tools.pvsim.scenario import ScenarioError, load, parse

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
        "mail",
        "shop",
        "buyer",
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
            "cpus = 2",
            "cpus = 2\nnodes = 3",
            "line 1: machine: nodes is 1 to the number of cpus, 2, not 3",
        ),
        (
            "cpus = 2",
            "cpus = 2\ncores_per_socket = 0",
            "line 3: machine.cores_per_socket: Expected `int` >= 1",
        ),
        (
            "[run]",
            '[scheduler]\ncredit2_runqueue = "core"\n[run]',
            "line 4: scheduler: credit2_runqueue is credit2's, the credit scheduler has none",
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
            "line 10: guest[0].workload.kind: 'cook' is none of compute, open, closed, disk,"
            " client, server",
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
        ('kind = "credit2"\nratelimit_us = 50', "ratelimit_us is 0, or from 100 to 500000, not 50"),
    ],
)
def test_a_rate_limit_is_within_the_slice(scheduler: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        parse(f"[scheduler]\n{scheduler}\n{SCENARIO}".encode(), "x.toml")


@pytest.mark.parametrize("key", ["tslice_ms", "migration_delay_us"])
def test_credit2_has_neither_slices_nor_a_migration_delay(key: str) -> None:
    text = f'[scheduler]\nkind = "credit2"\n{key} = 5\n{SCENARIO}'
    with pytest.raises(ScenarioError, match=f"line 1.*{key} is the credit scheduler's"):
        parse(text.encode(), "x.toml")


def test_an_unknown_scheduler_is_told_with_its_line() -> None:
    text = f'[scheduler]\nkind = "credit3"\n{SCENARIO}'
    with pytest.raises(ScenarioError, match=r"line 2: scheduler\.kind.*credit2"):
        parse(text.encode(), "x.toml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml: No such file or directory"):
        load(tmp_path / "none.toml")


# ---- Guests with devices, and sweeps ---------------------------------------------------------


def with_workload(workload: str, rest: str = "") -> bytes:
    return f'{rest}[[guest]]\nname = "one"\nworkload = {{{workload}}}\n'.encode()


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ('kind = "disk", rw = "rad"', "'rad' is none of randread, randrw, randwrite, read, write"),
        ('kind = "disk", bs = "1000"', "bs is a multiple of 512 bytes up to 1048576, not '1000'"),
        ('kind = "disk", bs = "4x"', "'4x' is not a size"),
        ('kind = "disk", bs = "1M", size = "64k"', "bs 1M is more than size 64k"),
        ('kind = "disk", iodepth = 0', "Expected `int` >= 1"),
        ('kind = "disk", latency = "1"', "latency is a time such as 100us, 2ms or 1.5s, not '1'"),
        ('kind = "client", interval = "1ms"', "the key 'server' is missing"),
        (
            'kind = "client", server = "two", interval = "1ms"',
            "guest 'one': 'two' is no server; one is no guest, add one with workload.kind",
        ),
        ('kind = "client", server = "x", interval = "1ms", request = 9', "Expected `int` >= 60"),
        ('kind = "server", work = ""', "work is a time such as"),
    ],
)
def test_a_mistake_of_a_device_is_told(workload: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(message)):
        parse(with_workload(workload), "x.toml")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ('sweep = {guest = "on", counts = [1]}\n', "sweep: 'on' is no guest: did you mean one?"),
        ('sweep = {guest = "one", counts = []}\n', "Expected `array` of length >= 1"),
        ('sweep = {guest = "one", counts = [2, 0]}\n', "Expected `int` >= 1"),
        ("dom0 = {cpus = [3]}\n", "dom0: CPU 3 is none of 0 to 0"),
        ("dom0 = {cap = 200}\n", "cap is percent of one CPU, 100 at most for 1 vcpus, not 200"),
        ("cost.hypercal = 3\n", "there is no key 'hypercal': did you mean hypercall?"),
        ("cost.upcall = -3\n", "Expected `float` >= 0"),
    ],
)
def test_a_mistake_of_the_whole_is_told(rest: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(message)):
        parse(with_workload('kind = "compute"', rest), "x.toml")


def test_a_sweep_is_a_run_for_each_count() -> None:
    text = with_workload('kind = "compute"', 'sweep = {guest = "one", counts = [1, 3]}\n')
    runs = parse(text, "x.toml").runs
    assert [run.guest[0].names for run in runs] == [["one"], ["one-1", "one-2", "one-3"]]
    assert [run.sweep for run in runs] == [None, None]


def test_a_scenario_without_a_sweep_is_one_run() -> None:
    scenario = parse(SCENARIO.encode(), "x.toml")
    assert scenario.runs == [scenario]


def test_what_is_measured_may_be_replaced() -> None:
    scenario = parse(with_workload('kind = "compute"', "cost.hypercall = 3\n"), "x.toml")
    assert scenario.cost == CostModel(hypercall=3)
