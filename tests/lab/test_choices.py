"""What `make lab STEPS=...` takes: names of files and of steps."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
choices = runpy.run_path(str(HERE / "choices.py"))
choose, ChoiceError = choices["choose"], choices["ChoiceError"]


def test_a_file_stands_for_its_steps() -> None:
    assert choose(["basics"]) == ["kernel_device", "file_system", "fio_verify", "discard"]


def test_steps_and_files_run_in_the_order_given() -> None:
    assert choose(["two_disks", "crash"]) == ["two_disks", "guest_crash"]


def test_no_name_is_left_to_dom0() -> None:
    assert choose([]) == []


def test_another_name_is_answered_with_the_choices() -> None:
    with pytest.raises(ChoiceError, match=r"no step is called typo; .*basics \(kernel_device, "):
        choose(["basics", "typo"])


def test_nothing_starts_with_a_wrong_name(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    command = [sys.executable, HERE / "lab.py", folder, "typo"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "typo" in done.stderr
    assert not folder.exists()


def test_every_file_of_steps_is_a_subject() -> None:
    """What the lab runs by itself are the files that it knows."""
    steps = HERE / "payload" / "steps"
    subjects = runpy.run_path(str(steps / "__init__.py"))["SUBJECTS"]
    assert {path.stem for path in steps.glob("[!_]*.py")} == set(subjects)
