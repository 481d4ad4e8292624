"""The file with the ratios of all runs."""

import json

import pytest

from pvdrivers.tools.pvbench.__main__ import run
from pvdrivers.tools.pvbench.compare import history
from pvdrivers.tools.pvbench.compare.model import Need
from pvdrivers.tools.pvbench.compare.system import this_system

ABSENT = Need(None, lambda setting: "there is no thing")
OLD = '{"commit":"93587de","when":"2026-11-25T17:45:00Z","ratios":{"one":0.9,"zero":0.0}}\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.jsonl"


def compare(path, *words):
    return run(["compare", "--runtime=1ms", "--runs=2", f"--history={path}", *words])


def test_each_run_is_a_line(script, path):
    script.add("one", script.contender("A", [3, 5]), script.contender("B", [2]))
    script.add("zero", script.contender("A", [9]))
    script.add("two", script.contender("A", [3], [ABSENT]))
    for count in (1, 2):
        assert compare(path) == 0
        entries = history.read_history(path)
        assert len(entries) == count
    for entry in entries:
        assert (entry.ratios, entry.values) == ({"one": 1.5}, {"zero": 9})  # the worse of two
        assert entry.spreads == {"one": (1.5, 2.5), "zero": (9, 9)}
        assert (entry.judged("one"), entry.judged("zero"), entry.judged("two")) == (1.5, 9, None)
        assert entry.system == this_system([])
        assert entry.commit
        assert entry.when.endswith("Z")


@pytest.mark.parametrize(
    ("value", "kept"), [(0.0000312345, 0.00003123), (28129.28, 28130), (0.94972, 0.9497), (0, 0)]
)
def test_small_values_keep_their_digits(script, path, value, kept):
    script.add("one", script.contender("A", [value]))
    compare(path)
    entry = json.loads(path.read_text())
    assert entry["values"] == {"one": kept}
    assert entry["spreads"] == {"one": [kept, kept]}


def test_nothing_measured_adds_nothing(script, path):
    script.add("one", script.contender("A", [1], [ABSENT]))
    assert compare(path) == 0
    assert not path.exists()


@pytest.mark.slow
def test_first_entries_have_ratios_alone_and_are_drawn(script, path, tmp_path):
    path.write_text(OLD)
    (old,) = history.read_history(path)
    assert (old.ratios, old.spreads, old.system) == ({"one": 0.9, "zero": 0}, {}, None)
    assert old.judged("zero") == 0
    script.add("one", script.contender("A", [1]), target=1)
    script.add("zero", script.contender("A", [0.00003]), target=0.05, sense="<=")
    page = tmp_path / "page.html"
    assert compare(path, f"--html={page}") == 0
    assert "<h2>History</h2>" in page.read_text()
    assert path.read_text().startswith(OLD)


def test_a_line_that_has_no_end_stays_one(script, path):
    path.write_text(OLD.removesuffix("\n"))
    script.add("one", script.contender("A", [1]))
    assert compare(path) == 0
    assert [entry.values for entry in history.read_history(path)][1] == {"one": 1}


def test_another_file_is_refused(script, path, capsys):
    path.write_text("not JSON\n")
    assert compare(path) == 2
    assert "is no history" in capsys.readouterr().err


def test_the_projects_own_is_readable(request):
    assert history.read_history(request.config.rootpath / "benchmarks/history.jsonl")
