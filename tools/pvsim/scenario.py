"""A scenario: a machine, its scheduler, and what its guests do. docs/pvsim.md has each key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.cpupool import (
    DEFAULT_RATELIMIT_US,
    DEFAULT_TSLICE_MS,
    MAX_CPUS,
    MAX_MIGRATION_DELAY_US,
    MAX_RATELIMIT_US,
    MAX_TSLICE_MS,
    MIN_RATELIMIT_US,
)
from pvdrivers.sim.scheduler import DEFAULT_WEIGHT, MAX_WEIGHT, MIN_WEIGHT
from pvdrivers.sim.vcpu import MAX_VCPUS
from pvdrivers.tools.config_file import Kind, Section, explain

MAX_GUESTS = 1000
_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}


class ScenarioError(UsageError):
    """The scenario cannot be run; one sentence says why."""


def parse_time(text: str, what: str) -> int:
    """ns of a time such as 100us, more than none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m)", text.strip())
    ns = round(float(match[1]) * _NS[match[2]]) if match else 0
    if ns <= 0:
        raise ValueError(f"{what} is a time such as 100us, 2ms or 1.5s, not {text!r}")
    return ns


# ---- What a guest's vcpu does ----------------------------------------------------------------


class Compute(Kind, frozen=True, tag="compute"):
    """Takes all the CPU time it gets."""


class Open(Kind, frozen=True, tag="open"):
    """Requests that come whether or not the last one has been answered."""

    interval: str  # between two of them, on average
    work: str  # CPU time for each
    arrival: Literal["poisson", "fixed"] = "poisson"

    def __post_init__(self) -> None:
        parse_time(self.interval, "interval")
        parse_time(self.work, "work")


class Closed(Kind, frozen=True, tag="closed"):
    """The next request comes some time after the last one has been answered."""

    work: str
    think: str

    def __post_init__(self) -> None:
        parse_time(self.work, "work")
        parse_time(self.think, "think")


Workload = Compute | Open | Closed


# ---- The tables of the file ------------------------------------------------------------------


class MachineSection(Section, frozen=True):
    cpus: Annotated[int, msgspec.Meta(ge=1, le=MAX_CPUS)] = 1


class SchedulerSection(Section, frozen=True):
    """As `xl sched-credit -s` sets them."""

    tslice_ms: Annotated[int, msgspec.Meta(ge=1, le=MAX_TSLICE_MS)] = DEFAULT_TSLICE_MS
    ratelimit_us: Annotated[int, msgspec.Meta(ge=0, le=MAX_RATELIMIT_US)] = DEFAULT_RATELIMIT_US
    migration_delay_us: Annotated[int, msgspec.Meta(ge=0, le=MAX_MIGRATION_DELAY_US)] = 0

    def __post_init__(self) -> None:
        limit = self.ratelimit_us
        if 0 < limit < MIN_RATELIMIT_US or limit > 1000 * self.tslice_ms:
            raise ValueError(
                f"ratelimit_us is 0, or from {MIN_RATELIMIT_US} to the slice of"
                f" {self.tslice_ms} ms, not {limit}"
            )


class RunSection(Section, frozen=True):
    time: str = "10s"
    seed: int = 0

    def __post_init__(self) -> None:
        parse_time(self.time, "time")


class GuestSection(Section, frozen=True):
    """`count` guests that are alike. Each of their vcpus has the workload to itself."""

    name: str
    workload: Workload
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_GUESTS)] = 1
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

    @property
    def names(self) -> list[str]:
        if self.count == 1:
            return [self.name]
        return [f"{self.name}-{number}" for number in range(1, self.count + 1)]


class Scenario(Section, frozen=True):
    guest: tuple[GuestSection, ...]
    machine: MachineSection = MachineSection()
    scheduler: SchedulerSection = SchedulerSection()
    run: RunSection = RunSection()

    @property
    def ns(self) -> int:
        """How long it runs, of virtual time."""
        return parse_time(self.run.time, "time")

    def check(self) -> None:
        """What no table can see alone. Raises ValueError."""
        names = [name for section in self.guest for name in section.names]
        if not names:
            raise ValueError("there is no guest: add a table [[guest]]")
        if len(names) > MAX_GUESTS:
            raise ValueError(f"there are {len(names)} guests, more than {MAX_GUESTS}")
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two guests are named {min(twice)!r}")
        for section in self.guest:
            for cpu in section.cpus + section.soft_cpus:
                if not 0 <= cpu < self.machine.cpus:
                    last = self.machine.cpus - 1
                    raise ValueError(f"guest {section.name!r}: CPU {cpu} is none of 0 to {last}")


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
