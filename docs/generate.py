"""Writes the parts of the documentation that are drawn from tables in the code.

`python docs/generate.py` rewrites what stands between the markers of each page; a test compares
the committed pages with what this would write.
"""

import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from cyclopts import Group
from docstring_parser import parse

from pvdrivers.scsi.features import PROTOCOL_FEATURES as SCSI
from pvdrivers.tools.pvbench.compare.command import compare
from pvdrivers.tools.pvbench.compare.report import goal
from pvdrivers.tools.pvbench.compare.runner import catalogue, purpose
from pvdrivers.tools.pvbench.fio.absent import IGNORED, REFUSED
from pvdrivers.tools.pvbench.fio.run_options import FioRunOptions
from pvdrivers.tools.pvbench.job.options import DEVICE, WORKLOAD
from pvdrivers.tools.pvbench.job.run_options import RUN
from pvdrivers.tools.pvbench.scsi.options import ScsiOptions
from pvdrivers.tools.pvbench.vbd.options import VbdOptions
from pvdrivers.tools.pvbench.vnif.options import VnifOptions
from pvdrivers.tools.pvbench.vnif.run_options import VnifRunOptions
from pvdrivers.vbd.features import PROTOCOL_FEATURES as VBD
from pvdrivers.vnif.features import PROTOCOL_FEATURES as VNIF
from pvdrivers.xenbus.keys import ProtocolFeature
from pvdrivers.xenbus.states import (
    BACKEND,
    BACKEND_EVENTS,
    FRONTEND,
    FRONTEND_EVENTS,
    Event,
    Step,
    Table,
    XenbusState,
)

DOCS = Path(__file__).parent

# Rows that are the same for every state say more in words than as nine arrows each.
EVERYWHERE = (Event.START, Event.OFFERED, Event.FATAL, Event.GONE, Event.RESUME)


def name(state: XenbusState) -> str:
    return "".join(word.capitalize() for word in state.name.split("_"))


def listed(states: Iterable[XenbusState]) -> str:
    """States as their numbers, `any` for all of them."""
    numbers = sorted(int(state) for state in states)
    return "any" if len(numbers) == len(XenbusState) else ",".join(map(str, numbers))


def words(step: Step) -> str:
    return ", ".join(action.name.lower() for action in step.actions)


def effects(table: Table, events: Iterable[Event]) -> dict[tuple[Event, XenbusState, Step], list]:
    """Entries that do something, with the peer states they hold for."""
    found: dict[tuple[Event, XenbusState, Step], list] = defaultdict(list)
    for event in events:
        for own in XenbusState:
            for peer in XenbusState:
                step = table[own, event, peer]
                if step.actions or step.state is not own:
                    found[event, own, step].append(peer)
    return found


def diagram(table: Table, events: tuple[Event, ...]) -> str:
    """The state diagram in Mermaid: an arrow for each pair of states, with all its reasons."""
    reasons: dict[tuple[XenbusState, XenbusState], dict[str, list]] = defaultdict(dict)
    shown = [event for event in events if event not in EVERYWHERE]
    for (event, own, step), peers in effects(table, shown).items():
        if own is XenbusState.UNKNOWN or own is step.state:
            continue
        does = f" / {words(step)}" if step.actions else ""
        reasons[own, step.state].setdefault(f"{event.name.lower()}{{}}{does}", []).extend(peers)
    lines = ["stateDiagram-v2"]
    lines += [f"    s{state.value}: {state.value} {name(state)}" for state in list(XenbusState)[1:]]
    for (own, state), labels in sorted(reasons.items()):
        text = "<br>".join(label.format(f" {listed(peers)}") for label, peers in labels.items())
        lines.append(f"    s{own.value} --> s{state.value}: {text}")
    return "\n".join(["```mermaid", *lines, "```"])


def transitions(table: Table, events: tuple[Event, ...]) -> str:
    """Every entry that does something, as a Markdown table."""
    rows: dict[tuple[Event, str, Step | tuple[str, bool]], list[XenbusState]] = defaultdict(list)
    for (event, own, step), peers in effects(table, events).items():
        target = (words(step), True) if step.state is own else step
        rows[event, listed(peers), target].append(own)
    lines = ["| event | own state | peer's state | actions | next |", "|---|---|---|---|---|"]
    for (event, peers, target), owns in rows.items():
        stays = not isinstance(target, Step)
        does = target[0] if not isinstance(target, Step) else words(target)
        following = "stays" if stays else f"{target[1].value} {name(target[1])}"
        lines.append(f"| {event.name} | {listed(owns)} | {peers} | {does} | {following} |")
    return "\n".join(lines)


def features(protocol: Iterable[ProtocolFeature]) -> str:
    """What the two halves do of a protocol, as a Markdown table."""
    lines = ["| feature | keys | backend | frontend | remark |", "|---|---|---|---|---|"]
    for feature in protocol:
        keys = ", ".join(f"`{key}`" for key in feature.keys.split(", ") if key)
        does = ["yes" if half else "no" for half in (feature.backend, feature.frontend)]
        lines.append(f"| {feature.name} | {keys} | {does[0]} | {does[1]} | {feature.remark} |")
    return "\n".join(lines)


