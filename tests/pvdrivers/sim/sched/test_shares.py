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


CAPS = st.sampled_from((0, 0, 10, 25, 60))
any_domains = st.lists(st.builds(SchedDomain, st.integers(64, 1024), CAPS), min_size=1, max_size=6)
alike_domains = st.lists(st.builds(SchedDomain, st.integers(128, 512)), min_size=1, max_size=6)


@settings(max_examples=20)
@given(any_domains)
def test_credit2_is_near_the_formula_in_a_short_run(domains: list[SchedDomain]) -> None:
    shares = shares_beside_interrupts(domains, 30 * S, CREDIT2)
    assert shares == pytest.approx(fair_shares(1, domains), abs=0.03)


@settings(max_examples=20)
@given(alike_domains)
def test_credit_is_near_the_formula_in_a_short_run(domains: list[SchedDomain]) -> None:
    shares = shares_beside_interrupts(domains, 30 * S, CREDIT)
    assert shares == pytest.approx(fair_shares(1, domains), abs=0.03)


@settings(max_examples=20)
@given(any_domains)
def test_credit_keeps_caps_and_leaves_no_cpu_idle(domains: list[SchedDomain]) -> None:
    shares = shares_beside_interrupts(domains, 30 * S, CREDIT)
    for share, domain in zip(shares, domains, strict=True):
        assert not domain.cap or share < domain.cap / 100 + 0.005
    if any(not domain.cap for domain in domains):
        assert sum(shares) > 0.995  # the guest of the interrupts had the rest


def test_credit_gives_a_heavy_guest_less_than_the_formula_beside_many_light_ones() -> None:
    """Each light guest runs a whole slice when its turn comes. The heavy one earns meanwhile, but
    nobody keeps more credits than those of one slice (`csched_acct` of Xen)."""
    domains = [SchedDomain(1000)] + [SchedDomain(65)] * 5
    heavy, *light = shares_beside_interrupts(domains, 100 * S, CREDIT)
    assert fair_shares(1, domains)[0] == pytest.approx(0.755, abs=0.001)
    assert 0.65 < heavy < 0.70
    assert light == pytest.approx([(1 - heavy) / 5] * 5, abs=0.002)


def test_credit_gives_what_a_capped_guest_leaves_to_those_that_stand_behind_it() -> None:
    """Each accounting goes through the domains once. A capped one moves to the head only when one
    before it could have used more, so the two light ones get their cap every other time, and the
    guest without a cap has what they leave (`csched_acct` of Xen)."""
    domains = [SchedDomain(65), SchedDomain(64, 25), SchedDomain(1000, 25), SchedDomain(64, 25)]
    free, light, heavy, other = shares_beside_interrupts(domains, 100 * S, CREDIT)
    assert heavy == pytest.approx(0.25, abs=0.005)
    assert [light, other] == pytest.approx([(0.25 + 64 / 1193) / 2] * 2, abs=0.01)
    assert free == pytest.approx(1 - light - heavy - other, abs=0.005)
