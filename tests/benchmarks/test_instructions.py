"""Reading callgrind's output, and what counts as a change."""

import importlib.util
import json
import sys
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


def test_the_baseline_holds_every_case() -> None:
    baseline = json.loads(check.BASELINE.read_text())["instructions_per_request"]
    assert set(baseline) == {case.name for case in check.CASES}
