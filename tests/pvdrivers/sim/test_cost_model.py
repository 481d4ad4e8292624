"""What the doings of a domain cost."""

import msgspec
import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.cost_model import CostModel
from pvdrivers.sim.domain import ACCOUNTS

FREE = dict.fromkeys(CostModel.__struct_fields__, 0.0)


def cost(model: CostModel, **accounts: int) -> int:
    return model.cost([accounts.get(name, 0) for name in ACCOUNTS])


def test_the_defaults_are_costs() -> None:
    model = CostModel()
    assert all(getattr(model, name) > 0 for name in model.__struct_fields__)


def test_every_hypercall_has_its_price_whatever_it_does() -> None:
    model = CostModel(**FREE | {"hypercall": 700})
    assert cost(model, evtchn_send=2, gnttab_copy_call=1, memory_op=3) == 6 * 700_000
    assert cost(model, vcpu_op=2, sched_op=1) == 3 * 700_000
    counted = [name for name in ACCOUNTS if cost(model, **{name: 1})]
    assert {"grants_copied", "bytes_copied", "upcall", "grant_failures"}.isdisjoint(counted)


def test_grants_bytes_and_upcalls_have_prices_of_their_own() -> None:
    model = CostModel(
        **FREE
        | {"grant_map": 1, "grant_unmap": 2, "grant_copy": 3, "byte_copied": 0.045, "upcall": 5}
    )
    assert cost(model, grants_mapped=10) == 10_000
    assert cost(model, grants_unmapped=10) == 20_000
    assert cost(model, grants_copied=10) == 30_000
    assert cost(model, bytes_copied=4096) == 4096 * 45
    assert cost(model, upcall=2) == 10_000


def test_calls_for_vcpus_have_a_price_beside_that_of_a_hypercall() -> None:
    model = CostModel(**FREE | {"hypercall": 100, "vcpu_op": 10, "sched_op": 1})
    assert cost(model, vcpu_op=3) == 330_000
    assert cost(model, sched_op=3) == 303_000
    assert cost(model, domctl=3) == 300_000


def test_a_grant_that_failed_costs_what_its_operation_does() -> None:
    assert cost(CostModel(), grant_failures=7) == 0


@pytest.mark.parametrize("bad", [-1.0, 2e9, float("nan")])
def test_what_is_no_cost_is_refused(bad: float) -> None:
    with pytest.raises(UsageError, match=r"grant_copy = .* is no cost: 0 to 1000000000 ns"):
        CostModel(grant_copy=bad)


def test_a_file_may_say_some_of_them() -> None:
    model = msgspec.toml.decode(b"hypercall = 1.5", type=CostModel)
    assert model == CostModel(hypercall=1.5)
    with pytest.raises(msgspec.ValidationError, match="hypercal"):
        msgspec.toml.decode(b"hypercal = 1.5", type=CostModel)
