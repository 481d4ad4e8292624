"""What tests/run_fuzzers says before it builds anything."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "run_fuzzers"


def found(folder: Path, name: str, status: int) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\nexit {status}\n")
    file.chmod(0o755)


@pytest.mark.parametrize(("programs", "missing"), [([], "clang"), (["clang"], "Atheris")])
def test_what_is_missing_is_one_sentence(tmp_path: Path, programs: list[str], missing: str) -> None:
    for program in programs:
        found(tmp_path, program, 0)
    found(tmp_path, "python", 1)  # which cannot import what it is asked for
    ended = subprocess.run(
        ["/bin/sh", SCRIPT, "1"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert missing in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "build").exists()
