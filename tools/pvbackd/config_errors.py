"""What is wrong in a configuration: which key, and what may stand there."""

import re
import tomllib
from typing import Any

import msgspec
from msgspec import inspect

from pvdrivers.tools.command_line import suggestion

PLACE = re.compile(r"(?P<what>.*) - at `\$\.?(?P<where>[^`]*)`", re.DOTALL)
NAMED = re.compile(r"`([^`]*)`")


def explain(error: msgspec.ValidationError, schema: type, text: bytes) -> str:
    """msgspec's message, which has a path and not what would be right there."""
    found = PLACE.fullmatch(str(error))
    what, where = (found["what"], found["where"]) if found else (str(error), "")
    steps = re.findall(r"[^.\[\]]+", where)
    data: Any = tomllib.loads(text.decode())
    kind = inspect.type_info(schema)
    for step in steps:
        kind, data = _step(kind, data, step)
    place = f"{where}: " if where else ""
    names = NAMED.findall(what)
    if what.startswith("Object contains unknown field"):
        return f"{place}there is no key {names[0]!r}: {suggestion(names[0], _keys(kind, data))}"
    if what.startswith("Object missing required field"):
        return f"{place}the key {names[0]!r} is missing"
    if choices := _choices(kind):
        return f"{place}{data!r} is none of {', '.join(map(str, choices))}"
    return f"{place}{what}"


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
