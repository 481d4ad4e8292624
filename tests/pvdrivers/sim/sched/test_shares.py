"""What guests that compute get of the CPUs by their weights and caps, by either scheduler."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.sim.scheduler import SchedDomain
from tests.pvdrivers.sim.sched.schedules import (
    S,
    compute,
    fair_shares,
    machine_with,
    shares_beside_interrupts,
)

CREDIT, CREDIT2 = SchedulerKind.CREDIT, SchedulerKind.CREDIT2
either = pytest.mark.parametrize("scheduler", [CREDIT, CREDIT2])


@either
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_equal_guests_have_equal_shares(cpus: int, scheduler: SchedulerKind) -> None:
    with machine_with(cpus, 8, scheduler=scheduler) as machine:
        assert compute(machine, range(8), 100 * S) == pytest.approx([cpus / 8] * 8, abs=0.01)


@either
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_shares_follow_the_weights(cpus: int, scheduler: SchedulerKind) -> None:
    domains = [SchedDomain(weight=256 * (1 + number % 4)) for number in range(8)]
    with machine_with(cpus, 8, scheduler=scheduler) as machine:
        for domid, each in enumerate(domains):
            machine.scheduler.set_domain(domid, each)
        shares = compute(machine, range(8), 1000 * S)
        assert shares == pytest.approx(fair_shares(cpus, domains), abs=0.01)


def domains_with(cap: int) -> list[list[SchedDomain]]:
    return [
        [SchedDomain(64), SchedDomain(64), SchedDomain(195)],
        [SchedDomain(100), SchedDomain(300, 25), SchedDomain(500)],
        [SchedDomain(64), SchedDomain(1000), SchedDomain(77, cap), SchedDomain(77)],
    ]


@pytest.mark.parametrize(
    ("scheduler", "domains"),
    [(CREDIT, each) for each in domains_with(10)] + [(CREDIT2, each) for each in domains_with(5)],
    ids=[f"{kind}-{what}" for kind in ("credit", "credit2") for what in ("weights", "cap", "both")],
)
def test_in_a_long_run_shares_are_what_the_formula_says(
    scheduler: SchedulerKind, domains: Sequence[SchedDomain]
) -> None:
    shares = shares_beside_interrupts(domains, 500 * S, scheduler)
    assert shares == pytest.approx(fair_shares(1, domains), abs=0.01)


@either
@settings(max_examples=20)
@given(
    st.lists(
        st.builds(SchedDomain, st.integers(64, 1024), st.sampled_from((0, 0, 10, 25, 60))),
        min_size=1,
        max_size=6,
    )
)
def test_in_a_short_run_shares_are_near_the_formula(
    scheduler: SchedulerKind, domains: list[SchedDomain]
) -> None:
    shares = shares_beside_interrupts(domains, 30 * S, scheduler)
    assert shares == pytest.approx(fair_shares(1, domains), abs=0.03)
