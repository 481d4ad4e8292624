"""man pages from the texts that `--help` shows, so that there is one place for each."""

import inspect
from collections.abc import Iterator
from typing import Any

from cyclopts import App
from cyclopts.argument import Argument
from docstring_parser import parse

SECTION = "1"


def man_page(app: App) -> str:
    """In roff with the macros of man(7)."""
    name = app.name[0]
    lines = [
        f'.TH "{name.upper()}" "{SECTION}" "" "pvdrivers {app.version}" "User Commands"',
        *(".SH NAME", f"{_text(name)} \\- {_text(_summary(app).rstrip('.'))}"),
        *(".SH SYNOPSIS", *_synopsis(app, name)),
    ]
    if app.default_command:
        description = list(_description(app.default_command)) or [_text(_summary(app))]
        lines += [".SH DESCRIPTION", *description, ".SH OPTIONS", *_options(app)]
    lines += [".SH COMMANDS"] if _commands(app) else []
    for words, command in _commands(app):
        lines.append(f".SS {_text(words)}")
        if not command.default_command:
            lines.append(_text(_summary(command)))
        elif command.default_command is app.default_command:
            lines.append("What is done without a command, as described above.")
        else:
            lines += [*_description(command.default_command), *_options(command)]
    lines += [
        *(".SH EXIT STATUS", "0 when all went well, 2 for what the user can put right."),
        *(".SH SEE ALSO", "The manuals in the folder docs of pvdrivers."),
    ]
    return "\n".join(lines) + "\n"


def _commands(app: App, words: str = "") -> list[tuple[str, App]]:
    """All of them, with those of commands."""
    found = []
    for name in app:
        if not name.startswith("-"):
            found += [(f"{words}{name}", app[name]), *_commands(app[name], f"{words}{name} ")]
    return found


def _synopsis(app: App, name: str) -> Iterator[str]:
    if app.default_command:
        yield f".B {_text(name)}\n[OPTIONS]"
    if _commands(app):
        yield f".br\n.B {_text(name)}\nCOMMAND [OPTIONS]"


def _summary(app: App) -> str:
    described: Any = app.help or parse(inspect.getdoc(app.default_command) or "").short_description
    return str(described or "").strip().split("\n")[0]


def _description(command: Any) -> Iterator[str]:
    doc = parse(inspect.getdoc(command) or "")
    for text in (doc.short_description, doc.long_description):
        if text:
            yield from (".PP", _text(text))


def _options(app: App) -> Iterator[str]:
    doc = parse(inspect.getdoc(app.default_command) or "")
    described = {parameter.arg_name: parameter.description or "" for parameter in doc.params}
    for argument in app.assemble_argument_collection():
        if argument.parse and "*" not in argument.names:  # which only holds others
            yield f".TP\n.B {_heading(argument)}"
            default = argument.field_info.default
            if isinstance(default, tuple):
                default = ",".join(map(str, default))
            told = "" if default in (None, "", False, inspect.Parameter.empty) else str(default)
            text = argument.parameter.help or described.get(argument.field_info.name, "")
            yield _text(f"{text} The default is {told}." if told else text)


def _heading(argument: Argument) -> str:
    names = ", ".join(argument.names)
    choices = "|".join(argument.get_choices() or ())
    heading = f"{names} {choices or 'VALUE'}"
    if argument.is_positional_only():
        heading = f"{names} ({choices})" if choices else names
    elif argument.token_count()[0] == 0:
        heading = names
    return _text(heading).replace("|", "|\\:")  # where a line may end


def _text(text: str) -> str:
    """As roff shows it: no escapes, and no requests at the beginnings of lines."""
    lines = [line.strip() for line in text.replace("\\", "\\e").replace("-", "\\-").splitlines()]
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in lines if line)
