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
from pvdrivers.tools.pvbackd.scsi_units import DiskUnit, UnitConfig


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

    async def __call__(self, host: HostConfig, p_dev: str) -> LogicalUnit:
        return await self._unit(p_dev).open(p_dev)

    def way(self, host: HostConfig, p_dev: str) -> str:
        return brief(self._unit(p_dev))

    def _unit(self, p_dev: str) -> UnitConfig:
        for rule in self.rules:
            if fnmatchcase(p_dev, rule.lun):
                return rule.unit
        raise UsageError(f"no rule of the configuration matches p-dev {p_dev!r}")

    def __str__(self) -> str:
        return ", ".join(f"{rule.lun}: {brief(rule.unit)}" for rule in self.rules)


def rules_of(rules: Iterable[ScsiRule], host: HostConfig) -> tuple[ScsiRule, ...]:
    """Those for the LUNs of a host, as far as one that ignores it."""
    return tuple(takewhile(lambda rule: not rule.ignore, (r for r in rules if r.matches(host))))
