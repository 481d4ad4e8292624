"""Any bytes as a configuration file: a domain or one sentence about a place of the file."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["pvdrivers"]):
    from pvdrivers.testing.xl_config import take_or_refuse


def test_one_input(data: bytes) -> None:
    take_or_refuse(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