def comparisons() -> str:
    """The rows of pvbench compare as a Markdown table."""
    lines = ["| row | ours | the baseline | to reach | what for |", "|---|---|---|---|---|"]
    for name, row in catalogue().items():
        ours = row.workload if row.ours.name == "pvdrivers" else f"{row.ours.name}: {row.workload}"
        baseline = row.baseline.name if row.baseline else "-"
        lines.append(f"| `{name}` | {ours} | {baseline} | {goal(row)} | {purpose(name)} |")
    return "\n".join(lines)


def options(table: type, group: Group) -> str:
    """Options of pvbench in one of their groups, as a Markdown table."""
    hints = get_type_hints(table, include_extras=True)
    lines = ["| option | default | what |", "|---|---|---|"]
    for each in fields(table):
        parameter = hints[each.name].__metadata__[0]
        if group not in (parameter.group or ()):
            continue
        default = ",".join(each.default) if isinstance(each.default, tuple) else str(each.default)
        shown = "" if each.default is None else f"`{default.lower()}`"
        name = each.name if parameter.name_transform else each.name.replace("_", "-")
        choices = "\\|".join(allowed(hints[each.name]))
        option = f"`--{name}={choices}`" if choices else f"`--{name}`"
        lines.append(f"| {option} | {shown} | {parameter.help} |")
    return "\n".join(lines)


def command_options(command: Callable[..., object]) -> str:
    """Options of a command that is a function, described in its docstring, as a Markdown table."""
    described = {each.arg_name: each.description for each in parse(command.__doc__ or "").params}
    hints = get_type_hints(command)
    lines = ["| option | default | what |", "|---|---|---|"]
    for name, parameter in inspect.signature(command).parameters.items():
        choices = "\\|".join(allowed(hints[name]))
        option = f"--{name.replace('_', '-')}{'=' if choices else ''}{choices}"
        default = parameter.default
        shown = "" if default in (None, False) else f"`{default}`"
        lines.append(f"| `{option}` | {shown} | {described[name]} |")
    return "\n".join(lines)


def allowed(hint: object) -> list[str]:
    """The values an option has to choose from."""
    if get_origin(hint) is Literal:
        return [str(value) for value in get_args(hint)]
    return [value for inner in get_args(hint) for value in allowed(inner)]


def absent(table: dict[str, str]) -> str:
    """What fio has and pvbench has not, by the reason, as a Markdown table."""
    lines = ["| fio's options | why |", "|---|---|"]
    for reason, names in table.items():
        lines.append(f"| {', '.join(f'`{name}`' for name in names.split())} | {reason} |")
    return "\n".join(lines)


def states() -> str:
    lines = ["| value | state |", "|---|---|"]
    return "\n".join(lines + [f"| {state.value} | {name(state)} |" for state in XenbusState])


SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    "xenbus.md": {
        "states": states,
        "frontend diagram": lambda: diagram(FRONTEND, FRONTEND_EVENTS),
        "frontend table": lambda: transitions(FRONTEND, FRONTEND_EVENTS),
        "backend diagram": lambda: diagram(BACKEND, BACKEND_EVENTS),
        "backend table": lambda: transitions(BACKEND, BACKEND_EVENTS),
    },
    "vbd.md": {"features": lambda: features(VBD)},
    "vnif.md": {"features": lambda: features(VNIF)},
    "scsi.md": {"features": lambda: features(SCSI)},
    "pvbench-compare.md": {
        "compare options": lambda: command_options(compare),
        "comparisons": comparisons,
    },
    "pvbench.md": {
        "fio's options": lambda: options(VbdOptions, WORKLOAD),
        "device options": lambda: options(VbdOptions, DEVICE),
        "run options": lambda: options(FioRunOptions, RUN),
        "ignored": lambda: absent(IGNORED),
        "refused": lambda: absent(REFUSED),
    },
    "pvbench-scsi.md": {"device options": lambda: options(ScsiOptions, DEVICE)},
    "pvbench-vnif.md": {
        "workload options": lambda: options(VnifOptions, WORKLOAD),
        "device options": lambda: options(VnifOptions, DEVICE),
        "run options": lambda: options(VnifRunOptions, RUN),
    },
}


def generate(page: str, text: str) -> str:
    """`text` with its generated sections as they should be. ValueError when one has no place."""
    for section, write in SECTIONS[page].items():
        begin, end = f"<!-- generated: {section} -->", f"<!-- end: {section} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{page} has no place for {section!r}")
        text = f"{before}{begin}\n{write()}\n{end}{after}"
    return text


def main() -> int:
    for page in SECTIONS:
        path = DOCS / page
        path.write_text(generate(page, path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
