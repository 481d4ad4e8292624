"""The libraries are those that programs were linked with: names, sonames, symbol versions."""

import subprocess
import sys

import pytest

from pvdrivers.testing.dropin import DROPIN

from .conftest import LIBRARIES

NAMES = ["evtchn", "gnttab", "foreignmemory", "toolcore", "call", "devicemodel"]


def symbols(path):
    """Defined symbols with their versions."""
    done = subprocess.run(
        ["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True
    )
    return {line.split()[2] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("name", NAMES)
def test_every_versioned_symbol_of_the_real_library(name):
    real = LIBRARIES / f"libxen{name}.so.1"
    if not real.exists():
        pytest.skip(f"needs {real.name} (Debian package libxen-dev)")
    assert symbols(DROPIN / real.name) == symbols(real)


@pytest.mark.parametrize("name", NAMES)
def test_soname(name):
    path = DROPIN / f"libxen{name}.so.1"
    done = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True)
    assert f"soname: [{path.name}]" in done.stdout


def test_where_they_are():
    command = [sys.executable, "-m", "pvdrivers", "--dropin"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{DROPIN}\n"
