"""What docs/xl-config.md shows is so, and its tables have every key."""

import io
import re
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from pvdrivers.toolstack.xl_config.keys import UNUSED, USED
from pvdrivers.toolstack.xl_config.reader import MAX_SIZE

PAGE = (Path(__file__).parents[2] / "docs" / "xl-config.md").read_text()
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = dict(BLOCK.findall(PAGE))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "web.cfg").write_text(BLOCKS["web.cfg"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def type_in(command: str) -> "subprocess.CompletedProcess[str]":
    assert command.startswith("pvxl ")
    words = [sys.executable, "-m", "pvdrivers.tools.pvxl", *command.split()[1:]]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def test_the_command(folder: Path) -> None:
    process = type_in(BLOCKS["config"])
    assert process.stderr == BLOCKS["notes"]
    assert '"name": "web"' in process.stdout
    wrong = BLOCKS["web.cfg"].replace("memory = 64", "memory = 64x")
    (folder / "web.cfg").write_text(wrong)
    process = type_in(BLOCKS["config"])
    assert process.stderr == BLOCKS["wrong"]
    assert process.returncode == 2


def test_the_program(folder: Path) -> None:
    (folder / "reading.py").write_text(BLOCKS["reading.py"])
    output = io.StringIO()
    with redirect_stdout(output):
        runpy.run_path("reading.py")
    assert output.getvalue() == BLOCKS["reading"]


def test_every_key() -> None:
    table = PAGE.partition("\n## Keys\n")[2].partition("`claim_mode`")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {key for row in rows for key in re.findall("`(.*?)`", row)} == USED
    listed = PAGE.partition("are not used here, and each is told:\n")[2].partition(".\n")[0]
    assert set(re.findall("`(.*?)`", listed)) == UNUSED
    assert f"at most {MAX_SIZE >> 10} KiB" in PAGE
