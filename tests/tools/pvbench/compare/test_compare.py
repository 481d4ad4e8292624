"""The command, on comparisons whose outcome is known."""

import json
import os
from contextlib import contextmanager

import pytest

from pvdrivers.tools.pvbench.__main__ import run
from pvdrivers.tools.pvbench.compare import report
from pvdrivers.tools.pvbench.compare.load import OtherLoad
from pvdrivers.tools.pvbench.compare.model import Need
from pvdrivers.tools.pvbench.errors import BenchError

ABSENT = Need("some-package", lambda setting: "there is no thing")


def compare(capsys, *words):
    code = run(["compare", "--output-format=json", "--runtime=1ms", *words])
    return code, {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}


def test_runs_take_turns(script, capsys):
    script.add("one", script.contender("A", [6, 8, 10]), script.contender("B", [3, 2, 1]), target=2)
    code, rows = compare(capsys, "--runs=3")
    assert code == 0
    assert script.order == ["A", "B", "A", "B", "A", "B"]
    row = rows["one"]
    assert (row["ratio"], row["spread"]) == (4, [2, 10])
    assert (row["value"], row["peer_value"]) == (8, 2)  # of the pair that has this ratio
    assert (row["workload"], row["peer"], row["target"]) == ("the work of one", "B", 2)
    assert [measured["value"] for measured in row["ours"]] == [6, 8, 10]
    assert [measured["value"] for measured in row["theirs"]] == [3, 2, 1]


def test_what_all_runs_share_is_made_once(script, capsys):
    @contextmanager
    def around(setting):
        script.order.append("begin")
        yield
        script.order.append("end")

    contenders = script.contender("A", [1]), script.contender("B", [1])
    script.add("one", *contenders, around=around, most_runs=2)
    compare(capsys, "--runs=5")
    assert script.order == ["begin", "A", "B", "A", "B", "end"]


def test_both_sides_have_the_same_two_processors(script, capsys):
    seen = []
    contender = script.contender("A", [1])
    script.add("one", contender)
    measure = contender.measure
    object.__setattr__(
        contender, "measure", lambda s: seen.append(os.sched_getaffinity(0)) or measure(s)
    )
    before = os.sched_getaffinity(0)
    compare(capsys, "--runs=2")
    assert seen == [set(sorted(before)[:2])] * 2
    assert os.sched_getaffinity(0) == before


def test_value_and_ratio_tell_one_story(script, capsys):
    """The medians of each contender, 13 and 7.5, would be of two different moments."""
    script.add(
        "one", script.contender("A", [13, 8, 20]), script.contender("B", [12, 7.5, 7.3]), target=0.5
    )
    _, rows = compare(capsys, "--runs=3")
    row = rows["one"]
    assert (row["value"], row["peer_value"]) == (13, 12)
    assert row["ratio"] == pytest.approx(13 / 12)
    assert row["met"] is True


def test_without_a_baseline_the_value_has_the_target(script, capsys):
    script.add("one", script.contender("A", [0.25]), unit="per request", target=0.05, sense="<=")
    _, rows = compare(capsys, "--runs=1")
    row = rows["one"]
    assert (row["value"], row["ratio"], row["peer"], row["met"]) == (0.25, None, None, False)


def test_runs_far_apart_leave_the_outcome_unknown(script, capsys):
    script.add("one", script.contender("A", [163, 1, 2]), script.contender("B", [2]), target=0.5)
    code, rows = compare(capsys, "--runs=3", "--check")
    assert code == 1
    row = rows["one"]
    assert (row["ratio"], row["spread"]) == (1, [0.5, 81.5])
    assert (row["met"], row["doubt"]) == ("unknown", "the runs are 163 times apart")


def test_a_busy_machine_leaves_the_outcome_unknown(script, capsys, monkeypatch):
    doubt = "other programs took 1.5 processors meanwhile"
    monkeypatch.setattr(OtherLoad, "doubt", lambda self: doubt)
    script.add("one", script.contender("A", [2]), script.contender("B", [1]), target=1)
    script.add("two", script.contender("A", [2]), script.contender("B", [1]))
    code, rows = compare(capsys, "--runs=1", "--check")
    assert code == 1
    assert (rows["one"]["met"], rows["one"]["doubt"]) == ("unknown", doubt)
    assert (rows["two"]["met"], rows["two"]["doubt"]) == (None, doubt)
    run(["compare", "--runs=1"])
    said = capsys.readouterr()
    assert f"one is uncertain: {doubt}" in said.out
    assert f"one: 2, uncertain: {doubt}" in said.err


def test_what_is_missing_is_named_and_not_dropped(script, capsys):
    script.add("one", script.contender("A", [1]), script.contender("B", [1], [ABSENT]), target=1)
    code, rows = compare(capsys)
    assert code == 0
    assert script.order == []
    row = rows["one"]
    assert (row["ratio"], row["met"], row["spread"], row["target"]) == (None, None, None, 1)
    assert row["reason"] == "there is no thing (Debian package some-package)"
    assert run(["compare"]) == 0
    assert "some-package" in capsys.readouterr().out
    assert run(["compare", "--packages"]) == 0
    assert capsys.readouterr().out == "some-package\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BenchError("it burns"), "it burns"),
        (KeyError("iops"), "KeyError: 'iops'"),
        (AssertionError(), "AssertionError"),
        (RuntimeError("it burns\nand burns"), "RuntimeError: it burns"),
    ],
    ids=repr,
)
def test_a_side_that_fails_is_a_row_and_exit_code_1(script, capsys, error, words):
    script.add("one", script.contender("A", [1]), script.contender("B", [1, error]))
    script.add("two", script.contender("A", [1]))
    code, rows = compare(capsys, "--runs=2")
    assert code == 1
    assert (rows["one"]["reason"], rows["one"]["failed"]) == (f"failed: {words}", True)
    assert rows["two"]["value"] == 1


def test_a_need_that_cannot_be_looked_at_is_a_failed_row(script, capsys):
    def missing(setting):
        raise PermissionError("no entry")

    script.add("one", script.contender("A", [1], [Need(None, missing)]))
    script.add("two", script.contender("A", [1]))
    code, rows = compare(capsys)
    assert code == 1
    assert rows["one"]["reason"] == "failed: no entry"
    assert rows["two"]["value"] == 1


@pytest.mark.parametrize(
    ("value", "needs", "code"), [(2, (), 0), (1, (), 1), (2, (ABSENT,), 1)], ids=str
)
def test_check(script, capsys, value, needs, code):
    script.add("one", script.contender("A", [value], needs), target=2)
    assert compare(capsys)[0] == 0
    assert compare(capsys, "--check")[0] == code


def test_rows_by_name(script, capsys):
    for name in "abc":
        script.add(name, script.contender(name, [1]))
    _, rows = compare(capsys, "--rows", "c", "a")
    assert list(rows) == ["c", "a"]
    assert run(["compare", "--rows", "d"]) == 2
    assert "d is none of a, b, c" in capsys.readouterr().err


def test_progress_is_a_line_for_each_row(script, capsys):
    script.add("one", script.contender("A", [3]), script.contender("B", [2]))
    run(["compare", "--runs=1"])
    assert capsys.readouterr().err == "one: 1.5\n"


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (1.5, "s", "1.5 s"),
        (0.0125, "s", "12.5 ms"),
        (25_000, "bytes", "25 kB"),
        (0.01, "share", "0.01"),
        (2.5e9, "bytes/s", "2.5 GB/s"),
        (900, "operations/s", "900/s"),
    ],
)
def test_amounts(value, unit, words):
    assert report.amount(value, unit) == words
