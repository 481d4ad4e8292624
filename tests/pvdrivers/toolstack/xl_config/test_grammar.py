"""What a file's text is made of. What xl takes and refuses: tests/pvdrivers/dropin."""

import pytest

from pvdrivers.toolstack.xl_config.grammar import DEEPEST, ListValue, Setting, Value, parse
from pvdrivers.toolstack.xl_config.text import Atom, ConfigError, Place


def plain(value: Value) -> object:
    return value.text if isinstance(value, Atom) else [plain(item) for item in value.items]


def values(text: str) -> dict[str, object]:
    return {name: plain(setting.value) for name, setting in parse(text, "f").items()}


def test_assignments_and_additions() -> None:
    text = "a = 1\nb='x';c=[ 'p', [2, ],\n# why\n]\nb+='y'\nc+=['q']\nb+=\"z\"\na = 0x2"
    assert values(text) == {"a": "0x2", "b": "xyz", "c": ["p", ["2"], "q"]}


def test_escapes() -> None:
    assert values(r"""a = "\"\'\\\a\b\f\n\r\t\v." """) == {"a": "\"'\\\a\b\f\n\r\t\v."}


def atom(text: str) -> Atom:
    value = parse(text, "f")["a"].value
    assert isinstance(value, Atom)
    return value


def test_each_character_of_a_string_has_its_place() -> None:
    found = atom("#\n a = 'x\\\\\\'yz'\n\na += \"w\\n\"")
    assert found.text == "x\\'yzw\n"
    assert [found.place_of(index)[1:] for index in range(7)] == [
        (2, 7), (2, 8), (2, 10), (2, 12), (2, 13), (4, 7), (4, 8)
    ]  # fmt: skip
    part = found.part(2, 6)
    assert part.text == "'yzw"
    assert [part.place_of(index)[1:] for index in range(4)] == [(2, 10), (2, 12), (2, 13), (4, 7)]
    assert found.part(7, 7).text == ""


def test_an_empty_string_has_its_place() -> None:
    assert atom("a = ''").place == Place("f", 1, 6)


def test_settings_know_where_they_are_and_whether_they_were_added_to() -> None:
    settings = parse("a = 1\n b += 2\nb += 3", "f")
    assert settings["a"] == Setting("a", atom("a = 1"), False, Place("f", 1, 1))
    assert settings["b"].added
    assert settings["b"].place == Place("f", 3, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = b", "f:1:5: found the name b, expected a \"STRING\", a number"),
        ("a = ", "f:1:5: found the end of the file, expected a \"STRING\", a number"),
        ("a =\n1", "f:1:4: found the end of the line, expected a \"STRING\", a number"),
        ("\na 1", "f:2:3: found the number 1, expected '=' or '+=' after the name a"),
        ("a = 1 b = 2", "f:1:7: found the name b, expected ';' or a new line after an assignment"),
        ("= 1", "f:1:1: found '=', expected an assignment NAME = VALUE"),
        ("a = [1\n\n2]", "f:3:1: found the number 2, expected ',' or ']' in a list"),
        ("a = [1,\n", "f:2:1: found the end of the file, expected a \"STRING\", a number"),
        ("a = 'x", "f:1:5: the string that begins here needs another ' on the same line"),
        ("a = 64M\n", "f:1:7: found 'M': names have the letters a to z, digits, '.' and '_'"),
        ("a = -1", "f:1:5: found '-': there can be names, '=', '+=', ';'"),
        ("a = 1\r\n", "f:1:6: found a carriage return: lines end with a newline alone"),
        ("a = 1 # b", "f:1:7: the last line is a comment without a newline"),
        ("a = 'b\\q'", "f:1:7: found the escape \\q: there are \\\" \\' \\\\ \\a \\b"),
        ("a = 'b\0'", "f:1:7: found a NUL: a string is UTF-8 without NUL"),
        ("a = 'b\udcff'", "f:1:7: found the byte 0xff: a string is UTF-8 without NUL"),
        ("a = 1\na += [2]", "f:2:6: a list cannot be added to a, which is a string"),
        ("a = [1]\na += '2'", "f:2:7: a string cannot be added to a, which is a list"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text, "f")
    assert str(error.value).startswith(message)


def test_what_cannot_be_printed_is_escaped() -> None:
    with pytest.raises(ConfigError, match=r"^f:1:3: found the string '\\x1b\[1m', expected"):
        parse("a '\x1b[1m'", "f")


def test_lists_are_nested_so_deep() -> None:
    assert isinstance(parse(f"a = {'[' * DEEPEST}{']' * DEEPEST}", "f")["a"].value, ListValue)
    with pytest.raises(ConfigError, match=f"f:1:{DEEPEST + 5}: lists are nested at most"):
        parse("a = " + "[" * 100_000, "f")
