"""`[[disk]]`: how virtual disks are served."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.backends.vbd.disk import DiskConfig
from pvdrivers.tools.pvbackd.rules import Rule
from pvdrivers.tools.pvbackd.stores import (
    DISK_FIELDS,
    FilterConfig,
    FromParams,
    StoreConfig,
    check_paths,
)


class DiskRule(Rule, frozen=True):
    params: str = "*"
    type: str = "*"
    name: str = "*"
    store: StoreConfig = msgspec.field(default_factory=FromParams)
    filters: tuple[FilterConfig, ...] = ()
    limits: VbdBackendOptions | None = None

    def __post_init__(self) -> None:
        check_paths((self.store, *self.filters), DISK_FIELDS)

    def matches(self, config: DiskConfig) -> bool:
        return (
            Rule.matches(self, config)
            and fnmatchcase(config.params, self.params)
            and fnmatchcase(config.kind, self.type)
            and fnmatchcase(config.name, self.name)
        )
