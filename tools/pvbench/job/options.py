"""The options of a job that every device class has, and how an option is declared.

Each option is written once, with all there is to know of it: the command line, job files, the
report and the manual read it here.
"""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_type_hints

from cyclopts import Group, Parameter

from pvdrivers.poll.group import Mode
from pvdrivers.ring.abi import Abi
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.job import PERCENTILES, Job
from pvdrivers.tools.pvbench.units import parse_percentiles, parse_time

AbiName = Literal["x86_64", "x86_32", "ia64"]

WORKLOAD = Group("The workload", sort_key=1)
DEVICE = Group("The device", sort_key=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is to be known of an option beside its type, default and meaning."""

    limits: tuple[int, int] | None = None  # inclusive: of the protocol, the backend or fio
    aliases: tuple[str, ...] = ()  # fio's other names
    optional_value: bool = False  # it may stand without one
    suite_sets: bool = False  # the workloads that run when none is asked for set it


def option(text: str, group: Group = WORKLOAD) -> Any:
    """One under its own name: fio's have underscores."""
    negative = "" if group is WORKLOAD else None
    return Parameter(help=text, group=group, negative=negative, name_transform=str)


def rules(table: type) -> dict[str, Rule]:
    """The rule of each option of a dataclass, by name."""
    hints = get_type_hints(table, include_extras=True)
    found = {}
    for each in fields(table):
        metadata = getattr(hints[each.name], "__metadata__", ())
        found[each.name] = next((m for m in metadata if isinstance(m, Rule)), Rule())
    return found


def _parse_cpus(_: object, tokens: Any) -> tuple[int, int]:
    front, back = map(int, tokens[0].value.split(","))
    return front, back


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class JobOptions(ABC):
    """None: not given, and no default that could be named."""

    name: Annotated[
        str | None, option("The job's name in the report; on a command line, begins another job.")
    ] = None
    runtime: Annotated[
        str | None,
        option("The longest time, in seconds unless it ends in ms, s, m or h."),
        Rule(aliases=("timeout",)),
    ] = None
    ramp_time: Annotated[str, option("Time before the measured run.")] = "0"
    stonewall: Annotated[
        bool,
        option("Start when the jobs before have ended."),
        Rule(aliases=("wait_for_previous",)),
    ] = False
    percentile_list: Annotated[str, option("The percentiles in the report, 20 at most.")] = (
        ":".join(map(str, PERCENTILES))
    )
    abi: Annotated[
        AbiName, option("The guest's ABI: layout of the ring, pages of 4 KiB or ia64's 16.", DEVICE)
    ] = "x86_64"
    queues: Annotated[int, option("Rings of the device.", DEVICE), Rule(limits=(1, 64))] = 1
    mode: Annotated[
        Mode,
        option(
            "How both ends wait: spinning (poll), spinning for a poll window that follows the last "
            "waits, 0.2 ms at most, and then sleeping (hybrid), or sleeping at once (event).",
            DEVICE,
        ),
    ] = "hybrid"
    cpus: Annotated[
        tuple[int, int] | None,
        Parameter(
            help="FRONT,BACK: with --processes, a processor for each of the two.",
            group=DEVICE,
            converter=_parse_cpus,
            n_tokens=1,
            negative="",
        ),
    ] = None
    given: Annotated[dict[str, str], Parameter(parse=False)] = field(default_factory=dict)

    @abstractmethod
    def job(self) -> Job:
        """The job these options ask for. Raises OptionError."""

    def check(self) -> None:
        """Raises OptionError for what no job can have."""
        for name, rule in rules(type(self)).items():
            value = getattr(self, name)
            if rule.limits and not rule.limits[0] <= value <= rule.limits[1]:
                low, high = rule.limits
                raise OptionError(f"--{name}: {value} is not between {low} and {high}")
        if self.cpus and not set(self.cpus) <= os.sched_getaffinity(0):
            raise OptionError(f"--cpus: {self.cpus} are not both processors this process may use")

    def shared(self) -> dict[str, Any]:
        """What jobs of every class have, but for the name."""
        return {
            "options": self.given | self._defaults(),
            "runtime_ns": parse_time("--runtime", self.runtime or "0"),
            "ramp_ns": parse_time("--ramp_time", self.ramp_time),
            "percentiles": parse_percentiles(self.percentile_list),
            "abi": Abi[self.abi.upper()],
            "queues": self.queues,
            "mode": self.mode,
            "cpus": self.cpus,
        }

    def _defaults(self) -> dict[str, str]:
        """What was not given and is not empty: programs that plot fio's reports ask for some."""
        hints = get_type_hints(type(self), include_extras=True)
        return {
            each.name: str(getattr(self, each.name))
            for each in fields(self)
            if each.name != "given"
            and WORKLOAD in hints[each.name].__metadata__[0].group
            and each.name not in self.given
            and getattr(self, each.name) not in (None, False)
        }
