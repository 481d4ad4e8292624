"""The ring: no wake-up is lost, no unwritten slot is read, and every barrier is needed for that."""

import pytest

from .explorer import MODELS, Model, Scenario, counterexample, reachable
from .handshake import HANDSHAKE, HOSTILE, RING, ROUND_TRIP
from .machines import SequentiallyConsistent, TotalStoreOrder, Weak
from .sites import ROOT, Weakening, documented

SCENARIOS = [HANDSHAKE, HOSTILE, ROUND_TRIP]
WEAKENINGS = RING.weakenings()


def is_full(without: Weakening) -> bool:
    return without.site.primitive == "pv_mb"


def is_the_compilers(without: Weakening) -> bool:
    return without.site.primitive == "pv_compiler_barrier"


def test_the_table_is_the_source() -> None:
    assert RING.in_source() == RING.in_table()


def test_the_documentation_shows_the_table() -> None:
    assert documented((RING,)) in (ROOT / "docs/ring.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_nothing_goes_wrong_with_all_barriers(model: Model, scenario: Scenario) -> None:
    found = counterexample(model, scenario)
    assert found is None, f"\n{found}"


@pytest.mark.parametrize("model", MODELS)
def test_the_explorer_sees_what_happens(model: Model) -> None:
    """The proof above is not empty: the good ends, and sleeping in between, are all reached."""
    assert {consumer for _, consumer in reachable(model, HANDSHAKE)} == {
        "done",
        "asleep with 0 taken",
        "asleep with 1 taken",
    }
    assert reachable(model, HOSTILE) == {("done", "done")}
    assert reachable(model, ROUND_TRIP) == {("done", "done")}


@pytest.mark.slow
@pytest.mark.parametrize("without", WEAKENINGS, ids=str)
def test_every_barrier_is_needed_on_a_weak_machine(without: Weakening) -> None:
    found = counterexample(Weak, HOSTILE if is_the_compilers(without) else HANDSHAKE, without)
    assert found is not None
    print(f"\n{without}\n{found}")


@pytest.mark.parametrize("without", WEAKENINGS, ids=str)
def test_total_store_order_needs_the_full_barriers_only(without: Weakening) -> None:
    found = counterexample(TotalStoreOrder, HANDSHAKE, without)
    assert (found is not None) == is_full(without), f"\n{found}"
    if found is not None:
        assert "lost wake-up" in found.fault
        print(f"\n{without}\n{found}")


@pytest.mark.parametrize("without", WEAKENINGS, ids=str)
def test_sequential_consistency_needs_the_compiler_alone(without: Weakening) -> None:
    assert counterexample(SequentiallyConsistent, HANDSHAKE, without) is None
    found = counterexample(SequentiallyConsistent, HOSTILE, without)
    assert (found is not None) == is_the_compilers(without)
