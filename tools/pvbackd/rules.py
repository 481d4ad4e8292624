"""Rules of the configuration: which devices are served how. The first that matches counts."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import msgspec


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: a key it does not know is a mistake."""


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A table that says by its `kind` what it is."""


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


def brief(part: Kind) -> str:
    """Its kind, and what is not the default."""
    settings = [
        f"{field.name}={getattr(part, field.name)}"
        for field in msgspec.structs.fields(part)
        if getattr(part, field.name) != field.default
    ]
    return " ".join([str(part.__struct_config__.tag), *settings])
