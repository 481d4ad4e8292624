"""Lists of CPUs: `cpus` and `cpus_soft`, such as "0-3,^2" or "nodes:1,^7" (xl.cfg(5))."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pvdrivers.toolstack.xl_config.text import Atom

LONGEST = 4096  # each of 800 CPUs can be named
STEP = re.compile(
    r"(?P<no>\^?)(?P<nodes>(?:nodes?:)?)(?:(?P<all>all)|\s*(?P<first>\d{1,9})(?:-\s*(?P<last>\d{1,9}))?)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class CpuStep:
    """CPUs, or all CPUs of NUMA nodes, that are added to a list or taken from it."""

    numbers: range | None  # None: all
    nodes: bool = False
    taken: bool = False


@dataclass(frozen=True, slots=True)
class CpuList:
    """Steps from left to right; what they come to depends on the host."""

    steps: tuple[CpuStep, ...]

    def on(self, nodes: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """The CPUs of a host whose node N has the CPUs `nodes[N]`, in order."""
        host = {cpu for cpus in nodes for cpu in cpus}
        found: set[int] = set()
        for step in self.steps:
            numbers = step.numbers
            if numbers is None:
                meant = host
            elif step.nodes:
                meant = {cpu for node, cpus in enumerate(nodes) if node in numbers for cpu in cpus}
            else:
                meant = {cpu for cpu in host if cpu in numbers}
            found = found - meant if step.taken else found | meant
        return tuple(sorted(found))


def parse_cpus(atom: Atom) -> CpuList:
    """ConfigError: it is no list of CPUs."""
    atom.check_length("a list of CPUs", LONGEST)
    steps: list[CpuStep] = []
    for word in re.finditer("[^,]+", atom.text):
        match = STEP.fullmatch(word[0])
        if not match:
            allowed = "there are CPUs 3, 0-3, node:1, nodes:0-1 and all, and ^ before them"
            raise atom.error(f"found {word[0][:40]!r}: {allowed}", word.start())
        if match["all"]:
            if match["no"]:
                raise atom.error(
                    "'all' is never taken away, so no ^ can be before it", word.start()
                )
            steps.append(CpuStep(None))
            continue
        first = int(match["first"])
        last = int(match["last"] or first)
        if last < first:
            raise atom.error(f"the range {word[0][:40]} ends before it begins", word.start())
        steps.append(CpuStep(range(first, last + 1), bool(match["nodes"]), bool(match["no"])))
    return CpuList(tuple(steps))
