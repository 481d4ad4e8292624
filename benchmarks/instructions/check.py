"""Counts the instructions each data plane executes for a request, and compares with the baseline.

Callgrind's counts repeat exactly where seconds do not. Counted is libpvdrivers.so alone: what libc
executes depends on the processor it runs on. The counts belong to a compiler's version and an
architecture; with others there is nothing to compare with.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BASELINE = HERE / "baseline.json"
BUILD = ROOT / "build" / "instructions"
MARGIN_PERCENT = 3
ROUNDS = 20
BOTH = ("back", "front")  # halves of a device
LIBRARY = "libpvdrivers.so"
UPDATE = "make instructions INSTRUCTIONSFLAGS=--update"

Counts = dict[str, dict[str, int]]  # by case and half


@dataclass(frozen=True)
class Baseline:
    compiler: str  # and its version, as upstream numbers it: Debian's revisions change no code
    architecture: str
    instructions_per_request: Counts

    @property
    def made_by(self) -> str:
        return f"{self.compiler} on {self.architecture}"


@dataclass(frozen=True)
class Case:
    store: str
    direction: str
    block_size: int
    grants: str
    depth: int
    idle: int | None = None  # other devices in the same poll group; None: no group

    @property
    def name(self) -> str:
        size = f"{self.block_size // 1024}k"
        beside = "" if self.idle is None else f" beside {self.idle}"
        return f"{self.store} {self.direction} {size} {self.grants} qd{self.depth}{beside}"

    @property
    def halves(self) -> tuple[str, ...]:
        return BOTH if self.idle is None else ("back",)

    @property
    def arguments(self) -> list[str]:
        words = [self.store, self.direction, str(self.block_size), self.grants, str(self.depth)]
        return [*words, str(ROUNDS), *([] if self.idle is None else [str(self.idle)])]


@dataclass(frozen=True)
class PacketCase:
    direction: str  # tx, rx, or null: tx to an uplink that looks at no byte
    size: int  # bytes
    depth: int
    grants: str = "copy"
    halves: ClassVar = BOTH

    @property
    def name(self) -> str:
        return f"packets {self.direction} {self.size} {self.grants}"

    @property
    def arguments(self) -> list[str]:
        numbers = str(self.depth), str(ROUNDS)
        return ["packets", self.direction, str(self.size), self.grants, *numbers]


@dataclass(frozen=True)
class CommandCase:
    kind: str  # tur, read, write, or emulated: by the unit's creator
    size: int  # bytes
    depth: int = 15
    halves: ClassVar = BOTH

    @property
    def name(self) -> str:
        return f"commands {self.kind} {self.size}"

    @property
    def arguments(self) -> list[str]:
        return ["commands", self.kind, str(self.size), str(self.depth), str(ROUNDS)]


AnyCase = Case | PacketCase | CommandCase

CASES: list[AnyCase] = [
    Case("null", "read", 4096, "persistent", 32),
    Case("null", "read", 4096, "persistent", 1),
    *(
        Case("ram", direction, size, grants, 32)
        for size in (4096, 131072)
        for grants in ("persistent", "copy")
        for direction in ("read", "write")
    ),
    Case("ram", "read", 4096, "in-place", 32),
    Case("ram", "read", 131072, "in-place", 32),
    Case("ram", "read", 4096, "persistent", 1),
    Case("file", "read", 4096, "persistent", 32),
    Case("file", "write", 4096, "copy", 32),
    Case("file", "read", 131072, "persistent", 32),
    Case("external", "read", 4096, "persistent", 32),
    Case("external", "write", 4096, "persistent", 32),
    Case("ram", "read", 4096, "persistent", 8, idle=0),
    Case("ram", "read", 4096, "persistent", 8, idle=1000),
    Case("ram", "read", 4096, "persistent", 8, idle=2000),
    PacketCase("null", 64, 64),
    PacketCase("tx", 64, 64),
    PacketCase("tx", 1500, 64),
    PacketCase("tx", 65000, 8),
    PacketCase("rx", 64, 64),
    PacketCase("rx", 1500, 64),
    PacketCase("tx", 64, 64, "static"),
    PacketCase("rx", 64, 64, "static"),
    CommandCase("tur", 0),
    CommandCase("emulated", 512),
    *(CommandCase(kind, size) for size in (4096, 131072) for kind in ("read", "write")),
]


def self_costs(lines: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """Object, function and instructions of its own, from callgrind's uncompressed output."""
    place, function, called = "", "", False
    for line in lines:
        if line.startswith("ob="):
            place = line[3:].rstrip()
        elif line.startswith("fn="):
            function = line[3:].rstrip()
        elif line.startswith("calls="):
            called = True  # the next line is what the callee costs
        elif line[:1].isdigit():
            if not called:
                yield place, function, int(line.split()[1])
            called = False


