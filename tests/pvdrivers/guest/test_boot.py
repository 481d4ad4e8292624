"""Which program a kernel's command line names."""

from pathlib import Path

import pytest

from pvdrivers.guest.boot import command_line, find_program, is_for_us
from pvdrivers.guest.programs import PROGRAMS
from pvdrivers.ring.errors import UsageError

PROGRAM = "async def main(kernel): pass\n"


def test_programs_of_the_package_are_named() -> None:
    assert command_line("idle") == "pvguest idle"
    assert command_line("idle", ["depth=4", "two words"]) == "pvguest idle depth=4 'two words'"
    assert find_program("idle") is PROGRAMS["idle"]


def test_a_file_is_named_from_wherever_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    assert command_line("mine.py") == f"pvguest {tmp_path}/mine.py"
    assert find_program(f"{tmp_path}/mine.py").__name__ == "main"  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", ["", "root=/dev/xvda1 ro", "pvguests idle"])
def test_other_kernels_have_other_command_lines(line: str) -> None:
    assert not is_for_us(line)
    assert is_for_us(command_line("idle"))


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no-such: no such program; there are check, idle"):
        command_line("no-such")
    empty = tmp_path / "empty.py"
    empty.write_text("")
    with pytest.raises(UsageError, match=r"empty.py: it has no coroutine function main\(kernel\)"):
        find_program(str(empty))
    with pytest.raises(UsageError, match="no Python file"):
        find_program(str(tmp_path / "gone.py"))
