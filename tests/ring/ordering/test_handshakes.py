"""Grants and event channels: nothing is used that was not granted, no event is lost, and every
barrier is needed for that.

Here are what guests and hypervisors have got wrong before: an entry that changes while it is looked
at (XSA-295), the barriers of event channels (XSA-340), and what a guest finds of them while they
are set up (XSA-358, 359).
"""

from types import ModuleType

import pytest

from . import event_setup, events_2l, events_fifo, grants
from .explorer import MODELS, Model, Scenario, counterexample, ends, reachable, refutation
from .machines import Choice, Op, Program, SequentiallyConsistent, Steps
from .sites import ROOT, Table, Weakening, documented

TABLES: dict[Table, list[Scenario]] = {}
for module in (grants, events_2l, events_fifo, event_setup):
    TABLES |= dict.fromkeys(module.TABLES, module.SCENARIOS)
SCENARIOS = [
    pytest.param(scenario, id=f"{module.__name__.rpartition('.')[2]}: {scenario}")
    for module in (grants, events_2l, events_fifo, event_setup)
    for scenario in module.SCENARIOS
]
WEAKENINGS = [
    pytest.param(without, scenarios, id=str(without))
    for table, scenarios in TABLES.items()
    for without in table.weakenings()
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
def test_the_table_is_the_source(table: Table) -> None:
    assert table.in_source() == table.in_table()


@pytest.mark.parametrize("file", ["ring/grant_table.c", "ring/event_channel.c"])
def test_no_use_is_missing_in_the_tables(file: str) -> None:
    """Nor is there any other primitive than barrier.h's."""
    known = [use for table in TABLES if table.file == file for use in table.in_table()]
    assert sorted(known) == sorted(Table(file, ()).in_source())


@pytest.mark.parametrize(
    ("page", "modules"),
    [("grant-tables", (grants,)), ("event-channels", (events_2l, events_fifo, event_setup))],
)
def test_the_documentation_shows_the_tables(page: str, modules: tuple[ModuleType, ...]) -> None:
    tables = tuple(table for module in modules for table in module.TABLES)
    assert documented(tables) in (ROOT / f"docs/{page}.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("model", MODELS)
def test_nothing_goes_wrong_with_all_barriers(model: Model, scenario: Scenario) -> None:
    found = counterexample(model, scenario)
    assert found is None, f"\n{found}"


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_weak_machine_does_no_less(scenario: Scenario) -> None:
    """Nor more: the proof above is not empty, and the barriers leave one outcome for all models."""
    on = [reachable(model, scenario) for model in MODELS]
    assert on[0] == on[1] == on[2] != set()


@pytest.mark.slow
@pytest.mark.parametrize(("without", "scenarios"), WEAKENINGS)
def test_every_barrier_is_needed(without: Weakening, scenarios: list[Scenario]) -> None:
    found = refutation(scenarios, without)
    assert found is not None
    print(f"\n{without}\n{found}")


# ---- A guest that changes a word whenever it is looked at (XSA-295) ---------------------------


def flips(variable: str, bit: int, times: int) -> Program:
    for _ in range(times):
        op = Op("change", variable, order="full", text=f"change {variable}")
        yield Choice(op, (), lambda value: value ^ bit)
    return "done"


def most_attempts(scenario: Scenario, site: str) -> int:
    return max(
        sum(step.text.startswith(site) for step in end.steps())
        for end in ends(SequentiallyConsistent, scenario)
    )


@pytest.mark.slow
def test_a_changing_grant_entry_is_given_up_after_five_attempts() -> None:
    entry = grants.Entry(1, None)
    scenario = Scenario(
        ("guest", "hypervisor"),
        lambda _: (lambda: flips("flags", 32, 8), lambda: grants.use(entry)),
        {"flags": grants.ACCESS, "frame": 1, "page 0": 0, "page 1": 1},
        grants.sees_what_was_granted,
    )
    assert most_attempts(scenario, "mark_v1: pv_compare_exchange") == 5
    assert counterexample(SequentiallyConsistent, scenario) is None
    assert {peer for _, peer in reachable(SequentiallyConsistent, scenario)} == {
        "refused",
        "read 1 from page 1",
    }


@pytest.mark.slow
def test_a_changing_event_word_is_given_up_after_five_attempts() -> None:
    """And it is not left busy, which would block the guest's unmasking forever."""
    fifo = events_fifo.Fifo(None)

    def links() -> Program:
        linked: Steps = fifo.set_link(1, 2)
        return "linked" if (yield from linked) else "not linked"

    scenario = Scenario(
        ("guest", "hypervisor"),
        lambda _: (lambda: flips("word 1", events_fifo.MASKED, 8), links),
        {"word 1": events_fifo.PENDING | events_fifo.LINKED},
        events_fifo.has("word 1", 0, events_fifo.BUSY),
    )
    assert most_attempts(scenario, "try_set_link: pv_compare_exchange") == 5
    assert counterexample(SequentiallyConsistent, scenario) is None