def build() -> Path:
    BUILD.mkdir(parents=True, exist_ok=True)
    options = ["-DPVDRIVERS_INSTRUCTIONS=ON", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    for command in (
        # Fresh, or it would not look again which version the compiler is.
        ["cmake", "--fresh", "-G", "Ninja", "-S", str(ROOT), "-B", str(BUILD), *options],
        ["cmake", "--build", str(BUILD), "--target", "pumps"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
    return BUILD / "pumps"


def functions(program: Path, case: AnyCase, half: str) -> Counter[str]:
    """Instructions of one half of the device over all rounds, by function."""
    with tempfile.NamedTemporaryFile("r", suffix=".callgrind") as output:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output.name}"]
        command += ["--compress-strings=no", "--compress-pos=no"]
        command += [f"--toggle-collect=measured_{half}", str(program), *case.arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{case.name}: {done.stderr}")
        counts: Counter[str] = Counter()
        for place, function, cost in self_costs(output):
            if LIBRARY in place:
                counts[function] += cost
    return counts


def measure(program: Path, cases: list[AnyCase], most: int) -> Counts:
    rows: Counts = {}
    jobs = [(case, half) for case in cases for half in case.halves]
    with ThreadPoolExecutor(2) as pool:
        for (case, half), counts in zip(
            jobs, pool.map(lambda job: functions(program, *job), jobs), strict=True
        ):
            requests = ROUNDS * case.depth
            rows.setdefault(case.name, {})[half] = round(counts.total() / requests)
            for function, count in counts.most_common(most):
                print(f"{case.name} {half} {count / requests:8.0f} {function}")
    return rows


def verdict(count: int, expected: int | None) -> str:
    """Empty when a count is within the margin."""
    if expected is None:
        return "not in the baseline"
    change = count - expected
    if 100 * abs(change) <= MARGIN_PERCENT * expected:
        return ""
    return f"{change / expected:+.1%}: {'worse' if change > 0 else 'better'} than the baseline"


def show(rows: Counts) -> None:
    """Prints every count."""
    print(f"{'instructions per request':42} {'half':6} {'now':>8}")
    for name, halves in rows.items():
        for half, count in halves.items():
            print(f"{name:42} {half:6} {count:8}")


def compare(rows: Counts, baseline: Counts) -> bool:
    """Prints every count beside its baseline; whether all are within the margin."""
    good = True
    print(f"{'instructions per request':42} {'half':6} {'now':>8} {'baseline':>9}")
    for name, halves in rows.items():
        for half, count in halves.items():
            expected = baseline.get(name, {}).get(half)
            remark = verdict(count, expected)
            good = good and not remark
            print(f"{name:42} {half:6} {count:8} {expected or '-':>9} {remark}".rstrip())
    return good


def judge(measured: Baseline, baseline: Baseline, strict: bool) -> None:
    """Prints the counts. SystemExit when they are not the baseline's; `strict`: also when nothing
    can be compared."""
    if measured.made_by != baseline.made_by:
        show(measured.instructions_per_request)
        words = f"nothing was compared: the baseline is of {baseline.made_by}"
        words += f", this is {measured.made_by}"
        if strict:
            sys.exit(words)
        print(words)
    elif not compare(measured.instructions_per_request, baseline.instructions_per_request):
        sys.exit(f"If the change is meant, write a new baseline: {UPDATE}")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write a new baseline")
    parser.add_argument("--strict", action="store_true", help="fail when nothing can be compared")
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="show the costliest")
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    arguments = parser.parse_args(words)
    cases = [case for case in CASES if arguments.case in case.name]
    if not cases:
        parser.error(f"--case: no case's name holds {arguments.case!r}")
    if arguments.update and arguments.case:
        parser.error("--update writes all cases and goes without --case")
    if not shutil.which("valgrind"):
        sys.exit("needs valgrind (Debian package valgrind)")
    if not arguments.update and not BASELINE.exists():
        sys.exit(f"there is no {BASELINE.name}; write one: {UPDATE}")
    program = build()
    measured = Baseline(
        **json.loads(program.with_suffix(".json").read_text()),
        instructions_per_request=measure(program, cases, arguments.functions),
    )
    if arguments.update:
        BASELINE.write_text(json.dumps(asdict(measured), indent=2) + "\n")
    else:
        judge(measured, Baseline(**json.loads(BASELINE.read_text())), arguments.strict)


if __name__ == "__main__":
    main()
