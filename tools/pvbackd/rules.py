"""Rules of the configuration: which devices are served how. The first that matches counts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import msgspec

from pvdrivers.tools.command_line import suggestion
from pvdrivers.tools.config_file import Kind, Section


class Rule(Section, frozen=True):
    """For devices that match all of its patterns, which are those of the shell. A class's rule adds
    what it matches and how it serves. `device` is DOMID/DEVID."""

    device: str = "*"
    ignore: bool = False

    def matches(self, config: Any) -> bool:
        return fnmatchcase(f"{config.domid}/{config.devid}", self.device)


AnyRule = TypeVar("AnyRule", bound=Rule)


def first_match(rules: Iterable[AnyRule], config: object, unlisted: AnyRule) -> AnyRule:
    return next((rule for rule in rules if rule.matches(config)), unlisted)


def fill_in(text: str, fields: Iterable[str], config: object) -> str:
    """A configured name or path with {field} replaced by what `config` has; none of them adds a
    folder."""
    for field in fields:
        text = text.replace(f"{{{field}}}", str(getattr(config, field)).replace("/", "_"))
    return text


def check_fields(text: str, fields: Collection[str]) -> None:
    """ValueError: between braces is what cannot be filled in."""
    for name in re.findall(r"\{(.*?)\}", text):
        if name not in fields:
            raise ValueError(f"{{{name}}} in {text!r}: {suggestion(name, fields)}")


def kind_of(part: Kind) -> str:
    return str(part.__struct_config__.tag)


def brief(part: Kind) -> str:
    """Its kind, and what is not the default."""
    settings = [
        f"{field.name}={_shown(getattr(part, field.name))}"
        for field in msgspec.structs.fields(part)
        if getattr(part, field.name) != field.default
    ]
    return " ".join([kind_of(part), *settings])


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return f"({brief(value)})" if isinstance(value, Kind) else str(value)
