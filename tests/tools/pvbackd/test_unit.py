"""The unit file: what systemd makes of it, without a systemd that runs."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import PVBACKD

pytestmark = pytest.mark.slow

EXPOSURE_MAX = 4.0  # of 10


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    path = tmp_path / "pvbackd.service"
    path.write_text(subprocess.check_output([*PVBACKD, "unit"], text=True))
    return path


@pytest.fixture
def analyze(unit: Path) -> str:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("needs systemd-analyze (Debian package systemd)")
    return program


def test_the_service_ends_and_starts_as_guests_need_it(unit: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    service = parser["Service"]
    assert (service["Type"], service["Restart"]) == ("notify", "always")
    assert int(service["WatchdogSec"]) > 0
    assert service["TasksMax"] == "infinity"
    program = service["ExecStart"].split()[0]
    assert Path(program).exists()


def test_systemd_knows_every_line(unit: Path, analyze: str) -> None:
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_the_daemon_is_confined(unit: Path, analyze: str) -> None:
    told = subprocess.check_output([analyze, "security", "--offline=true", unit], text=True)
    found = re.search(r"Overall exposure level for pvbackd\.service: (\d+\.\d)", told)
    assert found, told
    assert float(found[1]) <= EXPOSURE_MAX, told
