"""A scenario: a machine, its scheduler, and what its guests do. docs/pvsim.md has each key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.cost_model import CostModel
from pvdrivers.sim.cpupool import (
    DEFAULT_RATELIMIT_US,
    DEFAULT_TSLICE_MS,
    MAX_CPUS,
    MAX_MIGRATION_DELAY_US,
    MAX_RATELIMIT_US,
    MAX_TSLICE_MS,
    MIN_RATELIMIT_US,
    SchedParams,
)
from pvdrivers.sim.scheduler import DEFAULT_WEIGHT, MAX_WEIGHT, MIN_WEIGHT
from pvdrivers.sim.vcpu import MAX_VCPUS
from pvdrivers.tools.command_line import suggestion
from pvdrivers.tools.config_file import Section, explain
from pvdrivers.tools.pvsim.kinds import WITH_DEVICE, Client, Server, Workload, parse_time

MAX_GUESTS = 1000
Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_GUESTS)]


class ScenarioError(UsageError):
    """The scenario cannot be run; one sentence says why."""


# ---- The tables of the file ------------------------------------------------------------------


CpuCount = Annotated[int, msgspec.Meta(ge=1, le=MAX_CPUS)]


class MachineSection(Section, frozen=True):
    """`cores_per_socket`: None, all are in one socket."""

    cpus: CpuCount = 1
    threads_per_core: CpuCount = 1
    cores_per_socket: CpuCount | None = None
    nodes: CpuCount = 1

    def __post_init__(self) -> None:
        if self.nodes > self.cpus:
            raise ValueError(f"nodes is 1 to the number of cpus, {self.cpus}, not {self.nodes}")


class SchedulerSection(Section, frozen=True):
    """As `xl sched-credit -s`, `xl sched-credit2 -s` and Xen's command line set them."""

    kind: Literal["credit", "credit2"] = "credit"
    ratelimit_us: Annotated[int, msgspec.Meta(ge=0, le=MAX_RATELIMIT_US)] = DEFAULT_RATELIMIT_US
    tslice_ms: Annotated[int, msgspec.Meta(ge=1, le=MAX_TSLICE_MS)] | None = None
    migration_delay_us: Annotated[int, msgspec.Meta(ge=0, le=MAX_MIGRATION_DELAY_US)] | None = None
    credit2_runqueue: Literal["cpu", "core", "socket", "node", "all"] | None = None
    smt_power_savings: bool = False

    def __post_init__(self) -> None:
        if self.kind == "credit" and self.credit2_runqueue is not None:
            raise ValueError("credit2_runqueue is credit2's, the credit scheduler has none")
        for key in ("tslice_ms", "migration_delay_us"):
            if self.kind == "credit2" and getattr(self, key) is not None:
                raise ValueError(f"{key} is the credit scheduler's, credit2 has none")
        limit, tslice = self.ratelimit_us, self.tslice_ms or DEFAULT_TSLICE_MS
        longest, most = 1000 * tslice, f"the slice of {tslice} ms"
        if self.kind == "credit2":
            longest, most = MAX_RATELIMIT_US, str(MAX_RATELIMIT_US)
        if 0 < limit < MIN_RATELIMIT_US or limit > longest:
            raise ValueError(
                f"ratelimit_us is 0, or from {MIN_RATELIMIT_US} to {most}, not {limit}"
            )

    @property
    def params(self) -> SchedParams:
        if self.kind == "credit2":
            return SchedParams(0, self.ratelimit_us)
        tslice = self.tslice_ms or DEFAULT_TSLICE_MS
        return SchedParams(tslice, self.ratelimit_us, self.migration_delay_us or 0)


class RunSection(Section, frozen=True):
    time: str = "10s"
    seed: int = 0

    def __post_init__(self) -> None:
        parse_time(self.time, "time")


