"""No wake-up is lost and no unwritten slot is read, and every barrier is needed for that."""

from pathlib import Path

import pytest

from .explorer import (
    HANDSHAKE,
    HOSTILE,
    ROUND_TRIP,
    SCENARIOS,
    Model,
    Scenario,
    counterexample,
    reachable,
)
from .machines import SequentiallyConsistent, TotalStoreOrder, Weak
from .sites import BARRIERS, SITES, Site, documented, in_source

DOCS = Path(__file__).parents[3] / "docs/ring.md"
MODELS = [SequentiallyConsistent, TotalStoreOrder, Weak]
FULL = [site for site in BARRIERS if site.primitive == "pv_mb"]
COMPILER = [site for site in BARRIERS if site.primitive == "pv_compiler_barrier"]


def shows(scenario: Scenario) -> str:
    return "+".join(scenario.names)


def test_the_table_is_the_source() -> None:
    assert in_source() == [(s.function, s.primitive, s.argument) for s in SITES]


def test_the_documentation_shows_the_table() -> None:
    assert documented() in DOCS.read_text()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=shows)
@pytest.mark.parametrize("model", MODELS)
def test_nothing_goes_wrong_with_all_barriers(model: Model, scenario: Scenario) -> None:
    found = counterexample(model, scenario)
    assert found is None, f"\n{found}"


@pytest.mark.parametrize("model", MODELS)
def test_the_explorer_sees_what_happens(model: Model) -> None:
    """The proof above is not empty: the good ends, and sleeping in between, are all reached."""
    assert reachable(model, HANDSHAKE) == {"done", "asleep with 0 taken", "asleep with 1 taken"}
    assert reachable(model, HOSTILE) == {"done"}
    assert reachable(model, ROUND_TRIP) == {"done"}


@pytest.mark.parametrize("site", BARRIERS, ids=str)
def test_every_barrier_is_needed_on_a_weak_machine(site: Site) -> None:
    scenario = HOSTILE if site in COMPILER else HANDSHAKE
    found = counterexample(Weak, scenario, without=site)
    assert found is not None
    print(f"\nwithout {site}\n{found}")


@pytest.mark.parametrize("site", BARRIERS, ids=str)
def test_total_store_order_needs_the_full_barriers_only(site: Site) -> None:
    found = counterexample(TotalStoreOrder, HANDSHAKE, without=site)
    assert (found is not None) == (site in FULL), f"\n{found}"
    if found is not None:
        assert "lost wake-up" in found.fault
        print(f"\nwithout {site}\n{found}")


@pytest.mark.parametrize("site", BARRIERS, ids=str)
def test_sequential_consistency_needs_the_compiler_alone(site: Site) -> None:
    assert counterexample(SequentiallyConsistent, HANDSHAKE, without=site) is None
    found = counterexample(SequentiallyConsistent, HOSTILE, without=site)
    assert (found is not None) == (site in COMPILER)
