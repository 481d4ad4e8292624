"""What the doings of a domain cost it in CPU time, on a machine whose CPUs are shared."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Annotated

import msgspec

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.domain import ACCOUNTS

PS = 1_000  # picoseconds in a nanosecond: the costs are added up in whole ones
MAX_COST = 1e9  # ns
Cost = Annotated[float, msgspec.Meta(ge=0, le=MAX_COST)]

_DEFAULTS = tomllib.loads(files(__package__).joinpath("cost_model.toml").read_text())
# Accounts that count something else than hypercalls, each of which costs `hypercall`.
_COUNTED = {
    "upcall": "upcall",
    "grants_mapped": "grant_map",
    "grants_unmapped": "grant_unmap",
    "grants_copied": "grant_copy",
    "bytes_copied": "byte_copied",
}
_MORE = ("vcpu_op", "sched_op")  # which cost beside `hypercall` what has their name
_FREE = "grant_failures"  # which has cost what its operation has


class CostModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """ns of CPU time; `cost_model.toml` has the defaults, and where they come from.

    UsageError: a cost is negative, longer than a second, or not a number.
    """

    hypercall: Cost = _DEFAULTS["hypercall"]
    """Each, whatever it does."""
    grant_map: Cost = _DEFAULTS["grant_map"]
    """Each grant of a call that maps; the same for those below."""
    grant_unmap: Cost = _DEFAULTS["grant_unmap"]
    grant_copy: Cost = _DEFAULTS["grant_copy"]
    byte_copied: Cost = _DEFAULTS["byte_copied"]
    """By a grant copy."""
    upcall: Cost = _DEFAULTS["upcall"]
    """Paid by the domain that receives the event."""
    vcpu_op: Cost = _DEFAULTS["vcpu_op"]
    """Each, such as a timer that is set, beside `hypercall`; the same for the one below."""
    sched_op: Cost = _DEFAULTS["sched_op"]
    world_switch: Cost = _DEFAULTS["world_switch"]
    """Each time that a vcpu which was blocked gets a CPU."""
    callback: Cost = _DEFAULTS["callback"]
    """What a driver does in one go beside hypercalls: each callback of an event loop."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 <= (cost := getattr(self, name)) <= MAX_COST or math.isnan(cost):
                raise UsageError(f"{name} = {cost} is no cost: 0 to {MAX_COST:.0f} ns")

    @property
    def prices(self) -> tuple[int, ...]:
        """Picoseconds of each of `ACCOUNTS`, in their order."""
        return tuple(round(self._price(name) * PS) for name in ACCOUNTS)

    def _price(self, account: str) -> float:
        if account == _FREE:
            return 0.0
        price: float = getattr(self, _COUNTED.get(account, "hypercall"))
        return price + getattr(self, account) if account in _MORE else price

    def cost(self, accounts: Iterable[int]) -> int:
        """Picoseconds of counters in the order of `ACCOUNTS`."""
        return sum(map(int.__mul__, accounts, self.prices))
