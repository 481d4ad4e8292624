"""What our command lines have in common: one sentence for a mistake, man pages, completion."""

import difflib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NoReturn

from cyclopts import App, CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.man_page import man_page

USAGE = 2  # exit status for what the user can put right

Shell = Literal["bash", "zsh", "fish"]


def give_up(app: App, reason: str) -> NoReturn:
    print(f"{app.name[0]}: {' '.join(reason.split())}", file=sys.stderr)
    sys.exit(USAGE)


def run(app: App, arguments: Sequence[str] | None = None) -> NoReturn:
    """The command. Exit status 2, and one sentence, for what the user can put right."""
    try:
        code: Any = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except UnusedCliTokensError as error:
        give_up(app, _unused(app, error))
    except (CycloptsError, UsageError) as error:
        give_up(app, str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        give_up(app, f"{where}{error.strerror or error}")
    sys.exit(code if isinstance(code, int) else 0)


def suggestion(word: str, known: Iterable[str]) -> str:
    """What may have been meant, or else what there is."""
    names = [name for name in known if name]
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"


def _unused(app: App, error: UnusedCliTokensError) -> str:
    chain = [app.name[0], *(error.command_chain or ())]
    word = (error.unused_tokens or [""])[0]
    if len(chain) > 1:
        return f"{word!r} is too much: {' '.join(chain)} --help tells what it takes"
    commands = [name for name in app if not name.startswith("-")]
    return f"there is no command {word!r}: {suggestion(word, commands)}"


def add_documentation(app: App) -> None:
    """Gives `app` the commands `man` and `completion`."""

    @app.command
    def man() -> None:
        """Prints a man page, as in `PROGRAM man | man -l -`."""
        print(man_page(app), end="")

    @app.command
    def completion(shell: Shell, /) -> None:
        """Prints what lets a shell complete commands and options.

        Parameters
        ----------
        shell
            Which shell.
        """
        print(app.generate_completion(shell=shell))
