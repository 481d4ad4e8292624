"""Configuration files of domains, as xl has them."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.toolstack.xl_config.libxl_json import to_libxl
from pvdrivers.toolstack.xl_config.reader import parse_config, read_text


def read(file: Path, settings: Sequence[str] = ()) -> tuple[DomainSpec, bytes]:
    """What a file says with more lines behind it, and its text. Notes of what has no effect are
    told to the user."""
    text = b"\n".join([read_text(file), *(line.encode() for line in settings), b""])
    spec = parse_config(text, str(file))
    for note in spec.notes:
        print(f"pvxl: {note}", file=sys.stderr)
    return spec, text


def config(
    file: Path, /, *, cpus: Annotated[int, Parameter(validator=Number(gte=1))] | None = None
) -> None:
    """Checks a configuration file, and prints it as JSON in libxl's words.

    Parameters
    ----------
    file
        As `xl create` takes it: xl.cfg(5).
    cpus
        How many the host has, all in one NUMA node; as many as this computer's otherwise.
    """
    spec, _ = read(file)
    nodes = [range(cpus or os.cpu_count() or 1)]
    print(json.dumps(to_libxl(spec, nodes), indent=4))
