"""The credit scheduler does on one CPU, ns for ns, what a plain model of Xen's does."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.sim.scheduler import SchedDomain
from tests.pvdrivers.sim.sched.credit_model import MS, Credit, Vcpu
from tests.pvdrivers.sim.sched.schedules import machine_with, run_to

WEIGHTS = st.lists(st.integers(64, 1024), min_size=1, max_size=5)
WORK = st.one_of(
    st.integers(1, 80 * MS), st.integers(1, 2 * MS), st.sampled_from((10 * MS, 30 * MS))
)
PAUSE = st.one_of(st.integers(1, 40 * MS), st.integers(1, MS), st.just(10 * MS))
STEPS = st.lists(st.tuples(st.integers(0, 4), WORK, PAUSE), min_size=1, max_size=80)


# One boosted waits behind another, whose boost ends when it earns: their order stays.
BOOST_THAT_ENDS = [
    (1, 30_000_000, 970_043),
    (4, 10_000_000, 250_317),
    (4, 30_000_000, 36_474_427),
    (2, 1_195_325, 266_588),
    (4, 30_000_000, 18_091_391),
    (4, 10_000_000, 10_000_000),
    (4, 30_000_000, 1_101_733),
    (2, 30_000_000, 423_094),
    (1, 30_000_000, 209_949),
    (0, 10_000_000, 21_190_603),
    (2, 10_000_000, 10_000_000),
]


@settings(max_examples=200)
@given(WEIGHTS, STEPS)
@example([861, 94, 658, 866, 550], BOOST_THAT_ENDS)
def test_each_vcpu_runs_when_the_model_says(
    weights: list[int], steps: list[tuple[int, int, int]]
) -> None:
    model = Credit([Vcpu(number, weight) for number, weight in enumerate(weights)])
    with machine_with(1, len(weights), scheduler=SchedulerKind.CREDIT) as machine:
        for domid, weight in enumerate(weights):
            machine.scheduler.set_domain(domid, SchedDomain(weight))
        for number, work, pause in steps:
            domid = number % len(weights)
            model.demand(domid, work)
            machine.scheduler.demand(domid, 0, work)
            end = machine.now + pause
            model.run(end)
            run_to(machine.scheduler, end)
            states = [machine.scheduler.run_state(domid, 0) for domid in range(len(weights))]
            assert [state.running for state in states] == [vcpu.ran for vcpu in model.vcpus]
