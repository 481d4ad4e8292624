"""Reading callgrind's output, and what counts as a change."""

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "instructions"
spec = importlib.util.spec_from_file_location("check_instructions", FOLDER / "check.py")
assert spec is not None
assert spec.loader is not None
check = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = check
spec.loader.exec_module(check)

OUTPUT = """\
# callgrind format
events: Ir
ob=/usr/lib/libpvdrivers.so.0
fl=/src/pump.c
fn=pump
10 7
cfn=copy
calls=2 30
11 900
12 3
fi=/src/ring.h
40 5

fn=copy
30 100
ob=/lib/libc.so.6
fn=memcpy
0 800
totals: 915
"""


def test_only_what_a_function_executes_itself_is_its_cost() -> None:
    library = "/usr/lib/libpvdrivers.so.0"
    assert list(check.self_costs(OUTPUT.splitlines(keepends=True))) == [
        (library, "pump", 7),
        (library, "pump", 3),
        (library, "pump", 5),
        (library, "copy", 100),
        ("/lib/libc.so.6", "memcpy", 800),
    ]


@pytest.mark.parametrize("count", [970, 1000, 1030])
def test_a_count_within_the_margin_passes(count: int) -> None:
    assert check.compare({"case": {"back": count}}, {"case": {"back": 1000}})


@pytest.mark.parametrize("count", [969, 1031])
def test_a_count_beyond_the_margin_fails_either_way(count: int) -> None:
    assert not check.compare({"case": {"back": count}}, {"case": {"back": 1000}})


def test_a_case_the_baseline_does_not_know_fails() -> None:
    assert not check.compare({"new": {"back": 1}}, {})


GNU = check.Baseline("GNU 12.2.0", "x86_64", {"case": {"back": 1000}})
OTHERS = [replace(GNU, compiler="GNU 13.2.0"), replace(GNU, architecture="aarch64")]


@pytest.mark.parametrize("strict", [False, True])
def test_the_same_compiler_is_compared_with(strict: bool) -> None:
    check.judge(GNU, GNU, strict)
    with pytest.raises(SystemExit, match="write a new baseline"):
        check.judge(replace(GNU, instructions_per_request={"case": {"back": 900}}), GNU, strict)


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_is_compared_with_another_compiler_or_architecture(
    other: check.Baseline, capsys: pytest.CaptureFixture[str]
) -> None:
    check.judge(other, GNU, strict=False)
    shown = capsys.readouterr().out
    assert "1000" in shown
    assert "nothing was compared: the baseline is of GNU 12.2.0 on x86_64, this is" in shown
    with pytest.raises(SystemExit, match="nothing was compared"):
        check.judge(other, GNU, strict=True)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """The command, for which every case has 10 instructions and the baseline is a file."""

    def measure(program: Path, cases: list[check.Case], most: int) -> check.Counts:
        return {case.name: {"back": 10} for case in cases}

    made_by = {"compiler": GNU.compiler, "architecture": GNU.architecture}
    (tmp_path / "pumps.json").write_text(json.dumps(made_by))
    monkeypatch.setattr(check.shutil, "which", lambda name: name)
    monkeypatch.setattr(check, "build", lambda: tmp_path / "pumps")
    monkeypatch.setattr(check, "measure", measure)
    monkeypatch.setattr(check, "BASELINE", tmp_path / "baseline.json")
    return lambda *words: check.main(words)


def test_an_update_writes_every_case(counted: Callable[..., None]) -> None:
    counted("--update")
    written = check.Baseline(**json.loads(check.BASELINE.read_text()))
    assert written.made_by == GNU.made_by
    assert set(written.instructions_per_request) == {case.name for case in check.CASES}
    counted("--strict")
    counted("--case=null")


def test_without_a_baseline(counted: Callable[..., None]) -> None:
    with pytest.raises(SystemExit, match=r"there is no baseline\.json; write one: make "):
        counted()


@pytest.mark.parametrize("words", [["--update", "--case=null"], ["--case=nil"]])
def test_what_would_lose_or_check_nothing_is_refused(
    counted: Callable[..., None], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        counted(*words)
    assert refused.value.code == 2
    assert not check.BASELINE.exists()


def test_the_baseline_holds_every_case() -> None:
    baseline = json.loads(check.BASELINE.read_text())["instructions_per_request"]
    assert set(baseline) == {case.name for case in check.CASES}
