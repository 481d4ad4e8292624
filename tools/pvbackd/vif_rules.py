"""`[[vif]]`: how virtual network devices are served."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.backends.vnif.vif import VifConfig
from pvdrivers.tools.pvbackd.rules import Rule
from pvdrivers.tools.pvbackd.uplinks import FilterConfig, Tap, UplinkConfig


class VifRule(Rule, frozen=True):
    bridge: str = "*"
    mac: str = "*"
    type: str = "*"
    script: str = "*"
    uplink: UplinkConfig = msgspec.field(default_factory=Tap)
    filters: tuple[FilterConfig, ...] = ()
    limits: VnifBackendOptions | None = None

    def matches(self, config: VifConfig) -> bool:
        return (
            Rule.matches(self, config)
            and fnmatchcase(config.bridge, self.bridge)
            and fnmatchcase(config.mac.lower(), self.mac.lower())
            and fnmatchcase(config.kind, self.type)
            and fnmatchcase(config.script, self.script)
        )
