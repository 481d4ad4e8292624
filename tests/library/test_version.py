"""The version stands in pyproject.toml, and everything that tells one tells that.

test_library.py has what the C library tells.
"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import pvdrivers

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]


def test_the_installed_package() -> None:
    assert version("pvdrivers") == VERSION
    assert pvdrivers.__version__ == VERSION


@pytest.mark.parametrize("command", PROJECT["scripts"])
def test_commands(command: str) -> None:
    program = Path(sys.executable).parent / command
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{VERSION}\n"


def test_the_changelog_is_about_it() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    coming = re.search(r"^## \[Unreleased\]\n\nThis will be (\S+)\.$", text, re.MULTILINE)
    released = re.search(r"^## \[(\d\S+)\] - \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    told = coming or released
    assert told
    assert told[1] == VERSION


def test_classifiers_exist() -> None:
    known = pytest.importorskip("trove_classifiers", reason="needs `make dist`'s packages")
    assert set(PROJECT["classifiers"]) <= known.classifiers


def test_what_an_index_would_show() -> None:
    shown = metadata("pvdrivers")
    assert shown["License-Expression"] == "MIT"
    assert shown["License-File"] == "LICENSE"
    assert shown["Author"] == "The pvdrivers developers"
    assert shown["Description-Content-Type"] == "text/markdown"
    assert shown.get_payload() == (ROOT / "README.md").read_text()
