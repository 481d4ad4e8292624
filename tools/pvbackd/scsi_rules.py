"""`[[scsi]]`: how the LUNs of virtual SCSI hosts are served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile

import msgspec

from pvdrivers.backends.scsi.host import HostConfig, ScsiBackendOptions, ServeOptions
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.rules import Rule, brief
from pvdrivers.tools.pvbackd.scsi_disks import DiskUnit, SnapshotUnit
from pvdrivers.tools.pvbackd.scsi_pass_through import IscsiUnit, SgUnit
from pvdrivers.tools.pvbackd.scsi_tapes import ChangerUnit, TapeUnit
from pvdrivers.tools.pvbackd.scsi_units import UnitKind

UnitConfig = DiskUnit | SnapshotUnit | TapeUnit | ChangerUnit | IscsiUnit | SgUnit


class ScsiRule(Rule, frozen=True):
    """For the LUNs of a host that match; a host is served when a rule matches it."""

    lun: str = "*"  # what the toolstack wrote as `p-dev`
    unit: UnitConfig = DiskUnit()
    limits: ScsiBackendOptions | None = None

    def __post_init__(self) -> None:
        if self.ignore and self.lun != "*":
            raise UsageError("a host is ignored as a whole: `ignore` goes with `device` alone")


class LunUnits(msgspec.Struct, frozen=True):
    """Opens the units of a host's LUNs: by the first rule that matches. `below`: rules for what
    they stand on, which may be no LUNs of that host."""

    rules: tuple[ScsiRule, ...]
    below: tuple[ScsiRule, ...] = ()

    def options(self, limits: ScsiBackendOptions) -> ServeOptions:
        below = LunUnits(self.below).options(limits) if self.below else None
        return ServeOptions(self, limits, self.way, self.stands_on, below)

    async def __call__(self, host: HostConfig, p_dev: str, *below: LogicalUnit) -> LogicalUnit:
        return await unit_of(p_dev, self.rules).open(p_dev, *below)

    def way(self, host: HostConfig, p_dev: str) -> str:
        return brief(unit_of(p_dev, self.rules))

    def stands_on(self, host: HostConfig, p_dev: str) -> tuple[str, ...]:
        """UsageError: one of them cannot be that."""
        unit = unit_of(p_dev, self.rules)
        names = unit.stands_on(p_dev)
        for name in names:
            unit.check_below(name, unit_of(name, self.below))
        return names

    def __str__(self) -> str:
        return ", ".join(f"{rule.lun}: {brief(rule.unit)}" for rule in self.rules)


def unit_of(p_dev: str, rules: Iterable[ScsiRule]) -> UnitKind:
    """UsageError: there is none."""
    for rule in rules:
        if fnmatchcase(p_dev, rule.lun):
            return rule.unit
    raise _no_rule(p_dev)


def units_of(rules: Sequence[ScsiRule], host: HostConfig) -> LunUnits | None:
    """Those of a host's LUNs; None: it has no rule. What they stand on is found by its own rules,
    as far as one that ignores it, or else by those of other hosts."""
    own = tuple(takewhile(lambda rule: not rule.ignore, (r for r in rules if r.matches(host))))
    if not own:
        return None
    names = [name for rule in own for name in rule.unit.stands_on("{lun}")]
    others = tuple(
        rule
        for rule in rules
        if not rule.ignore
        and not rule.matches(host)
        and any(fnmatchcase(name, rule.lun) for name in names)
    )
    return LunUnits(own, own + others if names else ())


def check_rules(rules: Iterable[ScsiRule]) -> None:
    """UsageError: a unit is to stand on one that no rule can give. Names that follow from a LUN's
    are looked up when that comes."""
    serving = [rule for rule in rules if not rule.ignore]
    for rule in serving:
        for name in rule.unit.stands_on("{lun}"):
            if "{lun}" not in name and (fault := _fault_below(rule.unit, name, serving)):
                raise UsageError(f"the rule for lun {rule.lun!r}: {fault}")


def _fault_below(unit: UnitKind, name: str, rules: Iterable[ScsiRule]) -> UsageError | None:
    """Why no rule of that name has what it can stand on."""
    fault = _no_rule(name)
    for rule in rules:
        if fnmatchcase(name, rule.lun):
            try:
                unit.check_below(name, rule.unit)
            except UsageError as error:
                fault = error
            else:
                return None
    return fault


def _no_rule(p_dev: str) -> UsageError:
    return UsageError(f"no rule of the configuration matches p-dev {p_dev!r}")
