"""The grammar of xl's configuration files, as libxlu has it (libxlu_cfg_l.l, libxlu_cfg_y.y).

A file is taken here exactly if xl takes it, but for what is refused here: numeric escapes such as
`\\101`, which xl drops from a string; a stray character that is the last of the file, which xl
drops too; strings that are not UTF-8; and lists that are nested deeper than `DEEPEST`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pvdrivers.toolstack.xl_config.text import Atom, ConfigError, Place, Run

DEEPEST = 50
TOKEN = re.compile(
    r"""(?P<blank>[ \t]+)
    | (?P<newline>\n|\#.*\n)
    | (?P<name>[a-z][._0-9a-z]*)
    | (?P<number>[0-9][0-9a-fx]*)
    | (?P<string>'[^'\\\n]*(?:\\.[^'\\\n]*)*'|"[^"\\\n]*(?:\\.[^"\\\n]*)*")
    | (?P<mark>\+=|[=,;\[\]])""",
    re.VERBOSE,
)
PIECE = re.compile(r"[^\\]+|\\(?P<escaped>.)")
ESCAPES = dict(zip("\"'\\abfnrtv", "\"'\\\a\b\f\n\r\t\v", strict=True))
VALUE = 'a "STRING", a number or a [LIST]'


@dataclass(frozen=True, slots=True)
class ListValue:
    items: tuple[Value, ...]
    place: Place


Value = Atom | ListValue


@dataclass(frozen=True, slots=True)
class Setting:
    """The last value of a name, with what `+=` has added. `added`: it was set by `+=` last."""

    name: str
    value: Value
    added: bool
    place: Place


class Token(NamedTuple):
    kind: str  # a group of TOKEN, or "end"
    text: str
    place: Place

    def __str__(self) -> str:
        if self.kind in ("newline", "end"):
            return f"the end of the {'line' if self.kind == 'newline' else 'file'}"
        return repr(self.text) if self.kind == "mark" else f"the {self.kind} {self.text[:40]}"


def parse(text: str, source: str) -> dict[str, Setting]:
    """The settings of a file, by name. ConfigError: xl refuses it too, or see above."""
    return _Parser(text, source).file()


def _tokens(text: str, source: str) -> Iterator[Token]:
    """Ends with `end`, again and again."""
    index, line, start = 0, 1, 0
    while index < len(text):
        match = TOKEN.match(text, index)
        place = Place(source, line, index - start + 1)
        if not match:
            raise ConfigError(place, _no_token(text, index))
        kind = match.lastgroup
        assert kind
        if kind != "blank":
            yield Token(kind, match[0], place)
        index = match.end()
        if kind == "newline":
            line, start = line + 1, index
    while True:
        yield Token("end", "", Place(source, line, index - start + 1))


def _no_token(text: str, index: int) -> str:
    """What is wrong with the character there, and what to do."""
    character = text[index]
    match character:
        case '"' | "'":
            return f"the string that begins here needs another {character} on the same line"
        case "#":
            return (
                "the last line is a comment without a newline at its end, which xl refuses: add one"
            )
        case "\r":
            return "found a carriage return: lines end with a newline alone here (dos2unix helps)"
    if character.isalpha():
        return f"found {character!r}: names have the letters a to z, digits, '.' and '_'"
    return f"found {character!r}: there can be names, '=', '+=', ';', numbers, strings and lists"


def _string(token: Token) -> Atom:
    """Without its quotes and escapes."""
    source, line, column = token.place
    body = token.text[1:-1]
    texts: list[str] = []
    runs: list[Run] = []
    length = 0
    for piece in PIECE.finditer(body):
        place = Place(source, line, column + 1 + piece.start())
        text = ESCAPES.get(piece["escaped"], "") if piece["escaped"] else piece[0]
        if not text:
            allowed = " ".join(f"\\{letter}" for letter in ESCAPES)
            raise ConfigError(place, f"found the escape {piece[0]}: there are {allowed}")
        if wrong := re.search("[\0\udc80-\udcff]", text):
            what = "a NUL" if wrong[0] == "\0" else f"the byte {ord(wrong[0]) - 0xDC00:#x}"
            place = place._replace(column=place.column + wrong.start())
            raise ConfigError(place, f"found {what}: a string is UTF-8 without NUL")
        texts.append(text)
        runs.append(Run(length, place))
        length += len(text)
    empty = Run(0, Place(source, line, column + 1))
    return Atom("".join(texts), tuple(runs) or (empty,))


class _Parser:
    def __init__(self, text: str, source: str) -> None:
        self._tokens = _tokens(text, source)
        self._token = next(self._tokens)
        # Of each name, the last assignment and what was added to it.
        self._found: dict[str, list[Setting]] = {}

    def file(self) -> dict[str, Setting]:
        while self._token.kind != "end":
            if self._token.kind == "name":
                self._assignment()
            elif self._token.kind != "newline" and self._token.text != ";":
                raise self._unexpected("an assignment NAME = VALUE")
            if self._token.kind not in ("newline", "end") and self._token.text != ";":
                raise self._unexpected("';' or a new line after an assignment")
            if self._token.kind != "end":
                self._next()
        return {name: _join(settings) for name, settings in self._found.items()}

    def _assignment(self) -> None:
        name = self._next()
        if self._token.text not in ("=", "+="):
            raise self._unexpected(f"'=' or '+=' after the name {name.text[:40]}")
        added = self._next().text == "+="
        setting = Setting(name.text, self._value(), added, name.place)
        before = self._found.get(name.text)
        if not added or before is None:
            self._found[name.text] = [setting]
            return
        if type(before[0].value) is not type(setting.value):
            kinds = ["string", "list"] if isinstance(setting.value, Atom) else ["list", "string"]
            message = f"a {kinds[0]} cannot be added to {name.text}, which is a {kinds[1]}"
            raise ConfigError(setting.value.place, message)
        before.append(setting)

    def _value(self, depth: int = 0) -> Value:
        token = self._token
        if token.kind in ("string", "number"):
            self._next()
            number = token.kind == "number"
            return Atom(token.text, (Run(0, token.place),)) if number else _string(token)
        if token.text != "[":
            raise self._unexpected(VALUE)
        if depth == DEEPEST:
            raise ConfigError(token.place, f"lists are nested at most {DEEPEST} deep")
        return self._list(depth)

    def _list(self, depth: int) -> ListValue:
        place = self._next().place
        items: list[Value] = []
        self._skip_lines()
        while self._token.text != "]":
            items.append(self._value(depth + 1))
            self._skip_lines()
            if self._token.text == ",":
                self._next()
                self._skip_lines()
            elif self._token.text != "]":
                raise self._unexpected("',' or ']' in a list")
        self._next()
        return ListValue(tuple(items), place)

    def _skip_lines(self) -> None:
        while self._token.kind == "newline":
            self._next()

    def _next(self) -> Token:
        """The token that is looked at, which is left."""
        token, self._token = self._token, next(self._tokens)
        return token

    def _unexpected(self, allowed: str) -> ConfigError:
        return ConfigError(self._token.place, f"found {self._token}, expected {allowed}")


def _join(settings: list[Setting]) -> Setting:
    last = settings[-1]
    if len(settings) == 1:
        return last
    values = [setting.value for setting in settings]
    if isinstance(values[0], Atom):
        joined: Value = Atom.join(value for value in values if isinstance(value, Atom))
    else:
        lists = [value for value in values if isinstance(value, ListValue)]
        joined = ListValue(tuple(item for one in lists for item in one.items), lists[0].place)
    return Setting(last.name, joined, last.added, last.place)
