"""`[[scsi]]`: how the LUNs of virtual SCSI hosts are served."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import takewhile

import msgspec

from pvdrivers.backends.scsi.host import HostConfig, ScsiBackendOptions
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.rules import Rule, brief
from pvdrivers.tools.pvbackd.scsi_disks import DiskUnit, SnapshotUnit
from pvdrivers.tools.pvbackd.scsi_tapes import ChangerUnit, TapeUnit
from pvdrivers.tools.pvbackd.scsi_units import UnitKind

UnitConfig = DiskUnit | SnapshotUnit | TapeUnit | ChangerUnit


class ScsiRule(Rule, frozen=True):
    """For the LUNs of a host that match; a host is served when a rule matches it."""

    lun: str = "*"  # what the toolstack wrote as `p-dev`
    unit: UnitConfig = DiskUnit()
    limits: ScsiBackendOptions | None = None

    def __post_init__(self) -> None:
        if self.ignore and self.lun != "*":
            raise UsageError("a host is ignored as a whole: `ignore` goes with `device` alone")


class LunUnits(msgspec.Struct, frozen=True):
    """Opens the units of a host's LUNs: by the first rule that matches."""

    rules: tuple[ScsiRule, ...]

    async def __call__(self, host: HostConfig, p_dev: str, *below: LogicalUnit) -> LogicalUnit:
        return await self.unit_of(p_dev).open(p_dev, *below)

    def way(self, host: HostConfig, p_dev: str) -> str:
        return brief(self.unit_of(p_dev))

    def stands_on(self, host: HostConfig, p_dev: str) -> tuple[str, ...]:
        """UsageError: one of them cannot be that."""
        unit = self.unit_of(p_dev)
        names = unit.stands_on(p_dev)
        for name in names:
            unit.check_below(name, self.unit_of(name))
        return names

    def unit_of(self, p_dev: str) -> UnitKind:
        """UsageError: there is none."""
        for rule in self.rules:
            if fnmatchcase(p_dev, rule.lun):
                return rule.unit
        raise _no_rule(p_dev)

    def __str__(self) -> str:
        return ", ".join(f"{rule.lun}: {brief(rule.unit)}" for rule in self.rules)


def rules_of(rules: Iterable[ScsiRule], host: HostConfig) -> tuple[ScsiRule, ...]:
    """Those for the LUNs of a host, as far as one that ignores it."""
    return tuple(takewhile(lambda rule: not rule.ignore, (r for r in rules if r.matches(host))))


def check_rules(rules: Iterable[ScsiRule]) -> None:
    """UsageError: a unit is to stand on one that no rule can give. Names that follow from a LUN's
    are looked up when that comes."""
    serving = [rule for rule in rules if not rule.ignore]
    for rule in serving:
        for name in rule.unit.stands_on("{lun}"):
            if "{lun}" not in name:
                found = [each.unit for each in serving if fnmatchcase(name, each.lun)]
                if error := _fault_below(rule.unit, name, found):
                    raise UsageError(f"the rule for lun {rule.lun!r}: {error}")


def _fault_below(unit: UnitKind, name: str, found: Iterable[UnitKind]) -> UsageError | None:
    """Why none of those it may find is what it can stand on."""
    fault = _no_rule(name)
    for each in found:
        try:
            unit.check_below(name, each)
        except UsageError as error:
            fault = error
        else:
            return None
    return fault


def _no_rule(p_dev: str) -> UsageError:
    return UsageError(f"no rule of the configuration matches p-dev {p_dev!r}")
