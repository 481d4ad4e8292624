"""TOML files by which programs are told what to do: their tables, and what is wrong in one."""

import re
import tomllib
from typing import Any

import msgspec
from msgspec import inspect

from pvdrivers.tools.command_line import suggestion

PLACE = re.compile(r"(?P<what>.*) - at `\$\.?(?P<where>[^`]*)`", re.DOTALL)
HEADER = re.compile(r"\s*\[(?P<array>\[?)(?P<name>[^\[\]]+)\]")
ASSIGNMENT = re.compile(r"\s*(?P<key>[\w-]+|\"[^\"]*\"|'[^']*')\s*=")
UNKNOWN = "Object contains unknown field"
NAMED = re.compile(r"`([^`]*)`")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: a key it does not know is a mistake."""


class Kind(Section, frozen=True, tag_field="kind"):
    """A table that says by its `kind` what it is."""


def explain(error: msgspec.ValidationError, schema: type, text: bytes) -> str:
    """The line, the path, and what would be right there; msgspec's message has only a path."""
    line = _line_of(error, text)
    place = f"line {line}: " if line else ""
    return place + _explain(error, schema, text)


def _explain(error: msgspec.ValidationError, schema: type, text: bytes) -> str:
    what, where, steps = _parse(error)
    data: Any = tomllib.loads(text.decode())
    kind = inspect.type_info(schema)
    for step in steps:
        kind, data = _step(kind, data, step)
    place = f"{where}: " if where else ""
    names = NAMED.findall(what)
    if what.startswith(UNKNOWN):
        return f"{place}there is no key {names[0]!r}: {suggestion(names[0], _keys(kind, data))}"
    if what.startswith("Object missing required field"):
        return f"{place}the key {names[0]!r} is missing"
    if choices := _choices(kind):
        return f"{place}{data!r} is none of {', '.join(map(str, choices))}"
    return f"{place}{what}"


def _line_of(error: msgspec.ValidationError, text: bytes) -> int | None:
    """The line of the file that the error is about; None: it is about the whole of it."""
    what, _, steps = _parse(error)
    key = NAMED.findall(what)[:1] if what.startswith(UNKNOWN) else []
    return _find_line(text, [*steps, *key])


def _parse(error: msgspec.ValidationError) -> tuple[str, str, list[str]]:
    """What is wrong, the path to it, and that path's steps."""
    found = PLACE.fullmatch(str(error))
    what, where = (found["what"], found["where"]) if found else (str(error), "")
    return what, where, re.findall(r"[^.\[\]]+", where)


def _find_line(text: bytes, steps: list[str]) -> int | None:
    """Of a key, or else of the innermost table or inline table around it."""
    tables: dict[str, int] = {}  # how many elements an array of tables has had so far
    here: list[str] = []
    best, depth = None, 0
    for number, line in enumerate(text.decode().splitlines(), start=1):
        if header := HEADER.match(line):
            here = _table(header["name"].strip(), bool(header["array"]), tables)
            at = here
        elif assignment := ASSIGNMENT.match(line):
            at = [*here, assignment["key"].strip("\"'")]
        else:
            continue
        if len(at) > depth and steps[: len(at)] == at:
            best, depth = number, len(at)
    return best


def _table(name: str, array: bool, tables: dict[str, int]) -> list[str]:
    """Where the table is: each array's name is followed by the number of its element."""
    if array:
        tables[name] = tables.get(name, -1) + 1
    steps, path = [], ""
    for part in name.split("."):
        path = f"{path}.{part}" if path else part
        steps.append(part.strip().strip("\"'"))
        if path in tables:
            steps.append(str(tables[path]))
    return steps


def _step(kind: inspect.Type, data: Any, step: str) -> tuple[inspect.Type, Any]:
    """What is a step further down, in the types and in the file."""
    if isinstance(kind, inspect.VarTupleType):
        return kind.item_type, data[int(step)]
    tags: list[Any] = []
    for struct in _structs(kind, data):
        for field in struct.fields:
            if field.encode_name == step:
                return field.type, data.get(step)
        tags.append(struct.tag)
    if step == "kind":
        return inspect.LiteralType(tuple(tags)), data.get(step)
    return inspect.AnyType(), None


def _structs(kind: inspect.Type, data: Any) -> list[inspect.StructType]:
    """Those that may be meant: of several, the one whose tag is in the file, or else all."""
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    structs = [each for each in kinds if isinstance(each, inspect.StructType)]
    tag = data.get("kind") if isinstance(data, dict) else None
    return [struct for struct in structs if struct.tag and struct.tag == tag] or structs


def _keys(kind: inspect.Type, data: Any) -> list[str]:
    structs = _structs(kind, data)
    tags = [struct.tag_field for struct in structs[:1] if struct.tag_field]
    return [field.encode_name for struct in structs for field in struct.fields] + tags


def _choices(kind: inspect.Type) -> tuple[Any, ...]:
    return tuple(kind.values) if isinstance(kind, inspect.LiteralType) else ()
