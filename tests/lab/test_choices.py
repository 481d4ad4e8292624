"""What `make lab STEPS=...` takes: names of files and of steps."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
choices = runpy.run_path(str(HERE / "choices.py"))
choose, machines = choices["choose"], choices["machines"]
ChoiceError = choices["ChoiceError"]


def test_a_file_stands_for_its_steps() -> None:
    expected = ["kernel_device", "file_system", "fio_verify", "discard"]
    assert list(choose(["basics"]).values()) == [expected]


def test_steps_and_files_run_in_the_order_given() -> None:
    assert list(choose(["two_disks", "crash"]).values()) == [["two_disks", "guest_crash"]]


def test_a_step_that_waits_to_be_named_runs_when_it_is() -> None:
    assert list(choose(["figures"]).values()) == [["figures"]]


def test_without_a_name_each_machine_has_steps_of_its_own() -> None:
    runs = choose([])
    assert runs.keys() == machines().keys() - choices["xen_arguments"]()
    steps = [step for run in runs.values() for step in run]
    assert len(set(steps)) == len(steps)
    assert {"kernel_device", "guest_crash"} < set(steps)
    assert "figures" not in steps
    crashing = next(run for run in runs.values() if "guest_crash" in run)
    assert crashing[-1] == "guest_crash"  # there is no guest after it


def test_a_step_that_needs_another_xen_runs_on_its_machine() -> None:
    (needs,) = choices["xen_arguments"]()
    (first, *_) = machines()
    assert choose(["credit", "discard"]) == {needs: ["credit_shares"], first: ["discard"]}


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
    """The lab knows every file of steps."""
    files = [path.stem for path in (HERE / "payload" / "steps").glob("[!_]*.py")]
    assert sorted(files) == sorted(name for names in machines().values() for name in names)