class DomainSection(Section, frozen=True):
    """What a domain gets of the CPUs."""

    vcpus: Annotated[int, msgspec.Meta(ge=1, le=MAX_VCPUS)] = 1
    weight: Annotated[int, msgspec.Meta(ge=MIN_WEIGHT, le=MAX_WEIGHT)] = DEFAULT_WEIGHT
    cap: Annotated[int, msgspec.Meta(ge=0)] = 0
    cpus: tuple[int, ...] = ()
    soft_cpus: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.cap > 100 * self.vcpus:
            raise ValueError(
                f"cap is percent of one CPU, {100 * self.vcpus} at most for {self.vcpus} vcpus,"
                f" not {self.cap}"
            )

    def check_cpus(self, name: str, cpus: int) -> None:
        for cpu in self.cpus + self.soft_cpus:
            if not 0 <= cpu < cpus:
                raise ValueError(f"{name}: CPU {cpu} is none of 0 to {cpus - 1}")


class GuestSection(DomainSection, frozen=True, kw_only=True):
    """`count` guests that are alike. What needs no device, each of their vcpus does."""

    name: str
    workload: Workload
    count: Count = 1

    @property
    def names(self) -> list[str]:
        if self.count == 1:
            return [self.name]
        return [f"{self.name}-{number}" for number in range(1, self.count + 1)]

    @property
    def has_device(self) -> bool:
        return isinstance(self.workload, WITH_DEVICE)


class SweepSection(Section, frozen=True):
    """Runs the scenario once for each number of guests of one name."""

    guest: str
    counts: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)]


class Scenario(Section, frozen=True):
    guest: tuple[GuestSection, ...]
    machine: MachineSection = MachineSection()
    scheduler: SchedulerSection = SchedulerSection()
    run: RunSection = RunSection()
    dom0: DomainSection = DomainSection()
    cost: CostModel = CostModel()
    sweep: SweepSection | None = None

    @property
    def ns(self) -> int:
        """How long it runs, of virtual time."""
        return parse_time(self.run.time, "time")

    def with_count(self, count: int) -> Scenario:
        """One run of the sweep."""
        assert self.sweep
        guests = tuple(
            msgspec.structs.replace(each, count=count) if each.name == self.sweep.guest else each
            for each in self.guest
        )
        return msgspec.structs.replace(self, guest=guests, sweep=None)

    @property
    def runs(self) -> list[Scenario]:
        return [self.with_count(count) for count in self.sweep.counts] if self.sweep else [self]

    def check(self) -> None:
        """What no table can see alone. Raises ValueError."""
        if self.sweep and self.sweep.guest not in (known := [each.name for each in self.guest]):
            raise ValueError(
                f"sweep: {self.sweep.guest!r} is no guest: {suggestion(self.sweep.guest, known)}"
            )
        for run in self.runs:
            run.check_run()

    def check_run(self) -> None:
        """The same of one run."""
        names = [name for section in self.guest for name in section.names]
        if not names:
            raise ValueError("there is no guest: add a table [[guest]]")
        if len(names) > MAX_GUESTS:
            raise ValueError(f"there are {len(names)} guests, more than {MAX_GUESTS}")
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two guests are named {min(twice)!r}")
        self.dom0.check_cpus("dom0", self.machine.cpus)
        servers = [each.name for each in self.guest if isinstance(each.workload, Server)]
        for section in self.guest:
            section.check_cpus(f"guest {section.name!r}", self.machine.cpus)
            if isinstance(section.workload, Client) and section.workload.server not in servers:
                known = ", ".join(servers) or 'no guest, add one with workload.kind = "server"'
                raise ValueError(
                    f"guest {section.name!r}: {section.workload.server!r} is no server; one is"
                    f" {known}"
                )


def load(path: Path) -> Scenario:
    """The scenario in a file. ScenarioError: it cannot be read, or what is wrong in it."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from error
    return parse(text, str(path))


def parse(text: bytes, name: str) -> Scenario:
    try:
        scenario = msgspec.toml.decode(text, type=Scenario)
        scenario.check()
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{name}: {explain(error, Scenario, text)}") from error
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, ValueError) as error:
        raise ScenarioError(f"{name}: {error}") from error
    return scenario
