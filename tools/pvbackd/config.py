"""pvbackd's configuration: TOML, checked on reading. docs/pvbackd.md explains every key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pvdrivers.backends.scsi import host as vscsi
from pvdrivers.backends.scsi.host import ScsiBackendOptions
from pvdrivers.backends.vbd import disk as vbd
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.backends.vnif import vif as vnif
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.poll.group import Mode
from pvdrivers.poll.threads import MAX_THREADS, PollThreads
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.address import parse_address
from pvdrivers.tools.config_file import Section, explain
from pvdrivers.tools.pvbackd.disk_rules import DiskRule
from pvdrivers.tools.pvbackd.rules import first_match, kind_of
from pvdrivers.tools.pvbackd.scsi_rules import ScsiRule, check_rules, units_of
from pvdrivers.tools.pvbackd.stores import DiskStore
from pvdrivers.tools.pvbackd.uplinks import VifUplink
from pvdrivers.tools.pvbackd.vif_rules import VifRule

Natural = Annotated[int, msgspec.Meta(ge=1)]


class ConfigError(UsageError):
    """The configuration cannot be used; one sentence says why."""


class Threads(Section, frozen=True):
    """The poll threads, which move the data, and how long they poll a queue that has no work."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_THREADS)] = 1
    mode: Mode = "hybrid"
    processors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.driver()

    def driver(self) -> PollThreads:
        """They run once it is entered."""
        return PollThreads(self.count, self.mode, self.processors)


class Metrics(Section, frozen=True):
    """Where Prometheus finds the counters: HOST:PORT, a Unix socket, or nowhere."""

    listen: str = ""
    socket: str = ""

    def __post_init__(self) -> None:
        if self.listen:
            parse_address("listen", self.listen)

    @property
    def address(self) -> tuple[str, int]:
        return parse_address("listen", self.listen)


class Log(Section, frozen=True):
    """How much is logged, and how often the same at most: `burst` lines in `interval` seconds."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    json: bool = False
    burst: Natural = 5
    interval: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class Config(Section, frozen=True):
    limits: VbdBackendOptions = VbdBackendOptions()
    disk: tuple[DiskRule, ...] = ()
    unlisted: Literal["serve", "ignore"] = (
        "serve"  # disks; another device without a rule is not ours
    )
    vif_limits: VnifBackendOptions = VnifBackendOptions()
    vif: tuple[VifRule, ...] = ()
    scsi_limits: ScsiBackendOptions = ScsiBackendOptions()
    scsi: tuple[ScsiRule, ...] = ()
    threads: Threads = Threads()
    metrics: Metrics = Metrics()
    control: str = ""
    state_directory: str = ""
    log: Log = Log()

    def __post_init__(self) -> None:
        check_rules(self.scsi)

    @property
    def rules(self) -> dict[str, int]:
        """How many rules there are, by kind of device."""
        return {"disk": len(self.disk), "vif": len(self.vif), "scsi": len(self.scsi)}

    @property
    def scsi_kinds(self) -> Counter[str]:
        """How many of the SCSI rules have which kind of unit."""
        return Counter(kind_of(rule.unit) for rule in self.scsi if not rule.ignore)

    def disk_options(self, disk: vbd.DiskConfig) -> vbd.ServeOptions | None:
        """How `disk` is served; None: not by us."""
        rule = first_match(self.disk, disk, DiskRule(ignore=self.unlisted == "ignore"))
        if rule.ignore:
            return None
        return vbd.ServeOptions(DiskStore(rule.store, rule.filters), rule.limits or self.limits)

    def vif_options(self, vif: vnif.VifConfig) -> vnif.ServeOptions | None:
        """How `vif` is served; None: not by us."""
        rule = first_match(self.vif, vif, VifRule(ignore=True))
        if rule.ignore:
            return None
        return vnif.ServeOptions(
            VifUplink(rule.uplink, rule.filters), rule.limits or self.vif_limits
        )

    def scsi_options(self, host: vscsi.HostConfig) -> vscsi.ServeOptions | None:
        """How `host` is served; None: not by us."""
        units = units_of(self.scsi, host)
        if units is None:
            return None
        return units.options(units.rules[0].limits or self.scsi_limits)


def read_config(path: Path | None) -> Config:
    """ConfigError: there is no such file, or its content is not valid."""
    if path is None:
        return Config()
    try:
        text = path.read_bytes()
        return msgspec.toml.decode(text, type=Config)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, Config, text)}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: it is nested too deeply") from error
    except (msgspec.DecodeError, UsageError, ValueError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
