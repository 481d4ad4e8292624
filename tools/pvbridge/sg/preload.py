"""`pvsg COMMAND...` runs a program with libpvsg.so, so that /dev/pvsg is there for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pvdrivers

LIBRARY = Path(pvdrivers.__file__).parent / "lib" / "libpvsg.so"
USAGE = "write pvsg COMMAND [ARGUMENT...], as in pvsg sg_inq /dev/pvsg/guest/0:0:0:0"
TOLD = {"--help": f"{__doc__}\n{USAGE}", "--version": pvdrivers.__version__}


def preloaded(environment: Mapping[str, str]) -> dict[str, str]:
    """With the library, which comes before those that are preloaded anyway."""
    others = environment.get("LD_PRELOAD")
    return {**environment, "LD_PRELOAD": f"{LIBRARY}:{others}" if others else str(LIBRARY)}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    command = list(sys.argv[1:] if arguments is None else arguments)
    if not command:
        print(f"pvsg: there is no command: {USAGE}", file=sys.stderr)
        sys.exit(2)
    if command[0] in TOLD:
        print(TOLD[command[0]])
        sys.exit(0)
    try:
        os.execvpe(command[0], command, preloaded(os.environ))
    except OSError as error:
        print(f"pvsg: {command[0]} cannot be run: {error.strerror}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
