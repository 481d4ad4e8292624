"""Measures comparisons: ours, the baseline, ours, the baseline … on the same processors."""

import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

from msgspec import structs

from pvdrivers.ring.errors import PeerError
from pvdrivers.tools.pvbench.compare import rows as rows_package
from pvdrivers.tools.pvbench.compare.load import OtherLoad
from pvdrivers.tools.pvbench.compare.model import Comparison, Measured, Row, Setting
from pvdrivers.tools.pvbench.compare.needs import sentence, unmet
from pvdrivers.tools.pvbench.compare.pairs import middle, ratios, too_wide, verdict
from pvdrivers.tools.pvbench.errors import BenchError, OptionError

EXPECTED = (BenchError, OptionError, PeerError, OSError)
Tick = Callable[[str], None]  # called with the contender that is measured next


def modules() -> dict[str, ModuleType]:
    """Every module of `rows/` by its name, with dashes."""
    names = sorted(module.name for module in pkgutil.iter_modules(rows_package.__path__))
    return {
        name.replace("_", "-"): import_module(f"{rows_package.__name__}.{name}") for name in names
    }


def catalogue() -> dict[str, Comparison]:
    """Every comparison by its row's name."""
    return {name: module.comparison for name, module in modules().items()}


def purpose(name: str) -> str:
    """What a row is for: its module's docstring, in one line."""
    module = modules().get(name)
    return " ".join((module.__doc__ or "").split()) if module else ""


def chosen(names: Sequence[str] | None) -> dict[str, Comparison]:
    """The comparisons with these names; all without names. Raises OptionError."""
    known = catalogue()
    for name in names or ():
        if name not in known:
            raise OptionError(f"--rows: {name} is none of {', '.join(known)}")
    return {name: known[name] for name in names or known}


def measure(name: str, comparison: Comparison, runs: int, setting: Setting, tick: Tick) -> Row:
    """Measures one comparison; what cannot be measured is a row that says so."""
    row = _row(name, comparison)
    try:
        if reasons := [sentence(*found) for found in unmet(comparison, setting)]:
            return structs.replace(row, reason="; ".join(reasons))
        load = OtherLoad()
        ours, theirs = _run_pairs(comparison, runs, setting, tick)
        return _judge(comparison, row, ours, theirs, load.doubt())
    except Exception as error:  # whatever is wrong with a contender, the other rows are measured
        return structs.replace(row, reason=f"failed: {_words(error)}", failed=True)


def _judge(
    comparison: Comparison,
    row: Row,
    ours: list[Measured],
    theirs: list[Measured],
    busy: str | None,
) -> Row:
    values = [run.value for run in ours]
    baselines = [run.value for run in theirs]
    judged = ratios(values, baselines) if comparison.baseline else values
    place = middle(judged, comparison.sense)
    spread = min(judged), max(judged)
    doubt = busy or too_wide(spread)
    return structs.replace(
        row,
        value=values[place],
        baseline_value=baselines[place] if baselines else None,
        ratio=judged[place] if comparison.baseline else None,
        spread=spread,
        met=verdict(comparison, judged[place], values[place], doubt),
        doubt=doubt,
        ours=ours,
        theirs=theirs,
    )


def _words(error: Exception) -> str:
    """One sentence. Without its type, what no contender is expected to raise says little."""
    words = str(error).strip().partition("\n")[0]
    if isinstance(error, EXPECTED) and words:
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _run_pairs(
    comparison: Comparison, runs: int, setting: Setting, tick: Tick
) -> tuple[list[Measured], list[Measured]]:
    ours: list[Measured] = []
    theirs: list[Measured] = []
    with comparison.around(setting):
        for _ in range(comparison.runs(runs)):
            for contender, measured in ((comparison.ours, ours), (comparison.baseline, theirs)):
                if contender is not None:
                    tick(contender.name)
                    measured.append(contender.measure(setting))
    return ours, theirs


def _row(name: str, comparison: Comparison) -> Row:
    return Row(
        name=name,
        purpose=purpose(name),
        workload=comparison.workload,
        unit=comparison.unit,
        baseline=comparison.baseline.name if comparison.baseline else None,
        target=comparison.target,
        sense=comparison.sense,
        floor=comparison.floor,
    )
